//! The `headwater` binary as a child: started, watched, killed.
//!
//! The caller gives the path, `env!("CARGO_BIN_EXE_headwater")`, for only Cargo knows it. A test
//! that fails prints the end of the log of every child that is still held.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::metrics::Metrics;
use super::system::{Usage, free_address, signal, usage};
use super::{Answer, get};
use crate::pipeline::Pipeline;

/// How a child is started.
#[derive(Debug)]
pub struct Launch {
    binary: PathBuf,
    folder: TempDir,
    environment: Vec<(String, String)>,
    environment_once: Vec<(String, String)>,
    arguments: Vec<String>,
    starts: u32,
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Headwater {
    child: Child,
    log: PathBuf,
    metrics: SocketAddr,
}

/// So much of a log is shown.
const LOG_LINES_MAX: usize = 60;

impl Launch {
    /// Prepares a folder of its own; the same launch may start many children, one by one or at
    /// once.
    pub fn new(binary: impl Into<PathBuf>) -> Result<Launch> {
        Ok(Launch {
            binary: binary.into(),
            folder: TempDir::with_prefix("headwater-test-")?,
            environment: Vec::new(),
            environment_once: Vec::new(),
            arguments: Vec::new(),
            starts: 0,
        })
    }

    /// Sets a variable of the child's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Launch {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable of the next child's environment, and of no later one's.
    pub fn environment_once(&mut self, name: &str, value: &str) {
        self.environment_once.push((name.to_owned(), value.to_owned()));
    }

    /// Adds an argument of `headwater run`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Launch {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The folder of pipeline files and logs; it goes away with the launch.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the pipeline's file and runs it.
    pub fn run(&mut self, pipeline: &Pipeline) -> Result<Headwater> {
        let file = pipeline.write(self.folder.path())?;
        self.run_files(&[file])
    }

    /// Runs files that are already there.
    pub fn run_files(&mut self, files: &[PathBuf]) -> Result<Headwater> {
        let metrics = free_address()?;
        let mut command = Command::new(&self.binary);
        command.arg("run").args(files).args(["--metrics", &metrics.to_string()]);
        command.args(["--log-format", "text"]).args(&self.arguments);
        self.start(command, metrics)
    }

    /// Serves an API on a free address of loopback.
    pub fn serve(&mut self, arguments: &[&str]) -> Result<Headwater> {
        let api = free_address()?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").args(["--api", &api.to_string(), "--log-format", "text"]);
        // An instance's own address is known here only.
        command.args(arguments.iter().map(|it| it.replace("{api}", &api.to_string())));
        command.args(&self.arguments);
        self.start(command, api)
    }

    fn start(&mut self, mut command: Command, metrics: SocketAddr) -> Result<Headwater> {
        self.starts += 1;
        let log = self.folder.path().join(format!("headwater-{}.log", self.starts));
        let output = File::create(&log)?;
        let once = std::mem::take(&mut self.environment_once);
        let child = command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(once)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        Ok(Headwater { child, log, metrics })
    }
}

impl Headwater {
    /// Where its own HTTP server listens.
    pub fn address(&self) -> SocketAddr {
        self.metrics
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }

    /// Gets a path of its own HTTP server.
    pub fn get(&self, path: &str) -> Result<Answer> {
        get(self.metrics, path)
    }

    /// What `/metrics` says now.
    pub fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(&self.get("/metrics")?.body))
    }

    /// Memory and CPU so far.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.pid())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until `/readyz` says yes.
    pub fn wait_ready(&mut self, timeout: Duration) -> Result<()> {
        self.wait_for("readiness", timeout, |it| it.get("/readyz").is_ok_and(|it| it.status == 200))
    }

    /// Waits until a condition holds; fails at once, with the log, if the child ends before.
    pub fn wait_for(
        &mut self,
        what: &str,
        timeout: Duration,
        mut condition: impl FnMut(&Headwater) -> bool,
    ) -> Result<()> {
        let waited = crate::wait::until_ok(what, timeout, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("headwater ended ({status}) before: {what}");
            }
            Ok(condition(self))
        });
        waited.with_context(|| self.log_end())
    }

    /// Waits until the child ends by itself.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let mut status = None;
        let waited = crate::wait::until_ok("headwater to end", timeout, || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        });
        waited.with_context(|| self.log_end())?;
        status.context("the wait ends with a status")
    }

    /// `kill -9`; returns when the process is gone.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end.
    pub fn sigterm(&self) -> Result<()> {
        signal(self.pid(), "TERM")
    }

    /// Asks it to end, and waits until it has; returns how, and how long that took.
    pub fn stop(&mut self, timeout: Duration) -> Result<(ExitStatus, Duration)> {
        let asked = Instant::now();
        self.sigterm()?;
        let status = self.wait_exit(timeout)?;
        Ok((status, asked.elapsed()))
    }

    fn log_end(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_MAX)..];
        format!("the end of its log:\n{}\n", shown.join("\n"))
    }
}

impl Drop for Headwater {
    fn drop(&mut self) {
        // Whether it is already gone does not matter here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("headwater, process {}: {}", self.pid(), self.log_end());
        }
    }
}
