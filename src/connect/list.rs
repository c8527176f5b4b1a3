//! What can be used: plug-ins, and the keys of each.

use super::definition::{connector, framework};
use super::key::{Key, KeyInfo};
use super::plugins::{self, Role};
use super::worker::Worker;
use serde::Serialize;
use std::collections::BTreeMap;

/// A plug-in as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PluginInfo {
    /// Its class.
    pub class: String,
    /// What it is for.
    #[serde(rename = "type")]
    pub role: &'static str,
    /// Its version.
    pub version: String,
}

/// The plug-ins, in the order in which Connect lists them; with `connectors_only` the connector.
#[must_use]
pub fn plugins(worker: &Worker, connectors_only: bool) -> Vec<PluginInfo> {
    let is_wanted = |(_, role): &(&str, Role)| !connectors_only || *role == Role::Source;
    let info = |(class, role): (&str, Role)| {
        let is_source = role == Role::Source;
        let version = if is_source { &worker.connector_version } else { &worker.connect_version };
        PluginInfo { class: class.to_owned(), role: role.word(), version: version.clone() }
    };
    plugins::all().into_iter().filter(is_wanted).map(info).collect()
}

/// The keys of a plug-in, given by its full name or an alias; none if nobody knows it.
#[must_use]
pub fn definitions(class: &str, worker: &Worker) -> Option<Vec<KeyInfo>> {
    let class = plugins::class(class)?;
    let roles: BTreeMap<&str, Role> = plugins::all().into_iter().rev().collect();
    let keys = match roles.get(class)? {
        Role::Source => [connector::keys(), framework::keys(worker, false)].concat(),
        Role::Converter | Role::HeaderConverter => plugins::converter_keys(class),
        Role::Transformation | Role::Predicate => plugins::chain_keys(class),
    };
    Some(keys.iter().map(Key::info).collect())
}

/// The full name of a class of this connector, given by full name or alias.
#[must_use]
pub fn connector_class(name: &str) -> Option<&'static str> {
    plugins::class(name).filter(|class| plugins::is(class, Role::Source))
}
