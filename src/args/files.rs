//! What only looks: at pipeline files, and at what servers say of themselves.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

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
pub(crate) struct Convert {
    /// Configurations: JSON as it is posted or put, or properties of a standalone worker; `-` reads
    /// one from standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Kafka's bootstrap servers.
    #[arg(long, value_name = "HOST:PORT,…")]
    pub(crate) brokers: Option<String>,

    /// The properties of the Connect worker, for brokers, security and default converters.
    #[arg(long, value_name = "FILE")]
    pub(crate) worker: Option<PathBuf>,

    /// Where to write the file; of several FILEs, the folder. Existing files are not overwritten.
    /// Left out: standard output.
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Presets {
    /// The one to print.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
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
