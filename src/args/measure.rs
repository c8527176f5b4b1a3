//! What brings a world of its own along: `demo` and `bench`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Use this Kafka cluster instead of the built-in development broker.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka: Option<String>,

    /// Events per second.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) rate: u64,

    /// Stop after so many seconds. Left out: run until Ctrl-C.
    #[arg(long, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) duration: Option<u64>,

    /// Port of the built-in broker; 0 takes a free one. Left out: 9092, or a free one if that is
    /// taken.
    #[arg(long, value_name = "PORT", conflicts_with = "kafka")]
    pub(crate) port: Option<u16>,

    /// Print plain lines, also on a terminal.
    #[arg(long)]
    pub(crate) plain: bool,

    /// Which log lines are written: a level, or `target=level` pairs.
    #[arg(long, value_name = "LEVEL", default_value = "error", env = "HEADWATER_LOG")]
    pub(crate) log_level: String,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The pipeline file; `-` reads it from standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// How long is measured. Left out: 30, or with `--messages` until all have arrived.
    #[arg(long, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) duration: Option<u64>,

    /// How long the pipeline runs before, from its first message on. 0 measures the whole run.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) warm_up: u64,

    /// Which broker is written to.
    #[arg(long, value_name = "BROKER", default_value = "file")]
    pub(crate) broker: BenchBroker,

    /// Call a generator instead of the file's servers: it answers with messages of the pipeline's
    /// own type, numbered in the fields of the cursor.
    #[arg(long)]
    pub(crate) generate: bool,

    #[command(flatten)]
    pub(crate) generator: Generated,

    /// Leave the topics that were written.
    #[arg(long)]
    pub(crate) keep: bool,

    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the latencies as HdrHistogram's percentile text (`.hgrm`), in milliseconds.
    #[arg(long, value_name = "FILE")]
    pub(crate) histogram: Option<PathBuf>,

    /// Draw the latencies by percentile, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Show no live line on the terminal.
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Which log lines are written: a level, or `target=level` pairs.
    #[arg(long, value_name = "LEVEL", default_value = "warn", env = "HEADWATER_LOG")]
    pub(crate) log_level: String,
}

/// What is generated.
#[derive(Debug, Args)]
pub(crate) struct Generated {
    /// Messages per second and shard. Left out: as many as flow control lets through.
    #[arg(long, value_name = "N", requires = "generate")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: Option<u64>,

    /// End after so many messages of each shard.
    #[arg(long, value_name = "N", requires = "generate")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: Option<u64>,

    /// Grow texts and bytes until a message has about this size.
    #[arg(long, value_name = "BYTES", requires = "generate")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=67_108_864))]
    pub(crate) message_bytes: Option<u32>,

    /// What the messages' contents are drawn from. [default: 1]
    #[arg(long, value_name = "N", requires = "generate")]
    pub(crate) seed: Option<u64>,
}

/// Which broker a bench writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchBroker {
    /// That of the pipeline file.
    File,
    /// The development broker, in memory, in a process of its own.
    Embedded,
}
