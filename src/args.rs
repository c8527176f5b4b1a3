//! The command line, as types; clap makes parser, help and completions of them.

use crate::exit;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use headwater_operators::sink::kafka::AcceptChange;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

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
        headwater reference metrics | less")]
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
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Pipeline files; `-` reads one from standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Where to serve /metrics, /healthz and /readyz; `off` serves nothing.
    ///
    /// Left out: 127.0.0.1:9464, and without it if that port is taken.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<Metrics>,

    /// Serve the API of `headwater serve` here, to look at these pipelines; what changes them is
    /// refused.
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) api: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) access: ApiAccess,

    #[command(flatten)]
    pub(crate) logs: Logs,

    /// What to do with the stored position of a stream whose server, method, request or cursor
    /// mapping has changed. Left out: refuse to start.
    #[arg(long, value_name = "HOW")]
    pub(crate) accept_change: Option<Change>,

    /// Show no live line on the terminal.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Bootstrap servers of the Kafka cluster that holds the config topic, separated by commas.
    #[arg(long, value_name = "HOST:PORT", env = "HEADWATER_BROKERS")]
    pub(crate) brokers: String,

    /// The topic that keeps what this process was told; made if it is missing.
    #[arg(long, value_name = "TOPIC", default_value = "headwater-configs")]
    pub(crate) config_topic: String,

    /// Copies of the config topic, where it is made. Left out: as many as the cluster makes by
    /// itself.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) config_replication: Option<u8>,

    /// Properties of the Kafka client of the config topic, `key=value` lines; values may hold
    /// `${env:NAME}` and `${file:PATH}`. Pipelines have their own.
    #[arg(long, value_name = "FILE")]
    pub(crate) kafka_config: Option<PathBuf>,

    /// One such property; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) property: Vec<(String, String)>,

    /// Where the API listens.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8083", value_parser = address)]
    pub(crate) api: SocketAddr,

    /// The URL under which others reach this instance; it is told to who asks another one.
    #[arg(long, value_name = "URL")]
    pub(crate) advertise: Option<String>,

    #[command(flatten)]
    pub(crate) access: ApiAccess,

    /// What relative paths in pipeline files are relative to.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) base_dir: PathBuf,

    /// Worker threads for all pipelines together; `workers` in a pipeline file means nothing here.
    /// Left out: one per core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) workers: Option<u8>,

    /// How long the instance that runs the pipelines must be silent before another one does.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(2..=3_600))]
    pub(crate) takeover_after: u64,

    /// Where else to serve /metrics, /healthz and /readyz, without authentication; the API has them
    /// too.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<Metrics>,

    #[command(flatten)]
    pub(crate) logs: Logs,
}

/// Who may ask the API.
#[derive(Debug, Args)]
pub(crate) struct ApiAccess {
    /// Tokens, one a line, of which a request must show one (`Authorization: Bearer TOKEN`). The
    /// file is read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// The API's certificate, with its chain, as PEM; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The private key of --tls-certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Certificate authorities of clients, as PEM: a client must show a certificate of theirs.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// Let everybody in who can reach an address of other machines, without authentication.
    #[arg(long)]
    pub(crate) insecure_api: bool,

    /// Requests a second that one client of the API may make, and twice as many at once.
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) api_rate: u32,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let address = text.replace("localhost:", "127.0.0.1:").parse();
    address.map_err(|_| "expected `IP:PORT`".to_owned())
}

/// What to do with the position of a stream that is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Change {
    /// Go on from it: it still means the same place.
    Resume,
    /// Forget it: the stream begins as if for the first time.
    Reset,
}

impl From<Change> for AcceptChange {
    fn from(change: Change) -> Self {
        match change {
            Change::Resume => AcceptChange::Resume,
            Change::Reset => AcceptChange::Reset,
        }
    }
}

/// How log lines look, and which are written.
#[derive(Clone, Debug, Args)]
pub(crate) struct Logs {
    /// How log lines look; they go to standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// Which log lines are written: a level, or `target=level` pairs.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "HEADWATER_LOG")]
    pub(crate) log_level: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// key=value pairs.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metrics {
    Off,
    At(SocketAddr),
}

impl FromStr for Metrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Metrics::Off);
        }
        let address = text.replace("localhost:", "127.0.0.1:").parse();
        address.map(Metrics::At).map_err(|_| "expected `IP:PORT` or `off`".to_owned())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Pipeline files; `-` reads one from standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) online: Online,
}

#[derive(Debug, Args)]
pub(crate) struct File {
    /// The pipeline file; `-` reads it from standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) online: Online,
}

/// Whether a command that only looks may contact servers.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Online {
    /// Ask the servers of sources with `descriptors.reflection` for their types.
    #[arg(long = "online")]
    pub(crate) is_asked: bool,
}

/// Where a command that shows types takes them from.
#[derive(Debug, Args)]
pub(crate) struct Origin {
    /// Take HOST:PORT for http:// instead of https://.
    #[arg(long)]
    pub(crate) plaintext: bool,

    /// Metadata sent to the server; may be given several times. `${env:NAME}` and `${file:PATH}`
    /// stand for what should not be in the history of a shell.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) metadata: Vec<(String, String)>,

    /// Certificate authorities to trust instead of the system's, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// This client's certificate, with its chain, as PEM; needs --key-file.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_file: Option<PathBuf>,

    /// The private key of --certificate-file, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// The name the server's certificate must bear, if it is not the host of the URL.
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// A descriptor set to read the types from, instead of asking the server.
    #[arg(long, value_name = "FILE", conflicts_with = "proto")]
    pub(crate) descriptors: Option<PathBuf>,

    /// A `.proto` source to read the types from; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub(crate) proto: Vec<PathBuf>,

    /// A folder in which the imports of --proto are looked for; may be given several times.
    #[arg(long, value_name = "FOLDER", requires = "proto")]
    pub(crate) include: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// The server, as http://HOST:PORT, https://HOST:PORT or HOST:PORT, and the full name of what
    /// to show; left out, the server's services. With --descriptors or --proto only the name.
    #[arg(value_name = "ENDPOINT] [NAME", num_args = 0..=2)]
    pub(crate) what: Vec<String>,

    #[command(flatten)]
    pub(crate) origin: Origin,

    /// Also write the types that were shown, with all that they need, as a descriptor set for
    /// `descriptors.file`. An existing file is not overwritten.
    #[arg(long, value_name = "FILE")]
    pub(crate) set_out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The server, as http://HOST:PORT, https://HOST:PORT or HOST:PORT.
    #[arg(value_name = "ENDPOINT")]
    pub(crate) endpoint: String,

    /// The method, as package.Service/Method.
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,

    #[command(flatten)]
    pub(crate) origin: Origin,

    /// The preset to use; left out, one that is for the method, if there is one.
    #[arg(long, value_name = "NAME", conflicts_with = "no_preset")]
    pub(crate) preset: Option<String>,

    /// Use no preset, but guess.
    #[arg(long)]
    pub(crate) no_preset: bool,

    /// Where to write the file; an existing one is not overwritten. Left out: standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Presets {
    /// The one to print.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    parts.filter(|(key, _)| !key.is_empty()).ok_or_else(|| "expected KEY=VALUE".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// The pipeline file; `-` reads it from standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) online: Online,

    /// The language of the drawing.
    #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
    pub(crate) format: GraphFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Mermaid, as Markdown viewers draw it.
    Mermaid,
    /// Graphviz.
    Dot,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Transactions {
    /// Show the transactional ids of a pipeline, and where readers are held back.
    ///
    /// Kafka's client cannot say whose an open transaction is: only the progress topic has no other
    /// writer.
    #[command(after_help = "Example:\n  headwater transactions list orders.yaml")]
    List(ListTransactions),

    /// Take every transactional id of a pipeline, which aborts what is open.
    ///
    /// An instance that runs loses its producers; it takes the pipeline over again by itself and
    /// sends the open epoch again.
    #[command(after_help = "Examples:\n  \
        headwater transactions abort orders.yaml           # says what it would abort\n  \
        headwater transactions abort orders.yaml --yes")]
    Abort(AbortTransactions),
}

#[derive(Debug, Args)]
pub(crate) struct ListTransactions {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AbortTransactions {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Do it; without, only say what would be done.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Offsets {
    /// Show where each shard of a pipeline stands.
    #[command(after_help = "Example:\n  headwater offsets show orders.yaml")]
    Show(Show),

    /// Forget where shards stand, so that the next start begins anew.
    ///
    /// Records that the server then sends again are written to the topic again. Stop the pipeline
    /// first.
    #[command(after_help = "Examples:\n  \
        headwater offsets reset orders.yaml                       # says what it would forget\n  \
        headwater offsets reset orders.yaml --shard feed/eu --yes")]
    Reset(Reset),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// A shard to forget, as `offsets show` names it; may be given several times. Left out: all.
    #[arg(long = "shard", value_name = "KEY")]
    pub(crate) shards: Vec<String>,

    /// Really forget.
    #[arg(long)]
    pub(crate) yes: bool,

    /// Forget although an instance seems to run.
    #[arg(long, requires = "yes")]
    pub(crate) force: bool,
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn metrics_are_an_address_or_off() {
        assert_eq!("off".parse(), Ok(Metrics::Off));
        assert_eq!("localhost:1".parse(), "127.0.0.1:1".parse::<Metrics>());
        assert!("9464".parse::<Metrics>().is_err());
    }
}
