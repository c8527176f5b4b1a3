//! The sink for trying things out: one line a record.
//!
//! JSON is printed as it is (proto3 JSON has no line breaks), a tombstone as `null`; raw bytes are
//! printed as base64. A slow reader of the pipe slows the pipeline, like any other sink. Dead
//! letters go to standard error.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use headwater_engine::record::{Batch, DeadLetter};
use headwater_engine::spec::{Checked, Encoding, KindEntry, NodeView, Report, Role};
use schemars::JsonSchema;
use serde::Deserialize;
use std::io::{self, Write};

/// Prints one line a record to standard output.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdoutConfig {}

/// The checked sink.
#[derive(Clone, Debug)]
pub struct StdoutSink {
    is_raw: bool,
}

/// The kind's entry.
#[must_use]
pub fn entry() -> KindEntry {
    KindEntry {
        role: Role::Sink,
        name: "stdout",
        summary: "Prints one line a record to standard output: for trying things out.",
        schema: |generator| StdoutConfig::json_schema(generator),
        check,
    }
}

fn check(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let _: StdoutConfig = view.parse(report)?;
    let is_raw = view.inputs.iter().any(|(_, input)| input.encoding == Some(Encoding::Raw));
    Some(Checked::sink(StdoutSink { is_raw }))
}

impl StdoutSink {
    /// Prints the batch's records, then flushes.
    ///
    /// # Errors
    /// What the operating system says, for example that the reader of a pipe has gone.
    pub fn print(&self, batch: &Batch) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let mut line = Vec::new();
        for value in batch.values.iter() {
            line.clear();
            if self.is_raw {
                line.extend_from_slice(STANDARD.encode(value).as_bytes());
            } else if value.is_empty() {
                line.extend_from_slice(b"null");
            } else {
                line.extend_from_slice(value);
            }
            line.push(b'\n');
            out.write_all(&line)?;
        }
        batch.dead.iter().try_for_each(|dead| Self::print_dead(batch, dead))?;
        out.flush()
    }

    fn print_dead(batch: &Batch, dead: &DeadLetter) -> io::Result<()> {
        let DeadLetter { node, sequence, reason, raw } = dead;
        let raw = STANDARD.encode(raw);
        let session = batch.session;
        writeln!(
            io::stderr(),
            "dead letter: node={node} session={session} sequence={sequence} reason={reason:?} raw={raw}"
        )
    }
}
