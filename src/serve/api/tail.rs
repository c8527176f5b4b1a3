//! `/pipelines/{name}/tail`: records as they pass by, as server-sent events.
//!
//! ```text
//! event: record
//! data: {"sink":"out","shard":"feed/eu","session":1,"sequence":7,"value":{…}, …}
//!
//! event: skipped          records that passed by since the last such event
//! data: {"records":120}
//!
//! event: end              the pipeline has ended, or is replaced
//! data: {}
//! ```
//!
//! A reader that is too slow fills its own queue and misses records; the pipeline does not notice
//! (`operators/src/sink/tap.rs`).

use super::answer::{Problem, typed};
use super::limits::{TAIL_HEARTBEAT, TAIL_QUEUE_MAX, TAIL_RATE, TAIL_RATE_MAX, TAIL_STALL_MAX};
use super::operation::{Call, Outcome};
use super::pipelines::entry;
use axum::body::Body;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_engine::spec::{Plan, Role};
use headwater_operators::sink::tap::{Sample, Tail};
use serde::de::IgnoredAny;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// Shows records until one of the two ends.
pub(super) async fn tail(call: Call) -> Outcome {
    let rate = rate(call.query.get("rate").map(String::as_str))?;
    let present = entry(&call)?;
    let running = present.watched.filter(|_| present.view.running_revision.is_some());
    let running = running.and_then(|it| Some((it.tap.clone(), it.plan()?.clone())));
    let (tap, plan) = running.ok_or_else(|| {
        let message = "it does not run here now, so no record passes by";
        Problem::new(StatusCode::CONFLICT, message)
    })?;
    let tail = tap.listen(rate);
    let tail = tail.map_err(|it| Problem::new(StatusCode::TOO_MANY_REQUESTS, it.to_string()))?;
    let (sender, events) = mpsc::channel(TAIL_QUEUE_MAX);
    let sinks = plan_sinks(&plan);
    tokio::spawn(feed(tail, sinks, sender));
    let body = ReceiverStream::new(events).map(Ok::<_, Infallible>);
    Ok(typed(StatusCode::OK, "text/event-stream", Body::from_stream(body)))
}

fn rate(wanted: Option<&str>) -> Result<u32, Problem> {
    let Some(wanted) = wanted else { return Ok(TAIL_RATE) };
    let rate = wanted.parse().ok().filter(|it| (1..=TAIL_RATE_MAX).contains(it));
    rate.ok_or_else(|| Problem::bad(format!("`rate` is a number from 1 to {TAIL_RATE_MAX}")))
}

/// The names of sinks, by their number.
fn plan_sinks(plan: &Arc<Plan>) -> Vec<String> {
    plan.of_role(Role::Sink).map(|node| node.name.clone()).collect()
}

/// Hands records on until the reader or the pipeline is gone.
async fn feed(mut tail: Tail, sinks: Vec<String>, sender: mpsc::Sender<String>) {
    loop {
        let next = tokio::time::timeout(TAIL_HEARTBEAT, tail.next()).await;
        let is_end = matches!(next, Ok(None));
        let mut text = match tail.take_skipped() {
            0 => String::new(),
            records => event("skipped", &json!({ "records": records }).to_string()),
        };
        match next {
            Ok(Some(sample)) => text.push_str(&event("record", &shown(&sample, &sinks))),
            Ok(None) => text.push_str(&event("end", "{}")),
            // A comment, which shows whether anybody is there.
            Err(_) => text.push_str(":\n\n"),
        }
        let sent = tokio::time::timeout(TAIL_STALL_MAX, sender.send(text)).await;
        if is_end || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// A record in one line of JSON. A value that is JSON stands there as it is.
fn shown(sample: &Sample, sinks: &[String]) -> String {
    let Sample { sink, shard, session, sequence, received_unix_ms, value, bytes } = sample;
    let mut head = json!({
        "sink": sinks.get(sink.0 as usize),
        "shard": shard,
        "session": session,
        "sequence": sequence,
        "received_unix_ms": received_unix_ms,
        "bytes": bytes,
    });
    let is_whole = value.len() == *bytes;
    let text = std::str::from_utf8(value).ok();
    let is_line = |text: &&str| !text.contains(['\n', '\r']);
    let is_json = |text: &&str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    if let Some(text) = text.filter(|_| is_whole).filter(is_line).filter(is_json) {
        let head = head.to_string();
        return format!("{},\"value\":{text}}}", &head[..head.len() - 1]);
    }
    match text {
        Some(text) => head["text"] = json!(text),
        None => head["base64"] = json!(STANDARD.encode(value)),
    }
    if !is_whole {
        head["is_cut"] = json!(true);
    }
    head.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::ids::{Sequence, Session, ShardKey, SinkIndex};

    fn show(value: &[u8], bytes: usize) -> serde_json::Value {
        let sample = Sample {
            sink: SinkIndex(0),
            shard: ShardKey("feed/eu".to_owned()),
            session: Session(1),
            sequence: Sequence(7),
            received_unix_ms: 5,
            value: value.to_vec(),
            bytes,
        };
        let line = shown(&sample, &["out".to_owned()]);
        assert!(!line.contains('\n'), "{line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_value_is_shown_as_what_it_is() {
        let json = br#"{"id":18446744073709551615}"#;
        let shown = show(json, json.len());
        assert_eq!(shown["value"]["id"], 18_446_744_073_709_551_615_u64);
        assert_eq!((&shown["sink"], &shown["sequence"]), (&json!("out"), &json!(7)));
        assert_eq!(show(b"plain\ntext", 10)["text"], "plain\ntext");
        assert_eq!(show(b"\xff\x00", 2)["base64"], "/wA=");
        let cut = show(br#"{"id":1"#, 900);
        assert_eq!((&cut["text"], &cut["is_cut"]), (&json!(r#"{"id":1"#), &json!(true)));
    }

    #[test]
    fn a_rate_is_bounded() {
        assert_eq!(rate(None).ok(), Some(TAIL_RATE));
        assert_eq!(rate(Some("5")).ok(), Some(5));
        for wrong in ["0", "-1", "1001", "many", ""] {
            assert!(rate(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
