//! The keys of a source: every mistake of a file in one run, at its place, without secrets.

use crate::world::{pipeline, read};
use headwater_engine::spec::Diagnostics;
use headwater_operators::source::Resumability;
use std::path::Path;

const URL: &str = "http://localhost:50051";

fn errors(url: &str, keys: &str) -> String {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let diagnostics: Diagnostics = match read(&pipeline(url, keys), base_dir) {
        Ok(_) => panic!("expected an error:\n{keys}"),
        Err(diagnostics) => diagnostics,
    };
    diagnostics.to_string()
}

fn warnings(keys: &str) -> Vec<String> {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    match read(&pipeline(URL, keys), base_dir) {
        Ok((_, warnings)) => warnings,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

#[test]
fn every_mistake_of_a_source_is_reported_in_one_run() {
    let text = errors(
        "ftp://somewhere",
        r#"request: { filtr: north, count: many }
    metadata: { "grpc-x": secret-1, "a-bin": "secret-2!" }
    reconnect: { backoff_min_ms: 500, backoff_max_ms: 100 }
    resume:
      cursor: { seq: { from: sequenc } }
      id: devise_id
      start: { set: { from_sequnce: 1 }, clear: [cuont] }"#,
    );
    let expected = [
        "neither http nor https",
        "filtr",
        "\"filter\"",
        "count",
        "grpc-x",
        "a-bin",
        "the longest wait is below the first",
        "sequenc",
        "\"sequence\"",
        "devise_id",
        "from_sequnce",
        "cuont",
    ];
    for part in expected {
        assert!(text.contains(part), "{part} is missing from:\n{text}");
    }
    // The offending lines are quoted from the file; the messages repeat no value.
    assert!(!text.contains("value \"secret"), "{text}");
}

#[test]
fn one_mistake_gives_one_finding_at_its_line() {
    let cases: [(&str, &str, &str); 12] = [
        (URL, "request: { from_sequence: -1 }", "from_sequence"),
        ("http://user:pw@host:1", "", "holds credentials"),
        ("http://host:1/path", "", "has a path"),
        ("host", "", "is not a URL"),
        (URL, "tls: {}", "no endpoint uses TLS"),
        ("https://host:1", "tls: { ca_file: /missing.pem }", "cannot read /missing.pem"),
        (URL, "requests: [{}]\n    request: {}", "requests are named twice"),
        (URL, "endpoints: [\"http://a:1\"]", "endpoints are named twice"),
        (URL, "resume: { cursor: {} }", "the cursor has no component"),
        (URL, "resume: { cursor: { s: { from: temperature } } }", "cannot resume"),
        (
            URL,
            "resume: { cursor: { s: { from: site } }, position: next }",
            "`position: next` needs",
        ),
        (URL, "resume: { cursor: { s: { from: site } }, sequence: contiguous }", "needs a cursor"),
    ];
    for (url, keys, expected) in cases {
        let text = errors(url, keys);
        assert!(text.contains(expected), "{keys}: {expected} is missing from:\n{text}");
        assert_eq!(text.matches("error:").count(), 1, "{keys}:\n{text}");
    }
}

#[test]
fn a_mistake_in_how_a_stream_goes_on_is_told_alone_and_at_its_line() {
    let resume = |more: &str| {
        format!(
            r#"resume:
      cursor: {{ s: {{ from: sequence }} }}
      restart: {{ set: {{ from_sequence: "${{cursor.s}}" }} }}
      {more}"#
        )
    };
    let cursor = |cursor: &str| format!("resume: {{ cursor: {{ s: {{ {cursor} }} }} }}");
    let cases: [(String, &str); 19] = [
        ("resume: { mode: ack }".to_owned(), "needs `stream.ack`"),
        (
            cursor("from: site").replace("{ cursor", "{ mode: none, cursor"),
            "`cursor` means nothing",
        ),
        ("resume: { mode: replay_all, position: at }".to_owned(), "`position` means nothing"),
        (resume("boundary: { when: sequenc > 1 }"), "has no field \"sequenc\""),
        (resume("boundary: { when: sequence }"), "expected yes or no, found a number"),
        (resume("heartbeat: { when: 'size(samples) = 0' }"), "found \"=\""),
        (resume("loss: { when: alarm, messages: site }"), "which counts nothing"),
        (resume("loss: { when: alarm and true }"), "found \"and\""),
        (resume("dedupe: { key: [site, '@payload'] }"), "is the whole message"),
        (resume("dedupe: { key: sitee }"), "has no field \"sitee\""),
        (resume("expired: { match: [ { when: alarn } ] }"), "has no field \"alarn\""),
        (cursor("from: '@unknown:1'"), "field 1 is known, as \"sequence\""),
        (cursor("from: '@unknown:x'"), "is no field number"),
        (cursor("from: '@header:x'"), "expected @unknown:NUMBER"),
        (cursor("from: '@metadata:a b'"), "not a valid metadata key"),
        (cursor("from: ['@metadata:a', site]"), "comes from messages and calls"),
        (cursor("from: site, reduce: max"), "needs values that have an order"),
        (
            cursor("from: '@trailer:a'").replace("} } }", "} }, boundary: change }"),
            "a group needs a cursor that its messages bear",
        ),
        (
            resume("").replace("from_sequence: \"${cursor.s}\" }", "} , metadata: { te: a }"),
            "is set by the protocol",
        ),
    ];
    for (keys, expected) in cases {
        let text = errors(URL, &keys);
        assert!(text.contains(expected), "{keys}: {expected} is missing from:\n{text}");
        assert_eq!(text.matches("error:").count(), 1, "{keys}:\n{text}");
    }
}

#[test]
fn one_mistake_about_callers_and_ways_gives_one_finding() {
    let cases = [
        ("auth: {}", "is not said in one way"),
        ("auth: { bearer: { token: t }, basic: { username: u, password: p } }", "exactly one of"),
        ("auth: { bearer: {} }", "either `token` or `file`"),
        ("auth: { bearer: { token: t, file: f } }", "either `token` or `file`"),
        ("auth: { bearer: { file: /missing/token } }", "cannot read /missing/token"),
        ("auth: { bearer: { token: \"a\\nb\" } }", "printable ASCII"),
        ("auth: { basic: { username: \"a:b\", password: p } }", "cannot hold a colon"),
        ("auth: { api_key: { key: te, value: v } }", "set by the protocol itself"),
        ("auth: { bearer: { token: t } }\n    metadata: { Authorization: x }", "is set already"),
        ("metadata_files: { x: /missing/x }", "cannot read /missing/x"),
        ("proxy: \"socks5://p:1\"", "scheme is not http"),
        ("proxy: somewhere", "the proxy is not a URL"),
        ("addresses: [ \"a b\" ]", "this is not an address"),
        ("addresses: [ \"u:p@h:1\" ]", "this is not an address"),
        ("idle_timeout_ms: 5", "1000"),
        ("compression: { request: deflate }", "zstd"),
        ("balance: least_loaded", "round_robin"),
    ];
    for (keys, expected) in cases {
        let text = errors(URL, keys);
        assert!(text.contains(expected), "{keys}: {expected} is missing from:\n{text}");
        assert_eq!(text.matches("error:").count(), 1, "{keys}:\n{text}");
    }
    let socket = errors("unix:///run/feed.sock", "addresses: [ a ]");
    assert!(socket.contains("a socket has no other addresses"), "{socket}");
    let tls = errors("unix:///run/feed.sock", "tls: {}");
    assert!(tls.contains("no endpoint uses TLS"), "{tls}");
}

#[test]
fn mistakes_about_a_token_endpoint_are_told_in_one_run() {
    let text = errors(
        URL,
        r#"auth:
      oauth2:
        token_url: "https://user:secret-1@host/token"
        client_id: me
        parameters: { scope: all }
        tls: { ca_file: /missing/ca.pem }
        proxy: "http://secret-2@host""#,
    );
    let expected = [
        "is not a URL without credentials",
        "either `client_secret` or `client_secret_file`",
        "parameter \"scope\" is set by a key of its own",
        "cannot read /missing/ca.pem",
    ];
    for part in expected {
        assert!(text.contains(part), "{part} is missing from:\n{text}");
    }
    let plain =
        r#"auth: { oauth2: { token_url: "http://h/t", client_id: a, client_secret: b, tls: {} } }"#;
    assert!(errors(URL, plain).contains("the token endpoint does not use TLS"));
}

#[test]
fn an_endpoint_of_several_has_its_own_caller_and_addresses() {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let several = |entry: &str, more: &str| {
        pipeline(URL, more).replace(
            &format!("endpoint: {URL}"),
            &format!("endpoints: [ \"http://localhost:1\", {{ url: \"https://b:2\", {entry} }} ]"),
        )
    };
    let text = several(
        "auth: { bearer: { token: own } }, addresses: [ \"[::1]:7\", c ], name: bee",
        "auth: { basic: { username: u, password: p } }\n    proxy: \"http://me:pw@proxy:3128\"",
    );
    let (source, warnings) = read(&text, base_dir).unwrap_or_else(|error| panic!("{error}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let described: Vec<String> =
        source.describe().iter().map(|(key, text)| format!("{key}: {text}")).collect();
    let expected = [
        "shard: s/localhost:1 at http://localhost:1",
        "proxy: proxy:3128",
        "auth: a user and a password",
        "shard: s/bee at https://b:2",
        "addresses: [::1]:7, c:2; the first that connects",
        "proxy: proxy:3128",
        "auth: a bearer token",
    ];
    assert_eq!(described[..7], expected);
    let misplaced = read(&several("name: bee", "addresses: [ x ]"), base_dir);
    let misplaced = misplaced.err().expect("refused").to_string();
    assert!(misplaced.contains("`addresses` is for `endpoint`"), "{misplaced}");
    let broken = read(&several("auth: { bearer: { file: /missing } }", ""), base_dir);
    assert!(broken.err().expect("refused").to_string().contains("cannot read /missing"));
}

#[test]
fn a_method_that_is_not_there_or_does_not_stream_is_refused() {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wrong = pipeline(URL, "").replace("/Subscribe", "/Subscrib");
    let text = read(&wrong, base_dir).err().expect("unknown").to_string();
    assert!(text.contains("Subscribe"), "{text}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let proto = r#"syntax = "proto3"; package p; message M {}
        service S { rpc U(M) returns (M); rpc C(stream M) returns (M); }"#;
    std::fs::write(folder.path().join("s.proto"), proto).expect("writable");
    for (method, expected) in [("U", "unary"), ("C", "client-streaming")] {
        let text = format!(
            "pipeline: t\nsources:\n  s: {{ kind: grpc, endpoint: \"{URL}\", method: p.S/{method}, \
             descriptors: {{ protos: [s.proto] }} }}\ndecoders:\n  \
             d: {{ kind: pass, from: s }}\nsinks:\n  o: {{ kind: collect, from: d }}\n"
        );
        let text = read(&text, folder.path()).err().expect("refused").to_string();
        assert!(text.contains(expected) && text.contains("answers with a stream"), "{text}");
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let resume = |more: &str| format!("resume: {{ cursor: {{ s: {{ from: sequence }} }}{more} }}");
    let restart = r#", restart: { set: { from_sequence: "${cursor.s}" } }"#;
    assert!(warnings(&resume(restart)).is_empty());
    assert!(warnings(&resume(""))[0].contains("not given the cursor"));
    let id = warnings(&resume(&format!("{restart}, id: device_id")));
    assert!(id[0].contains("`id` has no effect"), "{id:?}");
    let call = |call: &str, more: &str| warnings(&format!("call: {{ {call} }}{more}"));
    let resumed = format!("\n    {}", resume(restart));
    assert!(call("reopen_after_ms: 1000, deadline_ms: 2000", &resumed).is_empty());
    assert!(call("reopen_after_ms: 2000, deadline_ms: 2000", &resumed)[0].contains("no effect"));
    assert!(call("reopen_after_ms: 1000", "")[0].contains("without `resume`"));
    let elsewhere = |url: &str| {
        let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = pipeline(url, "auth: { bearer: { token: t } }");
        read(&text, base_dir).unwrap_or_else(|error| panic!("{error}")).1
    };
    assert!(elsewhere("http://feed.example")[0].contains("sent unencrypted"));
    for url in ["https://feed.example", "http://localhost:1", "http://[::1]:1", "unix:///run/s"] {
        assert!(elsewhere(url).is_empty(), "{url}");
    }
    let stop = warnings(&resume(&format!("{restart}, on_gap: stop")));
    assert!(stop[0].contains("`on_gap: stop` has no effect"), "{stop:?}");
}

#[test]
fn shards_are_endpoints_times_requests_with_names_that_last() {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let several = |requests: &str| {
        let text = pipeline(URL, requests).replace(
            &format!("endpoint: {URL}"),
            "endpoints: [ \"http://a\", { url: \"https://b:2\", name: bee } ]",
        );
        let (source, _) = read(&text, base_dir).unwrap_or_else(|error| panic!("{error}"));
        let keys = source.shards().iter().map(|shard| shard.key.0.clone());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(several(""), ["s/a:80", "s/bee"]);
    let named = "requests: [ { name: n, request: { filter: n } }, { request: { filter: s } } ]";
    let keys = several(named);
    assert_eq!((keys.len(), keys[0].as_str(), keys[2].as_str()), (4, "s/a:80/n", "s/bee/n"));
    // A request without a name is named by what it asks for, wherever it stands.
    let swapped = "requests: [ { request: { filter: s } }, { name: n, request: { filter: n } } ]";
    assert_eq!(several(swapped)[0], keys[1]);
    let twice = errors(URL, "requests: [ { request: {} }, { request: {} } ]");
    assert!(twice.contains("two shards have the same name"), "{twice}");
}

#[test]
fn a_fingerprint_changes_with_what_gives_the_cursor_its_meaning_and_with_nothing_else() {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fingerprint = |keys: &str| {
        let (source, _) = read(&pipeline(URL, keys), base_dir).unwrap_or_else(|e| panic!("{e}"));
        source.shards()[0].fingerprint.clone()
    };
    let keys = |request: &str, from: &str| {
        format!(
            r#"request: {{ {request} }}
    resume:
      cursor: {{ s: {{ from: {from} }} }}
      restart: {{ set: {{ from_sequence: "${{cursor.s}}" }} }}"#
        )
    };
    let base = fingerprint(&keys("filter: a, count: 3", "sequence"));
    assert_eq!(base, fingerprint(&keys("count: 3, filter: a, from_sequence: 9", "sequence")));
    assert_eq!(base, fingerprint(&keys("count: 3, filter: a, fromSequence: 8", "sequence")));
    assert_ne!(base, fingerprint(&keys("filter: b, count: 3", "sequence")));
    assert_ne!(base, fingerprint(&keys("filter: a, count: 3", "emitted_ns")));
}

#[test]
fn the_guarantee_is_derived_and_names_the_field_that_weakens_it() {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let restart = r#"restart: { set: { from_sequence: "${cursor.s}" } }"#;
    let resumability = |more: &str| {
        let keys = format!("resume: {{ cursor: {{ s: {{ from: sequence }} }}, {restart}{more} }}");
        let (source, _) = read(&pipeline(URL, &keys), base_dir).unwrap_or_else(|e| panic!("{e}"));
        assert!(!source.describe().is_empty());
        match source.resumability() {
            Resumability::Exact => "exact",
            Resumability::Weakened { field, .. } => field,
            Resumability::Acknowledged { .. } => "acknowledged",
            Resumability::None => "none",
        }
    };
    assert_eq!(resumability(""), "resume.sequence");
    assert_eq!(resumability(", sequence: monotone"), "exact");
    assert_eq!(resumability(", position: next, sequence: contiguous"), "exact");
    assert_eq!(resumability(", position: at"), "resume.id");
    assert_eq!(resumability(", position: at, id: device_id"), "resume.sequence");
    assert_eq!(resumability(", position: at, id: device_id, sequence: monotone"), "exact");
    assert_eq!(resumability(", position: at, boundary: change"), "resume.sequence");
    assert_eq!(resumability(", position: at, boundary: change, sequence: monotone"), "exact");
    assert_eq!(resumability(", position: at, sequence: contiguous"), "exact");
    let groups = ", boundary: { when: alarm }";
    assert_eq!(resumability(groups), "exact", "the end of a group ends all up to its value");
    assert_eq!(resumability(&format!("{groups}, position: at")), "exact");
    let late = format!("{groups}, on_out_of_order: drop");
    assert_eq!(resumability(&late), "resume.on_out_of_order", "what is late is lost");
    assert_eq!(resumability(&format!("{groups}, on_out_of_order: stop")), "exact");
    let told = ", sequence: monotone, caveat: its memory is short";
    assert_eq!(resumability(told), "resume.caveat", "whatever the other keys say");
    assert!(
        errors(
            URL,
            &format!(
                "resume: {{ cursor: {{ s: {{ from: sequence }} }}, {restart}, \
         caveat: \" \" }}"
            )
        )
        .contains("it says nothing")
    );
    assert_eq!(resumability(", verify: \"off\", sequence: monotone"), "resume.verify");
    let of = |keys: &str| {
        let keys = format!("resume: {keys}");
        read(&pipeline(URL, &keys), base_dir).unwrap_or_else(|e| panic!("{e}")).0.resumability()
    };
    assert_eq!(of("{ mode: none }"), Resumability::None);
    let weakened =
        |found| matches!(found, Resumability::Weakened { field, .. } if field == "resume.mode");
    assert!(weakened(of("{ mode: replay_all }")));
    let unordered =
        format!("resume: {{ cursor: {{ s: {{ from: sequence, type: opaque }} }}, {restart} }}");
    let (source, _) = read(&pipeline(URL, &unordered), base_dir).expect("an opaque number");
    assert_eq!(source.resumability(), Resumability::Exact);
}
