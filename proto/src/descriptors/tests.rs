//! Goal: every form of input gives the same types, and a mistake is told with a way out.

use std::fs;

use prost_types::{DescriptorProto, MessageOptions};

use super::*;
use crate::TELEMETRY_PROTO;
use crate::telemetry::{Event, SubscribeRequest};

fn compiled(folder: &Path, source: &str) -> Result<Descriptors, DescriptorError> {
    let file = folder.join("service.proto");
    fs::write(&file, source).unwrap();
    Descriptors::load(&DescriptorInput::Protos { files: vec![file], includes: vec![] })
}

fn telemetry() -> Descriptors {
    let folder = tempfile::tempdir().unwrap();
    compiled(folder.path(), TELEMETRY_PROTO).unwrap()
}

#[test]
fn sources_a_set_and_its_base64_give_the_same_method() {
    let from_sources = telemetry();
    let set = from_sources.pool().encode_to_vec();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("service.desc");
    fs::write(&file, &set).unwrap();
    let from_file = Descriptors::load(&DescriptorInput::File(file)).unwrap();
    let mut text = BASE64.encode(&set);
    text.insert(40, '\n');
    let unpadded = text.trim_end_matches('=').to_owned();
    let from_text = Descriptors::load(&DescriptorInput::Base64(text)).unwrap();
    let from_unpadded = Descriptors::load(&DescriptorInput::Base64(unpadded)).unwrap();
    for descriptors in [from_sources, from_file, from_text, from_unpadded] {
        let method = descriptors.method("/bench.v1.Telemetry/Subscribe").unwrap();
        assert_eq!(method.path(), "/bench.v1.Telemetry/Subscribe");
        assert_eq!(method.input().full_name(), "bench.v1.SubscribeRequest");
        assert_eq!(method.output().full_name(), "bench.v1.Event");
        assert!(method.server_streaming() && !method.client_streaming());
    }
}

#[test]
fn a_method_that_is_not_there_is_told_with_its_neighbours() {
    let descriptors = telemetry();
    let told = |path: &str| descriptors.method(path).unwrap_err().to_string();
    assert_eq!(
        told("bench.v1.Telemtry/Subscribe"),
        "service \"bench.v1.Telemtry\" is not in the descriptors; \
         did you mean \"bench.v1.Telemetry\"?"
    );
    assert_eq!(
        told("bench.v1.Telemetry/Subscrib"),
        "service \"bench.v1.Telemetry\" has no method \"Subscrib\"; did you mean \"Subscribe\"?"
    );
    for path in ["", "/", "Subscribe", "a/b/c", "/a/", "//b"] {
        let error = descriptors.method(path).unwrap_err();
        assert_eq!(error, MethodError::Form { path: path.to_owned() });
    }
}

#[test]
fn a_source_that_does_not_compile_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let error = compiled(folder.path(), "syntax = \"proto3\";\nmessage A { Missing b = 1; }\n");
    let text = error.unwrap_err().to_string();
    assert!(text.contains("service.proto:2:13"), "{text}");
    assert!(text.contains("Missing"), "{text}");
}

#[test]
fn an_import_is_looked_for_beside_the_source_and_in_the_includes() {
    let folder = tempfile::tempdir().unwrap();
    let shared = tempfile::tempdir().unwrap();
    let part = "syntax = \"proto3\";\nmessage Part { int32 number = 1; }\n";
    let whole = "syntax = \"proto3\";\nimport \"part.proto\";\nmessage Whole { Part part = 1; }\n";
    assert!(compiled(folder.path(), whole).unwrap_err().to_string().contains("part.proto"));
    fs::write(shared.path().join("part.proto"), part).unwrap();
    let input = DescriptorInput::Protos {
        files: vec![folder.path().join("service.proto")],
        includes: vec![folder.path().to_owned(), shared.path().to_owned()],
    };
    let descriptors = Descriptors::load(&input).unwrap();
    assert!(descriptors.pool().get_message_by_name("Whole").is_some());
    fs::write(folder.path().join("part.proto"), part).unwrap();
    assert!(compiled(folder.path(), whole).is_ok());
}

#[test]
fn what_is_no_descriptor_set_is_refused() {
    let told = |input: DescriptorInput| Descriptors::load(&input).unwrap_err().to_string();
    assert!(told(DescriptorInput::Base64("!".into())).contains("not base64"));
    assert!(told(DescriptorInput::Base64(String::new())).contains("it is empty"));
    assert!(told(DescriptorInput::Base64("AAAA".into())).contains("not a complete"));
    assert!(told(DescriptorInput::File("/nowhere/x.desc".into())).contains("/nowhere/x.desc"));
    let none = DescriptorInput::Protos { files: vec![], includes: vec![] };
    assert!(matches!(Descriptors::load(&none), Err(DescriptorError::NoFiles)));
}

/// Goal: the structs written by hand say what the .proto says.
/// Method: a value with every field set goes from the struct through the .proto's descriptor into
/// JSON and is compared name by name, and comes back as the same bytes.
#[test]
fn the_telemetry_structs_equal_their_proto() {
    use crate::telemetry::{Location, Status};
    use prost::Message as _;
    use prost_reflect::DynamicMessage;

    let descriptors = telemetry();
    let method = descriptors.method("bench.v1.Telemetry/Subscribe").unwrap();
    let request = SubscribeRequest {
        filter: "f".into(),
        count: 2,
        payload_bytes: 3,
        rate: 4,
        from_sequence: 5,
    };
    let event = Event {
        sequence: 1,
        emitted_ns: -2,
        device_id: "d".into(),
        site: "s".into(),
        temperature: 5.5,
        humidity: 6.5,
        alarm: true,
        status: Status::Warn.into(),
        labels: [("k".to_owned(), "v".to_owned())].into(),
        samples: vec![-1, 300],
        location: Some(Location { lat: 1.5, lon: 2.5 }),
        payload: vec![7],
    };
    let json = |descriptor: MessageDescriptor, wire: Vec<u8>| {
        let message = DynamicMessage::decode(descriptor.clone(), &wire[..]).unwrap();
        assert_eq!(message.unknown_fields().count(), 0);
        assert_eq!(message.fields().count(), descriptor.fields().len(), "every field is set");
        assert_eq!(message.encode_to_vec(), wire);
        serde_json::to_string(&message).unwrap()
    };
    assert_eq!(
        json(method.input(), request.encode_to_vec()),
        r#"{"filter":"f","count":"2","payloadBytes":3,"rate":"4","fromSequence":"5"}"#
    );
    assert_eq!(
        json(method.output(), event.encode_to_vec()),
        concat!(
            r#"{"sequence":"1","emittedNs":"-2","deviceId":"d","site":"s","temperature":5.5,"#,
            r#""humidity":6.5,"alarm":true,"status":"STATUS_WARN","labels":{"k":"v"},"#,
            r#""samples":[-1,300],"location":{"lat":1.5,"lon":2.5},"payload":"Bw=="}"#
        )
    );
    for status in [Status::Unspecified, Status::Ok, Status::Warn] {
        let statuses = descriptors.pool().get_enum_by_name("bench.v1.Status").unwrap();
        let name = statuses.get_value(status.into()).unwrap().name().to_owned();
        assert_eq!(name.to_ascii_lowercase(), format!("status_{status:?}").to_ascii_lowercase());
    }
}

/// The pool's builder would panic over them.
#[test]
fn a_set_that_no_compiler_wrote_is_refused_in_words() {
    use prost_types::{EnumDescriptorProto, FileDescriptorProto};
    let file = FileDescriptorProto { name: Some("a.proto".to_owned()), ..Default::default() };
    let nameless = EnumDescriptorProto { name: Some("E".to_owned()), ..Default::default() };
    let entry = DescriptorProto {
        name: Some("FEntry".to_owned()),
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..Default::default()
    };
    let cases = [
        (
            FileDescriptorProto { syntax: Some("proto4".to_owned()), ..file.clone() },
            "file \"a.proto\" has syntax \"proto4\", expected proto2 or proto3",
        ),
        (FileDescriptorProto { enum_type: vec![nameless], ..file.clone() }, "enum \"E\" has no"),
        (FileDescriptorProto { message_type: vec![entry], ..file }, "is not made of a key and a"),
    ];
    for (file, expected) in cases {
        let bytes = FileDescriptorSet { file: vec![file] }.encode_to_vec();
        let told = decode_set(&bytes, || "set.desc".to_owned()).expect_err(expected).to_string();
        assert!(told.contains(expected) && told.contains("set.desc"), "{told}");
    }
}

#[test]
fn a_source_that_ends_too_early_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.proto");
    fs::write(&path, "syntax = \"proto3\"; message M {").unwrap();
    let input = DescriptorInput::Protos { files: vec![path], includes: Vec::new() };
    let told = Descriptors::load(&input).expect_err("it is cut").to_string();
    assert!(told.starts_with("cut.proto: expected"), "{told}");
}

#[test]
fn types_of_two_inputs_are_joined_and_a_contradiction_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str, source: &str| {
        let file = folder.path().join(name);
        fs::write(&file, source).unwrap();
        Descriptors::load(&DescriptorInput::Protos { files: vec![file], includes: vec![] }).unwrap()
    };
    let telemetry = load("telemetry.proto", TELEMETRY_PROTO);
    let extra = load("extra.proto", "syntax = \"proto3\"; package extra; message Detail {}");
    let joined = telemetry.joined(&extra).unwrap();
    assert!(joined.pool().get_message_by_name("extra.Detail").is_some());
    let output = joined.method("bench.v1.Telemetry/Subscribe").unwrap().output();
    assert!(output.parent_pool().get_message_by_name("extra.Detail").is_some());
    assert!(telemetry.pool().get_message_by_name("extra.Detail").is_none());
    // The same file again changes nothing; the same type in another file cannot be.
    assert!(joined.joined(&telemetry).is_ok());
    let twin = load("twin.proto", "syntax = \"proto3\"; package extra; message Detail {}");
    let error = joined.joined(&twin).unwrap_err().to_string();
    assert!(error.contains("do not fit together") && error.contains("extra.Detail"), "{error}");
}
