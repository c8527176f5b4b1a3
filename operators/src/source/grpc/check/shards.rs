//! Endpoints crossed with requests: one shard each, with a name that lasts and a digest of what
//! gives its cursor a meaning.
//!
//! Invariant: names and digests depend on what the pipeline file says and on nothing else, so that
//! a restart finds the progress of the run before it.

use super::super::channel::Dial;
use super::super::config::{Config, EndpointEntry, OverlayConfig};
use super::super::metadata;
use super::super::request::{Requests, Restart};
use super::super::source::Target;
use super::super::tls::TlsMaterial;
use super::resume::{CheckedResume, report_request};
use crate::source::ShardSpec;
use headwater_engine::ids::ShardKey;
use headwater_engine::spec::{NodeView, Report, Step};
use headwater_proto::{MessageDescriptor, Method, RequestTemplate};
use http::Uri;
use http::uri::Scheme;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// Hex digits of a request's digest in a shard's name.
const DIGEST_CHARS: usize = 8;

/// What shards are made from.
pub(super) struct Shards<'c, 'v> {
    pub(super) config: &'c Config,
    pub(super) view: &'c NodeView<'v>,
    /// Outside `None` after an error.
    pub(super) tls: Option<Option<TlsMaterial>>,
    pub(super) method: Option<&'c Method>,
}

/// One endpoint of the file.
struct EndpointAt<'c> {
    url: &'c str,
    name: Option<&'c str>,
    request: Option<&'c Map<String, Json>>,
    metadata: Option<&'c BTreeMap<String, String>>,
    at: Vec<Step<'c>>,
}

/// One request of the file.
#[derive(Clone)]
struct RequestAt<'c> {
    name: Option<&'c str>,
    json: Option<&'c Map<String, Json>>,
    at: Vec<Step<'c>>,
}

/// A server that was understood.
struct Server {
    uri: Uri,
    /// Host and port.
    address: String,
}

type Made = (ShardSpec, Target);

impl<'c> Shards<'c, '_> {
    /// All shards; none after an error.
    pub(super) fn check(
        &self,
        resume: Option<&CheckedResume>,
        report: &mut Report,
    ) -> Option<Vec<Made>> {
        let servers = self.check_urls(report);
        let endpoints = self.endpoints(report)?;
        let listed = self.listed_requests(&endpoints, report);
        let mut made: Vec<Option<Made>> = Vec::new();
        let servers = servers.unwrap_or_default();
        for (index, endpoint) in endpoints.iter().enumerate() {
            let metadata = self.metadata(endpoint, report);
            for request in self.requests_of(endpoint, listed.as_deref()) {
                let requests = self.compile(&request, resume, report);
                let is_several = self.config.requests.is_some();
                let server = servers.get(index);
                made.push(requests.zip(metadata.clone()).zip(server).and_then(
                    |((requests, metadata), server)| {
                        let spec = self.spec(endpoint, server, &request, is_several, resume);
                        let tls = self.tls_of(server)?;
                        let dial = Dial::new(server.uri.clone(), self.config, tls);
                        Some((spec, Target { dial, metadata, requests }))
                    },
                ));
            }
        }
        let made: Vec<Made> = made.into_iter().collect::<Option<_>>()?;
        listed?;
        self.check_unique(&made, report).then_some(made)
    }

    /// The servers; none after an error.
    fn check_urls(&self, report: &mut Report) -> Option<Vec<Server>> {
        let endpoints = self.endpoints(report)?;
        let servers: Vec<Option<Server>> =
            endpoints.iter().map(|endpoint| self.server(endpoint, report)).collect();
        let servers: Vec<Server> = servers.into_iter().collect::<Option<_>>()?;
        let has_tls = servers.iter().any(|server| server.uri.scheme() == Some(&Scheme::HTTPS));
        if self.config.tls.is_some() && !has_tls {
            report
                .error(&self.view.at_key(&["tls"]), "`tls` is given, but no endpoint uses TLS")
                .hint("write the endpoint as https://HOST:PORT");
            return None;
        }
        Some(servers)
    }

    fn endpoints(&self, report: &mut Report) -> Option<Vec<EndpointAt<'c>>> {
        match (&self.config.endpoint, &self.config.endpoints) {
            (Some(url), None) => Some(vec![EndpointAt::of_url(url, vec![Step::Key("endpoint")])]),
            (None, Some(entries)) => {
                let at = |index| vec![Step::Key("endpoints"), Step::Index(index)];
                let entries = entries.iter().enumerate();
                Some(entries.map(|(index, entry)| EndpointAt::of_entry(entry, at(index))).collect())
            }
            (None, None) => {
                report
                    .error(&self.view.place(), "no endpoint is named")
                    .hint("add `endpoint: http://HOST:PORT`");
                None
            }
            (Some(_), Some(_)) => {
                report
                    .error(&self.view.at_key(&["endpoints"]), "endpoints are named twice")
                    .detail("expected: either `endpoint` or `endpoints`");
                None
            }
        }
    }

    /// The text of a wrong URL is not repeated: it may hold credentials.
    fn server(&self, endpoint: &EndpointAt<'_>, report: &mut Report) -> Option<Server> {
        let place = self.view.at(&endpoint.place());
        let mut refuse = |message: &str, hint: &str| {
            report.error(&place, message.to_owned()).hint(hint.to_owned());
            None
        };
        let form = "write http://HOST:PORT, or https://HOST:PORT for TLS";
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
        Some(Server { address: format!("{host}:{port}"), uri })
    }

    /// The requests listed under `requests`; outside `None` after an error.
    fn listed_requests(
        &self,
        endpoints: &[EndpointAt<'c>],
        report: &mut Report,
    ) -> Option<Vec<RequestAt<'c>>> {
        let Some(entries) = &self.config.requests else { return Some(Vec::new()) };
        let twice = "requests are named twice";
        let expected = "expected: either `request` or `requests`";
        let mut fine = true;
        if self.config.request.is_some() {
            report.error(&self.view.at_key(&["request"]), twice).detail(expected);
            fine = false;
        }
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.request.is_some()) {
            let at = endpoint.step("request");
            report.error(&self.view.at_key(&at), twice).detail(expected);
            fine = false;
        }
        let at = |index| vec![Step::Key("requests"), Step::Index(index), Step::Key("request")];
        let requests = entries.iter().enumerate().map(|(index, entry)| RequestAt {
            name: entry.name.as_deref(),
            json: Some(&entry.request),
            at: at(index),
        });
        fine.then(|| requests.collect())
    }

    fn requests_of(
        &self,
        endpoint: &EndpointAt<'c>,
        listed: Option<&[RequestAt<'c>]>,
    ) -> Vec<RequestAt<'c>> {
        match (listed, endpoint.request) {
            (Some(listed), _) if !listed.is_empty() => listed.to_vec(),
            (_, Some(json)) => {
                vec![RequestAt { name: None, json: Some(json), at: endpoint.step("request") }]
            }
            (_, None) => {
                let at = vec![Step::Key("request")];
                vec![RequestAt { name: None, json: self.config.request.as_ref(), at }]
            }
        }
    }

    fn metadata(
        &self,
        endpoint: &EndpointAt<'_>,
        report: &mut Report,
    ) -> Option<tonic::metadata::MetadataMap> {
        let mut entries = self.config.metadata.clone();
        entries.extend(endpoint.metadata.cloned().unwrap_or_default());
        match metadata::compile(&entries) {
            Ok(map) => Some(map),
            Err(errors) => {
                for error in errors {
                    let is_own = endpoint.metadata.is_some_and(|own| own.contains_key(&error.key));
                    let mut at = match is_own {
                        true => endpoint.step("metadata"),
                        false => vec![Step::Key("metadata")],
                    };
                    at.push(Step::Key(&error.key));
                    report.error(&self.view.at_key(&at), error.to_string());
                }
                None
            }
        }
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
        let (first, latest) = match &self.config.resume {
            None => (template.encode(), None),
            Some(config) => (changed(&config.start)?, config.latest.as_ref().and_then(changed)),
        };
        let restart = resume.map(|resume| Restart {
            template,
            overlay: resume.restart.clone(),
            position: resume.position,
        });
        Some(Requests { first, restart, latest })
    }

    /// Without a `tls` block an `https://` endpoint trusts the system's certificate authorities.
    fn tls_of(&self, server: &Server) -> Option<Option<TlsMaterial>> {
        let material = self.tls.clone()?;
        let is_https = server.uri.scheme() == Some(&Scheme::HTTPS);
        Some(is_https.then(|| material.unwrap_or_default()))
    }

    fn spec(
        &self,
        endpoint: &EndpointAt<'_>,
        server: &Server,
        request: &RequestAt<'_>,
        is_several: bool,
        resume: Option<&CheckedResume>,
    ) -> ShardSpec {
        let identity = endpoint.name.unwrap_or(&server.address);
        let canonical = self.canonical_request(request);
        let mut label = identity.to_owned();
        if is_several {
            let digest = || hex(&Sha256::digest(&canonical))[..DIGEST_CHARS].to_owned();
            label.push('/');
            label.push_str(&request.name.map_or_else(digest, str::to_owned));
        }
        let key = ShardKey(format!("{}/{label}", self.view.name));
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            // Lengths keep parts apart.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        part(identity);
        part(self.method.map_or("", Method::path));
        part(&canonical);
        for component in resume.iter().flat_map(|resume| &resume.plan.cursor.components) {
            part(&component.name);
            for path in &component.paths {
                part(&format!("{path}:{}", path.kind()));
            }
        }
        ShardSpec { key, fingerprint: hex(&hash.finalize()) }
    }

    /// The request as text, without the fields that a restart changes and in an order of its own.
    fn canonical_request(&self, request: &RequestAt<'_>) -> String {
        let Some(method) = self.method else { return String::new() };
        let input = method.input();
        let overlays =
            self.config.resume.iter().flat_map(|resume| [&resume.start, &resume.restart]);
        let changed: Vec<String> = overlays
            .flat_map(|overlay| overlay.set.keys().chain(&overlay.clear))
            .map(|name| field_name(&input, name.split('.').next().unwrap_or_default()))
            .collect();
        let fields = request.json.into_iter().flatten();
        let kept: BTreeMap<String, Json> = fields
            .map(|(name, value)| (field_name(&input, name), sorted(value)))
            .filter(|(name, _)| !changed.contains(name))
            .collect();
        serde_json::to_string(&kept).expect("JSON values are plain data")
    }

    fn check_unique(&self, made: &[Made], report: &mut Report) -> bool {
        let mut seen: HashMap<&ShardKey, usize> = HashMap::new();
        for (spec, _) in made {
            *seen.entry(&spec.key).or_default() += 1;
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
        twice.is_empty()
    }
}

impl<'c> EndpointAt<'c> {
    fn of_url(url: &'c str, at: Vec<Step<'c>>) -> Self {
        EndpointAt { url, name: None, request: None, metadata: None, at }
    }

    fn of_entry(entry: &'c EndpointEntry, at: Vec<Step<'c>>) -> Self {
        match entry {
            EndpointEntry::Url(url) => Self::of_url(url, at),
            EndpointEntry::Full(full) => EndpointAt {
                url: &full.url,
                name: full.name.as_deref(),
                request: full.request.as_ref(),
                metadata: Some(&full.metadata),
                at,
            },
        }
    }

    /// The place of its URL.
    fn place(&self) -> Vec<Step<'c>> {
        if self.metadata.is_some() { self.step("url") } else { self.at.clone() }
    }

    /// The place of one of its keys.
    fn step(&self, key: &'c str) -> Vec<Step<'c>> {
        self.at.iter().copied().chain([Step::Key(key)]).collect()
    }
}

/// A field's own name, where it is written by its JSON name.
fn field_name(message: &MessageDescriptor, written: &str) -> String {
    let field =
        message.get_field_by_name(written).or_else(|| message.get_field_by_json_name(written));
    field.map_or_else(|| written.to_owned(), |field| field.name().to_owned())
}

fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let entries: BTreeMap<&String, Json> =
                map.iter().map(|(key, value)| (key, sorted(value))).collect();
            Json::Object(entries.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
