//! A gap is written down with what follows it, or not at all.

use crate::rig::{self, Rig, sink_file};
use headwater_engine::ids::{Epoch, Sequence, Slot};
use headwater_engine::position::CursorValue;
use headwater_engine::record::{Gap, GapReason};
use std::collections::BTreeMap;
use std::sync::Arc;

#[test]
fn a_gap_is_a_record_in_the_transaction_of_what_follows_it() {
    let rig = Rig::start();
    rig.create_topic("gaps", 1, &[]);
    let more = "gaps: { topic: gaps }";
    let (mut outlet, _) = rig.outlet(&sink_file(&rig, more)).expect("a fresh pipeline");
    let gap = |sequence, reason, from, to| Gap {
        sequence: Sequence(sequence),
        node: Arc::from("events"),
        reason,
        from,
        to,
        told: None,
        after: BTreeMap::new(),
    };
    let foreign = Gap { node: Arc::from("another"), ..gap(8, GapReason::NewCall, None, None) };
    let mut batch = rig::batch(7, &["a", "b"]);
    let skipped = gap(8, GapReason::Skipped, Some(u64::MAX.into()), Some(u64::MAX.into()));
    let after = BTreeMap::from([("seq".to_owned(), CursorValue::Uint(4))]);
    let lost = Gap { after, ..gap(7, GapReason::CursorLost, Some(5), None) };
    batch.gaps = vec![gap(7, GapReason::NewCall, None, None), lost, skipped, foreign];
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &batch).expect("staged");
    rig.wait_until_sent("gaps", 3, || outlet.poll());
    assert!(rig.committed("gaps").is_empty(), "nothing is visible before the commit");
    rig::commit(&mut outlet, 1, &rig::positions(0, 9, 2)).expect("committed");
    let told = |sequence, reason, range: &str| {
        format!(
            r#"{{"pipeline":"p","source":"events","shard":"events/one","generation":1,"session":1,"sequence":{sequence},"reason":"{reason}",{range},"at_unix_ms":1700000000000}}"#
        )
    };
    let unknown = told(7, "new_call", r#""from":null,"to":null,"messages":null"#);
    let range = r#""from":18446744073709551615,"to":18446744073709551615,"messages":1"#;
    let lost = r#""from":5,"to":null,"messages":null,"after":{"seq":{"uint":4}}"#;
    let lost = told(7, "cursor_lost", lost);
    assert_eq!(rig.committed("gaps"), [unknown, lost, told(8, "skipped", range)]);
}
