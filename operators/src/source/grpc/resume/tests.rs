//! Goal: each rule of the state machine by itself, as tables of values and verdicts.
//! The rules together, against a server that is cut at any point: `batcher/tests.rs`.

use super::super::cursor::{Observed, Value};
use super::{Closes, Fate, Mark, Missing, Resume, Rules, TooManyIds, Unfit};
use crate::limits::CURSOR_WITHIN_IDS_MAX;
use crate::source::grpc::config::{Boundary, PositionKind, SequenceKind, Verify};
use headwater_engine::position::Within;

const RULES: Rules = Rules {
    position: PositionKind::After,
    boundary: Boundary::Message,
    sequence: SequenceKind::None,
    is_ordered: true,
    ..Rules::PLAIN
};

fn number(value: u64) -> Observed {
    Observed { values: vec![Some(Value::Uint(value))], ..Observed::default() }
}

fn text(value: &'static str) -> Observed {
    Observed { values: vec![Some(Value::Opaque(value.as_bytes().into()))], ..Observed::default() }
}

fn place_at(value: u64, within: Within) -> Option<Mark> {
    Some(Mark { values: vec![Some(Value::Uint(value))], within, broken: 0 })
}

/// `k` kept, `d` duplicate, `g` kept behind a gap, `o` out of order, in the order of the messages.
fn verdicts(resume: &mut Resume, messages: impl IntoIterator<Item = Observed>) -> String {
    let one = |mut message: Observed| match resume.accept(&mut message).expect("few ids").fate {
        Fate::Keep => 'k',
        Fate::KeepAfter(_) => 'g',
        Fate::KeepUnverified => 'u',
        Fate::Duplicate => 'd',
        Fate::OutOfOrder => 'o',
    };
    messages.into_iter().map(one).collect()
}

fn numbers(values: &[u64]) -> Vec<Observed> {
    values.iter().copied().map(number).collect()
}

#[test]
fn what_a_resumed_call_repeats_is_dropped_by_position_and_sequence() {
    use PositionKind::{After, At, Next};
    use SequenceKind::{Contiguous, Monotone, None};
    // The place is value 5, of which two messages are taken.
    let cases: [(PositionKind, SequenceKind, &[u64], &str); 12] = [
        (After, None, &[3, 4, 5, 5, 6, 4, 6], "ddddkkk"),
        (After, Monotone, &[4, 5, 6, 6, 7], "ddkdk"),
        (After, Contiguous, &[4, 5, 6, 6, 7, 9], "ddkdkg"),
        (Next, None, &[6, 6, 7], "kkk"),
        (Next, Monotone, &[6, 5, 7], "kok"),
        (Next, Contiguous, &[8, 9], "gk"),
        (At, None, &[4, 5, 5, 5, 6, 5], "dddkkk"),
        (At, None, &[5, 6, 6, 5], "dkkk"),
        (At, Monotone, &[5, 5, 5, 6, 6, 5], "ddkkko"),
        (At, Contiguous, &[5, 5, 5, 6, 7], "dddkk"),
        (At, None, &[7], "k"),
        (After, None, &[], ""),
    ];
    for (position, sequence, values, expected) in cases {
        let rules = Rules { position, sequence, ..RULES };
        let mut resume = Resume::new(rules, place_at(5, Within::Count(2)));
        resume.open();
        let found = verdicts(&mut resume, numbers(values));
        assert_eq!(found, expected, "{position} {sequence} {values:?}");
    }
}

#[test]
fn a_live_stream_keeps_what_only_the_pipeline_file_could_call_a_repetition() {
    let cases = [
        (SequenceKind::None, "kkkk"),
        (SequenceKind::Monotone, "kdko"),
        (SequenceKind::Contiguous, "kdko"),
    ];
    for (sequence, expected) in cases {
        let mut resume = Resume::new(Rules { sequence, ..RULES }, None);
        resume.open();
        assert_eq!(verdicts(&mut resume, numbers(&[1, 1, 2, 1])), expected, "{sequence}");
    }
}

#[test]
fn a_gap_is_named_by_its_first_and_last_value() {
    let rules = Rules { sequence: SequenceKind::Contiguous, ..RULES };
    let mut resume = Resume::new(rules, place_at(5, Within::Count(1)));
    resume.open();
    let gap = Missing { from: 6, to: 8 };
    assert_eq!(resume.gap_before(&number(9)), Some(gap));
    assert_eq!(resume.gap_before(&number(6)), None);
    let verdict = resume.accept(&mut number(9)).expect("no ids");
    assert_eq!(verdict.fate, Fate::KeepAfter(gap));
}

/// Why `sequence: none` with ordered values is not called exact, and what `type: opaque` is for.
#[test]
fn a_lower_value_at_a_new_call_is_dropped_unless_values_have_no_order() {
    for (is_ordered, expected) in [(true, Fate::Duplicate), (false, Fate::Keep)] {
        let rules = Rules { sequence: SequenceKind::None, is_ordered, ..RULES };
        let mut resume = Resume::new(rules, place_at(5, Within::Count(1)));
        resume.open();
        let verdict = resume.accept(&mut number(3)).expect("no ids");
        assert_eq!(verdict.fate, expected);
    }
}

#[test]
fn the_last_number_has_no_gap_behind_it() {
    let rules = Rules { sequence: SequenceKind::Contiguous, ..RULES };
    let mut resume = Resume::new(rules, place_at(u64::MAX - 1, Within::Count(1)));
    resume.open();
    assert_eq!(verdicts(&mut resume, numbers(&[u64::MAX, u64::MAX, 0])), "kdo");
}

#[test]
fn an_opaque_overlap_is_the_leading_run_of_the_stored_value() {
    for (position, expected) in [(PositionKind::After, "ddkk"), (PositionKind::At, "dkkk")] {
        let rules = Rules { position, is_ordered: false, ..RULES };
        let stored = Mark { values: text("a").values, within: Within::Count(1), broken: 0 };
        let mut resume = Resume::new(rules, Some(stored));
        resume.open();
        let found = verdicts(&mut resume, [text("a"), text("a"), text("b"), text("a")]);
        assert_eq!(found, expected, "{position}");
        assert!(!resume.is_overlapping());
    }
}

/// `x` stands for a broken message, `-` for one that bears no cursor, digits for cursor values.
fn stream(messages: &str) -> Vec<Observed> {
    let one = |sign: char| match sign.to_digit(10) {
        Some(value) => number(value.into()),
        None => Observed { values: vec![None], is_broken: sign == 'x', ..Observed::default() },
    };
    messages.chars().map(one).collect()
}

#[test]
fn broken_messages_are_known_again_by_their_place_in_the_stream() {
    use PositionKind::{After, At, Next};
    // What was taken before the cut, what the next call sends, and the verdicts on that.
    let cases: [(PositionKind, Boundary, &str, &str, &str); 9] = [
        (After, Boundary::Message, "1xx", "xx2x", "ddkk"),
        (After, Boundary::Message, "1xx", "xxx2", "ddkk"),
        (After, Boundary::Message, "1xx", "1xx2", "dddk"),
        (After, Boundary::Message, "1x2", "x3", "kk"),
        (Next, Boundary::Message, "1x1x", "x2x", "dkk"),
        (Next, Boundary::Message, "1x", "-x2", "kdk"),
        (At, Boundary::Message, "1x1x", "1x1x2", "ddddk"),
        (At, Boundary::Message, "1x2x", "2xx3", "ddkk"),
        // The group of value 2 was held back with its broken message.
        (After, Boundary::Change, "1x2x", "x2x3", "dkkk"),
    ];
    for (position, boundary, before, after, expected) in cases {
        let mut resume = Resume::new(Rules { position, boundary, ..RULES }, None);
        resume.open();
        verdicts(&mut resume, stream(before));
        resume.open();
        let found = verdicts(&mut resume, stream(after));
        assert_eq!(found, expected, "{position} {before} {after}");
    }
}

#[test]
fn identifiers_tell_repetitions_apart_in_any_order() {
    let rules = Rules { position: PositionKind::At, has_ids: true, ..RULES };
    let mut resume = Resume::new(rules, place_at(5, Within::Ids(vec![1, 2])));
    resume.open();
    let with_id = |value, id| Observed { id, ..number(value) };
    let found = verdicts(&mut resume, [with_id(5, 2), with_id(5, 3), with_id(5, 1), with_id(6, 1)]);
    assert_eq!(found, "dkdk");
    assert_eq!(resume.place().expect("set").within, Within::Ids(vec![1]));
}

#[test]
fn identifiers_are_bounded() {
    let rules = Rules { position: PositionKind::At, has_ids: true, ..RULES };
    let ids: Vec<u128> = (0..CURSOR_WITHIN_IDS_MAX as u128).collect();
    let mut resume = Resume::new(rules, place_at(5, Within::Ids(ids)));
    resume.open();
    let mut one_more = Observed { id: u128::MAX, ..number(5) };
    assert_eq!(resume.accept(&mut one_more), Err(Unfit::TooManyIds(TooManyIds)));
    assert!(resume.accept(&mut number(6)).is_ok());
}

#[test]
fn a_second_call_in_an_overlap_repeats_no_more_than_the_first() {
    let rules = Rules { position: PositionKind::At, ..RULES };
    let mut resume = Resume::new(rules, place_at(5, Within::Count(2)));
    resume.open();
    assert_eq!(verdicts(&mut resume, numbers(&[5])), "d");
    resume.open();
    assert_eq!(verdicts(&mut resume, numbers(&[5, 5, 5])), "ddk");
    resume.open();
    assert_eq!(verdicts(&mut resume, numbers(&[5, 5, 5, 6])), "dddk");
}

#[test]
fn a_message_without_a_cursor_is_kept_and_moves_nothing() {
    let mut resume = Resume::new(RULES, place_at(5, Within::Count(1)));
    resume.open();
    let without = || Observed { values: vec![None], ..Observed::default() };
    assert_eq!(verdicts(&mut resume, [without(), number(5), without(), number(6)]), "kdkk");
    assert_eq!(resume.place(), place_at(6, Within::Count(1)).as_ref());
}

#[test]
fn a_group_is_complete_when_the_value_moves_and_only_then_the_place_does() {
    let rules = Rules { boundary: Boundary::Change, ..RULES };
    let mut resume = Resume::new(rules, None);
    resume.open();
    let closed = [1, 1, 2, 3, 3].map(|value| {
        let closes = resume.accept(&mut number(value)).expect("no ids").closes;
        (closes == Closes::Earlier, resume.place().and_then(|place| place.values[0].clone()))
    });
    let value = |value| Some(Value::Uint(value));
    let expected =
        [(false, None), (false, None), (true, value(1)), (true, value(2)), (false, value(2))];
    assert_eq!(closed, expected);
    resume.open();
    assert!(!resume.is_holding(), "a new call forgets the held group");
    assert_eq!(verdicts(&mut resume, numbers(&[2, 3, 3, 3])), "dkkk");
    resume.finish();
    assert_eq!(resume.place().expect("set").values[0], value(3));
}

/// Values of mixed groups; those that end one are marked by `true`.
fn mixed(resume: &mut Resume, messages: &[(u64, bool)]) -> Result<String, Unfit> {
    let mut told = String::new();
    for (value, is_boundary) in messages {
        let verdict =
            resume.accept(&mut Observed { is_boundary: *is_boundary, ..number(*value) })?;
        told.push(match verdict.fate {
            Fate::Keep => 'k',
            Fate::Duplicate => 'd',
            Fate::OutOfOrder => 'o',
            other => panic!("{other:?}"),
        });
    }
    Ok(told)
}

#[test]
fn what_comes_behind_the_end_of_its_group_is_late_unless_its_end_comes_again() {
    use crate::source::grpc::config::OnOutOfOrder::{DeadLetter, Drop, Stop};
    let of = |on_late| {
        let rules =
            Rules { position: PositionKind::At, boundary: Boundary::When, on_late, ..RULES };
        let mut resume = Resume::new(rules, None);
        resume.open();
        resume
    };
    let late = [(1, false), (1, true), (2, false), (1, false), (2, true), (3, true)];
    let mut resume = of(Stop);
    assert_eq!(mixed(&mut resume, &late), Err(Unfit::Late { value: 1 }));
    assert_eq!(resume.place().expect("set").values, [Some(Value::Uint(1))], "2 has not ended");
    assert_eq!(mixed(&mut of(Drop), &late).as_deref(), Ok("kkkdkk"));
    assert_eq!(mixed(&mut of(DeadLetter), &late).as_deref(), Ok("kkkokk"));
    // A server that comes from what it kept to what is new repeats whole groups, or their rest.
    let repeated = [(1, true), (2, false), (2, true), (3, false), (2, false), (2, true), (3, true)];
    assert_eq!(mixed(&mut of(Stop), &repeated).as_deref(), Ok("kkkkddk"));
    // A group that ended because a later one did.
    assert_eq!(mixed(&mut of(Stop), &[(1, true), (3, true), (2, false)]).as_deref(), Ok("kko"));
    // What the place covers is what a new call repeats, in any order.
    let mut resume = of(Stop);
    assert_eq!(mixed(&mut resume, &[(1, true), (2, false), (2, true)]).as_deref(), Ok("kkk"));
    resume.open();
    let again = [(1, false), (2, false), (3, false), (2, true), (1, true), (3, true)];
    assert_eq!(mixed(&mut resume, &again).as_deref(), Ok("ddkddk"));
}

#[test]
fn components_advance_each_on_its_own() {
    let rules = Rules { is_ordered: false, ..RULES };
    let mut resume = Resume::new(rules, None);
    resume.open();
    let pair = |add: Option<u64>, settle: Option<u64>| Observed {
        values: vec![add.map(Value::Uint), settle.map(Value::Uint)],
        ..Observed::default()
    };
    let messages = [pair(Some(1), None), pair(None, Some(7)), pair(Some(2), None)];
    assert_eq!(verdicts(&mut resume, messages), "kkk");
    let place = resume.place().expect("set").values.clone();
    assert_eq!(place, [Some(Value::Uint(2)), Some(Value::Uint(7))]);
    resume.open();
    assert_eq!(verdicts(&mut resume, [pair(None, Some(7)), pair(None, Some(8))]), "dk");
}

#[test]
fn the_first_message_of_a_new_call_is_held_against_the_place_where_that_is_asked() {
    use PositionKind::{After, At, Next};
    // The place is value 5; what the first message bears, and what is said of it.
    let strict: [(PositionKind, bool, u64, Option<Fate>); 8] = [
        (After, true, 6, Some(Fate::Keep)),
        (After, true, 5, None),
        (After, true, 4, None),
        (Next, true, 9, Some(Fate::Keep)),
        (At, true, 5, Some(Fate::Duplicate)),
        (At, true, 6, Some(Fate::KeepUnverified)),
        (At, true, 4, None),
        (At, false, 7, Some(Fate::KeepUnverified)),
    ];
    for (position, is_ordered, value, expected) in strict {
        let rules = Rules { position, is_ordered, verify: Verify::Strict, ..RULES };
        let mut resume = Resume::new(rules, place_at(5, Within::Count(1)));
        resume.open();
        assert_eq!(resume.is_misplaced(&number(value)), expected == Some(Fate::KeepUnverified));
        let found = resume.accept(&mut number(value));
        let expected = expected.ok_or(Unfit::Misplaced);
        assert_eq!(found.map(|verdict| verdict.fate), expected, "{position} {value}");
    }
    let rules = Rules { verify: Verify::Off, ..RULES };
    let mut resume = Resume::new(rules, place_at(5, Within::Count(1)));
    resume.open();
    assert_eq!(verdicts(&mut resume, numbers(&[4, 5, 6])), "kkk", "whatever comes is new");
}

#[test]
fn a_component_that_counts_by_its_highest_value_is_not_set_back() {
    let rules = Rules { max: 1, ..RULES };
    let mut resume = Resume::new(rules, None);
    resume.open();
    assert_eq!(verdicts(&mut resume, numbers(&[5, 3, 4])), "kkk");
    assert_eq!(resume.place(), place_at(5, Within::Count(1)).as_ref());
    // Of two, each by itself: an old invoice that is settled now.
    let rules = Rules { max: 0b11, is_ordered: false, ..RULES };
    let mut resume = Resume::new(rules, None);
    resume.open();
    let pair = |add: u64, settle: u64| Observed {
        values: vec![Some(Value::Uint(add)), Some(Value::Uint(settle))],
        ..Observed::default()
    };
    assert_eq!(verdicts(&mut resume, [pair(1, 0), pair(2, 0), pair(1, 1)]), "kkk");
    let place = resume.place().expect("set").values.clone();
    assert_eq!(place, [Some(Value::Uint(2)), Some(Value::Uint(1))]);
    resume.open();
    assert_eq!(verdicts(&mut resume, [pair(2, 0), pair(1, 1), pair(2, 2)]), "ddk");
}

#[test]
fn messages_without_a_value_are_counted_from_the_beginning_or_from_the_calls_token() {
    let rules = Rules { is_counted: true, is_ordered: false, ..RULES };
    let nothing = |count: usize| vec![Observed::default(); count];
    let mut replayed = Resume::new(rules, None);
    replayed.open();
    assert_eq!(verdicts(&mut replayed, nothing(3)), "kkk");
    let place = replayed.place().cloned();
    assert_eq!(place.as_ref().map(|place| place.within.clone()), Some(Within::Count(3)));
    let mut replayed = Resume::new(rules, place);
    for _ in 0..2 {
        replayed.open();
        assert_eq!(verdicts(&mut replayed, nothing(2)), "dd", "a short call takes nothing");
    }
    replayed.open();
    assert_eq!(verdicts(&mut replayed, nothing(5)), "dddkk");

    let token = |text: &'static str| vec![Some(Value::Text(text.into()))];
    let within = |resume: &Resume| resume.place().expect("set").within.clone();
    let mut paged = Resume::new(rules, None);
    paged.open();
    assert_eq!(verdicts(&mut paged, nothing(2)), "kk");
    assert!(paged.end_call(token("page 2")));
    assert_eq!(
        (paged.place().expect("set").values.clone(), within(&paged)),
        (token("page 2"), Within::Count(0))
    );
    paged.open();
    assert_eq!(verdicts(&mut paged, nothing(2)), "kk");
    // Cut in the middle of the second page: it comes again from its beginning.
    paged.open();
    assert_eq!(verdicts(&mut paged, nothing(3)), "ddk");
    assert!(!paged.end_call(vec![None]), "a call that says nothing moves nothing");
    assert_eq!(within(&paged), Within::Count(3));
    // A server that begins elsewhere than asked is not counted on.
    paged.open();
    paged.begin_call(token("page 9"));
    assert_eq!(verdicts(&mut paged, nothing(2)), "kk");
    assert_eq!(
        (paged.place().expect("set").values.clone(), within(&paged)),
        (token("page 9"), Within::Count(2))
    );
}

#[test]
fn a_heartbeat_is_not_believed_while_only_equality_could_tell_what_is_repeated() {
    let opaque = |position| Rules { position, is_ordered: false, ..RULES };
    for (position, expected) in [(PositionKind::At, "dkk"), (PositionKind::After, "kkk")] {
        let stored = Mark { values: text("a").values, within: Within::Count(1), broken: 0 };
        let mut resume = Resume::new(opaque(position), Some(stored));
        resume.open();
        resume.advance_to(&mut text("z"));
        let found = verdicts(&mut resume, [text("a"), text("b"), text("c")]);
        assert_eq!(found, expected, "{position}");
    }
}
