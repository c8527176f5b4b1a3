//! The options all benchmarks take.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use headwater_test_support::kafka::Cluster;

/// The options all benchmarks take.
#[derive(Debug, Args)]
pub struct Common {
    /// The broker to start; `KAFKA_BOOTSTRAP` names one to use instead. [default: apache; toy:
    /// embedded]
    #[arg(long, value_enum)]
    broker: Option<Broker>,

    /// Only cases whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// A size that takes seconds: shows that the benchmark works, and measures nothing.
    #[arg(long)]
    toy: bool,

    /// A property of the Kafka client that pipelines are to have, as KEY=VALUE; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    property: Vec<String>,

    /// Writes the results here, for machines.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Given by `cargo bench`; without it (`cargo test --benches`) the size is toy.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Broker {
    /// Apache Kafka, by scripts/kafka.
    Apache,
    /// The development broker, inside the benchmark's process.
    Embedded,
}

impl Common {
    /// Whether nothing is to be measured.
    pub fn is_toy(&self) -> bool {
        self.toy || !self.bench
    }

    /// Whether a case is to be run.
    pub fn wants(&self, case: &str) -> bool {
        self.only.as_ref().is_none_or(|it| case.contains(it))
    }

    /// More lines of a pipeline's sink.
    pub fn sink_extra(&self) -> Vec<String> {
        let pairs = self.property.iter().filter_map(|it| it.split_once('='));
        let lines: Vec<String> = pairs.map(|(key, value)| format!("  {key}: {value}")).collect();
        if lines.is_empty() {
            Vec::new()
        } else {
            vec![format!("properties:\n{}", lines.join("\n"))]
        }
    }

    /// The cluster to write to.
    pub fn cluster(&self) -> Result<Cluster> {
        match (self.broker, Cluster::from_environment()) {
            (None, Some(given)) => Ok(given),
            (None, None) if self.is_toy() => Cluster::embedded(),
            (Some(Broker::Embedded), _) => Cluster::embedded(),
            (Some(Broker::Apache) | None, _) => Cluster::apache(),
        }
    }

    /// Writes the results for machines, if they were asked for.
    pub fn write_json(&self, results: &serde_json::Value) -> Result<()> {
        match &self.json {
            Some(path) => write(path, &format!("{results:#}\n")),
            None => Ok(()),
        }
    }
}

/// Writes a file and the folders on its way.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
