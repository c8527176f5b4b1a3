//! Endpoints crossed with requests: one shard each, with a name that lasts and a digest of what
//! gives its cursor a meaning.
//!
//! Invariant: names and digests depend on what the pipeline file says and on nothing else, so that
//! a restart finds the progress of the run before it.

use super::super::auth::Credentials;
use super::super::channel::{Dial, Reach};
use super::super::config::{
    AuthConfig, Config, EndpointEntry, Mode, OverlayConfig, PositionKind, TargetsConfig,
};
use super::super::metadata;
use super::super::reload::TlsMaterial;
use super::super::request::{Outgoing, Requests, Restart};
use super::super::route::Address;
use super::super::source::Target;
use super::auth::Callers;
use super::canonical;
use super::change::{Change, report_request};
use super::reach::{Reaches, socket};
use super::resume::CheckedResume;
use crate::source::ShardSpec;
use headwater_engine::ids::ShardKey;
use headwater_engine::spec::{NodeView, Report, Step};
use headwater_proto::{Method, RequestTemplate};
use http::Uri;
use http::uri::Scheme;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use tonic::metadata::MetadataMap;

/// Hex digits of a request's digest in a shard's name.
const DIGEST_CHARS: usize = 8;

/// What shards are made from.
pub(super) struct Shards<'c, 'v> {
    pub(super) config: &'c Config,
    pub(super) view: &'c NodeView<'v>,
    /// Outside `None` after an error.
    pub(super) tls: Option<Option<TlsMaterial>>,
    pub(super) method: Option<&'c Method>,
    /// How many shards the windows are to suffice for, where more may join.
    pub(super) shards_min: usize,
}

/// One endpoint of the file.
pub(super) struct EndpointAt<'c> {
    url: &'c str,
    name: Option<&'c str>,
    request: Option<&'c Map<String, Json>>,
    pub(super) metadata: Option<&'c BTreeMap<String, String>>,
    pub(super) addresses: Option<&'c [String]>,
    pub(super) auth: Option<&'c AuthConfig>,
    at: Vec<Step<'c>>,
}

/// One request of the file.
#[derive(Clone)]
struct RequestAt<'c> {
    name: Option<&'c str>,
    json: Option<&'c Map<String, Json>>,
    at: Vec<Step<'c>>,
    receivers: Receivers,
}

/// Which endpoints are sent a request.
#[derive(Clone, Copy)]
enum Receivers {
    All,
    /// Those without a request of their own.
    Others,
    /// The one of this place.
    One(usize),
    /// None: the request is given where it may not be.
    None,
}

/// A server that was understood.
pub(super) struct Server {
    /// What it is called.
    pub(super) uri: Uri,
    /// Host and port, or the socket.
    pub(super) address: String,
    /// Where it is.
    pub(super) place: Address,
}

/// What the shards of one endpoint share; none in the place of what holds a mistake.
#[derive(Clone)]
pub(super) struct Peer {
    metadata: Option<MetadataMap>,
    reach: Option<Reach>,
    credentials: Option<Credentials>,
}

type Made = (ShardSpec, Target);

impl<'c> Shards<'c, '_> {
    /// All shards; none after an error.
    pub(super) fn check(
        &self,
        resume: Option<&CheckedResume>,
        report: &mut Report,
    ) -> Option<Vec<Made>> {
        let endpoints = self.endpoints(report);
        let servers = self.check_urls(&endpoints, report);
        let peers = self.check_peers(&endpoints, &servers, report);
        let is_given_once = self.check_given_once(&endpoints, report);
        let requests = self.requests(&endpoints);
        let compiled: Vec<Option<Requests>> =
            requests.iter().map(|request| self.compile(request, resume, report)).collect();
        let of_endpoint = |(index, endpoint): (usize, &EndpointAt<'_>)| {
            requests.iter().filter(|request| request.is_for(index, endpoint)).count()
        };
        let count: usize = endpoints.iter().enumerate().map(of_endpoint).sum();
        let count = count.max(self.shards_min);
        let mut keys: Vec<ShardKey> = Vec::new();
        let mut made: Vec<Option<Made>> = Vec::new();
        for (index, endpoint) in endpoints.iter().enumerate() {
            let server = servers[index].as_ref();
            let own = requests.iter().zip(&compiled);
            for (request, compiled) in own.filter(|(request, _)| request.is_for(index, endpoint)) {
                keys.extend(self.key(endpoint, server, request));
                let peer = peers[index].clone();
                let target = self.target(server, peer, compiled.clone(), (index, count));
                let spec = server.and_then(|server| self.spec(endpoint, server, request, resume));
                let feed = server.and_then(|server| self.feed(endpoint, server, &spec, resume));
                made.push(spec.zip(target).map(|(spec, target)| (spec, Target { feed, ..target })));
            }
        }
        self.check_unique(&keys, report);
        let made: Vec<Made> = made.into_iter().collect::<Option<_>>()?;
        Some(made).filter(|made| is_given_once && (self.is_fleet() || !made.is_empty()))
    }

    pub(super) fn target(
        &self,
        server: Option<&Server>,
        peer: Peer,
        requests: Option<Requests>,
        (entry, shards): (usize, usize),
    ) -> Option<Target> {
        let Peer { metadata, reach, credentials } = peer;
        let dial = Dial::new(reach?, self.config, self.tls_of(server?)?, shards);
        let (metadata, credentials, requests) = (metadata?, credentials?, requests?);
        Some(Target { dial, metadata, credentials, requests, entry, feed: None })
    }

    pub(super) fn check_peers(
        &self,
        endpoints: &[EndpointAt<'_>],
        servers: &[Option<Server>],
        report: &mut Report,
    ) -> Vec<Peer> {
        let metadata = self.check_metadata(endpoints, report);
        let mut reaches = Reaches::new(self.config, self.view, report);
        let mut callers = Callers::new(self.config, self.view, report);
        let each = endpoints.iter().zip(servers).zip(metadata);
        each.map(|((endpoint, server), metadata)| {
            let server = server.as_ref();
            let reach = reaches.check(endpoint, server, report);
            let credentials = callers.check(endpoint, server, report);
            Peer { metadata, reach, credentials }
        })
        .collect()
    }

    /// The servers; none in the place of one that was not understood.
    pub(super) fn check_urls(
        &self,
        endpoints: &[EndpointAt<'_>],
        report: &mut Report,
    ) -> Vec<Option<Server>> {
        let servers: Vec<Option<Server>> =
            endpoints.iter().map(|endpoint| self.server(endpoint, report)).collect();
        let may_be_https = |server: &Option<Server>| {
            server.as_ref().is_none_or(|server| server.uri.scheme() == Some(&Scheme::HTTPS))
        };
        if self.config.tls.is_some() && !self.is_fleet() && !servers.iter().any(may_be_https) {
            report
                .error(&self.view.at_key(&["tls"]), "`tls` is given, but no endpoint uses TLS")
                .hint("write the endpoint as https://HOST:PORT");
        }
        servers
    }

    /// All endpoints, however they are named.
    pub(super) fn endpoints(&self, report: &mut Report) -> Vec<EndpointAt<'c>> {
        let Config { endpoint, endpoints, targets, .. } = self.config;
        match (endpoint.is_some(), endpoints.is_some(), targets.is_some()) {
            (false, false, false) => {
                report
                    .error(&self.view.place(), "no endpoint is named")
                    .hint("add `endpoint: http://HOST:PORT`");
            }
            (true, true, false) => {
                report
                    .error(&self.view.at_key(&["endpoints"]), "endpoints are named twice")
                    .detail("expected: either `endpoint` or `endpoints`");
            }
            (true, _, true) | (_, true, true) => {
                report
                    .error(&self.view.at_key(&["targets"]), "endpoints are named twice")
                    .detail("expected: one of `endpoint`, `endpoints` and `targets`");
            }
            (true, false, false) | (false, true, false) | (false, false, true) => {}
        }
        let one = endpoint.iter().map(|url| EndpointAt {
            addresses: self.config.addresses.as_deref(),
            ..EndpointAt::of_url(url, vec![Step::Key("endpoint")])
        });
        let listed = |key, index| vec![Step::Key(key), Step::Index(index)];
        let several = endpoints.iter().flatten().enumerate();
        let several =
            several.map(|(index, entry)| EndpointAt::of_entry(entry, listed("endpoints", index)));
        let fleet = targets.iter().flat_map(TargetsConfig::listed).enumerate();
        let fleet =
            fleet.map(|(index, entry)| EndpointAt::of_entry(entry, listed("targets", index)));
        one.chain(several).chain(fleet).collect()
    }

    /// Whether servers may join and leave, so that little can be said of all of them.
    fn is_fleet(&self) -> bool {
        self.shards_min > 0
    }

    /// The text of a wrong URL is not repeated: it may hold credentials.
    pub(super) fn server(&self, endpoint: &EndpointAt<'_>, report: &mut Report) -> Option<Server> {
        let place = self.view.at(&endpoint.place());
        let mut refuse = |message: &str, hint: &str| {
            report.error(&place, message.to_owned()).hint(hint.to_owned());
            None
        };
        let form = "write http://HOST:PORT, or https://HOST:PORT for TLS";
        if let Some(path) = socket(endpoint.url, self.view.base_dir()) {
            let uri = Uri::from_static("http://localhost");
            let address = endpoint.url.to_owned();
            return Some(Server { uri, address, place: Address::Unix(path) });
        }
        let Ok(uri) = endpoint.url.parse::<Uri>() else {
            return refuse("the endpoint is not a URL", form);
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return refuse("the endpoint is not a URL", form);
        };
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return refuse("the endpoint's scheme is neither http nor https", form),
        };
        if authority.as_str().contains('@') {
            let hint = "gRPC does not send them; use `metadata`, or `tls` with a certificate";
            return refuse("the endpoint holds credentials", hint);
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return refuse("the endpoint has a path", "leave it out: the path is the method's");
        }
        let host = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(default_port);
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Server { address: format!("{host}:{port}"), uri, place: Address::Tcp(bare, port) })
    }

    /// Whether requests are given in one way.
    fn check_given_once(&self, endpoints: &[EndpointAt<'_>], report: &mut Report) -> bool {
        if self.config.requests.is_none() {
            return true;
        }
        let common = self.config.request.iter().map(|_| vec![Step::Key("request")]);
        let own = endpoints.iter().filter(|endpoint| endpoint.request.is_some());
        let mut is_once = true;
        for at in common.chain(own.map(|endpoint| endpoint.step("request"))) {
            report
                .error(&self.view.at_key(&at), "requests are named twice")
                .detail("expected: either `request` or `requests`");
            is_once = false;
        }
        is_once
    }

    /// All requests, whether or not an endpoint is sent them.
    fn requests(&self, endpoints: &[EndpointAt<'c>]) -> Vec<RequestAt<'c>> {
        let entries = self.config.requests.iter().flatten().enumerate();
        let listed = entries.map(|(index, entry)| RequestAt {
            name: entry.name.as_deref(),
            json: Some(&entry.request),
            at: vec![Step::Key("requests"), Step::Index(index), Step::Key("request")],
            receivers: Receivers::All,
        });
        let is_listed = self.config.requests.is_some();
        let json = self.config.request.as_ref();
        let common = (json.is_some() || !is_listed).then(|| RequestAt {
            name: None,
            json,
            at: vec![Step::Key("request")],
            receivers: if is_listed { Receivers::None } else { Receivers::Others },
        });
        let own = endpoints.iter().enumerate().filter_map(|(index, endpoint)| {
            let receivers = if is_listed { Receivers::None } else { Receivers::One(index) };
            let at = endpoint.step("request");
            Some(RequestAt { name: None, json: Some(endpoint.request?), at, receivers })
        });
        listed.chain(common).chain(own).collect()
    }

    /// The metadata of each endpoint; none in the place of what cannot be sent.
    fn check_metadata(
        &self,
        endpoints: &[EndpointAt<'_>],
        report: &mut Report,
    ) -> Vec<Option<MetadataMap>> {
        if endpoints.is_empty() {
            self.metadata(None, report);
        }
        endpoints.iter().map(|endpoint| self.metadata(Some(endpoint), report)).collect()
    }

    pub(super) fn metadata(
        &self,
        endpoint: Option<&EndpointAt<'_>>,
        report: &mut Report,
    ) -> Option<MetadataMap> {
        let own = endpoint.and_then(|endpoint| endpoint.metadata);
        let mut entries = self.config.metadata.clone();
        entries.extend(own.cloned().unwrap_or_default());
        let errors = match metadata::compile(&entries) {
            Ok(map) => return Some(map),
            Err(errors) => errors,
        };
        for error in errors {
            let is_own = own.is_some_and(|own| own.contains_key(&error.key));
            let mut at = match endpoint.filter(|_| is_own) {
                Some(endpoint) => endpoint.step("metadata"),
                None => vec![Step::Key("metadata")],
            };
            at.push(Step::Key(&error.key));
            report.error(&self.view.at_key(&at), error.to_string());
        }
        None
    }

    fn compile(
        &self,
        request: &RequestAt<'_>,
        resume: Option<&CheckedResume>,
        report: &mut Report,
    ) -> Option<Requests> {
        let json = request.json.map_or(Json::Null, |map| Json::Object(map.clone()));
        let template = RequestTemplate::compile(&self.method?.input(), &json).map_err(|errors| {
            for error in errors {
                report_request(&error, &request.at, self.view, report);
            }
        });
        let template = template.ok()?;
        let changed = |overlay: &OverlayConfig| {
            let set = Json::Object(overlay.set.clone());
            Some(template.overlay(&set, &overlay.clear).ok()?.encode())
        };
        let message = match &self.config.resume {
            None => template.encode(),
            Some(config) => changed(&config.start)?,
        };
        let metadata = resume.and_then(|resume| resume.start.render(&BTreeMap::new()).ok());
        let first = Outgoing { message, metadata: metadata.unwrap_or_default() };
        let restart = |change: &Change| Restart {
            template: template.clone(),
            overlay: change.overlay.clone(),
            metadata: change.metadata.clone(),
            position: resume.map_or(PositionKind::After, |resume| resume.position),
        };
        let of = |pick: fn(&CheckedResume) -> Option<&Change>| resume.and_then(pick).map(restart);
        let (restart, reentry) = (of(|it| it.restart.as_ref()), of(|it| it.reentry.as_ref()));
        Some(Requests { first, restart, reentry })
    }

    /// Without a `tls` block an `https://` endpoint trusts the system's certificate authorities.
    pub(super) fn tls_of(&self, server: &Server) -> Option<Option<TlsMaterial>> {
        let material = self.tls.clone()?;
        let is_https = server.uri.scheme() == Some(&Scheme::HTTPS);
        Some(is_https.then(|| material.unwrap_or_default()))
    }

    /// The name of a shard; none where its parts are not known.
    fn key(
        &self,
        endpoint: &EndpointAt<'_>,
        server: Option<&Server>,
        request: &RequestAt<'_>,
    ) -> Option<ShardKey> {
        let is_known = |at: &[Step<'_>]| self.view.knows(at).then_some(());
        let mut label = match endpoint.name {
            Some(name) => is_known(&endpoint.step("name")).map(|()| name.to_owned())?,
            None => server?.address.clone(),
        };
        if self.config.requests.is_some() {
            label.push('/');
            match request.name {
                Some(name) => {
                    is_known(&request.name_at())?;
                    label.push_str(name);
                }
                None => {
                    is_known(&request.at)?;
                    // What a restart changes does not count.
                    is_known(&[Step::Key("resume")])?;
                    self.method?;
                    let canonical = self.canonical_request(request);
                    label.push_str(&hex(&Sha256::digest(&canonical))[..DIGEST_CHARS]);
                }
            }
        }
        Some(ShardKey(format!("{}/{label}", self.view.name)))
    }

    fn spec(
        &self,
        endpoint: &EndpointAt<'_>,
        server: &Server,
        request: &RequestAt<'_>,
        resume: Option<&CheckedResume>,
    ) -> Option<ShardSpec> {
        let key = self.key(endpoint, Some(server), request)?;
        let identity = endpoint.name.unwrap_or(&server.address);
        let canonical = self.canonical_request(request);
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            // Lengths keep parts apart.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        part(identity);
        part(self.method.map_or("", Method::path));
        part(&canonical);
        // What opens a call says, as the request does, what the server sends.
        for message in self.config.stream.iter().flat_map(|stream| &stream.open) {
            let input = self.method.map(Method::input);
            part(&input.map_or_else(String::new, |input| {
                canonical::text(&input, Some(message), std::iter::empty())
            }));
        }
        for component in resume.iter().flat_map(|resume| &resume.plan.cursor.components) {
            part(&component.name);
            for origin in &component.origins {
                part(&format!("{origin}:{}", origin.leaf_kind()));
            }
        }
        if resume.is_some_and(|resume| resume.plan.mode == Mode::ReplayAll) {
            part("replay_all");
        }
        Some(ShardSpec { key, fingerprint: hex(&hash.finalize()) })
    }

    /// What the names of all shards end with that deliver the same feed, where several do: what
    /// follows the server's name.
    fn feed(
        &self,
        endpoint: &EndpointAt<'_>,
        server: &Server,
        spec: &Option<ShardSpec>,
        resume: Option<&CheckedResume>,
    ) -> Option<String> {
        let dedupe = resume?.plan.dedupe.as_ref()?;
        let label = endpoint.name.unwrap_or(&server.address);
        let own = format!("{}/{label}", self.view.name);
        let rest = spec.as_ref()?.key.0.strip_prefix(&own)?;
        dedupe.is_shared.then(|| rest.to_owned())
    }

    /// The request as text, without the fields that a restart changes and in an order of its own.
    fn canonical_request(&self, request: &RequestAt<'_>) -> String {
        let Some(method) = self.method else { return String::new() };
        let resume = self.config.resume.iter();
        let overlays = resume.flat_map(|resume| [&resume.start, &resume.restart]);
        canonical::text(&method.input(), request.json, overlays)
    }

    fn check_unique(&self, keys: &[ShardKey], report: &mut Report) {
        let mut seen: HashMap<&ShardKey, usize> = HashMap::new();
        for key in keys {
            *seen.entry(key).or_default() += 1;
        }
        let mut twice: Vec<&&ShardKey> =
            seen.iter().filter(|(_, count)| **count > 1).map(|(key, _)| key).collect();
        twice.sort();
        for key in &twice {
            report
                .error(&self.view.place(), format!("two shards have the same name {:?}", key.0))
                .detail("progress is kept by name, so each shard needs its own")
                .hint("give the endpoints or requests a `name`");
        }
    }
}

impl<'c> RequestAt<'c> {
    fn is_for(&self, index: usize, endpoint: &EndpointAt<'_>) -> bool {
        match self.receivers {
            Receivers::All => true,
            Receivers::Others => endpoint.request.is_none(),
            Receivers::One(receiver) => receiver == index,
            Receivers::None => false,
        }
    }

    /// The place of its name, where it may have one.
    fn name_at(&self) -> Vec<Step<'c>> {
        let entry = self.at.len().saturating_sub(1);
        self.at[..entry].iter().copied().chain([Step::Key("name")]).collect()
    }
}

impl<'c> EndpointAt<'c> {
    fn of_url(url: &'c str, at: Vec<Step<'c>>) -> Self {
        let (request, metadata, addresses, auth) = (None, None, None, None);
        EndpointAt { url, name: None, request, metadata, addresses, auth, at }
    }

    fn of_entry(entry: &'c EndpointEntry, at: Vec<Step<'c>>) -> Self {
        match entry {
            EndpointEntry::Url(url) => Self::of_url(url, at),
            EndpointEntry::Full(full) => EndpointAt {
                url: &full.url,
                name: full.name.as_deref(),
                request: full.request.as_ref(),
                metadata: Some(&full.metadata),
                addresses: full.addresses.as_deref(),
                auth: full.auth.as_ref(),
                at,
            },
        }
    }

    /// The place of its URL.
    pub(super) fn place(&self) -> Vec<Step<'c>> {
        if self.metadata.is_some() { self.step("url") } else { self.at.clone() }
    }

    /// The place of one of its keys.
    fn step(&self, key: &'c str) -> Vec<Step<'c>> {
        self.at.iter().copied().chain([Step::Key(key)]).collect()
    }

    /// The place of one of the keys that a source has too, where it has only one endpoint.
    pub(super) fn step_or_common(&self, key: &'c str) -> Vec<Step<'c>> {
        if self.metadata.is_some() { self.step(key) } else { vec![Step::Key(key)] }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
