//! Records that go to topics of their own: all in one transaction, or none; what can go nowhere is
//! set aside. And keys, headers and tombstones as columns give them.

use crate::rig::{self, Rig, sink_file};
use headwater_engine::commit::outlet::Repair;
use headwater_engine::ids::{Epoch, Slot};
use headwater_engine::record::{Batch, Column};
use headwater_operators::sink::kafka::{KafkaOutlet, KafkaStartError, OutletPlan};
use std::sync::Arc;

const BY_FIELD: &str = "route: { name: '{topic}-{field}', field: site, topics_max: 3 }
    create: { partitions: 1, replication: 1 }";

/// An outlet whose sink routes by the first column and has a header from the second one.
fn outlet(rig: &Rig, more: &str) -> KafkaOutlet {
    start(rig, more).expect("a fresh pipeline")
}

fn start(rig: &Rig, more: &str) -> Result<KafkaOutlet, KafkaStartError> {
    let mut plan = rig.plan(&sink_file(rig, more), "fingerprint");
    plan.sinks[0].route_column = Some(0);
    plan.sinks[0].header_columns = vec![("site".to_owned(), 1)];
    KafkaOutlet::start(OutletPlan { ring: 1, ..plan }).map(|(outlet, _)| outlet)
}

fn column(texts: &[Option<&str>]) -> Column {
    let (mut ranges, mut bytes) = (Vec::new(), Vec::new());
    for text in texts {
        let start = bytes.len();
        ranges.push(text.map(|text| {
            bytes.extend_from_slice(text.as_bytes());
            start..bytes.len()
        }));
    }
    Column::Bytes(Arc::new(ranges), Arc::new(bytes))
}

fn batch(first: u64, values: &[&str], sites: &[Option<&str>]) -> Batch {
    let columns = vec![column(sites), column(sites)];
    Batch { columns, ..rig::batch(first, values) }
}

#[test]
fn records_of_one_epoch_become_visible_in_all_their_topics_together() {
    let rig = Rig::start();
    let mut outlet = outlet(&rig, BY_FIELD);
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    let sites = [Some("kiel"), Some("bremen"), Some("kiel")];
    outlet.stage(0, &batch(0, &["a", "b", "c"], &sites)).expect("staged");
    rig.wait_until_sent("events-kiel", 2, || outlet.poll());
    outlet.abort().expect("aborted");
    outlet.begin(Slot(0), Epoch(1)).expect("begun again");
    outlet.stage(0, &batch(0, &["a", "b", "c"], &sites)).expect("staged again");
    assert_eq!(rig.committed("events-kiel"), Vec::<String>::new(), "before the commit");
    rig::commit(&mut outlet, 1, &rig::positions(0, 3, 3)).expect("committed");
    assert_eq!(rig.committed("events-kiel"), ["a", "c"]);
    assert_eq!(rig.committed("events-bremen"), ["b"]);
    assert_eq!(rig.committed("events"), Vec::<String>::new());
    let aborted = rig.uncommitted("events-kiel");
    assert_eq!(aborted, ["a", "c", "a", "c"], "the aborted copies prove that the fault hit");
}

#[test]
fn a_record_without_a_possible_topic_is_a_dead_letter_in_its_place() {
    let rig = Rig::start();
    let more = format!(
        "{BY_FIELD}\n    dead_letter: {{ topic: dead, create: {{ partitions: 1, \
                        replication: 1 }} }}"
    );
    let mut outlet = outlet(&rig, &more);
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    let sites = ["a", "b/c", "b", "c", "too-many", "a"].map(Some);
    outlet.stage(0, &batch(0, &["0", "1", "2", "3", "4", "5"], &sites)).expect("staged");
    let set_aside = outlet.set_aside(Epoch(1));
    assert_eq!(set_aside.values().sum::<u64>(), 2);
    rig::commit(&mut outlet, 1, &rig::positions(0, 6, 4)).expect("committed");
    assert_eq!(rig.committed("events-a"), ["0", "5"]);
    assert_eq!(rig.committed("dead"), ["1", "4"]);
    let reasons: Vec<String> = rig
        .headers("dead")
        .iter()
        .map(|headers| headers.iter().find(|it| it.0 == "headwater-error").expect("why").1.clone())
        .collect();
    assert!(reasons[0].contains("\"events-b/c\""), "{reasons:?}");
    assert!(reasons[1].contains("3 topics are in use"), "{reasons:?}");
}

#[test]
fn without_a_place_for_it_such_a_record_stops_the_pipeline() {
    let rig = Rig::start();
    let mut outlet = outlet(&rig, BY_FIELD);
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    let error = outlet.stage(0, &batch(41, &["x"], &[Some("b c")])).expect_err("no topic");
    assert_eq!(error.repair, Repair::Stop);
    let words = ["sequence 41", "there is no topic for this record", "dead_letter"];
    assert!(words.iter().all(|it| error.message.contains(it)), "{error}");
}

#[test]
fn a_topic_that_is_missing_and_may_not_be_made_is_named() {
    let rig = Rig::start();
    let mut outlet = outlet(&rig, "route: { name: '{topic}-{field}', field: site }");
    rig.create_topic("events-there", 1, &[]);
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &batch(0, &["a"], &[Some("there")])).expect("staged");
    let error = outlet.stage(0, &batch(1, &["b"], &[Some("missing")])).expect_err("no topic");
    assert_eq!(error.repair, Repair::Stop);
    assert!(error.message.contains("events-missing"), "{error}");
}

#[test]
fn a_timestamp_names_the_topic_and_the_sinks_own_need_not_exist() {
    let rig = Rig::start();
    let more = "route: {}\n    create: { partitions: 1, replication: 1 }";
    let file = sink_file(&rig, more).replace("topic: events", "topic: nobody");
    let (mut outlet, _) = rig.outlet(&file).expect("a fresh pipeline");
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged");
    rig::commit(&mut outlet, 1, &rig::positions(0, 1, 1)).expect("committed");
    assert_eq!(rig.committed("nobody-20231114"), ["a"]);
}

#[test]
fn routed_topics_outlive_a_repair() {
    let rig = Rig::start();
    let mut outlet = outlet(&rig, BY_FIELD);
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &batch(0, &["a"], &[Some("kiel")])).expect("staged");
    assert_eq!(outlet.reacquire().expect("ours still"), None);
    outlet.begin(Slot(0), Epoch(1)).expect("begun again");
    outlet.stage(0, &batch(0, &["a"], &[Some("kiel")])).expect("staged again");
    rig::commit(&mut outlet, 1, &rig::positions(0, 1, 1)).expect("committed");
    assert_eq!(rig.committed("events-kiel"), ["a"]);
}

#[test]
fn an_empty_json_value_is_a_tombstone_and_a_header_may_have_no_value() {
    let rig = Rig::start();
    let mut outlet = outlet(&rig, BY_FIELD);
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    let mut batch = batch(0, &["{}", ""], &[Some("x"), Some("x")]);
    batch.columns[1] = column(&[Some("kiel"), None]);
    outlet.stage(0, &batch).expect("staged");
    rig::commit(&mut outlet, 1, &rig::positions(0, 2, 2)).expect("committed");
    let records = rig.records("events-x");
    let values: Vec<Option<String>> = records.iter().map(|it| it.0.clone()).collect();
    assert_eq!(values, [Some("{}".to_owned()), None]);
    let headers: Vec<_> = records.iter().flat_map(|it| it.1.clone()).collect();
    let named = |value: Option<&str>| ("site".to_owned(), value.map(str::to_owned));
    assert_eq!(headers, [named(Some("kiel")), named(None)]);
}
