//! Goal: whatever a server gives becomes whole types, or a reason why not, within the bounds.

use super::*;
use crate::{DescriptorInput, TELEMETRY_PROTO};
use std::fs;

const BOUNDS: Bounds = Bounds { files_max: 16, bytes_max: 1 << 20, imports_max: 100 };

/// The files of several sources, by name, as a server would encode them.
fn files(sources: &[(&str, &str)]) -> BTreeMap<String, Bytes> {
    let folder = tempfile::tempdir().unwrap();
    let paths = sources.iter().map(|(name, text)| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    });
    let files = paths.collect();
    let includes = vec![folder.path().to_owned()];
    let all = Descriptors::load(&DescriptorInput::Protos { files, includes }).unwrap();
    let named = all.pool().files().map(|it| (it.name().to_owned(), it.encode_to_vec().into()));
    named.collect()
}

/// What comes of asking a server that has these files for the first one.
fn asked(first: &str, server: &BTreeMap<String, Bytes>) -> Result<Collected, CollectError> {
    let mut collector = Collector::new(BOUNDS);
    collector.add(server[first].clone())?;
    loop {
        let wanted = collector.wanted(2);
        if wanted.is_empty() {
            return collector.finish();
        }
        for name in wanted {
            if let Some(file) = server.get(&name) {
                collector.add(file.clone())?;
            }
        }
    }
}

const TREE: [(&str, &str); 4] = [
    (
        "top.proto",
        "syntax = \"proto3\"; package t; import \"left.proto\"; import \"right.proto\";
         message Top { Left left = 1; Bottom bottom = 2; }
         service S { rpc Get(Top) returns (stream Top); }",
    ),
    (
        "left.proto",
        "syntax = \"proto3\"; package t; import public \"bottom.proto\"; message Left { Bottom b = 1; }",
    ),
    (
        "right.proto",
        "syntax = \"proto3\"; package t; import \"bottom.proto\"; message Right { Bottom b = 1; }",
    ),
    (
        "bottom.proto",
        "syntax = \"proto3\"; package t; import \"google/protobuf/timestamp.proto\";
         message Bottom { google.protobuf.Timestamp at = 1; }",
    ),
];

#[test]
fn imports_are_asked_for_until_all_are_there_and_the_set_is_always_the_same() {
    let mut server = files(&TREE);
    // Many servers do not give Google's own files.
    server.remove("google/protobuf/timestamp.proto");
    let collected = asked("top.proto", &server).unwrap();
    assert_eq!((collected.files, collected.absent.len()), (5, 0));
    let method = collected.descriptors.method("t.S/Get").unwrap();
    assert_eq!(method.output().full_name(), "t.Top");
    // In another order, and with a file given twice.
    let mut collector = Collector::new(BOUNDS);
    for name in ["bottom.proto", "right.proto", "top.proto", "right.proto", "left.proto"] {
        collector.add(server[name].clone()).unwrap();
    }
    assert!(collector.wanted(9) == ["google/protobuf/timestamp.proto"]);
    assert_eq!(collector.finish().unwrap().set, collected.set);
}

#[test]
fn an_import_for_options_only_may_be_missing_and_one_with_a_type_may_not() {
    let mut server = files(&[
        (
            "options.proto",
            "syntax = \"proto2\"; package o; import \"google/protobuf/descriptor.proto\";
             extend google.protobuf.FieldOptions { optional string unit = 50001; }",
        ),
        ("base.proto", "syntax = \"proto3\"; package b; message Base {}"),
        (
            "top.proto",
            "syntax = \"proto3\"; package t; import \"options.proto\"; import public \"base.proto\";
             message Top { uint64 n = 1 [(o.unit) = \"m\"]; b.Base base = 2; }",
        ),
    ]);
    server.remove("options.proto");
    let collected = asked("top.proto", &server).unwrap();
    assert_eq!(collected.absent, ["options.proto"]);
    let top = collected.descriptors.pool().get_message_by_name("t.Top").unwrap();
    assert_eq!(top.fields().count(), 2);
    server.remove("base.proto");
    let error = asked("top.proto", &server).unwrap_err().to_string();
    assert!(error.contains("b.Base") && error.contains("could not give base.proto"), "{error}");
}

#[test]
fn files_that_import_each_other_are_refused_by_name() {
    let file = |name: &str, imports: &[&str]| FileDescriptorProto {
        name: Some(name.to_owned()),
        dependency: imports.iter().map(|import| (*import).to_owned()).collect(),
        ..Default::default()
    };
    let mut collector = Collector::new(BOUNDS);
    for file in [file("a", &["b"]), file("b", &["c"]), file("c", &["b"])] {
        collector.add(file.encode_to_vec().into()).unwrap();
    }
    let error = collector.finish().unwrap_err().to_string();
    assert_eq!(error, "its files import each other: b → c → b");
}

#[test]
fn bounds_hold_whatever_the_server_sends() {
    let named = |name: String| {
        let file = FileDescriptorProto { name: Some(name), ..Default::default() };
        Bytes::from(file.encode_to_vec())
    };
    let mut collector = Collector::new(Bounds { files_max: 3, bytes_max: 1000, imports_max: 10 });
    for number in 0..3 {
        collector.add(named(number.to_string())).unwrap();
    }
    assert!(matches!(collector.add(named("3".to_owned())), Err(CollectError::Files { max: 3 })));
    let mut collector = Collector::new(Bounds { files_max: 3, bytes_max: 1000, imports_max: 10 });
    let large = collector.add(named("x".repeat(1000)));
    assert!(matches!(large, Err(CollectError::Bytes { max: 1000 })));
    let broken = collector.add(Bytes::from_static(&[0xff; 4]));
    assert!(matches!(broken, Err(CollectError::Decode { .. })));
}

#[test]
fn stubs_bear_the_names_of_services_and_no_more() {
    let names = ["bench.v1.Telemetry".to_owned(), "Plain".to_owned()];
    let descriptors = decode_set(&stubs(&names), || "it".to_owned()).unwrap();
    let error = descriptors.method("bench.v1.Telemtry/Subscribe").unwrap_err().to_string();
    assert!(error.contains("did you mean \"bench.v1.Telemetry\"?"), "{error}");
    assert!(descriptors.pool().get_service_by_name("Plain").is_some());
}

#[test]
fn the_telemetry_service_passes() {
    let server = files(&[("telemetry.proto", TELEMETRY_PROTO)]);
    let collected = asked("telemetry.proto", &server).unwrap();
    assert!(collected.descriptors.method("bench.v1.Telemetry/Subscribe").is_ok());
}

/// A file that imports others, `passed_on` of them publicly.
fn importing(name: &str, imports: Vec<String>, passed_on: usize) -> Bytes {
    let file = FileDescriptorProto {
        name: Some(name.to_owned()),
        syntax: Some("proto3".to_owned()),
        public_dependency: (0..passed_on).map(|place| place as i32).collect(),
        dependency: imports,
        ..FileDescriptorProto::default()
    };
    file.encode_to_vec().into()
}

#[test]
fn more_imports_than_allowed_are_refused_before_anything_is_made_of_them() {
    let wide = Bounds { files_max: 4096, bytes_max: 16 << 20, imports_max: 1 << 16 };
    let million = (0..1_000_000).map(|number| format!("{number}")).collect();
    let error = Collector::new(wide).add(importing("a.proto", million, 0)).expect_err("too many");
    assert_eq!(error.to_string(), "its files have more than 65536 imports");
    // Those that are passed on count too: each is one more entry.
    let few = Bounds { imports_max: 9, ..BOUNDS };
    let five = || (0..5).map(|number| format!("{number}.proto")).collect();
    assert!(Collector::new(few).add(importing("a.proto", five(), 4)).is_ok());
    let error = Collector::new(few).add(importing("a.proto", five(), 5)).expect_err("one more");
    assert!(matches!(error, CollectError::Imports { max: 9 }), "{error}");
}

#[test]
fn a_long_chain_of_files_that_import_all_below_is_put_in_order() {
    const FILES: usize = 4096;
    let bounds = Bounds { files_max: FILES, bytes_max: 16 << 20, imports_max: 1 << 16 };
    let mut collector = Collector::new(bounds);
    let name = |number: usize| format!("f{number:04}.proto");
    for number in 0..FILES {
        // Its followers, the first one twice: each import is walked at the end of the whole chain.
        let below = (number + 1..FILES).take(14).chain((number + 1..FILES).take(1));
        collector.add(importing(&name(number), below.map(name).collect(), 0)).expect("it fits");
    }
    assert!(collector.wanted(64).is_empty());
    let order = collector.order().expect("no circle");
    assert!(order.iter().rev().cloned().eq((0..FILES).map(name)));
}

#[test]
fn public_imports_keep_their_places_when_others_are_left_out() {
    let mut collector = Collector::new(BOUNDS);
    let names = ["x.proto", "b.proto", "y.proto", "c.proto"].map(str::to_owned);
    collector.add(importing("a.proto", names.to_vec(), 4)).expect("it fits");
    for name in ["b.proto", "c.proto"] {
        collector.add(importing(name, Vec::new(), 0)).expect("it fits");
    }
    assert_eq!(collector.wanted(9), ["x.proto", "y.proto"]);
    let collected = collector.finish().expect("whole");
    assert_eq!(collected.absent, ["x.proto", "y.proto"]);
    let file = collected.descriptors.pool().get_file_by_name("a.proto").expect("it is there");
    let file = file.file_descriptor_proto();
    assert_eq!(file.dependency, ["b.proto", "c.proto"]);
    assert_eq!(file.public_dependency, [0, 1]);
}
