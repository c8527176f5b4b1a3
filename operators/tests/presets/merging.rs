//! A preset under a file's own keys: what counts, what it gave, and how a mistake is told.

use crate::rig::{file, plan};
use headwater_engine::spec::{Source, SystemVariables, load};
use headwater_operators::registry;
use headwater_operators::source::grpc::{GrpcSource, PRESETS};
use serde_json::json;
use std::path::Path;

fn mistakes(text: &str) -> String {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = Source { name: "test.yaml", text, base_dir };
    match load(&source, &registry(), &SystemVariables) {
        Ok(_) => panic!("expected a mistake:\n{text}"),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[test]
fn a_files_own_keys_count_and_null_takes_a_preset_key_out() {
    let keys = "request: { options: { no_filter: ~, filter: { max: 32 } } }\n    \
                resume: { on_gap: report, position: after, restart: { set: { options: \
                { resolve_links: true } } } }";
    let text = file("http://host:1", "kurrentdb.proto", "kurrentdb", keys);
    let plan = plan(&text);
    let node = plan.node("s").expect("it is named");
    let preset = node.preset.as_ref().expect("it names one");
    assert_eq!(preset.name, "kurrentdb");
    let given = &preset.given;
    assert_eq!(given["method"], "event_store.client.streams.Streams/Read");
    assert_eq!(given["request"]["options"]["all"], json!({ "start": {} }));
    assert!(given["request"]["options"].get("no_filter").is_none(), "the file took it out");
    assert!(given["resume"].get("position").is_none(), "the file gives it");
    assert!(given["resume"]["restart"]["set"]["options"].get("all").is_some(), "merged within");
    assert_eq!(node.config::<GrpcSource>().shards().len(), 1);
}

const FLOW: &str = "method: flow.executiondata.ExecutionDataAPI/SubscribeEvents";

#[test]
fn what_a_preset_gives_wrongly_is_told_where_its_name_stands() {
    // Another method's types: the preset's paths do not fit.
    let text = file("http://host:1", "flow.proto", "aptos", FLOW);
    let told = mistakes(&text);
    assert!(told.contains("test.yaml:5:13") && told.contains("starting_version"), "{told}");
    let told = mistakes(&file("http://host:1", "aptos.proto", "aptoss", ""));
    assert!(told.contains("did you mean \"aptos\"?") && told.contains("1 error"), "{told}");
    let told = mistakes(&file("http://host:1", "aptos.proto", "unheard-of", "method: a.B/C"));
    assert!(told.contains("expected: one of aptos, etcd-watch, firehose"), "{told}");
}

#[test]
fn what_a_preset_needs_and_nothing_gives_is_told() {
    let told = |keys: &str| {
        let text = file("http://host:1", "etcd.proto", "etcd-watch", keys);
        let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = Source { name: "test.yaml", text: &text, base_dir };
        let (_, warnings) = load(&source, &registry(), &SystemVariables).expect("it is sound");
        warnings.into_iter().map(|it| format!("{it:?}")).collect::<String>()
    };
    let none = told("");
    assert!(none.contains("line: 5, column: 13"), "where the preset is named: {none}");
    assert!(none.contains("needs `request.create_request.key`"), "{none}");
    assert_eq!(told("request: { create_request: { key: YQ== } }"), "");
    let second =
        "requests: [{ request: { create_request: { key: YQ== } } }, { name: b, request: {} }]";
    assert!(told(second).contains("request.create_request.key"));
}

/// Several watches: each gets what the preset gives, and its own keys.
#[test]
fn several_requests_are_each_under_the_presets() {
    let keys = "requests:\n      - { name: a, request: { create_request: { key: YQ== } } }\n      \
                - { name: b, request: { create_request: { key: Yg==, prev_kv: true } } }\n    \
                metadata: { x-team: orders }";
    let plan = plan(&file("http://host:1", "etcd.proto", "etcd-watch", keys));
    let node = plan.node("s").expect("it is named");
    assert_eq!(node.config::<GrpcSource>().shards().len(), 2);
    let given = &node.preset.as_ref().expect("it names one").given;
    assert_eq!(
        given["request"]["create_request"],
        json!({ "progress_notify": true, "fragment": true })
    );
    assert_eq!(given["metadata"], json!({ "hasleader": "true" }), "beside the file's own");
}

#[test]
fn every_preset_makes_a_file_sound_that_names_server_and_types_alone() {
    let protos = [
        ("aptos", "aptos.proto"),
        ("etcd-watch", "etcd.proto"),
        ("firehose", "firehose.proto"),
        ("flow-events", "flow.proto"),
        ("gnmi", "gnmi.proto"),
        ("google-pubsub", "google_pubsub.proto"),
        ("hubble-flows", "hubble.proto"),
        ("kurrentdb", "kurrentdb.proto"),
        ("kurrentdb-stream", "kurrentdb.proto"),
        ("lnd-invoices", "lnd.proto"),
        ("salesforce-pubsub", "salesforce.proto"),
        ("spicedb-watch", "spicedb.proto"),
        ("substreams", "substreams.proto"),
        ("vitess-vstream", "vitess.proto"),
        ("yellowstone", "yellowstone.proto"),
    ];
    assert_eq!(protos.len(), PRESETS.len(), "each has its types here");
    for (preset, proto) in protos {
        plan(&file("http://host:1", proto, preset, ""));
    }
}

/// Another stream is another stream, although a restart sets a field beside its name.
#[test]
fn the_fingerprint_knows_the_fields_beside_those_that_a_restart_sets() {
    let fingerprint = |name: &str, start: &str| {
        let keys = format!(
            "request: {{ options: {{ stream: {{ stream_identifier: {{ stream_name: {name} }}, \
             {start} }} }} }}"
        );
        let plan = plan(&file("http://host:1", "kurrentdb.proto", "kurrentdb-stream", &keys));
        let source = plan.node("s").expect("it is named").config::<GrpcSource>();
        source.shards()[0].fingerprint.clone()
    };
    let orders = fingerprint("b3JkZXJz", "start: {}");
    assert_eq!(fingerprint("b3JkZXJz", "start: {}"), orders);
    assert_ne!(fingerprint("aW52b2ljZXM=", "start: {}"), orders);
    assert_eq!(
        fingerprint("b3JkZXJz", "revision: 7, start: ~"),
        fingerprint("b3JkZXJz", "start: ~")
    );
}
