//! What a pipeline file may say about a fleet: which servers there are, and where that is written
//! if it changes while the pipeline runs.
//!
//! Next: `../targets/mod.rs` looks at what is named here.

use super::EndpointEntry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The servers of a fleet.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::source::grpc) enum TargetsConfig {
    /// These, for as long as the pipeline runs.
    Listed(#[schemars(length(min = 1, max = 4096))] Vec<EndpointEntry>),
    /// Those that are found where this says.
    Watched(WatchedConfig),
}

/// Where a list of servers is found that may change: exactly one of `file` and `dns_srv`. A list
/// that cannot be used is logged and counted, and the servers stay as they were.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct WatchedConfig {
    /// A file with a list of servers, each as in `endpoints` or as HOST:PORT: as YAML or JSON if
    /// its name ends in `.yaml`, `.yml` or `.json` (also as Prometheus' `file_sd_configs` reads it,
    /// without the labels), else one a line. A change counts once it was seen twice, so that a file
    /// which is being written is not read halfway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) file: Option<PathBuf>,

    /// A DNS name whose SRV records name the servers, for example `_grpc._tcp.example.org`. All of
    /// them are called, whatever their priority and weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub(in crate::source::grpc) dns_srv: Option<String>,

    /// The DNS server to ask, as IP:PORT. Left out: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) dns_server: Option<String>,

    /// How often it is looked at, in milliseconds.
    #[serde(default = "interval_ms")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub(in crate::source::grpc) interval_ms: u64,

    /// How servers are called that are written as HOST:PORT. Left out: `https` if the source has a
    /// `tls` block, else `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) scheme: Option<SchemeName>,

    /// What a list without any server means.
    #[serde(default)]
    pub(in crate::source::grpc) on_empty: OnEmpty,
}

/// How a server is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::source::grpc) enum SchemeName {
    /// In the clear.
    Http,
    /// With TLS.
    Https,
}

/// What a list without any server means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum OnEmpty {
    /// A mistake: the servers stay as they were.
    #[default]
    Keep,
    /// That there are none any more: all leave.
    Remove,
}

fn interval_ms() -> u64 {
    5_000
}

impl TargetsConfig {
    /// The servers that the pipeline file itself names.
    pub(in crate::source::grpc) fn listed(&self) -> &[EndpointEntry] {
        match self {
            TargetsConfig::Listed(entries) => entries,
            TargetsConfig::Watched(_) => &[],
        }
    }

    /// Where to look, if the list changes.
    pub(in crate::source::grpc) fn watched(&self) -> Option<&WatchedConfig> {
        match self {
            TargetsConfig::Listed(_) => None,
            TargetsConfig::Watched(watched) => Some(watched),
        }
    }
}

impl SchemeName {
    fn as_str(self) -> &'static str {
        match self {
            SchemeName::Http => "http",
            SchemeName::Https => "https",
        }
    }

    /// The entry with a whole URL, where it is written as HOST:PORT.
    pub(in crate::source::grpc) fn complete(self, entry: EndpointEntry) -> EndpointEntry {
        let is_whole = |url: &str| url.contains("://") || url.starts_with("unix:");
        let whole = |url: String| match is_whole(&url) {
            true => url,
            false => format!("{}://{url}", self.as_str()),
        };
        match entry {
            EndpointEntry::Url(url) => EndpointEntry::Url(whole(url)),
            EndpointEntry::Full(mut full) => {
                full.url = whole(full.url);
                EndpointEntry::Full(full)
            }
        }
    }
}
