//! What a sound file becomes, and what one broken in many places reports.

use std::collections::BTreeMap;

use headwater_engine::spec::{Requirement, Role, Severity};

use crate::kinds::{self, CallConfig, Component, Key, OnEnd, Property, Retry, TopicConfig};

const SOUND: &str = r#"
pipeline: telemetry
workers: 2
commit: { interval_ms: 20 }
require: exactly_once
sinks:
  out:
    kind: kafka
    from: [json, more]
    topic: events
    key: { field: device.id }
    properties:
      sasl.password: ${env:DIGITS}
      linger.ms: 5
      enable.idempotence: true
  counted: { kind: discard, from: raw }
decoders:
  json: { kind: protobuf, from: events, to: json }
  more: { kind: protobuf, from: [events, others], to: json }
  raw: { kind: protobuf, from: events, to: raw }
sources:
  events:
    kind: grpc
    endpoint: http://${env:HOST}:${env:PORT}
    port: ${env:PORT}
    metadata:
      plain: ${env:DIGITS}
      literal: $${env:DIGITS}
      recursive: ${env:RECURSIVE}
      template: at-${cursor.revision}-${env:DIGITS}
      from_file: ${file:/run/secrets/token}
      from_properties: "${file:kafka.properties:user}/${env:DIGITS}"
    on_end: finish
    retry: { mode: exponential, first_ms: 5 }
    cursor: [seq, { name: block, path: header.number }]
    request: { ids: [1, two, null, 1.5], deep: { a: true } }
  others: { kind: grpc, endpoint: http://b }
"#;

#[test]
fn a_change_comes_before_every_check_and_passes_all_of_them() {
    let (plan, _) = kinds::read_changed(SOUND, &|values| {
        assert_eq!(values.get(&["sources", "events", "port"]), Some(7443.into()), "resolved");
        values.set(&["pipeline"], &"another".into());
        values.set(&["sinks", "out", "topic"], &"other-topic".into());
    })
    .expect("a sound change");
    assert_eq!(plan.name(), "another");
    let sink = plan.node("out").expect("a node of this name");
    assert_eq!(sink.config::<TopicConfig>().topic, "other-topic");

    let refused = kinds::read_changed(SOUND, &|values| {
        values.set(&["sinks", "out", "topic"], &"two words".into());
        values.set(&["workers"], &"many".into());
    });
    let told = refused.expect_err("two mistakes").render(false);
    assert!(told.contains("holds a space") && told.contains("\"workers\""), "{told}");
}

#[test]
fn a_plan_holds_the_graph_in_topological_order() {
    let (plan, warnings) = kinds::read(SOUND).expect("a sound file");
    assert_eq!(warnings, []);
    assert_eq!(plan.name(), "telemetry");
    let names: Vec<&str> = plan.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names[..2], ["events", "others"], "sources come first");
    for node in plan.nodes() {
        assert_eq!(plan.nodes()[node.index].name, node.name);
        assert!(node.inputs.iter().all(|input| *input < node.index));
        assert_eq!(node.output.is_none(), node.role == Role::Sink);
    }
    let events = plan.node("events").expect("a node of this name");
    let readers: Vec<&str> = plan.outputs(events).map(|node| node.name.as_str()).collect();
    assert_eq!(readers, ["json", "more", "raw"]);
    let out = plan.node("out").expect("a node of this name");
    let inputs: Vec<&str> = plan.inputs(out).map(|node| node.name.as_str()).collect();
    assert_eq!(inputs, ["json", "more"], "in the order of `from`");
    assert_eq!(plan.of_role(Role::Decoder).count(), 3);
}

#[test]
fn a_plan_holds_the_settings_with_their_defaults() {
    let (plan, _) = kinds::read(SOUND).expect("a sound file");
    assert_eq!(plan.settings().workers, Some(2));
    assert_eq!(plan.settings().commit.interval_ms, 20);
    assert_eq!(plan.settings().commit.epoch_bytes_max, 4 * 1024 * 1024);
    assert_eq!(plan.settings().memory.credit_bytes, 12 * 1024 * 1024);
    assert_eq!(plan.settings().require, Some(Requirement::ExactlyOnce));
}

#[test]
fn references_are_resolved_and_typed() {
    let (plan, _) = kinds::read(SOUND).expect("a sound file");
    let call: &CallConfig = plan.node("events").expect("the source").config();
    assert_eq!(call.endpoint, "http://telemetry.example:7443");
    assert_eq!(call.port, Some(7443), "a plain reference is typed anew");
    let expected = [
        ("plain", "0012345"),
        ("literal", "${env:DIGITS}"),
        ("recursive", "${env:SECRET}"),
        ("template", "at-${cursor.revision}-0012345"),
        ("from_file", kinds::SECRET),
        ("from_properties", "reader/0012345"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(call.metadata, BTreeMap::from(expected));
    assert_eq!(call.on_end, OnEnd::Finish);
    assert!(matches!(&call.retry, Retry::Exponential(growing) if growing.first_ms == 5));
    assert!(matches!(&call.cursor[1], Component::Named(named) if named.name == "block"));
    assert_eq!(call.request["ids"], serde_json::json!([1, "two", null, 1.5]));
    let topic: &TopicConfig = plan.node("out").expect("the sink").config();
    assert_eq!(topic.key, Key::Field("device.id".to_owned()));
    let digits = Property::Text("0012345".to_owned());
    assert_eq!(topic.properties["sasl.password"], digits, "text wherever text is allowed");
    assert_eq!(topic.properties["linger.ms"], Property::Number(5));
    assert_eq!(topic.properties["enable.idempotence"], Property::Switch(true));
}

#[test]
#[should_panic(expected = "the check of kind `discard` gives the config type")]
fn a_config_of_another_type_is_a_mistake_of_the_program() {
    let (plan, _) = kinds::read(SOUND).expect("a sound file");
    plan.node("counted").expect("the sink").config::<TopicConfig>();
}

#[test]
fn mistakes_of_every_kind_are_reported_together() {
    let text = "
pipeline: Bad Name
wrokers: 2
commit: { interval_ms: 0 }
sources:
  events: { kind: grpc, endpoint: '', keepalive_ms: 5 }
  unread: { kind: grpc, endpoint: http://a }
  missing: { kind: grpc, endpoint: \"${env:NOT_SET}\" }
decoders:
  json: { kind: protobuf, from: [events, evnets, missing], to: jsn }
  loop: { kind: protobuf, from: loop, to: json }
sinks:
  out: { kind: kafak, from: json, topic: t }
  events: { kind: discard }
";
    let diagnostics = kinds::read(text).expect_err("a file full of mistakes");
    let expected = [
        (2, "\"Bad Name\" cannot be a pipeline's name"),
        (3, "key \"wrokers\" is not known"),
        (4, "key \"commit.interval_ms\" is below its bound"),
        (6, "key \"endpoint\" is empty"),
        (6, "key \"keepalive_ms\" is below its bound"),
        (7, "nothing reads the source \"unread\""),
        (8, "environment variable \"NOT_SET\" is not set"),
        (10, "there is no node \"evnets\""),
        (10, "key \"to\" has no value \"jsn\""),
        (11, "these nodes read each other in a circle"),
        (13, "\"kafak\" is not a kind of sink"),
        (14, "the name \"events\" is taken"),
        (14, "sink \"events\" reads nothing: key \"from\" is missing"),
    ];
    let found: Vec<_> = diagnostics.iter().map(|d| (d.span.line, d.message.as_str())).collect();
    for one in expected {
        assert!(found.contains(&one), "{one:?} is missing in\n{diagnostics}");
    }
    assert_eq!(found.len(), expected.len(), "{diagnostics}");
    assert!(diagnostics.iter().all(|d| d.severity == Severity::Error));
    assert!(diagnostics.to_string().ends_with("13 errors; nothing was started.\n"));
}

#[test]
fn spans_survive_other_line_ends_and_letters() {
    let text =
        "# Grüße 🌊\r\npipeline: p\r\nsources:\r\n  é: { kind: grpc, endpoint: 'ü', x: 1 }\r\n";
    let diagnostics = kinds::read(text).expect_err("mistakes");
    for diagnostic in diagnostics.iter() {
        let line = text.lines().nth(diagnostic.span.line - 1).expect("a line of the file");
        let before = line.chars().count();
        assert!(diagnostic.span.column <= before + 1, "{diagnostic:?}");
    }
    let unknown = diagnostics.iter().find(|d| d.message.contains("\"x\"")).expect("the key");
    assert_eq!(&text[unknown.span.start..unknown.span.end], "x");
    assert_eq!((unknown.span.line, unknown.span.column), (4, 35));
}
