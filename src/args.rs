//! The command line, as types; clap makes parser, help and completions of them. The commands are
//! here, what each takes is in `args/`.

mod files;
mod measure;
mod otlp;
mod run;
mod stored;

use crate::exit;
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
pub(crate) use files::{Convert, Describe, File, Files, Graph, GraphFormat, Init, Origin, Presets};
pub(crate) use measure::{Bench, BenchBroker, Demo};
pub(crate) use otlp::{Otlp, OtlpProtocol};
pub(crate) use run::{ApiAccess, LogFormat, Logs, Metrics, Run, Serve};
use std::path::PathBuf;
pub(crate) use stored::{AbortTransactions, ListTransactions, Offsets, Reset, Show, Transactions};

/// Streams gRPC server streams into Kafka, exactly once.
///
/// A pipeline file names sources, decoders and sinks. `headwater demo` shows one at work without
/// any set-up; `headwater validate FILE` checks one of yours; `headwater run FILE` runs it.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, max_term_width = 100, after_help = exit::table())]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run pipelines until they end or are asked to stop.
    ///
    /// All files are checked before anything is contacted. Ctrl-C or SIGTERM stops: the pipelines
    /// commit what they have received and leave. A second signal leaves at once; the next start
    /// then goes on behind the last commit.
    #[command(after_help = "Examples:\n  \
        headwater run orders.yaml\n  \
        headwater run orders.yaml devices.yaml --log-format json --metrics 0.0.0.0:9464")]
    Run(Run),

    /// Run pipelines that are made, changed and deleted over REST while the process runs.
    ///
    /// What it is told is kept in a compacted Kafka topic, and nothing on this machine: a restart,
    /// or another instance, brings everything back. Of several instances with one topic, one runs
    /// the pipelines and the others wait.
    #[command(after_help = "Examples:\n  \
        headwater serve --brokers localhost:9092\n  \
        curl --data-binary @orders.yaml http://localhost:8083/pipelines\n  \
        headwater serve --brokers kafka:9092 --api 0.0.0.0:8083 \\\n    \
        --token-file /run/secrets/tokens \\\n    \
        --tls-certificate server.pem --tls-key server.key")]
    Serve(Serve),

    /// Check pipeline files and name all their mistakes.
    ///
    /// Nothing is contacted, unless --online asks the servers of files with
    /// `descriptors.reflection` for their types. Every mistake comes with its line, what was
    /// expected and what to do.
    #[command(
        visible_alias = "check",
        after_help = "Examples:\n  \
        headwater validate pipelines/*.yaml\n  \
        headwater validate --online orders.yaml"
    )]
    Validate(Files),

    /// Show what a pipeline file comes to: nodes, shards, topics, and what each stream is promised.
    ///
    /// Where a stream does not reach exactly_once, the field that weakens it is named.
    #[command(after_help = "Example:\n  headwater explain orders.yaml")]
    Explain(File),

    /// Draw a pipeline file's graph.
    #[command(after_help = "Examples:\n  \
        headwater graph orders.yaml\n  \
        headwater graph orders.yaml --format dot | dot -Tsvg > orders.svg")]
    Graph(Graph),

    /// Show what a server offers: its services, or one of them, a method, a message, an enum.
    ///
    /// Asks the server by gRPC server reflection. With --descriptors or --proto nothing is
    /// contacted, and ENDPOINT is left out.
    #[command(
        override_usage = "headwater describe [OPTIONS] [ENDPOINT] [NAME]",
        after_help = "Examples:\n  \
        headwater describe http://localhost:50051\n  \
        headwater describe localhost:50051 --plaintext bench.v1.Telemetry\n  \
        headwater describe https://api.example:443 bench.v1.Telemetry/Subscribe \\\n    \
        --metadata 'authorization=Bearer ${env:TOKEN}'\n  \
        headwater describe --proto telemetry.proto bench.v1.Event"
    )]
    Describe(Describe),

    /// Write a first pipeline file for a method, with guesses at what resumes it.
    ///
    /// Asks the server for the types, or reads them with --descriptors or --proto. What is guessed
    /// is explained in the file: read it through before you run it.
    #[command(after_help = "Examples:\n  \
        headwater init http://localhost:50051 bench.v1.Telemetry/Subscribe\n  \
        headwater init https://api.example:443 shop.v1.Orders/Watch --output orders.yaml")]
    Init(Init),

    /// Make pipeline files of connectors' configurations.
    ///
    /// Reads what is posted to Kafka Connect for Conduktor's gRPC source connector, and writes the
    /// pipeline that does the same, with comments on what is stronger now. Nothing is contacted.
    #[command(after_help = "Examples:\n  \
        headwater convert connector.json --brokers kafka:9092 --output orders.yaml\n  \
        headwater convert *.json --worker connect-distributed.properties --output pipelines/")]
    Convert(Convert),

    /// List the presets of sources for known APIs, or print one.
    #[command(after_help = "Examples:\n  \
        headwater presets\n  \
        headwater presets kurrentdb")]
    Presets(Presets),

    /// Print the JSON Schema of pipeline files, for editors.
    #[command(after_help = "Example:\n  \
        headwater schema > pipeline.schema.json\n\n\
        Then begin a pipeline file with\n  \
        # yaml-language-server: $schema=pipeline.schema.json")]
    Schema,

    /// Print the reference of pipeline files: every key, its values, its default, its meaning.
    #[command(after_help = "Examples:\n  \
        headwater reference | less\n  \
        headwater reference metrics | less\n  \
        headwater reference logs | less")]
    Reference {
        /// What it is about.
        #[arg(value_name = "ABOUT", default_value = "pipelines")]
        about: About,
    },

    /// Show or forget where a pipeline stands.
    #[command(subcommand)]
    Offsets(Offsets),

    /// Show or end what a pipeline may hold open in Kafka.
    #[command(subcommand)]
    Transactions(Transactions),

    /// Show a gRPC stream arriving in Kafka exactly once, with nothing to set up.
    ///
    /// Starts a sample gRPC server, a development broker and a pipeline between them, reads the
    /// topic back, and compares at the end what was sent with what was read.
    #[command(after_help = "Examples:\n  \
        headwater demo\n  \
        headwater demo --rate 20000 --duration 30\n  \
        headwater demo --kafka localhost:9092\n\n\
        While it runs, any Kafka client can read the topic; the address is shown at the start.")]
    Demo(Demo),

    /// Measure how fast a pipeline goes here, and how late its records are.
    ///
    /// Runs the pipeline beside the real one: under another name, from the beginning of its
    /// streams, into topics of its own that are deleted at the end. Neither the topics nor the
    /// progress of the real pipeline are touched. Its servers see one client more; with
    /// `--generate` none of them is called.
    #[command(after_help = "Examples:\n  \
        headwater bench orders.yaml\n  \
        headwater bench orders.yaml --generate --broker embedded\n  \
        headwater bench orders.yaml --generate --rate 10000 --histogram orders.hgrm --plot \
        orders.svg")]
    Bench(Bench),

    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  \
        headwater completions bash > /etc/bash_completion.d/headwater")]
    Completions {
        /// The shell.
        shell: Shell,
    },

    /// Write a man page for every command into a folder; packages do.
    #[command(hide = true)]
    Man {
        /// The folder; it is made if it is not there.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

/// What a reference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum About {
    /// The keys of pipeline files.
    Pipelines,
    /// The series that `/metrics` serves.
    Metrics,
    /// Log lines, beside those of the Java connector.
    Logs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
