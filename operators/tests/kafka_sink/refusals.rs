//! Records that the client or the broker refuses: the embedded broker refuses batches that are
//! larger than their topic's `max.message.bytes`, as Apache Kafka does, and names nobody.

use crate::rig::{self, Rig, sink_file};
use headwater_engine::commit::outlet::{OutletError, Repair};
use headwater_engine::ids::{Epoch, Slot};
use headwater_engine::record::Batch;
use headwater_operators::sink::kafka::KafkaOutlet;

/// What topic `tight` takes.
const TIGHT_BYTES: usize = 4_000;

/// More attempts than any test here needs.
const ATTEMPTS_MAX: usize = 100;

/// Topics `tight` and `dead`, and a sink between them with `more` keys.
fn tight(rig: &Rig, more: &str) -> String {
    rig.create_topic("tight", 1, &[("max.message.bytes", &TIGHT_BYTES.to_string())]);
    rig.create_topic("dead", 1, &[]);
    sink_file(rig, more).replace("topic: events", "topic: tight")
}

/// A value that tells its number, of so many bytes.
fn value(number: usize, bytes: usize) -> String {
    format!("{number:06}{}", "x".repeat(bytes - 6))
}

/// The numbers at the head of each value.
fn numbers(values: &[String]) -> Vec<usize> {
    values.iter().map(|it| it[..6].parse().expect("a number")).collect()
}

/// Sends an epoch as the committer does, as often as it takes; returns how often that was.
fn send(outlet: &mut KafkaOutlet, epoch: u64, batches: &[Batch]) -> Result<usize, OutletError> {
    let slot = Slot(u32::try_from((epoch - 1) % 2).expect("a ring of two") % outlet.ring());
    let once = |outlet: &mut KafkaOutlet| {
        outlet.begin(slot, Epoch(epoch))?;
        batches.iter().try_for_each(|batch| outlet.stage(0, batch))?;
        let records: usize = batches.iter().map(Batch::len).sum();
        let mut positions = rig::positions(0, records as u64, records as u64);
        for set_aside in outlet.set_aside(Epoch(epoch)).into_values() {
            positions[0].records -= set_aside;
            positions[0].dead_letters += set_aside;
        }
        rig::commit(outlet, epoch, &positions)
    };
    for attempt in 1..=ATTEMPTS_MAX {
        let begun = std::time::Instant::now();
        let outcome = once(outlet);
        println!("attempt {attempt} at epoch {epoch}: {outcome:?} after {:?}", begun.elapsed());
        match outcome {
            Ok(()) => return Ok(attempt),
            Err(error) if error.repair == Repair::Isolate => outlet.abort()?,
            Err(error) => {
                outlet.abort().expect("what failed can be aborted");
                return Err(error);
            }
        }
    }
    panic!("not through after {ATTEMPTS_MAX} attempts");
}

/// Batches of 20 records of 100 bytes, but those of `large` have so many.
fn batches(large: &[(usize, usize)]) -> Vec<Batch> {
    let bytes = |number| large.iter().find(|it| it.0 == number).map_or(100, |it| it.1);
    let of = |batch: usize| {
        let values: Vec<_> = (batch * 20..batch * 20 + 20).map(|it| value(it, bytes(it))).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        rig::batch(batch as u64 * 20, &values)
    };
    (0..5).map(of).collect()
}

/// Demands every number below 100 in order in `tight`, but `large`, which are in `dead`.
fn demand(rig: &Rig, large: &[(usize, usize)]) {
    let is_large = |number: &usize| large.iter().any(|it| it.0 == *number);
    let good: Vec<usize> = (0..100).filter(|it| !is_large(it)).collect();
    assert_eq!(numbers(&rig.committed("tight")), good);
    let dead = numbers(&rig.committed("dead"));
    assert_eq!(dead, large.iter().map(|it| it.0).collect::<Vec<_>>());
}

#[test]
fn what_the_client_refuses_goes_as_a_dead_letter_at_once() {
    let rig = Rig::start();
    let more = "dead_letter: { topic: dead }\n    properties: { message.max.bytes: 3000 }";
    let (mut outlet, _) = rig.outlet(&tight(&rig, more)).expect("a fresh pipeline");
    let large = [(7, 3_500), (93, 2_999)];
    assert_eq!(send(&mut outlet, 1, &batches(&large)).expect("sent"), 1, "nothing was sent twice");
    let is_dead = |number: &usize| large.iter().any(|it| it.0 == *number);
    let good: Vec<usize> = (0..100).filter(|it| !is_dead(it)).collect();
    assert_eq!(numbers(&rig.committed("tight")), good);
    assert_eq!(rig.committed("dead").len(), 2, "in the same transaction");
    let headers = rig.headers("dead");
    let header = |name: &str| headers[0].iter().find(|it| it.0 == name).map(|it| it.1.as_str());
    assert_eq!(header("headwater-sequence"), Some("7"));
    assert_eq!(header("headwater-error-node"), Some("out"));
    let reason = header("headwater-error").expect("a reason");
    assert!(reason.contains("`tight`") && reason.contains("3500 bytes"), "{reason}");
    assert_eq!(header("headwater-error-bytes"), Some("3500"), "there is no room for all of it");
    let shard = rig.progress().shards.into_values().next().expect("the shard's progress");
    assert_eq!((shard.committed, shard.dead_letters), (98, 2));
}

#[test]
fn what_the_broker_refuses_goes_as_a_dead_letter_and_all_others_once_and_in_order() {
    let rig = Rig::start();
    let file = tight(&rig, "dead_letter: { topic: dead }");
    let (mut outlet, _) = rig.outlet(&file).expect("a fresh pipeline");
    let large = [(0, 5_000), (41, 4_500), (42, 900_000), (43, 6_000), (99, 5_000)];
    let attempts = send(&mut outlet, 1, &batches(&large)).expect("sent");
    demand(&rig, &large);
    assert!(attempts > 1, "the broker has refused something");
    assert!(attempts < 5, "the topic's limit tells all of them apart: {attempts} attempts");
    let shard = rig.progress().shards.into_values().next().expect("the shard's progress");
    assert_eq!((shard.committed, shard.dead_letters), (95, 5));
    let attempts = send(&mut outlet, 2, &batches(&large)).expect("sent");
    assert!(attempts <= 2, "what the topic demands is known now: {attempts} attempts");
    assert_eq!((rig.committed("tight").len(), rig.committed("dead").len()), (190, 10));
}

/// Compressed, a record's size says nothing; then only trying tells.
#[test]
fn without_a_rule_to_judge_by_the_suspects_are_parted_until_the_guilty_are_found() {
    use rand::distr::{Alphanumeric, SampleString};
    let rig = Rig::start();
    let more = "dead_letter: { topic: dead }\n    properties: { compression.type: gzip }";
    let (mut outlet, _) = rig.outlet(&tight(&rig, more)).expect("a fresh pipeline");
    let large = [(30, 7_000), (31, 9_000), (77, 7_000)];
    let values: Vec<String> = (0..100)
        .map(|number| match large.iter().find(|it| it.0 == number) {
            Some((_, bytes)) => {
                format!("{number:06}{}", Alphanumeric.sample_string(&mut rand::rng(), *bytes))
            }
            // Larger than the limit, and small on the way.
            None if number % 10 == 5 => value(number, 20_000),
            None => value(number, 100),
        })
        .collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let attempts = send(&mut outlet, 1, &[rig::batch(0, &values)]).expect("sent");
    assert!(attempts > 1, "the broker has refused something");
    demand(&rig, &large);
}

#[test]
fn a_batch_that_is_too_large_itself_is_sent_in_parts_and_nobody_is_guilty() {
    let rig = Rig::start();
    let more = "dead_letter: { topic: dead }\n    \
                properties: { batch.size: 1000000, linger.ms: 50 }";
    let (mut outlet, _) = rig.outlet(&tight(&rig, more)).expect("a fresh pipeline");
    let attempts = send(&mut outlet, 1, &batches(&[])).expect("sent");
    assert!(attempts > 1, "the broker has refused the batch");
    demand(&rig, &[]);
}

#[test]
fn batches_fit_the_tightest_topic_by_themselves() {
    let rig = Rig::start();
    let more = "properties: { linger.ms: 50 }";
    let (mut outlet, _) = rig.outlet(&tight(&rig, more)).expect("a fresh pipeline");
    assert_eq!(send(&mut outlet, 1, &batches(&[])).expect("sent"), 1, "nothing was refused");
    demand(&rig, &[]);
}

#[test]
fn without_a_place_for_dead_letters_the_record_stops_the_pipeline_by_name() {
    for properties in ["", "properties: { message.max.bytes: 3000 }"] {
        let rig = Rig::start();
        let (mut outlet, _) = rig.outlet(&tight(&rig, properties)).expect("a fresh pipeline");
        let error = send(&mut outlet, 1, &batches(&[(50, 5_000)])).expect_err("it is refused");
        assert_eq!(error.repair, Repair::Stop, "{error}");
        for words in [
            "shard `events/one`",
            "session 1",
            "sequence 50",
            "5000 bytes",
            "`tight`",
            "max.message.bytes",
            "dead_letter",
        ] {
            assert!(error.message.contains(words), "{words}: {error}");
        }
        assert_eq!(rig.committed("tight"), Vec::<String>::new(), "nothing of the epoch is there");
    }
}

#[test]
fn without_transactions_what_is_refused_is_set_aside_and_nothing_is_sent_twice() {
    let rig = Rig::start();
    let more = "delivery: at_least_once\n    dead_letter: { topic: dead }";
    let (mut outlet, _) = rig.outlet(&tight(&rig, more)).expect("a fresh pipeline");
    let large = [(0, 5_000), (41, 4_500), (42, 5_000), (99, 4_500)];
    let attempts = send(&mut outlet, 1, &batches(&large)).expect("sent");
    assert!(attempts > 1, "the broker has refused something");
    demand(&rig, &large);
    assert_eq!(rig.uncommitted("tight").len(), 96, "there is no second copy at all");
    let shard = rig.progress().shards.into_values().next().expect("the shard's progress");
    assert_eq!((shard.committed, shard.dead_letters), (96, 4));
}

#[test]
fn without_transactions_the_next_epoch_is_on_its_way_while_the_last_is_searched() {
    let rig = Rig::start();
    let more = "delivery: at_least_once\n    dead_letter: { topic: dead }";
    let (mut outlet, _) = rig.outlet(&tight(&rig, more)).expect("a fresh pipeline");
    let large = [(35, 5_000), (81, 4_500)];
    let batches = batches(&large);
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    batches[..2].iter().try_for_each(|batch| outlet.stage(0, batch)).expect("staged");
    let mut first = outlet.seal(Epoch(1), &rig::positions(0, 40, 40)).expect("sealed");
    outlet.begin(Slot(1), Epoch(2)).expect("begun beside the commit");
    batches[2..].iter().try_for_each(|batch| outlet.stage(0, batch)).expect("staged");
    let failed = first.commit().expect_err("a record is refused");
    let failed = outlet.commit_failed(failed);
    assert_eq!(failed.repair, Repair::Isolate, "{failed}");
    assert_eq!(rig.progress().epoch(), None, "no position is ahead of its records");
    outlet.abort().expect("aborted");
    let attempts = send(&mut outlet, 1, &batches[..2]).expect("sent");
    assert!(attempts <= 2, "what failed is known: {attempts} attempts");
    send(&mut outlet, 2, &batches[2..]).expect("sent");
    demand(&rig, &large);
    assert_eq!(rig.uncommitted("tight").len(), 98, "there is no second copy at all");
    assert_eq!(rig.progress().epoch(), Some(Epoch(2)));
}

#[test]
fn an_epoch_behind_one_that_waits_for_its_commit_is_searched_alone() {
    let rig = Rig::start();
    let file = tight(&rig, "dead_letter: { topic: dead }");
    let (mut outlet, _) = rig.outlet(&file).expect("a fresh pipeline");
    let batches = batches(&[(35, 5_000)]);
    outlet.begin(Slot(0), Epoch(1)).expect("begun");
    outlet.stage(0, &batches[0]).expect("staged");
    let mut first = outlet.seal(Epoch(1), &rig::positions(0, 20, 20)).expect("sealed");
    // The next one opens beside the commit, and meets a refusal before that is answered.
    outlet.begin(Slot(1), Epoch(2)).expect("begun");
    outlet.stage(0, &batches[1]).expect("staged");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let refused = outlet.stage(0, &batches[2]).expect_err("its transaction takes no more");
    assert_eq!(refused.repair, Repair::Isolate, "{refused}");
    first.commit().expect("committed");
    outlet.committed(&rig::positions(0, 20, 20));
    outlet.abort().expect("aborted");
    assert_eq!(numbers(&rig.committed("tight")), (0..20).collect::<Vec<_>>());
    let attempts = send(&mut outlet, 2, &batches[1..]).expect("sent");
    assert!(attempts <= 2, "the record is known: {attempts} attempts");
    demand(&rig, &[(35, 5_000)]);
}

#[test]
fn a_dead_letter_that_is_refused_stops_the_pipeline_and_nothing_is_lost_after_the_repair() {
    let rig = Rig::start();
    rig.create_topic("tiny", 1, &[("max.message.bytes", "100")]);
    let file = tight(&rig, "dead_letter: { topic: tiny }");
    let large = [(50, 5_000)];
    {
        let (mut outlet, _) = rig.outlet(&file).expect("a fresh pipeline");
        let error = send(&mut outlet, 1, &batches(&large)).expect_err("the letter is refused");
        assert_eq!(error.repair, Repair::Stop, "{error}");
        assert!(error.message.contains("dead letter") && error.message.contains("tiny"), "{error}");
        assert_eq!(rig.committed("tight"), Vec::<String>::new());
    }
    let file = file.replace("topic: tiny", "topic: dead");
    let (mut outlet, stored) = rig.outlet(&file).expect("a repaired pipeline");
    assert_eq!(stored.epoch(), None, "nothing was committed");
    send(&mut outlet, 1, &batches(&large)).expect("sent");
    demand(&rig, &large);
}

#[test]
fn an_epoch_larger_than_the_clients_queue_waits_for_room_in_one_transaction() {
    let rig = Rig::start();
    let more = "dead_letter: { topic: dead }\n    \
                properties: { queue.buffering.max.messages: 7 }";
    let (mut outlet, _) = rig.outlet(&tight(&rig, more)).expect("a fresh pipeline");
    assert_eq!(send(&mut outlet, 1, &batches(&[])).expect("sent"), 1);
    demand(&rig, &[]);
    assert_eq!(rig.uncommitted("tight").len(), 100, "no attempt came to nothing");
}
