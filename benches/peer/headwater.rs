//! `headwater run`, with the pipeline that says what the connector's configuration says: JSON into
//! a topic, without keys. It adds the promise: exactly once.

use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_test_support::pipeline::Pipeline;
use headwater_test_support::process::{self, Launch, Usage};

use crate::subject::{Run, Seen, Subject, Work};
use crate::support::SETTLE_MAX;

/// The program under `target`.
pub struct Headwater;

struct Running {
    process: process::Headwater,
    /// Holds the folder of the pipeline's file.
    _launch: Launch,
}

impl Subject for Headwater {
    fn name(&self) -> &'static str {
        "headwater"
    }

    fn is_exactly_once(&self) -> bool {
        true
    }

    fn start(&self, work: &Work<'_>) -> Result<Box<dyn Run>> {
        let mut pipeline = Pipeline {
            name: work.name.to_owned(),
            topic: work.name.to_owned(),
            partitions: None,
            ..Pipeline::new(work.endpoint, work.brokers)
        };
        for (field, value) in work.load.request() {
            pipeline = pipeline.request(field, value);
        }
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let process = launch.run(&pipeline)?;
        Ok(Box::new(Running { process, _launch: launch }))
    }
}

impl Run for Running {
    fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }

    fn wait_open(&mut self) -> Result<()> {
        self.process.wait_ready(SETTLE_MAX)
    }

    /// It ends with the stream, and not before everything is committed.
    fn is_done(&mut self, _: Seen) -> Result<bool> {
        if !self.process.has_ended()? {
            return Ok(false);
        }
        let status = self.process.wait_exit(Duration::ZERO)?;
        ensure!(status.success(), "headwater ended with {status}:\n{}", self.log_end());
        Ok(true)
    }

    fn log_end(&self) -> String {
        self.process.log().unwrap_or_default()
    }
}
