//! The processes under test: one, at times two; each start with other numbers of workers and
//! producers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_test_support::process::{Headwater, Launch, signal};
use rand::Rng;
use rand::rngs::StdRng;

use crate::stream::Stream;

/// All instances, the oldest first.
pub(crate) struct Engines {
    launch: Launch,
    running: Vec<Headwater>,
    pub(crate) tally: Tally,
}

/// What became of the instances.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) starts: u64,
    /// How often with so many (workers, producers).
    pub(crate) shapes: BTreeMap<(u32, u32), u64>,
    /// Exit codes of those that were asked to end.
    pub(crate) stops: BTreeMap<String, u64>,
    pub(crate) rss_bytes_max: u64,
    pub(crate) violations: Vec<String>,
}

/// How long an instance may take to end that was asked to; its own limit is 30 s.
const STOP_MAX: Duration = Duration::from_secs(90);

/// What instances may say when asked to end: done, or not everything was committed in time.
const STOP_CODES: [i32; 2] = [0, 75];

impl Engines {
    /// None is running yet.
    pub(crate) fn new(binary: impl Into<PathBuf>) -> Result<Engines> {
        let launch = Launch::new(binary)?;
        Ok(Engines { launch, running: Vec::new(), tally: Tally::default() })
    }

    /// How many are running.
    pub(crate) fn count(&self) -> usize {
        self.running.len()
    }

    /// Starts one more.
    pub(crate) fn start(&mut self, streams: &mut [Stream], random: &mut StdRng) -> Result<()> {
        let shape = (random.random_range(1..=3), random.random_range(1..=3));
        self.tally.starts += 1;
        *self.tally.shapes.entry(shape).or_default() += 1;
        let mut files = Vec::new();
        for stream in streams {
            (stream.pipeline.workers, stream.pipeline.ring) = (shape.0, Some(shape.1));
            // Each start has its own files: none changes under the eyes of one that is reading it.
            let folder = self.launch.folder().join(format!("start-{}", self.tally.starts));
            fs::create_dir_all(&folder)?;
            let file = stream.pipeline.write(&folder)?;
            fs::write(&file, stream.file())?;
            files.push(file);
        }
        self.running.push(self.launch.run_files(&files)?);
        Ok(())
    }

    /// Kills the oldest or the newest.
    pub(crate) fn kill(&mut self, place: Place) -> Result<()> {
        self.take(place).kill9()
    }

    /// Asks the oldest or the newest to end.
    pub(crate) fn stop(&mut self, place: Place) -> Result<()> {
        let mut engine = self.take(place);
        match engine.stop(STOP_MAX) {
            Ok((status, _)) => {
                *self.tally.stops.entry(status.to_string()).or_default() += 1;
                if !status.code().is_some_and(|it| STOP_CODES.contains(&it)) {
                    self.tally.violations.push(format!("asked to end, it ended with {status}"));
                }
            }
            Err(error) => self.tally.violations.push(format!("asked to end: {error:#}")),
        }
        Ok(())
    }

    /// Freezes the oldest.
    pub(crate) fn freeze(&self) -> Result<()> {
        signal(self.running[0].pid(), "STOP")
    }

    /// Ends that.
    pub(crate) fn thaw(&self) -> Result<()> {
        signal(self.running[0].pid(), "CONT")
    }

    /// Waits until the only one has ended by itself, and well.
    pub(crate) fn wait_end(&mut self, patience: Duration) -> Result<()> {
        let mut engine = self.take(Place::Oldest);
        let status = engine.wait_exit(patience)?;
        if status.code() != Some(0) {
            self.tally.violations.push(format!("at the end of all streams: {status}"));
        }
        Ok(())
    }

    /// Takes memory; whoever has ended unasked is a violation, and leaves.
    pub(crate) fn look(&mut self) -> Result<()> {
        let mut number = 0;
        while number < self.running.len() {
            if self.running[number].has_ended()? {
                let mut gone = self.running.remove(number);
                let status = gone.wait_exit(STOP_MAX)?;
                self.tally.violations.push(format!("process {} ended: {status}", gone.pid()));
                continue;
            }
            if let Ok(usage) = self.running[number].usage() {
                self.tally.rss_bytes_max = self.tally.rss_bytes_max.max(usage.rss_bytes_max);
            }
            number += 1;
        }
        Ok(())
    }

    /// Copies all logs and pipeline files.
    pub(crate) fn keep(&self, to: &Path) -> Result<()> {
        for entry in fs::read_dir(self.launch.folder())? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "log") {
                let name = path.file_name().context("a log has a name")?;
                fs::copy(&path, to.join(name))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, place: Place) -> Headwater {
        match place {
            Place::Oldest => self.running.remove(0),
            Place::Newest => self.running.pop().expect("one at least is running"),
        }
    }
}

/// Which instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Oldest,
    Newest,
}
