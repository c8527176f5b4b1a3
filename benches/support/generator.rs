//! The generator as a process of its own: this same program, told to be the telemetry server.
//!
//! Why not the `telemetry-server` binary: Cargo builds that only when its package is asked for, and
//! a stale one beside the benchmark would be measured in silence.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use headwater_telemetry::TelemetryServer;

/// A running generator. It ends when it is dropped, and also when this process dies.
pub struct Generator {
    child: Child,
    answers: BufReader<ChildStdout>,
    endpoint: String,
}

/// The argument that makes a benchmark the generator.
const ARGUMENT: &str = "--generator";

/// Serves, if this process was started as the generator; to be called first in `main`.
pub fn serve_if_asked() -> Result<bool> {
    if !std::env::args().any(|it| it == ARGUMENT) {
        return Ok(false);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(TelemetryServer::start(([127, 0, 0, 1], 0).into()))?;
    println!("{}", server.endpoint());
    // Each line is a question. The parent holds the other end: its end is ours.
    for _ in std::io::stdin().lines().map_while(Result::ok) {
        println!("{}", server.sent());
    }
    runtime.block_on(server.shutdown());
    Ok(true)
}

impl Generator {
    /// Starts the generator.
    pub fn start() -> Result<Generator> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the generator")?;
        let stdout = child.stdout.take().context("the generator's output is piped")?;
        let (mut answers, mut endpoint) = (BufReader::new(stdout), String::new());
        answers.read_line(&mut endpoint)?;
        ensure!(endpoint.starts_with("http"), "the generator did not start: {endpoint:?}");
        Ok(Generator { child, answers, endpoint: endpoint.trim().to_owned() })
    }

    /// Where it serves.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How many events have left it, over all streams since its start.
    pub fn sent(&mut self) -> Result<u64> {
        let mut stdin = self.child.stdin.as_ref().context("the generator's input is piped")?;
        stdin.write_all(b"\n")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().with_context(|| format!("the generator answered {answer:?}"))
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may be gone already.
        let _ = self.child.wait();
    }
}
