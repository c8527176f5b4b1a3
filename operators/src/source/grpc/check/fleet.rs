//! Lists of servers that change: the one there is now, and the maker of those to come.
//!
//! A list that comes while the pipeline runs is checked by the same code as one in the pipeline
//! file ([`Recheck`]), so that names, digests, metadata and requests follow one set of rules, and a
//! mistake is told with its line.
//!
//! Next: `../targets/mod.rs` looks for such lists.

use super::super::config::{
    Config, EndpointEntry, OnEmpty, SchemeName, TargetsConfig, WatchedConfig,
};
use super::super::reload::TlsMaterial;
use super::super::source::Target;
use super::super::targets::{Place, TargetShard, TargetWatch, told};
use super::inquiry;
use super::resume::{self, CheckedResume};
use super::shards::Shards;
use crate::limits::{FLEET_SHARDS_MIN, TARGETS_MAX};
use headwater_engine::spec::{Diagnostics, ListForm, NodeView, Recheck, Report, Source};
use headwater_proto::Method;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Makes shards of lists.
pub(in crate::source::grpc) struct Maker {
    config: Config,
    recheck: Recheck,
    tls: Option<TlsMaterial>,
    method: Method,
    resume: Option<CheckedResume>,
    form: ListForm,
}

/// Makes the servers of lists, and no shards of them: for those who must be asked first.
struct PeerMaker {
    config: Config,
    recheck: Recheck,
    tls: Option<TlsMaterial>,
    form: ListForm,
}

/// The servers of a list that changes, to be asked.
pub(in crate::source::grpc) struct WatchedPeers {
    place: Place,
    maker: PeerMaker,
}

/// Servers written as HOST:PORT get a whole URL.
pub(super) fn complete(config: &mut Config) {
    let scheme = scheme(config, None);
    if let Some(TargetsConfig::Listed(entries)) = &mut config.targets {
        *entries = entries.drain(..).map(|entry| scheme.complete(entry)).collect();
    }
}

/// How many shards a source's windows are to suffice for, where more may join.
pub(super) fn shards_min(config: &Config) -> usize {
    let is_watched = config.targets.as_ref().is_some_and(|it| it.watched().is_some());
    if is_watched { FLEET_SHARDS_MIN } else { 0 }
}

/// The list to watch, if there is one; the servers that a file names now are known with it. None
/// after an error, and where one elsewhere leaves too little known.
pub(super) fn watch(
    config: &Config,
    method: Option<&Method>,
    tls: Option<&Option<TlsMaterial>>,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Arc<TargetWatch>> {
    let watched = config.targets.as_ref()?.watched()?;
    let place = place(watched, view, report)?;
    let is_known = ["targets", "requests", "request", "metadata", "resume"];
    let is_known = is_known.into_iter().all(|key| view.knows(&[key]));
    let (method, tls) = (method.filter(|_| is_known && !report.has_errors())?, tls?);
    let maker = Maker {
        config: config.clone(),
        recheck: view.keep(),
        tls: tls.clone(),
        method: method.clone(),
        resume: resume::check(config, Some(method), view, &mut Report::new())?,
        form: place.form(),
    };
    let interval = Duration::from_millis(watched.interval_ms);
    let may_be_empty = watched.on_empty == OnEmpty::Remove;
    let watch = TargetWatch::new(view.name, place, interval, may_be_empty, maker);
    if let Err(error) = watch.first() {
        let finding = report.error(&view.at(&["targets", "file"]), "the targets cannot be used");
        error.lines().for_each(|line| {
            finding.detail(line);
        });
        return None;
    }
    Some(Arc::new(watch))
}

/// The servers of the list to watch, for those who must ask one before there is a method. None
/// after an error.
pub(super) fn peers(shards: &Shards<'_, '_>, report: &mut Report) -> Option<WatchedPeers> {
    let Shards { config, view, tls, .. } = shards;
    // What is wrong with the place is told by `watch`.
    let place = place(config.targets.as_ref()?.watched()?, view, &mut Report::new())?;
    let is_known = ["targets", "metadata"].into_iter().all(|key| view.knows(&[key]));
    if !is_known || report.has_errors() {
        return None;
    }
    let form = place.form();
    let (config, recheck) = ((*config).clone(), view.keep());
    Some(WatchedPeers { place, maker: PeerMaker { config, recheck, tls: tls.clone()?, form } })
}

fn place(watched: &WatchedConfig, view: &NodeView<'_>, report: &mut Report) -> Option<Place> {
    let at = view.at_key(&["targets"]);
    match (&watched.file, &watched.dns_srv) {
        (None, None) => {
            report
                .error(&at, "it is not said where the targets are found")
                .detail("expected: a list of servers, or one of `file` and `dns_srv`");
            None
        }
        (Some(_), Some(_)) => {
            report
                .error(&at, "the targets are named twice")
                .detail("expected: either `file` or `dns_srv`");
            None
        }
        (Some(file), None) => {
            if watched.dns_server.is_some() {
                let at = view.at_key(&["targets", "dns_server"]);
                report.error(&at, "`dns_server` is for `dns_srv`").hint("leave it out");
            }
            Some(Place::File(view.base_dir().join(file)))
        }
        (None, Some(name)) => {
            let server = dns_server(watched, view, report)?;
            Some(Place::Dns { name: name.clone(), server })
        }
    }
}

/// Outside `None` after an error.
fn dns_server(
    watched: &WatchedConfig,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Option<SocketAddr>> {
    let Some(text) = &watched.dns_server else { return Some(None) };
    let parsed = text.parse();
    if parsed.is_err() {
        report
            .error(&view.at(&["targets", "dns_server"]), "the DNS server is not an address")
            .detail("expected: IP:PORT, for example 127.0.0.1:8600");
    }
    parsed.ok().map(Some)
}

fn scheme(config: &Config, given: Option<SchemeName>) -> SchemeName {
    let default = if config.tls.is_some() { SchemeName::Https } else { SchemeName::Http };
    given.unwrap_or(default)
}

impl WatchedPeers {
    /// The servers that the list names now.
    ///
    /// # Errors
    /// It cannot be looked at, or is no list of servers; for people.
    pub(in crate::source::grpc) async fn look(&self) -> Result<Vec<Target>, String> {
        let (text, name) = (self.place.look().await?, self.place.name());
        self.maker.make(&name, &text).map_err(|mistakes| told(&name, &mistakes))
    }
}

impl PeerMaker {
    fn make(&self, name: &str, text: &str) -> Result<Vec<Target>, Diagnostics> {
        let source = Source { name, text, base_dir: self.recheck.base_dir() };
        self.recheck.list("targets", &source, self.form, |entries, view, report| {
            let config = with_targets(&self.config, entries);
            let tls = Some(self.tls.clone());
            let shards_min = FLEET_SHARDS_MIN;
            let shards = Shards { config: &config, view, tls, method: None, shards_min };
            inquiry::peers(&shards, report)
        })
    }
}

/// The keys of a source whose list of targets is this one.
fn with_targets(config: &Config, entries: Vec<EndpointEntry>) -> Config {
    let watched = config.targets.as_ref().and_then(TargetsConfig::watched);
    let scheme = scheme(config, watched.and_then(|watched| watched.scheme));
    let entries = entries.into_iter().map(|entry| scheme.complete(entry)).collect();
    Config { targets: Some(TargetsConfig::Listed(entries)), ..config.clone() }
}

impl Maker {
    /// The shards of the list `text`, which its mistakes call `name`.
    ///
    /// # Errors
    /// All of its mistakes.
    pub(in crate::source::grpc) fn make(
        &self,
        name: &str,
        text: &str,
    ) -> Result<Vec<Arc<TargetShard>>, Diagnostics> {
        let source = Source { name, text, base_dir: self.recheck.base_dir() };
        self.recheck.list(
            "targets",
            &source,
            self.form,
            |entries: Vec<EndpointEntry>, view, report| {
                if entries.len() > TARGETS_MAX {
                    report
                        .error(&view.at_key(&["targets"]), "there are too many targets")
                        .detail(format!("found: {}", entries.len()))
                        .detail(format!("expected: at most {TARGETS_MAX}"));
                    return None;
                }
                self.shards(entries, view, report)
            },
        )
    }

    fn shards(
        &self,
        entries: Vec<EndpointEntry>,
        view: &NodeView<'_>,
        report: &mut Report,
    ) -> Option<Vec<Arc<TargetShard>>> {
        let config = with_targets(&self.config, entries);
        let Some(TargetsConfig::Listed(entries)) = &config.targets else {
            unreachable!("a list was put there");
        };
        let text = |entry: &EndpointEntry| serde_json::to_string(entry);
        let texts: Vec<String> =
            entries.iter().map(|entry| text(entry).expect("an entry is plain data")).collect();
        let shards = Shards {
            config: &config,
            view,
            tls: Some(self.tls.clone()),
            method: Some(&self.method),
            shards_min: FLEET_SHARDS_MIN,
        };
        let made = shards.check(self.resume.as_ref(), report)?;
        let shard = |(spec, target): (_, Target)| {
            let text = texts[target.entry].clone();
            Arc::new(TargetShard { spec, target, text })
        };
        Some(made.into_iter().map(shard).collect())
    }
}
