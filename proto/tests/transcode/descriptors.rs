//! Goal: whatever types a descriptor set holds, it is loaded or refused, and messages of its
//! types are printed as prost-reflect prints them.
//! Method: random descriptor sets (every kind, label, field number, oneof, map, group, extension,
//! and types that bear the name of a well-known one), random messages of them; then damaged sets.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::Engine as _;
use headwater_proto::{DescriptorInput, Descriptors, JsonTranscoder};
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::MessageDescriptor;
use prost_types::FileDescriptorSet;

use crate::compare;
use crate::property::damage::{damaged, damages};
use crate::property::property;
use crate::support::Maker;
use crate::support::types::Types;

fn load(set: &[u8]) -> Result<Descriptors, String> {
    let text = base64::engine::general_purpose::STANDARD.encode(set);
    Descriptors::load(&DescriptorInput::Base64(text)).map_err(|error| error.to_string())
}

/// Compares a message of every type of a set; how many could be printed.
fn compare_all(descriptors: &Descriptors, entropy: &[u8]) -> Result<usize, String> {
    let mut printed = 0;
    let types = descriptors.pool().all_messages().filter(|it| !it.is_map_entry());
    for descriptor in types.filter(|it| it.parent_file().name() == "random.proto") {
        printed += usize::from(compare_one(&descriptor, entropy)?);
    }
    Ok(printed)
}

fn compare_one(descriptor: &MessageDescriptor, entropy: &[u8]) -> Result<bool, String> {
    let transcoder = JsonTranscoder::compile(descriptor);
    let wire = Maker::new(entropy, entropy.len().is_multiple_of(3)).message(descriptor, 0);
    let json = compare(&transcoder, descriptor, &wire)
        .map_err(|text| format!("{}: {text}\n{wire:x?}", descriptor.full_name()))?;
    Ok(json.is_some())
}

#[test]
fn random_types_are_printed_as_prost_reflect_prints_them() {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let (sets, loaded, printed) = (Cell::new(0), Cell::new(0), Cell::new(0));
    property!("transcode-types", 4.0, 5).holds(&(bytes(600), bytes(300)), |(shape, entropy)| {
        sets.set(sets.get() + 1);
        let file = Types::new(&shape).file();
        let Ok(descriptors) = load(&set_of(file.clone()).encode_to_vec()) else {
            return Ok(());
        };
        loaded.set(loaded.get() + 1);
        let printing = compare_all(&descriptors, &entropy);
        printed.set(printed.get() + printing.map_err(|text| format!("{text}\n{file:#?}"))?);
        Ok(())
    });
    // Guards the test: sets that are all refused compare nothing.
    assert!(loaded.get() * 2 > sets.get(), "{} of {} loaded", loaded.get(), sets.get());
    assert!(printed.get() > sets.get(), "{} printed of {}", printed.get(), sets.get());
}

/// Compares what is left of a message of every type after damage, and bytes that never were one.
#[test]
fn damaged_messages_of_random_types_are_judged_alike() {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let strategy = (bytes(600), bytes(300), damages(4));
    property!("transcode-types-damaged", 4.0, 5).holds(&strategy, |(shape, entropy, damages)| {
        let file = Types::new(&shape).file();
        let Ok(descriptors) = load(&set_of(file.clone()).encode_to_vec()) else {
            return Ok(());
        };
        let types = descriptors.pool().all_messages().filter(|it| !it.is_map_entry());
        for descriptor in types.filter(|it| it.parent_file().name() == "random.proto") {
            let transcoder = JsonTranscoder::compile(&descriptor);
            let made = Maker::new(&entropy, false).message(&descriptor, 0);
            for wire in [&damaged(&made, &damages), &entropy] {
                compare(&transcoder, &descriptor, wire).map_err(|text| {
                    format!("{}: {text}\n{wire:x?}\n{file:#?}", descriptor.full_name())
                })?;
            }
        }
        Ok(())
    });
}

#[test]
fn damaged_descriptor_sets_are_refused_or_work() {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let strategy = (bytes(600), bytes(200), damages(5));
    property!("descriptors-damaged", 4.0, 5).holds(&strategy, |(shape, entropy, damages)| {
        let set = set_of(Types::new(&shape).file()).encode_to_vec();
        let Ok(descriptors) = load(&damaged(&set, &damages)) else { return Ok(()) };
        // Only that it ends without a panic: what prost-reflect makes of such types is its own.
        let used = catch_unwind(AssertUnwindSafe(|| {
            for descriptor in descriptors.pool().all_messages() {
                let wire = Maker::new(&entropy, true).message(&descriptor, 0);
                let mut out = Vec::new();
                JsonTranscoder::compile(&descriptor).transcode(&wire, &mut out).ok();
            }
        }));
        used.map_err(|_| format!("a type that was loaded cannot be used: {damages:?}"))
    });
}

#[test]
fn random_bytes_are_no_descriptor_set_or_one_that_works() {
    property!("descriptors-bytes", 4.0, 2).holds(
        &prop::collection::vec(any::<u8>(), 0..200),
        |bytes| {
            if let Err(told) = load(&bytes)
                && !told.contains("protoc")
            {
                return Err(format!("it is not told what to do: {told}"));
            }
            Ok(())
        },
    );
}

/// A source that nests deeper than any person writes must not exhaust the stack.
#[test]
fn deep_and_damaged_sources_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep.proto");
    let head = "syntax = \"proto3\"; package p;";
    let deep = |opening: &str| format!("{head} {}", opening.repeat(50_000));
    let sources = [
        deep("message M { "),
        deep("option (a) = { b: { "),
        deep("message M { oneof o { "),
        format!("{head} message M {{ int32 a = 1 [(x) = {}", deep("{ y: [ ")),
        format!("{head} option java_package = {};", "- ".repeat(50_000)),
        format!("{head} message {} {{}}", "a".repeat(1 << 20)),
        format!("{head}/* {}", "/*".repeat(50_000)),
        "\u{feff}syntax = \"proto3\";\0".to_owned(),
        String::new(),
    ];
    for source in sources {
        std::fs::write(&file, &source).unwrap();
        let input = DescriptorInput::Protos { files: vec![file.clone()], includes: Vec::new() };
        if let Err(error) = Descriptors::load(&input) {
            assert!(error.to_string().contains("deep.proto"), "{error}");
        }
    }
}

const SOURCE: &str = "syntax = \"proto3\";\npackage p;\n// A type.\nmessage M {\n  int32 a = 1;\n  \
    repeated M more = 2 [packed = false, json_name = \"x\"];\n  map<string, E> e = 3;\n  \
    oneof o { string s = 4; bytes b = 5; }\n  reserved 6, 8 to max;\n}\n\
    enum E { option allow_alias = true; Z = 0; A = 0; B = -0x7f; }\n\
    service S { rpc R(M) returns (stream M) { option deprecated = true; } }\n";

#[test]
fn damaged_sources_are_refused_in_words_or_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.proto");
    property!("proto-sources", 0.1, 5).holds(&damages(4), |damages| {
        std::fs::write(&file, damaged(SOURCE.as_bytes(), &damages)).map_err(|e| e.to_string())?;
        let input = DescriptorInput::Protos { files: vec![file.clone()], includes: Vec::new() };
        match Descriptors::load(&input) {
            Err(error) if !error.to_string().contains("m.proto") => {
                Err(format!("the file is not named: {error}"))
            }
            _ => Ok(()),
        }
    });
}

fn set_of(file: prost_types::FileDescriptorProto) -> FileDescriptorSet {
    FileDescriptorSet { file: vec![file] }
}
