//! The state without sockets: transactions, groups, compaction and restarts.

use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::journal::CommittedOffset;
use crate::log::Facts;
use crate::records::Records;
use crate::records::tests::{build, plain};

const TOPIC: &str = "topic";
const START_MS: i64 = 1_000_000;
const TIMEOUT_MS: i32 = 10_000;

fn open(journal: &Journal, now_ms: i64) -> State {
    let node = Node { host: "127.0.0.1".to_owned(), port: 1 };
    State::open(node, journal, false, now_ms).unwrap()
}

fn in_memory() -> State {
    let mut state = open(&Journal::Memory, START_MS);
    make(&mut state, &[]);
    state
}

fn make(state: &mut State, settings: &[(&str, &str)]) {
    let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    state.change(Entry::Topic { name: TOPIC.to_owned(), partitions: 1, settings });
}

/// A transactional batch of one record.
fn record(producer: Producer, sequence: i32, key: &str, value: Option<&str>) -> Bytes {
    let header = Header {
        attributes: 0x10,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: sequence,
        base_timestamp: START_MS,
        max_timestamp: START_MS,
        ..plain()
    };
    build(header, &[(Some(key), value)])
}

fn write(state: &mut State, id: &str, batch: &Bytes) -> Result<i64, ResponseError> {
    let written = state.produce(Some(id), TOPIC, 0, batch);
    state.store.seal().unwrap();
    written
}

fn begin(state: &mut State, id: &str, producer: Producer) -> Result<(), ResponseError> {
    state.add_partitions(id, producer, &[(TOPIC, &[0])])
}

fn init(state: &mut State, id: &str) -> Producer {
    state.init_producer(Some(id), TIMEOUT_MS, None).unwrap()
}

/// What a committed reader sees: key and value by offset.
fn committed(state: &State) -> Vec<(i64, String)> {
    let log = state.partition(TOPIC, 0).unwrap();
    let range = log.log_start()..log.last_stable();
    let mut seen = Vec::new();
    for batch in log.batches_in(&range) {
        let bytes = state.store.read(&batch.location).unwrap();
        let header = Header::parse(&bytes).unwrap();
        let span = header.base_offset..header.last_offset() + 1;
        let is_aborted = log.aborted_in(&span).any(|it| it.producer_id == header.producer_id);
        if header.is_control() || is_aborted {
            continue;
        }
        let read = |record: crate::records::Record<'_>| {
            seen.push((record.offset, String::from_utf8_lossy(record.key.unwrap()).into_owned()));
        };
        Records::open(&header, &bytes).unwrap().each(read).unwrap();
    }
    seen
}

#[test]
fn a_newer_producer_aborts_and_shuts_out_the_older() {
    let mut state = in_memory();
    let old = init(&mut state, "id");
    begin(&mut state, "id", old).unwrap();
    write(&mut state, "id", &record(old, 0, "old", Some("v"))).unwrap();
    let new = init(&mut state, "id");
    assert!(new.id == old.id && new.epoch > old.epoch);
    let late = write(&mut state, "id", &record(old, 1, "late", Some("v")));
    assert_eq!(late, Err(ResponseError::InvalidProducerEpoch));
    let ended = state.end_transaction("id", old, Outcome::Commit);
    assert_eq!(ended, Err(ResponseError::ProducerFenced));
    assert_eq!(begin(&mut state, "id", old), Err(ResponseError::ProducerFenced));
    assert_eq!(committed(&state), []);
    assert_eq!(state.partition(TOPIC, 0).unwrap().last_stable(), 2);
}

#[test]
fn only_added_partitions_of_an_open_transaction_are_written() {
    let mut state = in_memory();
    let producer = init(&mut state, "id");
    let batch = record(producer, 0, "k", Some("v"));
    assert_eq!(write(&mut state, "id", &batch), Err(ResponseError::InvalidTxnState));
    begin(&mut state, "id", producer).unwrap();
    assert_eq!(write(&mut state, "id", &batch), Ok(0));
    state.end_transaction("id", producer, Outcome::Commit).unwrap();
    let late = record(producer, 1, "k", Some("v"));
    assert_eq!(write(&mut state, "id", &late), Err(ResponseError::InvalidTxnState));
    assert_eq!(state.produce(None, TOPIC, 0, &late), Err(ResponseError::InvalidTxnState));
}

#[test]
fn a_repeated_end_is_granted_and_the_contrary_is_not() {
    let mut state = in_memory();
    let producer = init(&mut state, "id");
    let nothing = state.end_transaction("id", producer, Outcome::Commit);
    assert_eq!(nothing, Err(ResponseError::InvalidTxnState));
    begin(&mut state, "id", producer).unwrap();
    let end = state.partition(TOPIC, 0).unwrap().end();
    for _ in 0..2 {
        state.end_transaction("id", producer, Outcome::Commit).unwrap();
        assert_eq!(state.partition(TOPIC, 0).unwrap().end(), end + 1, "one marker");
    }
    let contrary = state.end_transaction("id", producer, Outcome::Abort);
    assert_eq!(contrary, Err(ResponseError::InvalidTxnState));
}

#[test]
fn a_producer_that_recovers_gets_its_next_epoch_once() {
    let mut state = in_memory();
    let first = init(&mut state, "id");
    let second = state.init_producer(Some("id"), TIMEOUT_MS, Some(first)).unwrap();
    assert_eq!(second.epoch, first.epoch + 1);
    // Its answer was lost, so it asks again with what it had.
    assert_eq!(state.init_producer(Some("id"), TIMEOUT_MS, Some(first)), Ok(second));
    let third = init(&mut state, "id");
    let late = state.init_producer(Some("id"), TIMEOUT_MS, Some(second));
    assert_eq!(late, Err(ResponseError::ProducerFenced));
    assert!(third.epoch > second.epoch);
}

#[test]
fn epochs_that_run_out_go_on_under_a_new_producer_id() {
    let mut state = in_memory();
    let first = init(&mut state, "id");
    let mut last = first;
    for _ in 0..i32::from(i16::MAX) + 10 {
        last = init(&mut state, "id");
        assert!((0..i16::MAX).contains(&last.epoch));
    }
    assert_ne!(last.id, first.id);
}

#[test]
fn an_overdue_transaction_is_aborted_and_its_producer_fenced() {
    let mut state = in_memory();
    let producer = init(&mut state, "id");
    begin(&mut state, "id", producer).unwrap();
    write(&mut state, "id", &record(producer, 0, "k", Some("v"))).unwrap();
    state.now_ms += i64::from(TIMEOUT_MS);
    state.tick().unwrap();
    assert_eq!(state.transactions["id"].phase, Phase::Ongoing);
    state.now_ms += 1;
    state.tick().unwrap();
    assert_eq!(state.transactions["id"].phase, Phase::Aborted);
    let ended = state.end_transaction("id", producer, Outcome::Commit);
    assert_eq!(ended, Err(ResponseError::ProducerFenced));
    assert_eq!(committed(&state), []);
}

#[test]
fn offsets_wait_for_the_commit_and_go_with_the_abort() {
    let mut state = in_memory();
    let producer = init(&mut state, "id");
    for (outcome, offset, wanted) in
        [(Outcome::Abort, 5, None), (Outcome::Commit, 6, Some(6)), (Outcome::Abort, 7, Some(6))]
    {
        let stage = |state: &mut State| {
            let offsets = vec![CommittedOffset {
                topic: TOPIC.to_owned(),
                partition: 0,
                offset,
                leader_epoch: -1,
                metadata: String::new(),
            }];
            state.stage_offsets("id", producer, "group", offsets)
        };
        assert_eq!(stage(&mut state), Err(ResponseError::InvalidTxnState), "group not added");
        state.add_group("id", producer, "group").unwrap();
        stage(&mut state).unwrap();
        assert!(state.transactions["id"].has_pending("group", TOPIC, 0));
        state.end_transaction("id", producer, outcome).unwrap();
        assert!(!state.transactions["id"].has_pending("group", TOPIC, 0));
        let group = state.groups.get("group");
        let found = group.and_then(|it| it.offsets.get(&(TOPIC.to_owned(), 0)));
        assert_eq!(found.map(|it| it.offset), wanted);
    }
}

#[test]
fn a_compacted_topic_refuses_a_record_without_a_key() {
    let mut state = open(&Journal::Memory, START_MS);
    make(&mut state, &[("cleanup.policy", "compact")]);
    let keyless = build(plain(), &[(Some("k"), Some("v")), (None, Some("v"))]);
    assert_eq!(state.produce(None, TOPIC, 0, &keyless), Err(ResponseError::InvalidRecord));
}

const COMPACTED: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("max.compaction.lag.ms", "0"),
    ("delete.retention.ms", "5000"),
];

/// Lets the cleaner look.
fn clean(state: &mut State) {
    state.now_ms += CLEAN_INTERVAL_MS;
    state.tick().unwrap();
}

#[test]
fn compaction_keeps_the_newest_drops_the_aborted_and_stops_at_the_stable_offset() {
    let mut state = open(&Journal::Memory, START_MS);
    make(&mut state, COMPACTED);
    let (a, b) = (init(&mut state, "a"), init(&mut state, "b"));
    let rounds = [
        ("x", Outcome::Commit),
        ("y", Outcome::Commit),
        ("x", Outcome::Abort),
        ("x", Outcome::Commit),
        ("z", Outcome::Commit),
    ];
    for (sequence, (key, outcome)) in (0..).zip(rounds) {
        begin(&mut state, "a", a).unwrap();
        write(&mut state, "a", &record(a, sequence, key, Some("v"))).unwrap();
        state.end_transaction("a", a, outcome).unwrap();
    }
    begin(&mut state, "b", b).unwrap();
    write(&mut state, "b", &record(b, 0, "x", Some("open"))).unwrap();
    let before = committed(&state);
    assert_eq!(before.len(), 4, "{before:?}");
    clean(&mut state);
    let wanted = [(2, "y"), (6, "x"), (8, "z")].map(|(offset, key)| (offset, key.to_owned()));
    assert_eq!(committed(&state), wanted);
    let log = state.partition(TOPIC, 0).unwrap();
    assert_eq!((log.last_stable(), log.end()), (10, 11));
    // What is under way stays, and so does the batch that a reader of the end meets.
    assert!(
        log.batches_from(0).any(|it| it.base == 9) && log.batches_from(0).any(|it| it.base == 10)
    );
}

#[test]
fn a_tombstone_outlives_its_key_by_its_retention_only() {
    let mut state = open(&Journal::Memory, START_MS);
    make(&mut state, COMPACTED);
    let producer = init(&mut state, "id");
    begin(&mut state, "id", producer).unwrap();
    let records = [("gone", Some("v")), ("gone", None), ("kept", Some("v"))];
    for (sequence, (key, value)) in (0..).zip(records) {
        write(&mut state, "id", &record(producer, sequence, key, value)).unwrap();
    }
    state.end_transaction("id", producer, Outcome::Commit).unwrap();
    clean(&mut state);
    assert_eq!(committed(&state), [(1, "gone".to_owned()), (2, "kept".to_owned())]);
    state.now_ms += 10_000;
    begin(&mut state, "id", producer).unwrap();
    state.end_transaction("id", producer, Outcome::Commit).unwrap();
    clean(&mut state);
    assert_eq!(committed(&state), [(2, "kept".to_owned())]);
}

/// What of a state must survive a restart: what entries say, and of each log the facts and the
/// batches.
#[derive(Debug, PartialEq)]
struct Essence {
    entries: Vec<String>,
    logs: Vec<(String, Facts, Vec<Bytes>)>,
}

fn essence(state: &State) -> Essence {
    let mut entries: Vec<String> = state.entries().map(|it| format!("{it:?}")).collect();
    entries.sort();
    let logs = state.topics.iter().flat_map(|(name, topic)| {
        topic.partitions.iter().map(move |log| {
            let bytes = log.batches_from(0).map(|it| state.store.read(&it.location).unwrap());
            (name.clone(), log.facts().clone(), bytes.collect())
        })
    });
    Essence { entries, logs: logs.collect() }
}

fn journal(folder: &TempDir) -> Journal {
    Journal::File(folder.path().join("journal"))
}

/// One thing a client does.
#[derive(Debug, Clone)]
enum Step {
    Write { writer: usize, key: u8 },
    End { writer: usize, keeps: bool },
    TakeOver { writer: usize },
    Clean,
    Restart,
    Rewrite,
}

fn step() -> impl Strategy<Value = Step> {
    let writer = 0..2usize;
    let end = (writer.clone(), any::<bool>());
    prop_oneof![
        8 => (writer.clone(), 0..4u8).prop_map(|(writer, key)| Step::Write { writer, key }),
        4 => end.prop_map(|(writer, keeps)| Step::End { writer, keeps }),
        1 => writer.prop_map(|writer| Step::TakeOver { writer }),
        1 => Just(Step::Clean),
        1 => Just(Step::Restart),
        1 => Just(Step::Rewrite),
    ]
}

struct World {
    folder: TempDir,
    state: State,
    producers: Vec<Producer>,
    sequences: Vec<i32>,
    /// The newest committed offset of each key, and what is open.
    newest: BTreeMap<String, i64>,
    open: Vec<Vec<(String, i64)>>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut state = open(&journal(&folder), START_MS);
        make(&mut state, COMPACTED);
        let producers = vec![init(&mut state, "0"), init(&mut state, "1")];
        state.store.seal().unwrap();
        let open = vec![Vec::new(); 2];
        World { folder, state, producers, sequences: vec![0; 2], newest: BTreeMap::new(), open }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Write { writer, key } => self.write(writer, &key.to_string()),
            Step::End { writer, keeps } => self.end(writer, keeps),
            Step::TakeOver { writer } => {
                self.producers[writer] = init(&mut self.state, &writer.to_string());
                self.sequences[writer] = 0;
                self.open[writer].clear();
            }
            Step::Clean => clean(&mut self.state),
            Step::Rewrite => {
                self.state.store.seal().unwrap();
                rewrite::now(&mut self.state);
            }
            Step::Restart => self.restart(),
        }
        self.state.store.seal().unwrap();
    }

    fn write(&mut self, writer: usize, key: &str) {
        let (id, producer) = (writer.to_string(), self.producers[writer]);
        begin(&mut self.state, &id, producer).unwrap();
        let batch = record(producer, self.sequences[writer], key, Some("value"));
        let offset = write(&mut self.state, &id, &batch).unwrap();
        // The broker's answer was lost: the repeated batch finds its place again.
        assert_eq!(write(&mut self.state, &id, &batch), Ok(offset));
        self.sequences[writer] += 1;
        self.open[writer].push((key.to_owned(), offset));
    }

    fn end(&mut self, writer: usize, keeps: bool) {
        let outcome = if keeps { Outcome::Commit } else { Outcome::Abort };
        let (id, producer) = (writer.to_string(), self.producers[writer]);
        let held = std::mem::take(&mut self.open[writer]);
        let ended = self.state.end_transaction(&id, producer, outcome);
        if held.is_empty() {
            // Repeats of the same wish are granted; nothing changes either way.
            return;
        }
        ended.unwrap();
        for (key, offset) in held.into_iter().filter(|_| keeps) {
            let newest = self.newest.entry(key).or_insert(offset);
            *newest = offset.max(*newest);
        }
    }

    fn restart(&mut self) {
        let before = essence(&self.state);
        let now_ms = self.state.now_ms;
        self.state = open(&Journal::Memory, now_ms);
        self.state = open(&journal(&self.folder), now_ms);
        assert_eq!(essence(&self.state), before);
    }

    /// A committed reader that keeps the newest of each key sees what was committed.
    fn check(&self) {
        let open = self.open.iter().flatten().map(|(_, offset)| *offset).min();
        let stable = self.state.partition(TOPIC, 0).unwrap().last_stable();
        assert!(open.is_none_or(|open| stable <= open), "{stable} is beyond {open:?}");
        if open.is_some() {
            return;
        }
        let mut seen = BTreeMap::new();
        for (offset, key) in committed(&self.state) {
            seen.insert(key, offset);
        }
        assert_eq!(seen, self.newest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Goal: whatever happens in whatever order, a restart changes nothing, and compaction and
    /// rewriting change nothing that a committed reader relies on.
    #[test]
    fn any_history_survives_compaction_rewriting_and_restart(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            world.check();
        }
        world.restart();
        world.check();
    }
}

#[test]
fn a_killed_broker_forgets_only_the_frame_it_was_writing() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = open(&journal(&folder), START_MS);
    make(&mut state, &[]);
    let producer = init(&mut state, "id");
    begin(&mut state, "id", producer).unwrap();
    write(&mut state, "id", &record(producer, 0, "k", Some("v"))).unwrap();
    let before = essence(&state);
    state.end_transaction("id", producer, Outcome::Commit).unwrap();
    state.store.seal().unwrap();
    drop(state);
    let path = folder.path().join("journal");
    cut_last_byte(&path);
    // Marker and phase were one frame, so they are gone together.
    let mut state = open(&journal(&folder), START_MS);
    assert_eq!(essence(&state), before);
    assert_eq!(committed(&state), []);
    state.end_transaction("id", producer, Outcome::Commit).unwrap();
    state.store.seal().unwrap();
    assert_eq!(committed(&state), [(0, "k".to_owned())]);
}

fn cut_last_byte(path: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
}

#[test]
fn a_journal_of_dead_bytes_is_rewritten_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node { host: "127.0.0.1".to_owned(), port: 1 };
    let mut state = State::open(node, &journal(&folder), true, START_MS).unwrap();
    make(&mut state, &[("max.message.bytes", "9000000")]);
    let value = "v".repeat(8 << 20);
    for _ in 0..4 {
        state.produce(None, TOPIC, 0, &build(plain(), &[(Some("k"), Some(&value))])).unwrap();
        state.store.seal().unwrap();
    }
    let size = || std::fs::metadata(folder.path().join("journal")).unwrap().len();
    let full = size();
    clean(&mut state);
    assert_eq!(size(), full, "live data is not rewritten");
    state.change(Entry::LogStart { topic: TOPIC.to_owned(), partition: 0, offset: 3 });
    state.store.seal().unwrap();
    let before = essence(&state);
    clean(&mut state);
    assert!(size() < full / 3, "{} of {full} bytes are left", size());
    assert_eq!(essence(&state), before);
    state.produce(None, TOPIC, 0, &build(plain(), &[(Some("k"), Some("after"))])).unwrap();
    state.store.seal().unwrap();
    let before = essence(&state);
    drop(state);
    assert_eq!(essence(&open(&journal(&folder), START_MS)), before);
}

fn joining(member_id: &str, protocol: &'static str) -> Joining {
    let name = kafka_protocol::protocol::StrBytes::from_static_str;
    Joining {
        member_id: member_id.to_owned(),
        client_id: name("client"),
        instance: None,
        session_ms: 10_000,
        rebalance_ms: 5_000,
        protocol_type: name("consumer"),
        protocols: vec![(name(protocol), Bytes::new())],
        needs_id_first: true,
    }
}

/// Joins a member by the two steps of KIP-394.
fn join(
    group: &mut Group,
    id: &str,
    now_ms: i64,
) -> tokio::sync::oneshot::Receiver<kafka_protocol::messages::JoinGroupResponse> {
    let first = group.join(joining("", "range"), id.to_owned(), now_ms);
    let Err((ResponseError::MemberIdRequired, given)) = first else { panic!("{first:?}") };
    match group.join(joining(&given, "range"), String::new(), now_ms) {
        Ok(Reply::Later(waiter)) => waiter,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_goes_round_and_tells_its_members() {
    let mut group = Group::default();
    let first = join(&mut group, "a", 0).try_recv().unwrap();
    assert_eq!((first.generation_id, first.leader.as_str(), first.members.len()), (1, "a", 1));
    assert!(matches!(group.sync("a", 1, Vec::new(), 0), Ok(Reply::Later(_))));
    assert_eq!(group.heartbeat("a", 1, 0), Ok(()));

    let mut second = join(&mut group, "b", 0);
    assert_eq!(group.heartbeat("a", 1, 0), Err(ResponseError::RebalanceInProgress));
    assert!(second.try_recv().is_err(), "it waits for the other member");
    let again = group.join(joining("a", "range"), String::new(), 0);
    assert!(matches!(again, Ok(Reply::Later(_))));
    assert_eq!(second.try_recv().unwrap().generation_id, 2);
    assert_eq!(group.heartbeat("a", 1, 0), Err(ResponseError::IllegalGeneration));
    assert_eq!(group.check_commit("a", 1, 0), Err(ResponseError::IllegalGeneration));
    assert_eq!(group.check_commit("", -1, 0), Err(ResponseError::UnknownMemberId));

    assert_eq!(group.leave("b", None, 0), Ok(()));
    assert_eq!(group.leave("b", None, 0), Err(ResponseError::UnknownMemberId));
    assert_eq!(group.leave("a", None, 0), Ok(()));
    assert_eq!(group.phase_name(), "Empty");
    assert_eq!(group.check_commit("", -1, 0), Ok(()));
}

#[test]
fn a_member_without_a_common_protocol_is_refused() {
    let mut group = Group::default();
    let _waiting = join(&mut group, "a", 0);
    let refused = group.join(joining("", "sticky"), "b".to_owned(), 0);
    assert!(matches!(refused, Err((ResponseError::InconsistentGroupProtocol, _))));
}

#[test]
fn a_silent_member_goes_and_the_others_are_told() {
    let mut state = in_memory();
    let group = state.groups.entry("group".to_owned()).or_default();
    drop(join(group, "silent", START_MS));
    state.now_ms = START_MS + 4_999;
    state.tick().unwrap();
    assert_eq!(state.groups["group"].members.len(), 1);
    // It did not bring the assignment within the rebalance's time.
    state.now_ms = START_MS + 5_000;
    state.tick().unwrap();
    assert!(!state.groups.contains_key("group"), "an empty group is forgotten");
}
