//! The keys of the request stream: every mistake in one run, at its place.

use super::read;
use headwater_operators::source::Resumability;

const URL: &str = "http://localhost:50051";

fn errors(method: &str, keys: &str) -> String {
    match read(URL, method, keys) {
        Ok(_) => panic!("expected an error:\n{keys}"),
        Err(diagnostics) => diagnostics.to_string(),
    }
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let text = errors(
        "Follow",
        "request: { topc: x }
    stream:
      open: [{ topic: 7 }, {}, { toppic: a }]
      reply:
        - { when: has(pin), send: { png: { id: \"${message.ping.id}\" } } }
        - { when: \"ping.id = 1\", send: { pong: { id: \"${message.ping.note}\" } } }
        - { when: has(ping), send: { pong: { id: \"${message.ping.di}\" } } }
      credit: { field: num_requestd, window: 10, count: \"itms[]\", set: { frm: 1 } }
      ack:
        field: ack_idz
        from: \"items[].ack_idd\"
        set: { topicc: b }
        extend: { field: deadline_idz, seconds_field: topic, seconds: 10, interval_ms: 10000 }",
    );
    let expected = [
        "\"topic\"",
        "expected a string, found 7",
        "\"toppic\"",
        "no field \"pin\"",
        "no field \"png\"",
        "at character 9 of the predicate",
        "field \"ping.note\" is of type string",
        "no field \"di\"",
        "did you mean \"num_requested\"",
        "did you mean \"items\"",
        "did you mean \"from\"",
        "did you mean \"ack_ids\"",
        "did you mean \"ack_id\"",
        "\"topicc\"",
        "did you mean \"deadline_ids\"",
        "field \"topic\" is a string",
        "the time runs out before more is asked for",
    ];
    for part in expected {
        assert!(text.contains(part), "{part} is missing from:\n{text}");
    }
}

#[test]
fn one_mistake_gives_one_finding() {
    let credit = |rest: &str| format!("stream: {{ credit: {{ window: 10, {rest} }} }}");
    let ack = |rest: &str| format!("stream: {{ ack: {{ {rest} }} }}");
    let extend = |rest: &str| {
        ack(&format!(
            "field: ack_ids, from: \"items[].ack_id\", extend: {{ seconds: 10, interval_ms: 1000, \
             {rest} }}"
        ))
    };
    let cases: [(String, &str); 13] = [
        (credit("field: topic"), "expected: an integer"),
        (credit("field: deadline_seconds"), "a list, each element"),
        (credit("field: num_requested, count: ping.id"), "leads to one value at most"),
        (credit("field: num_requested, count: \"ping[].id\""), "is not a list"),
        (credit("field: pong"), "expected: an integer"),
        (credit("field: commit.nmber"), "did you mean \"number\""),
        (credit("field: commit.numbers.x"), "is not a single message"),
        (ack("field: ack_ids, from: \"items[].number\""), "which field \"ack_ids\" cannot hold"),
        (ack("field: ack_ids, from: \"items.ack_id\""), "is repeated"),
        (ack("field: commit.numbers, from: \"items[].ack_id\""), "cannot hold"),
        (ack("field: commit.number, from: \"items[].number\", take: oldest"), "oldest"),
        (extend("field: deadline_ids, seconds_field: topic"), "expected: an integer"),
        (extend("field: topic, seconds_field: deadline_seconds"), "a list that holds"),
    ];
    for (keys, expected) in cases {
        let text = errors("Follow", &keys);
        assert!(text.contains(expected), "{keys}: {expected} is missing from:\n{text}");
        assert_eq!(text.matches("error:").count(), 1, "{keys}:\n{text}");
    }
}

#[test]
fn a_mode_of_acks_needs_acks_and_no_cursor() {
    let ack = "stream: { ack: { field: ack_ids, from: \"items[].ack_id\" } }";
    let text = errors("Follow", "resume: { mode: ack }");
    assert!(text.contains("`mode: ack` needs `stream.ack`"), "{text}");
    let text = errors(
        "Follow",
        &format!("{ack}\n    resume: {{ mode: ack, cursor: {{ n: {{ from: ping.id }} }} }}"),
    );
    assert!(text.contains("`cursor` means nothing with `mode: ack`"), "{text}");
    let source = |more: &str| {
        let keys = format!("{ack}\n    resume: {{ mode: ack{more} }}");
        read(URL, "Follow", &keys).unwrap_or_else(|errors| panic!("{errors}")).resumability()
    };
    assert_eq!(source(""), Resumability::Acknowledged { window: None });
    let known = source(", dedupe: { key: \"@payload\", window: 10 }");
    assert_eq!(known, Resumability::Acknowledged { window: None }, "lists come in other company");
}

#[test]
fn acks_and_a_mode_without_resume_contradict_each_other() {
    let text = errors(
        "Follow",
        "stream: { ack: { field: ack_ids, from: \"items[].ack_id\" } }\n    resume: { mode: none }",
    );
    assert!(text.contains("`mode: none`") && text.contains("`mode: ack`"), "{text}");
}

/// What a source with this dedupe is, and what it is warned of.
fn judged(dedupe: &str, endpoints: Option<&str>) -> (Resumability, String) {
    let keys = format!(
        "stream: {{ ack: {{ field: ack_ids, from: \"items[0].ack_id\" }} }}
    resume: {{ mode: ack, dedupe: {{ window: 500, {dedupe} }} }}"
    );
    let text = super::pipeline(URL, "Follow", &keys);
    let text = match endpoints {
        None => text,
        Some(endpoints) => text.replace(&format!("endpoint: {URL}"), endpoints),
    };
    let base_dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    match crate::world::read(&text, base_dir) {
        Ok((source, warnings)) => (source.resumability(), warnings.join("\n")),
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

#[test]
fn a_window_counts_only_where_its_keys_outlive_a_delivery() {
    let once = Resumability::Acknowledged { window: Some(500) };
    let more = Resumability::Acknowledged { window: None };
    for key in ["\"items[0].number\"", "[\"items[0].number\", ping.id]"] {
        assert_eq!(judged(&format!("key: {key}"), None), (once.clone(), String::new()), "{key}");
    }
    let of_a_delivery =
        ["\"@payload\"", "\"items[0].ack_id\"", "[\"items[0].number\", \"items[0].ack_id\"]"];
    for key in of_a_delivery {
        let (resumability, warning) = judged(&format!("key: {key}"), None);
        assert_eq!(resumability, more, "{key}");
        assert!(warning.contains("stream.ack.from"), "{key}: {warning}");
    }
}

#[test]
fn a_window_counts_only_where_one_shard_takes_a_subscription() {
    let key = "key: \"items[0].number\"";
    let more = Resumability::Acknowledged { window: None };
    let same = "endpoints: [\"http://a:1\", \"http://b:1\"]";
    assert_eq!(judged(key, Some(same)).0, more, "the other one may get it again");
    let shared = format!("{key}, scope: upstreams");
    assert_eq!(judged(&shared, Some(same)).0, more, "one may be behind the window");
    let own = "endpoints: [{ url: \"http://a:1\", request: { topic: a } }, \
               { url: \"http://a:1\", request: { topic: b }, name: b }]";
    let window = Resumability::Acknowledged { window: Some(500) };
    assert_eq!(judged(key, Some(own)).0, window, "each has a subscription of its own");
}

#[test]
fn a_method_that_takes_one_request_has_no_request_stream() {
    let text = errors("Watch", "stream: { open: [] }");
    assert!(text.contains("the method takes one request"), "{text}");
    assert!(read(URL, "Watch", "request: {}").is_ok());
    assert!(read(URL, "Follow", "request: {}").is_ok(), "its request stream just stays open");
}
