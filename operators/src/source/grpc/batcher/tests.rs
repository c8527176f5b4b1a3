//! Goal: every message is taken once and in order, wherever a call is cut and wherever the process
//! dies. Method: a model server holds a log and repeats from a cursor as its kind does; calls are
//! cut after any number of messages, batches are taken at any moment, and a crash throws away what
//! was not committed. What is committed in the end must be the log. proptest prints the case it
//! shrinks to.

use super::super::config::{
    Boundary, ComponentType, ExpiredConfig, Mode, OnGap, OnOutOfOrder, PositionKind, SequenceKind,
};
use super::super::control::Control;
use super::super::cursor::{Component, CursorPaths, Value};
use super::super::expired::{ExpiredPlan, Reentry};
use super::super::origin::Origin;
use super::super::request::{restore, store};
use super::super::resume::{Mark, Rules};
use super::super::source::ResumePlan;
use super::{Batcher, Refused, Taken};
use bytes::Bytes;
use headwater_engine::ids::{Sequence, Session, ShardIndex};
use headwater_engine::position::{Counters, CursorValue, Position};
use headwater_engine::record::{Batch, Gap, GapReason, ReceivedAt};
use headwater_proto::telemetry::Event;
use headwater_proto::{DescriptorInput, Descriptors, FieldPath, Predicate};
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// What one shard may hold back here.
const HELD_BYTES_MAX: u64 = 64 * 1024 * 1024;

static EVENT: LazyLock<headwater_proto::MessageDescriptor> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/protos/telemetry.proto");
    let input = DescriptorInput::Protos { files: vec![file], includes: Vec::new() };
    let descriptors = Descriptors::load(&input).expect("the demo's types compile");
    descriptors.pool().get_message_by_name("bench.v1.Event").expect("it is there")
});

fn ends(text: &str) -> Predicate {
    Predicate::compile(text, &EVENT).expect("the demo's fields")
}

fn path(text: &str) -> FieldPath {
    FieldPath::compile(&EVENT, text).expect("the demo's fields")
}

/// Where the cursor stands in the model's messages.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Number,
    Opaque,
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    kind: Kind,
    rules: Rules,
}

impl Setup {
    fn plan(self) -> ResumePlan {
        let (field, kind) = match self.kind {
            Kind::Number => ("sequence", ComponentType::Int),
            Kind::Opaque => ("site", ComponentType::Opaque),
        };
        let origins = vec![Origin::Field(path(field))];
        let component = Component { name: "seq".to_owned(), origins, kind, is_max: false };
        let boundary = (self.rules.boundary == Boundary::When).then(|| ends("alarm"));
        let id = self.rules.has_ids.then(|| path("device_id"));
        ResumePlan {
            mode: Mode::Cursor,
            cursor: CursorPaths { components: vec![component], id },
            rules: self.rules,
            on_gap: OnGap::Report,
            on_out_of_order: self.rules.on_late,
            caveat: None,
            expired: ExpiredPlan::new(&ExpiredConfig::default(), Reentry::Fail),
            control: boundary.map(|it| Control { boundary: Some(it), ..Control::default() }),
            dedupe: None,
            restart_words: String::new(),
        }
    }
}

fn event(value: u64, number: usize) -> Event {
    Event {
        sequence: value,
        site: format!("c{value}"),
        device_id: format!("id-{number}"),
        emitted_ns: number as i64,
        ..Event::default()
    }
}

/// What the server repeats from `place`; `back` values earlier where the client can tell them.
fn serve(log: &[Event], setup: Setup, place: Option<&Mark>, back: u64, turn: usize) -> Vec<Event> {
    let Some(place) = place else { return log.to_vec() };
    let last = match place.values[0].as_ref().expect("one component") {
        Value::Uint(value) => *value,
        Value::Text(text) => {
            let text = std::str::from_utf8(text).expect("a text");
            text[1..].parse().expect("c and a number")
        }
        other => panic!("unexpected {other:?}"),
    };
    let back = if setup.kind == Kind::Number { back } else { 0 };
    let first = match setup.rules.position {
        PositionKind::At => last,
        PositionKind::After | PositionKind::Next => last + 1,
    };
    let mut sent: Vec<Event> =
        log.iter().filter(|event| event.sequence >= first.saturating_sub(back)).cloned().collect();
    if setup.rules.has_ids {
        // Identifiers need no order among messages that share a value.
        let run = sent.iter().take_while(|event| event.sequence == sent[0].sequence).count();
        sent[..run].rotate_left(turn % run.max(1));
    }
    sent
}

/// What one call brings before it is cut, and what happens then.
#[derive(Clone, Debug)]
struct Cut {
    messages: usize,
    pass: usize,
    commits: bool,
    crashes: bool,
    back: u64,
}

fn cut() -> impl Strategy<Value = Cut> {
    (0..12usize, 1..4usize, any::<bool>(), any::<bool>(), 0..3u64).prop_map(
        |(messages, pass, commits, crashes, back)| Cut { messages, pass, commits, crashes, back },
    )
}

struct World<'a> {
    plan: &'a ResumePlan,
    batcher: Batcher<'a>,
    session: Session,
    staged: Vec<Batch>,
    committed: usize,
}

impl<'a> World<'a> {
    fn new(plan: &'a ResumePlan) -> Self {
        let batcher = Batcher::new(
            Arc::from("s"),
            ShardIndex(0),
            Some(plan),
            None,
            Counters::default(),
            HELD_BYTES_MAX,
        );
        World { plan, batcher, session: Session(0), staged: Vec::new(), committed: 0 }
    }

    fn call(&mut self, messages: &[Event], pass: usize) {
        for messages in messages.chunks(pass) {
            for message in messages {
                let message = Bytes::from(message.encode_to_vec());
                self.batcher.push(message, ReceivedAt::default).expect("nothing to refuse");
            }
            self.stage();
        }
    }

    fn stage(&mut self) {
        self.staged.extend(self.batcher.take());
    }

    fn open(&mut self) {
        self.session = self.session.next();
        self.batcher.open_session(self.session, true);
    }

    fn place(&self) -> Option<Mark> {
        self.batcher.resume().and_then(|resume| resume.place()).cloned()
    }

    /// Only what was committed is left, and what its position says.
    fn crash(&mut self) {
        self.staged.truncate(self.committed);
        let position = self.staged.last().and_then(|batch| batch.position.as_deref().cloned());
        let position: Position = position.unwrap_or_default();
        let stored = position.cursor.as_ref();
        let place = stored.map(|stored| restore(&self.plan.cursor, stored).expect("ours"));
        self.batcher = Batcher::new(
            Arc::from("s"),
            ShardIndex(0),
            Some(self.plan),
            place,
            position.counters,
            HELD_BYTES_MAX,
        );
        self.session = position.session;
    }

    fn values(&self) -> Vec<Event> {
        let decode = |value: &[u8]| Event::decode(value).expect("what was sent");
        self.staged.iter().flat_map(|batch| batch.values.iter().map(decode)).collect()
    }
}

/// Plays all cuts, then one call to the end; gives what the pipeline holds.
fn play(setup: Setup, log: &[Event], cuts: &[Cut]) -> Vec<Event> {
    let plan = setup.plan();
    let mut world = World::new(&plan);
    for (turn, cut) in cuts.iter().enumerate() {
        world.open();
        let sent = serve(log, setup, world.place().as_ref(), cut.back, turn);
        world.call(&sent[..cut.messages.min(sent.len())], cut.pass);
        if cut.commits {
            world.committed = world.staged.len();
        }
        if cut.crashes {
            world.crash();
        }
    }
    world.open();
    let sent = serve(log, setup, world.place().as_ref(), 0, 0);
    world.call(&sent, 5);
    world.batcher.finish();
    world.stage();
    check_batches(&world.staged);
    world.values()
}

/// Sequences ascend within a session, and a position is the end of its batch.
fn check_batches(batches: &[Batch]) {
    for batch in batches {
        let position = batch.position.as_ref().expect("each batch has one");
        assert_eq!((position.session, position.next_sequence), (batch.session, batch.end));
        let sequences: Vec<u64> = (0..batch.len()).map(|index| batch.sequence(index).0).collect();
        assert!(sequences.is_sorted_by(|left, right| left < right), "{sequences:?}");
        assert!(sequences[0] >= batch.first.0 && sequences[sequences.len() - 1] < batch.end.0);
    }
    for pair in batches.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        assert!(before.session < after.session || before.end <= after.first);
    }
}

fn log(sizes: &[usize]) -> Vec<Event> {
    let values = sizes.iter().zip(1u64..).flat_map(|(size, value)| vec![value; *size]);
    values.enumerate().map(|(number, value)| event(value, number)).collect()
}

/// Every third value, and the last one, ends a group with its last message.
fn mark_ends(log: &mut [Event]) {
    for index in 0..log.len() {
        let value = log[index].sequence;
        let next = log.get(index + 1).map(|event| event.sequence);
        log[index].alarm = next != Some(value) && (value.is_multiple_of(3) || next.is_none());
    }
}

/// Messages of later groups come before the end of an earlier one, where `turns` says so.
fn mix(log: &mut [Event], turns: &[bool]) {
    for (index, _) in turns.iter().enumerate().filter(|(_, turn)| **turn) {
        let Some([end, later]) = log.get_mut(index..).and_then(|rest| rest.first_chunk_mut())
        else {
            return;
        };
        if end.alarm && !later.alarm {
            std::mem::swap(end, later);
        }
    }
}

fn setup() -> impl Strategy<Value = Setup> {
    use PositionKind::{After, At, Next};
    let position = prop_oneof![Just(After), Just(At), Just(Next)];
    let boundary =
        prop_oneof![Just(Boundary::Message), Just(Boundary::Change), Just(Boundary::When)];
    let sequence = prop_oneof![
        Just(SequenceKind::None),
        Just(SequenceKind::Monotone),
        Just(SequenceKind::Contiguous)
    ];
    (position, boundary, sequence, any::<bool>(), any::<bool>()).prop_map(
        |(position, boundary, sequence, is_opaque, has_ids)| {
            let is_ordered = !is_opaque || position == Next;
            let kind = if is_ordered { Kind::Number } else { Kind::Opaque };
            let sequence = if is_ordered { sequence } else { SequenceKind::None };
            let has_ids = has_ids && position == At && boundary == Boundary::Message;
            let rules = Rules { position, boundary, sequence, is_ordered, has_ids, ..Rules::PLAIN };
            let on_late = if rules.is_mixed() { OnOutOfOrder::Stop } else { OnOutOfOrder::Drop };
            Setup { kind, rules: Rules { on_late, ..rules } }
        },
    )
}

/// Whether several messages may share a value without the declaration being false.
fn may_share(rules: Rules) -> bool {
    let is_repeated =
        rules.position == PositionKind::At && rules.sequence != SequenceKind::Contiguous;
    let is_group = match rules.boundary {
        Boundary::Message => false,
        Boundary::Change => true,
        Boundary::When => rules.sequence != SequenceKind::Contiguous,
    };
    is_group || is_repeated
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_taken_once_and_in_order(
        setup in setup(),
        sizes in prop::collection::vec(1..4usize, 1..12),
        cuts in prop::collection::vec(cut(), 0..8),
        turns in prop::collection::vec(any::<bool>(), 0..24),
    ) {
        let sizes: Vec<usize> =
            sizes.iter().map(|size| if may_share(setup.rules) { *size } else { 1 }).collect();
        let mut log = log(&sizes);
        if setup.rules.boundary == Boundary::When {
            mark_ends(&mut log);
        }
        if setup.rules.is_mixed() {
            mix(&mut log, &turns);
        }
        let mut taken = play(setup, &log, &cuts);
        if setup.rules.has_ids || setup.rules.is_mixed() {
            // The server itself gave no order to messages that share a value, or mixed groups up.
            taken.sort_by_key(|event| (event.sequence, event.emitted_ns));
            log.sort_by_key(|event| (event.sequence, event.emitted_ns));
        }
        prop_assert_eq!(taken, log);
    }
}

/// The proof that the property can fail: a client that forgets what it has taken at a value.
#[test]
fn a_cursor_without_its_count_would_repeat_messages() {
    let rules = Rules {
        position: PositionKind::At,
        boundary: Boundary::Message,
        sequence: SequenceKind::None,
        is_ordered: true,
        ..Rules::PLAIN
    };
    let setup = Setup { kind: Kind::Number, rules };
    let plan = setup.plan();
    let log = log(&[3]);
    let mut world = World::new(&plan);
    world.open();
    world.call(&log[..2], 1);
    let mut forgetful = world.place().expect("two messages are taken");
    forgetful.within = headwater_engine::position::Within::Count(0);
    world.batcher = Batcher::new(
        Arc::from("s"),
        ShardIndex(0),
        Some(&plan),
        Some(forgetful),
        Counters::default(),
        HELD_BYTES_MAX,
    );
    world.open();
    world.call(&log, 1);
    assert_eq!(world.values().len(), 5);
}

fn contiguous(on_gap: OnGap, boundary: Boundary) -> ResumePlan {
    let rules = Rules {
        position: PositionKind::After,
        boundary,
        sequence: SequenceKind::Contiguous,
        is_ordered: true,
        ..Rules::PLAIN
    };
    ResumePlan { on_gap, ..Setup { kind: Kind::Number, rules }.plan() }
}

fn push(batcher: &mut Batcher<'_>, value: u64) -> Result<Taken, Refused> {
    batcher.push(event(value, 0).encode_to_vec().into(), ReceivedAt::default)
}

#[test]
fn a_gap_goes_with_the_message_behind_it_and_the_position_carries_its_count() {
    let plan = contiguous(OnGap::Report, Boundary::Message);
    let mut batcher = Batcher::new(
        Arc::from("s"),
        ShardIndex(3),
        Some(&plan),
        None,
        Counters::default(),
        HELD_BYTES_MAX,
    );
    batcher.open_session(Session(1), true);
    for value in [1, 2, 6, 6, 7] {
        push(&mut batcher, value).expect("gaps are reported");
    }
    let batch = batcher.take().expect("four are new");
    let counters = batch.position.expect("set").counters;
    let expected =
        Counters { received: 5, dropped_duplicates: 1, gaps: 1, gap_messages: 3, heartbeats: 0 };
    assert_eq!(counters, expected);
    let reason = GapReason::Skipped;
    let (from, to) = (Some(3), Some(5));
    let gap = Gap {
        sequence: Sequence(2),
        node: Arc::from("s"),
        reason,
        from,
        to,
        told: None,
        after: BTreeMap::new(),
    };
    assert_eq!((batch.gaps, gap.size()), (vec![gap.clone()], Some(3)));
    assert_eq!(batch.kept, Some(Arc::from([0, 1, 2, 4])));
    assert_eq!((batch.first.0, batch.end.0, batch.shard), (0, 5, ShardIndex(3)));
}

#[test]
fn a_gap_before_a_held_group_is_told_with_the_group_and_found_again_after_a_cut() {
    let plan = contiguous(OnGap::Report, Boundary::Change);
    let mut batcher = Batcher::new(
        Arc::from("s"),
        ShardIndex(0),
        Some(&plan),
        None,
        Counters::default(),
        HELD_BYTES_MAX,
    );
    batcher.open_session(Session(1), true);
    for value in [1, 2, 6] {
        push(&mut batcher, value).expect("gaps are reported");
    }
    let batch = batcher.take().expect("1 and 2 are complete");
    assert_eq!((batch.len(), batch.gaps.len()), (2, 0), "6 is held, so nobody may know yet");
    assert_eq!(batch.position.expect("set").counters.gaps, 0);
    batcher.open_session(Session(2), true);
    for value in [6, 7] {
        push(&mut batcher, value).expect("gaps are reported");
    }
    let batch = batcher.take().expect("6 is complete");
    let gaps: Vec<_> = batch.gaps.iter().map(|gap| (gap.sequence.0, gap.from, gap.to)).collect();
    assert_eq!(gaps, [(0, Some(3), Some(5))]);
    assert_eq!(batch.position.expect("set").counters.gaps, 1, "once, not once per call");
}

#[test]
fn a_gap_of_unknown_size_waits_for_the_first_message_that_is_handed_over() {
    let mut batcher = Batcher::new(
        Arc::from("s"),
        ShardIndex(0),
        None,
        None,
        Counters::default(),
        HELD_BYTES_MAX,
    );
    batcher.open_session(Session(2), false);
    assert!(batcher.take().is_none());
    batcher.open_session(Session(3), false);
    for _ in 0..2 {
        push(&mut batcher, 1).expect("nothing to refuse");
    }
    let batch = batcher.take().expect("a batch");
    let told: Vec<_> = batch.gaps.iter().map(|gap| (gap.sequence.0, gap.reason)).collect();
    assert_eq!(told, [(0, GapReason::NewCall)]);
    assert_eq!((batch.gaps[0].size(), batch.position.expect("set").counters.gaps), (None, 1));
    push(&mut batcher, 1).expect("nothing to refuse");
    assert!(batcher.take().expect("a batch").gaps.is_empty(), "told once");
}

/// A shard that has taken the values 1 and 5.
fn at_five(plan: &ResumePlan) -> Batcher<'_> {
    let counters = Counters::default();
    let mut batcher =
        Batcher::new(Arc::from("s"), ShardIndex(0), Some(plan), None, counters, HELD_BYTES_MAX);
    batcher.open_session(Session(1), true);
    for value in [1, 5] {
        push(&mut batcher, value).expect("gaps are reported");
    }
    batcher
}

#[test]
fn a_message_out_of_order_is_dropped_or_set_aside_or_stops_the_shard() {
    let declared = || contiguous(OnGap::Report, Boundary::Message);
    let plan = declared();
    let mut drops = at_five(&plan);
    assert_eq!(push(&mut drops, 3), Ok(Taken::Duplicate));
    let plan = ResumePlan { on_out_of_order: OnOutOfOrder::Stop, ..declared() };
    let refused = push(&mut at_five(&plan), 3).expect_err("it stops");
    assert_eq!(refused, Refused::OutOfOrder { value: 3, newest: 5 });

    let plan = ResumePlan { on_out_of_order: OnOutOfOrder::DeadLetter, ..declared() };
    let mut keeps = at_five(&plan);
    assert_eq!(push(&mut keeps, 3), Ok(Taken::Aside));
    push(&mut keeps, 6).expect("new");
    let batch = keeps.take().expect("three are new");
    assert_eq!((batch.len(), batch.kept.as_deref()), (3, Some(&[0, 1, 3][..])));
    assert_eq!((batch.dead[0].sequence, &*batch.dead[0].node), (Sequence(2), "s"));
    assert!(batch.dead[0].reason.contains("3 came behind 5"), "{}", batch.dead[0].reason);
    // A batch of nothing else, and no message behind it that could be lost.
    push(&mut keeps, 2).expect("set aside");
    let batch = keeps.take().expect("a dead letter is worth a batch");
    assert_eq!((batch.len(), batch.dead.len(), batch.kept.as_deref()), (0, 1, Some(&[][..])));
    assert_eq!((batch.first, batch.end), (Sequence(4), Sequence(5)));
    let cursor = batch.position.as_ref().and_then(|position| position.cursor.clone());
    assert_eq!(cursor.expect("set").to_string(), "seq=6", "it moves nothing");
    // What a new call repeats is no matter of order.
    keeps.open_session(Session(2), true);
    assert_eq!(push(&mut keeps, 3), Ok(Taken::Duplicate));
}

#[test]
fn a_message_set_aside_within_a_held_group_leaves_with_it_or_is_forgotten_with_it() {
    let plan = ResumePlan {
        on_out_of_order: OnOutOfOrder::DeadLetter,
        ..contiguous(OnGap::Report, Boundary::Change)
    };
    let mut batcher = Batcher::new(
        Arc::from("s"),
        ShardIndex(0),
        Some(&plan),
        None,
        Counters::default(),
        HELD_BYTES_MAX,
    );
    batcher.open_session(Session(1), true);
    for value in [1, 2, 1] {
        push(&mut batcher, value).expect("set aside at most");
    }
    assert!(
        batcher.take().expect("1 is complete").dead.is_empty(),
        "2 is held, and it is behind 2"
    );
    batcher.open_session(Session(2), true);
    for value in [2, 1, 3] {
        push(&mut batcher, value).expect("set aside at most");
    }
    let batch = batcher.take().expect("2 is complete");
    assert_eq!((batch.len(), batch.dead.len()), (1, 1));
}

#[test]
fn a_lost_cursor_is_a_gap_with_its_range_and_stays_one_until_something_is_handed_over() {
    let plan = contiguous(OnGap::Report, Boundary::Change);
    let mut batcher = Batcher::new(
        Arc::from("s"),
        ShardIndex(0),
        Some(&plan),
        None,
        Counters::default(),
        HELD_BYTES_MAX,
    );
    batcher.open_session(Session(1), true);
    for value in [1, 2, 3] {
        push(&mut batcher, value).expect("new");
    }
    assert_eq!(batcher.take().expect("3 is held").len(), 2);
    batcher.lose_cursor();
    // A call that is cut in its first group hands nothing over, so nothing is known yet.
    batcher.open_session(Session(2), false);
    push(&mut batcher, 50).expect("new");
    assert!(batcher.take().is_none() && batcher.is_cursor_lost());
    batcher.open_session(Session(3), false);
    for value in [60, 61] {
        push(&mut batcher, value).expect("new");
    }
    let batch = batcher.take().expect("60 is complete");
    assert!(!batcher.is_cursor_lost());
    let after = BTreeMap::from([("seq".to_owned(), CursorValue::Uint(2))]);
    let (reason, node) = (GapReason::CursorLost, Arc::from("s"));
    let (from, to) = (Some(3), Some(59));
    let gap = Gap { sequence: Sequence(0), node, reason, from, to, told: None, after };
    assert_eq!(batch.gaps, [gap], "one gap, not one per call");
    let counters = batch.position.expect("set").counters;
    assert_eq!((counters.gaps, counters.gap_messages), (1, 57));
}

#[test]
fn a_server_that_numbers_anew_behind_a_lost_cursor_is_taken_at_its_word() {
    let plan = contiguous(OnGap::Report, Boundary::Message);
    let place = Mark { values: vec![Some(Value::Uint(500))], ..Mark::default() };
    let mut batcher = Batcher::new(
        Arc::from("s"),
        ShardIndex(0),
        Some(&plan),
        Some(place),
        Counters::default(),
        HELD_BYTES_MAX,
    );
    batcher.lose_cursor();
    batcher.open_session(Session(2), false);
    for value in [1, 2] {
        assert_eq!(push(&mut batcher, value), Ok(Taken::New), "no repetition of what was there");
    }
    let batch = batcher.take().expect("both are new");
    let gap = &batch.gaps[0];
    assert_eq!((gap.from, gap.to, gap.size()), (Some(501), None, None));
    let cursor = batch.position.as_ref().and_then(|position| position.cursor.clone());
    assert_eq!(cursor.expect("set").to_string(), "seq=2");
}

#[test]
fn a_gap_that_must_stop_is_refused_and_what_came_before_it_can_be_handed_over() {
    for boundary in [Boundary::Message, Boundary::Change] {
        let plan = contiguous(OnGap::Stop, boundary);
        let mut batcher = Batcher::new(
            Arc::from("s"),
            ShardIndex(0),
            Some(&plan),
            None,
            Counters::default(),
            HELD_BYTES_MAX,
        );
        batcher.open_session(Session(1), true);
        push(&mut batcher, 1).expect("the first");
        push(&mut batcher, 2).expect("the second");
        let refused = push(&mut batcher, 4).expect_err("3 is missing");
        assert!(refused.to_string().contains("3 to 3"), "{refused}");
        let batch = batcher.take().expect("two are handed over");
        assert_eq!(batch.len(), 2, "{boundary:?}");
        let cursor = batch.position.as_ref().and_then(|position| position.cursor.clone());
        assert_eq!(cursor.expect("set").to_string(), "seq=2");
    }
}

#[test]
fn a_group_that_cannot_be_held_is_refused() {
    let plan = contiguous(OnGap::Report, Boundary::Change);
    let mut batcher = Batcher::new(
        Arc::from("s"),
        ShardIndex(0),
        Some(&plan),
        None,
        Counters::default(),
        HELD_BYTES_MAX,
    );
    batcher.open_session(Session(1), true);
    let large = Event { sequence: 1, payload: vec![0; 16 * 1024 * 1024], ..Event::default() };
    let large = Bytes::from(large.encode_to_vec());
    let pushes = HELD_BYTES_MAX / large.len() as u64 + 1;
    let refused = (0..=pushes).find_map(|_| batcher.push(large.clone(), ReceivedAt::default).err());
    assert_eq!(refused, Some(Refused::GroupTooLarge(HELD_BYTES_MAX)));
    assert!(batcher.take().is_none(), "no part of the group is handed over");
}

#[test]
fn a_repetition_alone_makes_no_batch_and_costs_no_list() {
    let plan = contiguous(OnGap::Report, Boundary::Message);
    let place = Mark { values: vec![Some(Value::Uint(9))], ..Mark::default() };
    let mut batcher = Batcher::new(
        Arc::from("s"),
        ShardIndex(0),
        Some(&plan),
        Some(place),
        Counters::default(),
        HELD_BYTES_MAX,
    );
    batcher.open_session(Session(2), true);
    for value in 1..=9 {
        assert_eq!(push(&mut batcher, value), Ok(Taken::Duplicate));
    }
    assert!(batcher.take().is_none());
    push(&mut batcher, 10).expect("new");
    let batch = batcher.take().expect("one is new");
    assert_eq!((batch.first.0, batch.end.0, batch.kept), (9, 10, None));
}

#[test]
fn a_stored_cursor_of_another_type_is_refused_by_name() {
    let rules = contiguous(OnGap::Report, Boundary::Message).rules;
    let number = Setup { kind: Kind::Number, rules }.plan().cursor;
    let opaque = Setup { kind: Kind::Opaque, rules }.plan().cursor;
    let place = Mark { values: vec![Some(Value::Text("a".into()))], ..Mark::default() };
    let stored = store(&opaque, &place);
    assert_eq!(restore(&opaque, &stored).expect("its own"), place);
    let foreign = restore(&number, &stored).expect_err("a text is no number");
    assert!(foreign.to_string().contains("seq"));
}

fn when_ends(sequence: SequenceKind) -> ResumePlan {
    let boundary = Boundary::When;
    let rules = Rules { boundary, sequence, is_ordered: true, ..Rules::PLAIN };
    Setup { kind: Kind::Number, rules }.plan()
}

fn push_event(batcher: &mut Batcher<'_>, value: u64, alarm: bool) -> Result<Taken, Refused> {
    let event = Event { alarm, ..event(value, 0) };
    batcher.push(event.encode_to_vec().into(), ReceivedAt::default)
}

fn opened<'p>(plan: &'p ResumePlan) -> Batcher<'p> {
    let (node, counters) = (Arc::from("s"), Counters::default());
    let mut batcher = Batcher::new(node, ShardIndex(0), Some(plan), None, counters, HELD_BYTES_MAX);
    batcher.open_session(Session(1), true);
    batcher
}

fn sent(batch: &Batch) -> Vec<u64> {
    let decode = |value: &[u8]| Event::decode(value).expect("what was sent").sequence;
    batch.values.iter().map(decode).collect()
}

fn cursor_of(batch: &Batch) -> String {
    let position = batch.position.as_ref().expect("each batch has one");
    position.cursor.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn of_mixed_groups_the_lowest_that_ended_is_handed_over_and_the_rest_stays() {
    let plan = when_ends(SequenceKind::None);
    let mut batcher = opened(&plan);
    for (value, alarm) in [(1, false), (2, false), (1, true), (2, false)] {
        push_event(&mut batcher, value, alarm).expect("new");
    }
    let batch = batcher.take().expect("1 has ended");
    assert_eq!((sent(&batch), cursor_of(&batch).as_str()), (vec![1, 1], "seq=1"));
    assert_eq!((batch.first, batch.end, batch.kept), (Sequence(0), Sequence(2), None));
    assert!(batcher.take().is_none(), "2 has not ended");
    assert_eq!(push_event(&mut batcher, 1, false), Ok(Taken::Duplicate), "1 was complete");
    push_event(&mut batcher, 2, true).expect("new");
    let batch = batcher.take().expect("2 has ended");
    assert_eq!((sent(&batch), cursor_of(&batch).as_str()), (vec![2, 2, 2], "seq=2"));
    assert_eq!(batcher.held_bytes(), 0);
}

#[test]
fn a_group_that_is_cut_comes_again_whole() {
    let plan = when_ends(SequenceKind::Monotone);
    let mut batcher = opened(&plan);
    for (value, alarm) in [(1, true), (2, false), (3, false)] {
        push_event(&mut batcher, value, alarm).expect("new");
    }
    let batch = batcher.take().expect("1 has ended");
    assert_eq!((sent(&batch), cursor_of(&batch).as_str()), (vec![1], "seq=1"));
    batcher.open_session(Session(2), true);
    for (value, alarm) in [(2, false), (3, false), (3, true)] {
        push_event(&mut batcher, value, alarm).expect("new again");
    }
    let batch = batcher.take().expect("3 has ended");
    assert_eq!((sent(&batch), cursor_of(&batch).as_str()), (vec![2, 3, 3], "seq=3"));
}

#[test]
fn a_heartbeat_moves_the_place_is_not_handed_over_and_completes_what_is_held_before_it() {
    let heartbeat =
        super::super::control::Heartbeat { when: ends("alarm"), emit: false, advance: true };
    let control = Control { heartbeats: vec![heartbeat], ..Control::default() };
    let plan = ResumePlan { control: Some(control), ..contiguous(OnGap::Report, Boundary::Change) };
    let plan =
        ResumePlan { rules: Rules { sequence: SequenceKind::Monotone, ..plan.rules }, ..plan };
    let mut batcher = opened(&plan);
    push_event(&mut batcher, 1, false).expect("new");
    assert!(batcher.take().is_none() && !batcher.has_moved(), "1 may not be complete");
    assert_eq!(push_event(&mut batcher, 5, true), Ok(Taken::Heartbeat));
    let batch = batcher.take().expect("1 is complete");
    assert_eq!((sent(&batch), cursor_of(&batch).as_str()), (vec![1], "seq=5"));
    assert!(!batcher.has_moved(), "the batch has told it");
    push_event(&mut batcher, 9, true).expect("a heartbeat");
    assert!(batcher.take().is_none() && batcher.has_moved());
    let batch = batcher.take_place(ReceivedAt::default).expect("a place");
    assert_eq!((batch.len(), batch.kept.as_deref()), (0, Some(&[][..])));
    assert_eq!((cursor_of(&batch).as_str(), batch.end), ("seq=9", Sequence(3)));
    assert_eq!(batch.position.expect("set").counters.heartbeats, 2);
    assert!(batcher.take_place(ReceivedAt::default).is_none(), "told once");
    // One that lies before the place moves nothing back.
    push_event(&mut batcher, 7, true).expect("a heartbeat");
    assert!(!batcher.has_moved());
}

#[test]
fn what_is_known_by_its_key_is_dropped_also_after_a_restart_and_a_cut_group_is_not_known() {
    let dedupe = Some(super::super::control::DedupeRule {
        key: vec![path("device_id")],
        window: 9,
        is_shared: false,
    });
    let plan = ResumePlan { dedupe, ..when_ends(SequenceKind::Monotone) };
    let numbered = |batcher: &mut Batcher<'_>, value, number, alarm| {
        let event = Event { alarm, ..event(value, number) };
        batcher.push(event.encode_to_vec().into(), ReceivedAt::default).expect("fits")
    };
    let mut batcher = opened(&plan);
    numbered(&mut batcher, 1, 1, false);
    assert_eq!(numbered(&mut batcher, 2, 1, false), Taken::Duplicate, "held, and known");
    numbered(&mut batcher, 2, 2, true);
    let batch = batcher.take().expect("the group has ended");
    assert_eq!(sent(&batch), [1, 2]);
    numbered(&mut batcher, 3, 3, false);
    batcher.open_session(Session(2), true);
    numbered(&mut batcher, 3, 3, true);
    assert_eq!(sent(&batcher.take().expect("3 was forgotten with its group")), [3]);
    // Another process goes on from the first batch.
    let position = batch.position.expect("set");
    let mut later = opened(&plan);
    later.remember(position.seen.as_ref().expect("kept with the progress"));
    assert_eq!(numbered(&mut later, 7, 2, false), Taken::Duplicate);
    assert_eq!(numbered(&mut later, 7, 3, true), Taken::New);
    assert!(later.has_moved(), "a dropped message moves the place as well");
}

#[test]
fn news_of_a_loss_are_a_gap_and_stop_set_aside_or_pass_on_the_message() {
    use super::super::config::OnLoss;
    use super::super::control::LossRule;
    let declared = |action| {
        let messages = Some(path("emitted_ns"));
        let loss = Some(LossRule { when: ends("alarm"), messages, action });
        let control = Some(Control { loss, ..Control::default() });
        ResumePlan { control, ..contiguous(OnGap::Report, Boundary::Message) }
    };
    for action in [OnLoss::Count, OnLoss::DeadLetter] {
        let plan = declared(action);
        let mut batcher = opened(&plan);
        push(&mut batcher, 1).expect("new");
        let told = Event { alarm: true, ..event(2, 40) };
        batcher.push(told.encode_to_vec().into(), ReceivedAt::default).expect("told");
        let batch = batcher.take().expect("two");
        let gap = &batch.gaps[0];
        assert_eq!(
            (gap.reason, gap.size(), gap.sequence),
            (GapReason::Told, Some(40), Sequence(1))
        );
        assert_eq!(batch.position.as_ref().expect("set").counters.gap_messages, 40);
        let expected = if action == OnLoss::Count { (2, 0) } else { (1, 1) };
        assert_eq!((batch.len(), batch.dead.len()), expected);
        assert_eq!(cursor_of(&batch), "seq=2");
        // A new call repeats it: it was told.
        batcher.open_session(Session(2), true);
        assert_eq!(push_event(&mut batcher, 2, true), Ok(Taken::Duplicate));
        assert!(batcher.take().is_none());
    }
    let plan = declared(OnLoss::Fail);
    let mut batcher = opened(&plan);
    push(&mut batcher, 1).expect("new");
    assert_eq!(push_event(&mut batcher, 2, true), Err(Refused::Loss));
    let batch = batcher.take().expect("1 is delivered");
    assert_eq!((sent(&batch), cursor_of(&batch).as_str()), (vec![1], "seq=1"));
}
