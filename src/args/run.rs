//! What runs pipelines, `run` and `serve`: where they listen, who may ask, how they log.

use super::files::key_value;
use super::otlp::Otlp;
use crate::serve::api::forward::Origin;
use clap::{Args, ValueEnum};
use headwater_operators::sink::kafka::AcceptChange;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

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
    pub(crate) otlp: Otlp,

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

    /// The URL under which others reach this instance. While it leads, instances that stand by take
    /// to it what the leader alone can answer.
    #[arg(long, value_name = "URL", value_parser = origin)]
    pub(crate) advertise: Option<String>,

    #[command(flatten)]
    pub(crate) access: ApiAccess,

    /// The properties file of the Kafka Connect worker that this program replaces: its converters,
    /// brokers and producer settings are those of connectors that name none.
    #[arg(long, value_name = "FILE")]
    pub(crate) connect_worker: Option<PathBuf>,

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
    pub(crate) otlp: Otlp,

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

/// A URL of another instance.
fn origin(text: &str) -> Result<String, String> {
    let is_origin = Origin::read(text).is_some();
    is_origin.then(|| text.to_owned()).ok_or_else(|| {
        "expected scheme, host and port, as in http://headwater-0.example:8083".to_owned()
    })
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
        address(text).map(Metrics::At).map_err(|expected| format!("{expected} or `off`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_an_address_or_off() {
        assert_eq!("off".parse(), Ok(Metrics::Off));
        assert_eq!("localhost:1".parse(), "127.0.0.1:1".parse::<Metrics>());
        assert!("9464".parse::<Metrics>().is_err());
    }
}
