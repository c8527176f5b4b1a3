//! What is acknowledged, and when.

use super::*;
use headwater_engine::ids::{Sequence, Session};

fn place(session: u32, sequence: u64) -> Place {
    (Session(session), Sequence(sequence))
}

fn ids(name: u8, count: u32) -> Ids {
    Ids { values: vec![name; count as usize], count }
}

/// A read up to `to` of call 1, all of which is handed over.
fn handed(to: u64) -> Reading {
    Reading { batch: Some(place(1, to)), read: place(1, to), is_holding: false }
}

/// A read up to `to` of call 1, of which nothing is handed over.
fn dropped(to: u64, is_holding: bool) -> Reading {
    Reading { batch: None, read: place(1, to), is_holding }
}

fn taken(acks: &mut Acks) -> Option<(u8, u32)> {
    acks.take(1000, 1000).map(|ids| (ids.values[0], ids.count))
}

#[test]
fn an_ack_waits_for_its_batch_and_not_for_the_next() {
    let mut acks = Acks::default();
    acks.note([ids(b'a', 2)], handed(2));
    acks.note([ids(b'b', 3)], handed(5));
    acks.durable(place(1, 1));
    assert_eq!(taken(&mut acks), None, "half of a batch is not durable");
    acks.durable(place(1, 2));
    assert_eq!((taken(&mut acks), taken(&mut acks)), (Some((b'a', 2)), None));
    assert_eq!(acks.count(), 3);
    acks.durable(place(1, 5));
    assert_eq!(taken(&mut acks), Some((b'b', 3)));
    assert_eq!(acks.count(), 0);
}

#[test]
fn a_dropped_repetition_waits_for_what_came_before_it() {
    let mut acks = Acks::default();
    acks.note([ids(b'r', 1)], dropped(1, false));
    assert_eq!(taken(&mut acks), Some((b'r', 1)), "nothing of this start can be what it repeats");
    acks.note([ids(b'a', 1)], handed(2));
    acks.note([ids(b's', 1)], dropped(3, false));
    assert_eq!(taken(&mut acks), None);
    acks.durable(place(1, 2));
    assert_eq!(acks.take(1000, 1000).expect("both").values, [b'a', b's']);
}

#[test]
fn what_was_held_back_and_forgotten_is_never_acknowledged() {
    let mut acks = Acks::default();
    acks.note([ids(b'a', 1)], handed(1));
    acks.note([ids(b'h', 1)], dropped(2, true));
    acks.forget_held();
    acks.durable(place(2, 7));
    assert_eq!((taken(&mut acks), taken(&mut acks)), (Some((b'a', 1)), None));
}

#[test]
fn a_request_bears_so_many_and_no_more() {
    let mut acks = Acks::default();
    acks.note([ids(b'a', 4), ids(b'b', 4), ids(b'c', 4)], handed(3));
    acks.durable(place(1, 3));
    assert_eq!(acks.take(9, 1000).map(|ids| ids.count), Some(8));
    assert_eq!(acks.take(3, 1000).map(|ids| ids.count), Some(4), "an entry is not divided");
    assert_eq!(acks.take(9, 1000), None);
}

#[test]
fn a_round_of_more_time_names_each_that_is_pending_once() {
    let mut acks = Acks::default();
    for (name, to) in [(b'a', 1), (b'b', 2), (b'c', 3)] {
        acks.note([ids(name, 1)], handed(to));
    }
    let named = |acks: &mut Acks| acks.take_extension(1, 1000).map(|ids| ids.values[0]);
    acks.extend();
    assert_eq!(named(&mut acks), Some(b'a'));
    acks.durable(place(1, 2));
    acks.note([ids(b'd', 1)], handed(4));
    acks.extend();
    assert_eq!(named(&mut acks), Some(b'c'), "b is durable");
    assert_eq!(named(&mut acks), None, "d came after the round had begun");
    acks.extend();
    assert_eq!(acks.take_extension(9, 1000).expect("two").values, [b'c', b'd']);
    acks.durable(place(1, 4));
    acks.extend();
    assert!(!acks.is_extending(), "nothing is pending");
}

#[test]
fn only_the_newest_is_kept_where_it_stands_for_all() {
    let mut acks = Acks::default();
    acks.note([ids(b'a', 1)], handed(1));
    acks.note([ids(b'b', 1)], handed(2));
    acks.durable(place(1, 2));
    acks.keep_newest();
    assert_eq!((taken(&mut acks), taken(&mut acks)), (Some((b'b', 1)), None));
    assert_eq!(acks.count(), 0);
}
