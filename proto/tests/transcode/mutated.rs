//! Goal: a sound message that was damaged is judged as prost-reflect judges it, within bounded
//! time and memory.
//! Method: random messages with bits flipped, runs cut, copied and put in; then messages that are
//! made to be dear: one piece repeated many times, which merges it with itself, and nested deep.

use headwater_proto::JsonTranscoder;
use proptest::prelude::*;

use crate::property::damage::{Damage, damaged, damages};
use crate::property::{Stopwatch, peak_bytes, property};
use crate::random::{TYPES, with_subject};
use crate::support::{self, Maker, field};
use crate::{bytes, compare, int};

/// The most JSON that one byte on the wire may become: the types here have no longer field name,
/// enum value or default.
const JSON_BYTES_MAX: usize = 64;

/// What a whole run of a test program may hold at most.
const PEAK_BYTES_MAX: u64 = 1 << 30;

type Message = (usize, Vec<u8>, Vec<Damage>);

fn message(most: usize) -> impl Strategy<Value = Message> {
    (0..TYPES.len(), prop::collection::vec(any::<u8>(), 0..most), damages(4))
}

fn made((pick, entropy, damages): &Message) -> Vec<u8> {
    with_subject(*pick, |descriptor, _| {
        damaged(&Maker::new(entropy, false).message(descriptor, 0), damages)
    })
}

#[test]
fn damaged_messages_are_judged_alike() {
    property!("transcode-damaged", 8.0, 2).holds(&message(300), |message| {
        let wire = made(&message);
        with_subject(message.0, |descriptor, transcoder| {
            let json = compare(transcoder, descriptor, &wire)
                .map_err(|text| format!("{}: {text}\n{wire:x?}", TYPES[message.0]))?;
            bounded(&wire, json.map_or(0, |json| json.len()))
        })
    });
}

/// What is repeated merges with itself at every level, and is checked and printed more than once.
#[test]
fn dear_messages_cost_bounded_time_and_memory() {
    let strategy = (message(200), 1..2000usize, 0..120usize);
    property!("transcode-dear", 0.1, 5).holds(&strategy, |(message, times, depth)| {
        let (wire, transcoder) = dear(&message, times, depth);
        let mut out = Vec::new();
        let judged = transcoder.transcode(&wire, &mut out);
        if judged.is_err() && !out.is_empty() {
            return Err("an error left bytes behind".to_owned());
        }
        bounded(&wire, out.len())
    });
    assert!(peak_bytes().is_none_or(|peak| peak < PEAK_BYTES_MAX), "{:?}", peak_bytes());
}

/// A message that is repeated, and put as deep into others of its kind as it goes.
fn dear(message: &Message, times: usize, depth: usize) -> (Vec<u8>, JsonTranscoder) {
    let inner = made(message);
    let mut wire = inner.repeat(times.min(1 + (1 << 18) / (inner.len() + 1)));
    let (outer, number) = match message.1.first().unwrap_or(&0) % 3 {
        0 => ("rich.Everything", 7),
        1 => ("rich.Node", 1),
        _ => ("rich.Node", 2),
    };
    for _ in 0..depth {
        wire = bytes(|out| field(number, &wire, out));
    }
    (wire, JsonTranscoder::compile(&support::message(outer)))
}

fn bounded(wire: &[u8], json: usize) -> Result<(), String> {
    let most = JSON_BYTES_MAX * (wire.len() + 1);
    if json > most {
        return Err(format!("{} bytes became {json}, which is above {most}", wire.len()));
    }
    Ok(())
}

/// Named patterns of a megabyte: each is the worst of its kind for one part of the transcoder.
#[test]
fn a_megabyte_of_any_pattern_costs_bounded_time_and_memory() {
    let large = 1 << 20;
    let entry = bytes(|out| field(5, &bytes(|out| field(1, b"k", out)), out));
    let choice = bytes(|out| {
        int(2, 1, out);
        field(4, b"", out);
    });
    let patterns: [(&str, Vec<u8>); 8] = [
        ("rich.Node", bytes(|out| field(2, b"", out))),
        ("rich.Node", bytes(|out| field(1, b"\x0a\x00\x0a\x00", out))),
        ("rich.Node", entry),
        ("rich.Choice", choice),
        ("rich.Lists", bytes(|out| field(2, &[1; 100], out))),
        ("rich.Maps", bytes(|out| field(10, b"\x12\x02\x10\x01\x12\x02\x10\x02", out))),
        ("rich2.Old", b"\x3b\x08\x01\x3c".to_vec()),
        ("google.protobuf.Struct", bytes(|out| field(1, b"\x0a\x01k\x12\x02\x1a\x00", out))),
    ];
    for (name, pattern) in patterns {
        let wire = pattern.repeat(large / pattern.len());
        let transcoder = JsonTranscoder::compile(&support::message(name));
        let start = Stopwatch::start();
        let mut out = Vec::new();
        transcoder.transcode(&wire, &mut out).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(start.elapsed().as_secs() < 10, "{name} took {:?}", start.elapsed());
        bounded(&wire, out.len()).unwrap();
    }
    assert!(peak_bytes().is_none_or(|peak| peak < PEAK_BYTES_MAX), "{:?}", peak_bytes());
}
