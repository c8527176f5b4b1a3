//! The Kafka sink against the embedded broker, driven as the committer drives it.
//!
//! Goal: records and positions become visible together or not at all, and whoever takes over goes
//! on exactly behind what is visible. The same facts on real Kafka, through the whole program, are
//! in the root package's delivery tests.

mod gaps;
mod refusals;
mod rig;
mod routing;

use headwater_engine::commit::outlet::Repair;
use headwater_engine::ids::{Epoch, Slot};
use headwater_operators::sink::kafka::{
    AcceptChange, KafkaOutlet, KafkaStartError, OutletPlan, read_progress, reset_progress,
};
use rig::{Rig, sink_file};

#[test]
fn an_epoch_and_its_positions_become_visible_together() {
    let rig = Rig::start();
    let (mut outlet, stored) = rig.outlet(&sink_file(&rig, "")).expect("a fresh pipeline");
    assert_eq!(stored.epoch(), None);
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &rig::batch(0, &["a", "b"])).expect("staged");
    assert_eq!(
        rig.committed("events"),
        Vec::<String>::new(),
        "nothing is visible before the commit"
    );
    rig::commit(&mut outlet, 1, &rig::positions(0, 2, 2)).expect("committed");
    assert_eq!(rig.committed("events"), ["a", "b"]);
    let progress = rig.progress();
    let shard = progress.shards.values().next().expect("the shard's progress");
    assert_eq!((shard.epoch, shard.committed, shard.position.next_sequence.0), (Epoch(1), 2, 2));
}

#[test]
fn an_aborted_epoch_is_sent_again_and_visible_once() {
    let rig = Rig::start();
    let (mut outlet, _) = rig.outlet(&sink_file(&rig, "")).expect("a fresh pipeline");
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged");
    rig.wait_until_sent("events", 1, || outlet.poll());
    outlet.abort().expect("aborted");
    outlet.begin(Slot(0), Epoch(1)).expect("begun again");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged again");
    rig::commit(&mut outlet, 1, &rig::positions(0, 1, 1)).expect("committed");
    assert_eq!(rig.committed("events"), ["a"]);
    assert_eq!(rig.uncommitted("events"), ["a", "a"], "the aborted copy proves that the fault hit");
}

#[test]
fn a_second_instance_fences_the_first_and_goes_on_behind_its_last_commit() {
    let rig = Rig::start();
    let file = sink_file(&rig, "");
    let (mut first, _) = rig.outlet(&file).expect("a fresh pipeline");
    first.begin(Slot(0), Epoch(1)).expect("begun");
    first.stage(0, &rig::batch(0, &["a"])).expect("staged");
    rig::commit(&mut first, 1, &rig::positions(0, 1, 1)).expect("committed");
    first.begin(Slot(0), Epoch(2)).expect("begun");
    first.stage(0, &rig::batch(1, &["b"])).expect("staged");

    let (mut second, stored) = rig.outlet(&file).expect("a take-over");
    assert_eq!(stored.epoch(), Some(Epoch(1)));
    let refused = rig::commit(&mut first, 2, &rig::positions(0, 2, 1)).expect_err("it is fenced");
    assert_eq!(refused.repair, Repair::Acquire, "{refused}");
    let refused = first.reacquire().expect_err("the pipeline has a newer owner");
    assert_eq!(refused.repair, Repair::Superseded, "{refused}");

    second.begin(Slot(0), Epoch(2)).expect("begun");
    second.stage(0, &rig::batch(1, &["b"])).expect("staged");
    rig::commit(&mut second, 2, &rig::positions(0, 2, 1)).expect("committed");
    assert_eq!(rig.committed("events"), ["a", "b"]);
}

#[test]
fn a_lost_producer_is_replaced_and_the_stored_epoch_tells_what_was_committed() {
    let rig = Rig::start();
    let (mut outlet, _) = rig.outlet(&sink_file(&rig, "")).expect("a fresh pipeline");
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged");
    assert_eq!(outlet.reacquire().expect("ours still"), None, "epoch 1 was not committed");
    outlet.begin(Slot(0), Epoch(1)).expect("begun with the new producer");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged");
    rig::commit(&mut outlet, 1, &rig::positions(0, 1, 1)).expect("committed");
    assert_eq!(outlet.reacquire().expect("ours still"), Some(Epoch(1)));
    assert_eq!(rig.committed("events"), ["a"]);
}

#[test]
fn at_least_once_writes_progress_after_its_records_and_totals_add_up() {
    let rig = Rig::start();
    let file = sink_file(&rig, "delivery: at_least_once");
    for epoch in 1..=2 {
        let (mut outlet, stored) = rig.outlet(&file).expect("a start");
        assert_eq!(stored.epoch(), (epoch > 1).then(|| Epoch(epoch - 1)));
        outlet.begin(Slot(0), Epoch(epoch)).expect("begun");
        outlet.stage(0, &rig::batch(epoch - 1, &["x"])).expect("staged");
        rig::commit(&mut outlet, epoch, &rig::positions(0, epoch, 1)).expect("committed");
    }
    assert_eq!(rig.committed("events"), ["x", "x"]);
    let totals: Vec<u64> = rig.progress().shards.values().map(|shard| shard.committed).collect();
    assert_eq!(totals, [2]);
}

#[test]
fn a_missing_topic_is_named_with_the_key_that_would_create_it() {
    let rig = Rig::start();
    let file = sink_file(&rig, "").replace("topic: events", "topic: missing");
    let error = rig.outlet(&file).err().expect("the topic is missing");
    assert!(matches!(error, KafkaStartError::TopicMissing { .. }), "{error}");
    assert!(!error.may_heal());
    let file = format!("{file}    create: {{ partitions: 3, replication: 1 }}\n");
    assert!(rig.outlet(&file).is_ok(), "created on request");
}

#[test]
fn a_position_of_another_source_is_not_resumed_until_it_is_forgotten() {
    let rig = Rig::start();
    let file = sink_file(&rig, "");
    let (mut outlet, _) = rig.outlet(&file).expect("a fresh pipeline");
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged");
    rig::commit(&mut outlet, 1, &rig::positions(0, 1, 1)).expect("committed");
    let refused = rig.outlet_of(&file, "another fingerprint").err().expect("another source");
    outlet.begin(Slot(0), Epoch(2)).expect("the owner was not disturbed");
    outlet.stage(0, &rig::batch(1, &["b"])).expect("staged");
    rig::commit(&mut outlet, 2, &rig::positions(0, 2, 1)).expect("a refused start fences nobody");
    assert!(matches!(refused, KafkaStartError::FingerprintChanged { .. }), "{refused}");
    let target = rig.target(&file);
    let forgotten = reset_progress(&target, "p", "__p.progress", &[]).expect("reset");
    assert_eq!(forgotten.len(), 1);
    let left = read_progress(&target, "p", "__p.progress").expect("read");
    assert!(left.shards.is_empty());
    assert!(rig.outlet_of(&file, "another fingerprint").is_ok());
}

#[test]
fn a_changed_source_goes_on_from_its_position_or_begins_anew_as_it_was_told() {
    let rig = Rig::start();
    let file = sink_file(&rig, "");
    let (mut outlet, _) = rig.outlet(&file).expect("a fresh pipeline");
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged");
    rig::commit(&mut outlet, 1, &rig::positions(0, 1, 1)).expect("committed");
    let start = |accept_change| {
        let plan = rig.plan(&file, "another fingerprint");
        KafkaOutlet::start(OutletPlan { accept_change, ..plan })
    };
    for (how, next_sequence) in [(AcceptChange::Resume, 1), (AcceptChange::Reset, 0)] {
        let (_, stored) = start(Some(how)).expect("the change is accepted");
        let shard = stored.shards.values().next().expect("the shard is known");
        assert_eq!(shard.position.next_sequence.0, next_sequence, "{how:?}");
        assert_eq!(shard.position.session.0, 1, "{how:?}: no name is given twice");
        assert_eq!(stored.epoch(), Some(Epoch(1)), "{how:?}: epochs go on");
    }
    let (mut outlet, _) = start(Some(AcceptChange::Resume)).expect("the change is accepted");
    outlet.begin(Slot(0), Epoch(2)).expect("begun");
    outlet.stage(0, &rig::batch(1, &["b"])).expect("staged");
    rig::commit(&mut outlet, 2, &rig::positions(0, 2, 1)).expect("committed");
    assert!(start(None).is_ok(), "from the next commit on the new source is the known one");
}

#[test]
fn a_pipeline_that_must_have_progress_does_not_begin_anew() {
    let rig = Rig::start();
    let file = sink_file(&rig, "");
    let start = || KafkaOutlet::start(OutletPlan { needs_progress: true, ..rig.plan(&file, "f") });
    let refused = start().err().expect("there is no progress topic");
    assert!(matches!(refused, KafkaStartError::ProgressMissing { .. }), "{refused}");
    let (mut outlet, _) = rig.outlet_of(&file, "f").expect("a fresh pipeline");
    let refused = start().err().expect("the topic holds nothing but claims");
    assert!(matches!(refused, KafkaStartError::ProgressMissing { .. }), "{refused}");
    outlet.begin(Slot(0), Epoch(1)).expect("the owner was not disturbed");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged");
    rig::commit(&mut outlet, 1, &rig::positions(0, 1, 1)).expect("committed");
    assert!(start().is_ok());
}

#[test]
fn a_progress_topic_that_forgets_is_refused() {
    let rig = Rig::start();
    rig.create_topic("__p.progress", 1, &[("cleanup.policy", "delete")]);
    let error = rig.outlet(&sink_file(&rig, "")).err().expect("it would forget positions");
    assert!(matches!(error, KafkaStartError::ProgressTopicUnfit { .. }), "{error}");
}

#[test]
fn keys_timestamps_and_headers_reach_the_topic() {
    let rig = Rig::start();
    let more = "headers: { provenance: true, static: { team: blue } }";
    let (mut outlet, _) = rig.outlet(&sink_file(&rig, more)).expect("a fresh pipeline");
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &rig::batch(41, &["a"])).expect("staged");
    rig::commit(&mut outlet, 1, &rig::positions(0, 42, 1)).expect("committed");
    let headers = rig.headers_of_first("events");
    let expected = [
        ("headwater-shard", "events/one"),
        ("headwater-generation", "1"),
        ("headwater-session", "1"),
        ("headwater-sequence", "41"),
        ("team", "blue"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(headers, expected);
}

#[test]
fn the_name_of_a_record_outlives_a_repair_and_not_a_restart() {
    let rig = Rig::start();
    let more = "delivery: at_least_once\n    headers: { provenance: true }";
    let file = sink_file(&rig, more);
    let (mut outlet, _) = rig.outlet(&file).expect("a fresh pipeline");
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged");
    rig.wait_until_sent("events", 1, || outlet.poll());
    // The progress is lost with the producer, so the record is sent again, under a newer claim.
    assert_eq!(outlet.reacquire().expect("ours still"), None);
    outlet.begin(Slot(0), Epoch(1)).expect("begun again");
    outlet.stage(0, &rig::batch(0, &["a"])).expect("staged again");
    rig.wait_until_sent("events", 2, || outlet.poll());
    drop(outlet);
    let (mut outlet, _) = rig.outlet(&file).expect("a restart that knows of nothing");
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &rig::batch(0, &["another"])).expect("staged");
    rig::commit(&mut outlet, 1, &rig::positions(0, 1, 1)).expect("committed");

    assert_eq!(rig.committed("events"), ["a", "a", "another"]);
    let names = rig.headers("events");
    assert_eq!(names[0], names[1], "the copies of one record bear one name");
    let generation = |place: usize| names[place][1].1.parse::<u64>().expect("a number");
    assert!(generation(2) > generation(0), "session and sequence alone are used again");
    assert_eq!(names[2][2..], names[0][2..]);
}
