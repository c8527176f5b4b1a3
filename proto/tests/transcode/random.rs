//! Random messages of rich types, with and without mistakes.

use headwater_proto::JsonTranscoder;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use prost_reflect::MessageDescriptor;

use crate::compare;
use crate::property::property;
use crate::support::{self, Maker};

pub(crate) const TYPES: [&str; 9] = [
    "rich.Everything",
    "rich.Scalars",
    "rich.Lists",
    "rich.Choice",
    "rich.Maps",
    "rich.WellKnown",
    "rich.Node",
    "rich2.Old",
    "google.protobuf.Struct",
];

thread_local! {
    static SUBJECTS: Vec<(MessageDescriptor, JsonTranscoder)> = {
        let pool = support::pool();
        let subject = |name: &&str| {
            let descriptor = pool.get_message_by_name(name).unwrap();
            let transcoder = JsonTranscoder::compile(&descriptor);
            (descriptor, transcoder)
        };
        TYPES.iter().map(subject).collect()
    };
}

/// Calls `use_it` with one of the types and its transcoder.
pub(crate) fn with_subject<T>(
    pick: usize,
    use_it: impl FnOnce(&MessageDescriptor, &JsonTranscoder) -> T,
) -> T {
    SUBJECTS.with(|subjects| use_it(&subjects[pick].0, &subjects[pick].1))
}

fn compare_random(pick: usize, entropy: &[u8], mistakes: bool) -> Result<Option<String>, String> {
    SUBJECTS.with(|subjects| {
        let (descriptor, transcoder) = &subjects[pick];
        let wire = Maker::new(entropy, mistakes).message(descriptor, 0);
        compare(transcoder, descriptor, &wire)
            .map_err(|text| format!("{}: {text}\n{wire:x?}", TYPES[pick]))
    })
}

fn entropy(most: usize) -> impl Strategy<Value = (usize, Vec<u8>)> {
    (0..TYPES.len(), prop::collection::vec(prop::num::u8::ANY, 0..most))
}

#[test]
fn random_messages_are_printed_as_prost_reflect_prints_them() {
    property!("transcode-random", 4.0, 2)
        .holds(&entropy(400), |(pick, entropy)| compare_random(pick, &entropy, false).map(drop));
}

#[test]
fn random_messages_with_mistakes_are_refused_together() {
    property!("transcode-mistakes", 4.0, 2)
        .holds(&entropy(400), |(pick, entropy)| compare_random(pick, &entropy, true).map(drop));
}

#[test]
fn random_bytes_are_judged_alike() {
    property!("transcode-bytes", 4.0, 2).holds(&entropy(40), |(pick, wire)| {
        SUBJECTS.with(|subjects| {
            let (descriptor, transcoder) = &subjects[pick];
            compare(transcoder, descriptor, &wire).map(drop)
        })
    });
}

#[test]
fn most_random_messages_decode_and_print() {
    // Guards the tests above: if the maker went astray they would compare errors only.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(prop::num::u8::ANY, 200..400);
    let printed = (0..900).filter(|round| {
        let entropy = strategy.new_tree(&mut runner).unwrap().current();
        let json = compare_random(round % TYPES.len(), &entropy, false).unwrap();
        json.is_some_and(|json| json.len() > 2)
    });
    let printed = printed.count();
    assert!(printed > 450, "only {printed} of 900 random messages were printed");
}
