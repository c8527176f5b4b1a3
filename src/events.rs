//! `headwater reference logs`: what the Java connector's log lines are called here.
//!
//! Where the event is the same, so is its name; the table says which are, and what stands for the
//! others. `tests/pure/generated.rs` compares the page with this, and looks for each name in the
//! code that writes lines.

use crate::exit::{Exit, Outcome};
use crate::output;
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Log lines

<!-- Printed by `headwater reference logs`; `just update-expected` writes it anew. -->

Lines are `key=value` pairs on standard error, or JSON objects with `--log-format json`; each has an
`event`, whose name does not change without a note in the change log. `--log-level` says which are
written: a level, or `target=level` pairs.

## From the Java connector's lines

The Java connector's lines have an `event` too. Where the event is the same, it has the same name
here; the others are listed with what stands for them.

| the connector's event | here | what is different |
|---|---|---|
";

const FIELDS_HEAD: &str = "
The fields that the connector puts on every line:

| the connector's field | here | what is different |
|---|---|---|
";

/// One row: the connector's name, ours (none: nothing is logged), and what is different.
struct Row(&'static str, Option<&'static str>, &'static str);

const EVENTS: [Row; 12] = [
    Row(
        "task_started",
        Some("pipeline_acquired"),
        "when this instance owns the pipeline and no call is open yet: there are no tasks",
    ),
    Row("streaming_started", Some("streaming_started"), "per shard, when the server has accepted"),
    Row(
        "stream_error",
        Some("stream_error"),
        "with the gRPC status in `code`; the server's, the connection's, or a message that cannot \
         be passed. A call that this program ends itself is `call_ended`",
    ),
    Row("stream_completed", Some("stream_completed"), "the server has ended the stream"),
    Row("reconnect_scheduled", Some("reconnect_scheduled"), "with `attempt`, `delay_ms`, `reason`"),
    Row("reconnect_executing", Some("reconnect_executing"), "with `attempt`"),
    Row(
        "queue_high_utilization",
        None,
        "a full queue slows the server, as it should; \
         `rate(headwater_source_waiting_seconds_total[5m])` is the share of time in which it does",
    ),
    Row("message_dropped", None, "no message is dropped"),
    Row(
        "sequence_gap_detected",
        Some("sequence_gap_detected"),
        "messages that the *server* left out, by its own numbers; the connector looks for gaps in \
         numbers that it gives itself",
    ),
    Row(
        "offset_restored",
        Some("offset_restored"),
        "per shard; the call does go on there, where the connector reads its offset and begins anew",
    ),
    Row(
        "task_metrics",
        Some("task_metrics"),
        "per pipeline, every 30 s, with its state in `status`; only if it is asked for: \
         `--log-level info,task_metrics=debug`",
    ),
    Row(
        "message_draining_completed",
        Some("pipeline_stopped"),
        "all that was received is committed; `pipeline_not_drained` says that it is not",
    ),
];

const FIELDS: [Row; 5] = [
    Row("connector_name", Some("pipeline"), ""),
    Row("grpc_server", Some("shard"), "a part of it; `server` where a call is opened"),
    Row("grpc_method", Some("source"), "the node of the pipeline file that names the method"),
    Row("kafka_topic", None, "a pipeline may have many; `headwater explain FILE` lists them"),
    Row("session_id", Some("session"), "a number that grows with each call, also over restarts"),
];

/// Prints the page in Markdown.
pub(crate) fn print() -> Outcome {
    output::print(&markdown());
    Ok(Exit::Done)
}

fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    EVENTS.iter().for_each(|row| write_row(&mut out, row));
    out.push_str(FIELDS_HEAD);
    FIELDS.iter().for_each(|row| write_row(&mut out, row));
    out
}

fn write_row(out: &mut String, Row(theirs, ours, different): &Row) {
    let ours = ours.map_or("–".to_owned(), |name| format!("`{name}`"));
    let _ = writeln!(out, "| `{theirs}` | {ours} | {different} |");
}
