//! Random messages of rich types, with and without mistakes.

use headwater_proto::JsonTranscoder;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use prost_reflect::MessageDescriptor;

use crate::compare;
use crate::support::{self, Maker};

const TYPES: [&str; 9] = [
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

fn compare_random(pick: usize, entropy: &[u8], mistakes: bool) -> Result<Option<String>, String> {
    SUBJECTS.with(|subjects| {
        let (descriptor, transcoder) = &subjects[pick];
        let wire = Maker::new(entropy, mistakes).message(descriptor, 0);
        compare(transcoder, descriptor, &wire)
            .map_err(|text| format!("{}: {text}\n{wire:x?}", TYPES[pick]))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(4000), ..ProptestConfig::default() })]

    #[test]
    fn random_messages_are_printed_as_prost_reflect_prints_them(
        pick in 0..TYPES.len(), entropy in prop::collection::vec(prop::num::u8::ANY, 0..400)
    ) {
        compare_random(pick, &entropy, false).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn random_messages_with_mistakes_are_refused_together(
        pick in 0..TYPES.len(), entropy in prop::collection::vec(prop::num::u8::ANY, 0..400)
    ) {
        compare_random(pick, &entropy, true).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn random_bytes_are_judged_alike(
        pick in 0..TYPES.len(), wire in prop::collection::vec(prop::num::u8::ANY, 0..40)
    ) {
        SUBJECTS.with(|subjects| {
            let (descriptor, transcoder) = &subjects[pick];
            compare(transcoder, descriptor, &wire)
        }).map_err(TestCaseError::fail)?;
    }
}

/// How many random cases: `PROPTEST_CASES` if set.
fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
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
