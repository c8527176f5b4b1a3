//! One look at where targets are found: the text of a file, or a DNS answer written down as lines.
//!
//! Why a resolver is made for each look: it reads the system's configuration anew, which changes
//! with the network the machine is in, and it remembers no answer longer than the interval says.
//!
//! Next: `judge.rs` says what the text means.

use crate::limits::{DNS_TIMEOUT, TARGETS_FILE_BYTES_MAX};
use headwater_engine::spec::ListForm;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use std::fmt::Write as _;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where a list of targets is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source::grpc) enum Place {
    /// In a file.
    File(PathBuf),
    /// In the SRV records of a name.
    Dns {
        /// The name.
        name: String,
        /// Whom to ask; the system's server otherwise.
        server: Option<SocketAddr>,
    },
}

impl Place {
    /// The form of the text that is found there.
    pub(in crate::source::grpc) fn form(&self) -> ListForm {
        let Place::File(path) = self else { return ListForm::Lines };
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("yaml" | "yml" | "json") => ListForm::Yaml,
            _ => ListForm::Lines,
        }
    }

    /// What mistakes of the list call it.
    pub(in crate::source::grpc) fn name(&self) -> String {
        match self {
            Place::File(path) => path.display().to_string(),
            Place::Dns { name, .. } => format!("SRV {name}"),
        }
    }

    /// The same, for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Place::File(path) => format!("file {}", path.display()),
            Place::Dns { name, server: None } => format!("DNS SRV {name}"),
            Place::Dns { name, server: Some(server) } => format!("DNS SRV {name} at {server}"),
        }
    }

    /// What is there now, if it can be seen without asking anybody.
    pub(super) fn look_now(&self) -> Option<Result<String, String>> {
        match self {
            Place::File(path) => Some(read(path)),
            Place::Dns { .. } => None,
        }
    }

    /// What is there now.
    ///
    /// # Errors
    /// Why nothing can be read there, for people.
    pub(in crate::source::grpc) async fn look(&self) -> Result<String, String> {
        match self {
            Place::File(path) => {
                let path = path.clone();
                let reading = tokio::task::spawn_blocking(move || read(&path)).await;
                reading.unwrap_or_else(|_| Err("reading it was given up".to_owned()))
            }
            Place::Dns { name, server } => {
                let asked = tokio::time::timeout(DNS_TIMEOUT, ask(name, *server)).await;
                let late = || format!("{name}: no answer within {} s", DNS_TIMEOUT.as_secs());
                asked.unwrap_or_else(|_| Err(late()))
            }
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(told)?;
    let mut text = String::new();
    file.take(TARGETS_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(told)?;
    if text.len() as u64 > TARGETS_FILE_BYTES_MAX {
        let path = path.display();
        return Err(format!("{path} is larger than {TARGETS_FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// The servers, one a line and in an order of their own: a server of DNS gives them in any.
async fn ask(name: &str, server: Option<SocketAddr>) -> Result<String, String> {
    let told = |error: NetError| format!("{name}: {error}");
    let resolver = resolver(server).await.map_err(told)?;
    let answer = match resolver.srv_lookup(name).await {
        Ok(answer) => answer,
        Err(error) if error.is_no_records_found() => return Ok(String::new()),
        Err(error) => return Err(told(error)),
    };
    let mut servers: Vec<String> = Vec::new();
    for record in answer.answers() {
        let RData::SRV(srv) = &record.data else { continue };
        let host = srv.target.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        // A lone dot says that the service is not there, RFC 2782.
        if !host.is_empty() {
            servers.push(format!("{host}:{}", srv.port));
        }
    }
    servers.sort();
    servers.dedup();
    Ok(servers.iter().fold(String::new(), |mut text, server| {
        let _ = writeln!(text, "{server}");
        text
    }))
}

async fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let Some(server) = server else {
        // The system's configuration is a file.
        let made = tokio::task::spawn_blocking(|| TokioResolver::builder_tokio()?.build()).await;
        return made.unwrap_or_else(|_| Err("reading the configuration was given up".into()));
    };
    let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = server.port());
    let name_server = NameServerConfig::new(server.ip(), true, connections.into());
    let config = ResolverConfig::from_name_servers(vec![name_server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = ResolverOpts::default();
    builder.build()
}
