//! Who calls: every secret that stands in a file is read once, so that a missing or broken one is a
//! diagnostic and not a refusal at night.
//!
//! Invariant: no finding holds a secret.

use super::super::auth::{
    AUTHORIZATION, Credentials, Entry, Secret, SecretProblem, TokenClient, Tokens,
};
use super::super::config::{
    ApiKeyConfig, AuthConfig, BasicConfig, BearerConfig, Config, OAuth2Config,
};
use super::super::metadata;
use super::super::proxy::Environment;
use super::super::reload::TlsMaterial;
use super::super::route::{Address, Route};
use super::reach;
use super::shards::{EndpointAt, Server};
use headwater_engine::spec::{NodeView, Report, Step};
use http::Uri;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::MetadataMap;

/// Parameters of a token request that have keys of their own.
const OWN_PARAMETERS: [&str; 5] = ["grant_type", "client_id", "client_secret", "scope", "audience"];

/// Finds out who calls the endpoints of a source.
pub(super) struct Callers<'c, 'v> {
    config: &'c Config,
    view: &'c NodeView<'v>,
    /// From files; none after an error.
    files: Option<Vec<Entry>>,
    /// Of the source; outside none after an error.
    common: Option<Option<Entry>>,
}

/// One `auth` block.
struct Block<'c, 'v> {
    source: &'c Config,
    view: &'c NodeView<'v>,
    at: Vec<Step<'c>>,
}

impl<'c, 'v> Callers<'c, 'v> {
    /// Checks what does not depend on an endpoint.
    pub(super) fn new(config: &'c Config, view: &'c NodeView<'v>, report: &mut Report) -> Self {
        let files = files(config, view, report);
        let block = Block { source: config, view, at: vec![Step::Key("auth")] };
        let common = match &config.auth {
            None => Some(None),
            Some(auth) => block.check(auth, report).map(Some),
        };
        Callers { config, view, files, common }
    }

    /// Who calls one endpoint; none after an error.
    pub(super) fn check(
        &mut self,
        endpoint: &EndpointAt<'_>,
        server: Option<&Server>,
        report: &mut Report,
    ) -> Option<Credentials> {
        let own = endpoint.auth.map(|auth| {
            let at = endpoint.step_or_common("auth");
            let block = Block { source: self.config, view: self.view, at: at.clone() };
            (block.check(auth, report), at)
        });
        let (entry, at) = match own {
            Some((entry, at)) => (entry.map(Some), at),
            None => (self.common.clone(), vec![Step::Key("auth")]),
        };
        let entry = entry?;
        if let Some(entry) = &entry {
            self.check_once(entry, endpoint, &at, report);
        }
        let entries: Vec<Entry> = self.files.clone()?.into_iter().chain(entry).collect();
        if !entries.is_empty() && server.is_some_and(is_readable_by_others) {
            report
                .warning(&self.view.at_key(&at), "credentials are sent unencrypted")
                .hint("write the endpoint as https://HOST:PORT");
        }
        Some(Credentials { entries })
    }

    /// What `auth` sets, nothing else may set.
    fn check_once(
        &self,
        entry: &Entry,
        endpoint: &EndpointAt<'_>,
        at: &[Step<'_>],
        report: &mut Report,
    ) {
        let key = match entry {
            Entry::Value { key, .. } => key.as_str(),
            Entry::Bearer(_) | Entry::Basic { .. } | Entry::OAuth2(_) => AUTHORIZATION,
        };
        let own = endpoint.metadata.into_iter().flatten().map(|(key, _)| key);
        let mut others = self.config.metadata.keys().chain(own);
        let is_twice = others.any(|other| other.eq_ignore_ascii_case(key))
            || self.config.metadata_files.keys().any(|other| other.eq_ignore_ascii_case(key));
        if is_twice {
            report
                .error(
                    &self.view.at_key(at),
                    format!("`auth` sets the metadata key {key:?}, which is set already"),
                )
                .hint("leave it out of `metadata` and `metadata_files`");
        }
    }
}

impl<'c> Block<'c, '_> {
    fn check(&self, auth: &'c AuthConfig, report: &mut Report) -> Option<Entry> {
        let AuthConfig { bearer, basic, api_key, oauth2 } = auth;
        match (bearer, basic, api_key, oauth2) {
            (Some(bearer), None, None, None) => self.bearer(bearer, report),
            (None, Some(basic), None, None) => self.basic(basic, report),
            (None, None, Some(api_key), None) => self.api_key(api_key, report),
            (None, None, None, Some(oauth2)) => self.oauth2(oauth2, report),
            _ => {
                report
                    .error(&self.view.at_key(&self.at), "who the caller is, is not said in one way")
                    .detail("expected: exactly one of `bearer`, `basic`, `api_key` and `oauth2`");
                None
            }
        }
    }

    fn bearer(&self, bearer: &'c BearerConfig, report: &mut Report) -> Option<Entry> {
        let BearerConfig { token, file } = bearer;
        let secret = self.secret("bearer", ("token", token), ("file", file), report)?;
        self.sendable("bearer", AUTHORIZATION, &secret, report)?;
        Some(Entry::Bearer(secret))
    }

    fn basic(&self, basic: &'c BasicConfig, report: &mut Report) -> Option<Entry> {
        let BasicConfig { username, password, password_file } = basic;
        let is_name = !username.contains(':');
        if !is_name {
            let place = self.view.at(&self.step(&["basic", "username"]));
            report.error(&place, "a user's name cannot hold a colon");
        }
        let (given, file) = (("password", password), ("password_file", password_file));
        let password = self.secret("basic", given, file, report)?;
        is_name.then(|| Entry::Basic { username: username.clone(), password })
    }

    fn api_key(&self, api_key: &'c ApiKeyConfig, report: &mut Report) -> Option<Entry> {
        let ApiKeyConfig { key, value, file } = api_key;
        let secret = self.secret("api_key", ("value", value), ("file", file), report)?;
        self.sendable("api_key", key, &secret, report)?;
        Some(Entry::Value { key: key.clone(), value: secret })
    }

    fn oauth2(&self, oauth2: &'c OAuth2Config, report: &mut Report) -> Option<Entry> {
        let OAuth2Config { client_secret, client_secret_file, .. } = oauth2;
        let given = ("client_secret", client_secret);
        let file = ("client_secret_file", client_secret_file);
        let client_secret = self.secret("oauth2", given, file, report);
        let uri = self.token_url(oauth2, report);
        let parameters = self.parameters(oauth2, report);
        let tls = self.token_tls(oauth2, uri.as_ref(), report);
        let uri = uri?;
        let route = self.token_route(oauth2, &uri, report);
        let client = TokenClient {
            route: route?,
            tls: tls?,
            uri,
            client_id: oauth2.client_id.clone(),
            client_secret: client_secret?,
            client_auth: oauth2.client_auth,
            parameters: parameters?,
            timeout: Duration::from_millis(oauth2.timeout_ms),
            refresh_before: Duration::from_millis(oauth2.refresh_before_ms),
            reopens: oauth2.reopen_before_expiry,
        };
        if oauth2.reopen_before_expiry && !reach::is_resumed(self.source) {
            report
                .warning(
                    &self.view.at(&self.step(&["oauth2", "reopen_before_expiry"])),
                    "without `resume`, what is sent between two calls is lost",
                )
                .hint("declare `resume`, or leave reopen_before_expiry out");
        }
        Some(Entry::OAuth2(Arc::new(Tokens::new(client))))
    }

    fn token_url(&self, oauth2: &OAuth2Config, report: &mut Report) -> Option<Uri> {
        let place = self.view.at(&self.step(&["oauth2", "token_url"]));
        let uri = oauth2.token_url.parse::<Uri>().ok();
        let uri = uri.filter(|uri| uri.authority().is_some_and(|it| !it.as_str().contains('@')));
        let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        let Some(uri) = uri else {
            let message = "the token endpoint is not a URL without credentials";
            report.error(&place, message).hint("write https://HOST/PATH");
            return None;
        };
        if uri.scheme_str() == Some("http") && !is_loopback(uri.host().unwrap_or_default()) {
            report
                .warning(&place, "the client's secret is sent unencrypted")
                .hint("write https://HOST/PATH");
        }
        Some(uri)
    }

    fn parameters(
        &self,
        oauth2: &'c OAuth2Config,
        report: &mut Report,
    ) -> Option<Vec<(String, String)>> {
        let mut is_fine = true;
        for name in oauth2.parameters.keys().filter(|it| OWN_PARAMETERS.contains(&it.as_str())) {
            let place = self.view.at_key(&self.step(&["oauth2", "parameters", name]));
            report.error(&place, format!("parameter {name:?} is set by a key of its own"));
            is_fine = false;
        }
        let scope = (!oauth2.scopes.is_empty()).then(|| ("scope", oauth2.scopes.join(" ")));
        let audience = oauth2.audience.clone().map(|audience| ("audience", audience));
        let own = scope.into_iter().chain(audience).map(|(name, value)| (name.to_owned(), value));
        let others = oauth2.parameters.iter().map(|(name, value)| (name.clone(), value.clone()));
        is_fine.then(|| own.chain(others).collect())
    }

    /// Outside none after an error, inside none for a token endpoint without TLS.
    fn token_tls(
        &self,
        oauth2: &OAuth2Config,
        uri: Option<&Uri>,
        report: &mut Report,
    ) -> Option<Option<TlsMaterial>> {
        let is_https = uri.is_none_or(|uri| uri.scheme_str() == Some("https"));
        let Some(tls) = &oauth2.tls else { return Some(is_https.then(TlsMaterial::default)) };
        if !is_https {
            let place = self.view.at_key(&self.step(&["oauth2", "tls"]));
            report.error(&place, "`tls` is given, but the token endpoint does not use TLS");
            return None;
        }
        let told = |errors: Vec<_>| {
            for error in errors {
                let error: super::super::tls::TlsError = error;
                let at = self.step(&["oauth2", "tls", error.key.name()]);
                report.error(&self.view.at(&at), error.to_string());
            }
        };
        TlsMaterial::read(tls, self.view.base_dir()).map_err(told).ok().map(Some)
    }

    fn token_route(&self, oauth2: &OAuth2Config, uri: &Uri, report: &mut Report) -> Option<Route> {
        let own = oauth2.proxy.as_deref();
        let written = own.or(self.source.proxy.as_deref());
        let proxy = reach::proxy(written, uri, &Environment::of_process(), |error, hint| {
            // The source's own is told where it stands.
            if own.is_some() {
                let place = self.view.at(&self.step(&["oauth2", "proxy"]));
                report.error(&place, error).hint(hint);
            }
        })?;
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let address = Address::Tcp(host, uri.port_u16().unwrap_or(default));
        let timeout = Duration::from_millis(oauth2.timeout_ms);
        Some(Route { address, proxy, timeout })
    }

    /// Given in one of two ways.
    fn secret(
        &self,
        kind: &'static str,
        (text_key, text): (&'static str, &Option<String>),
        (file_key, file): (&'static str, &Option<PathBuf>),
        report: &mut Report,
    ) -> Option<Secret> {
        match (text, file) {
            (Some(text), None) => Some(Secret::Text(text.clone())),
            (None, Some(file)) => {
                let secret = Secret::File(self.view.base_dir().join(file));
                let place = self.step(&[kind, file_key]);
                let told = |problem: SecretProblem| {
                    report.error(&self.view.at(&place), problem.to_string());
                };
                secret.read_now().map_err(told).ok().map(|_| secret)
            }
            _ => {
                let place = self.view.at_key(&self.step(&[kind]));
                report
                    .error(&place, format!("the secret of `{kind}` is not given in one way"))
                    .detail(format!("expected: either `{text_key}` or `{file_key}`"));
                None
            }
        }
    }

    /// Tries the entry as it is now.
    fn sendable(
        &self,
        kind: &'static str,
        key: &str,
        secret: &Secret,
        report: &mut Report,
    ) -> Option<()> {
        let value = secret.read_now().ok()?;
        let added = metadata::add(&mut MetadataMap::new(), key, &value);
        let told = |problem| {
            let text = format!("metadata key {key:?} {problem}");
            report.error(&self.view.at_key(&self.step(&[kind])), text);
        };
        added.map_err(told).ok()
    }

    fn step<'s>(&self, path: &[&'s str]) -> Vec<Step<'s>>
    where
        'c: 's,
    {
        self.at.iter().copied().chain(path.iter().map(|key| Step::Key(key))).collect()
    }
}

/// Metadata whose values stand in files; none after an error.
fn files(config: &Config, view: &NodeView<'_>, report: &mut Report) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut is_fine = true;
    for (key, path) in &config.metadata_files {
        let place = view.at(&["metadata_files", key]);
        let value = Secret::File(view.base_dir().join(path));
        let problem = match value.read_now() {
            Err(problem) => Some(problem.to_string()),
            Ok(_) if config.metadata.keys().any(|other| other.eq_ignore_ascii_case(key)) => {
                Some(format!("metadata key {key:?} is set in `metadata` too"))
            }
            Ok(text) => metadata::add(&mut MetadataMap::new(), key, &text)
                .err()
                .map(|problem| format!("metadata key {key:?} {problem}")),
        };
        is_fine &= problem.is_none();
        if let Some(problem) = problem {
            report.error(&place, problem);
        }
        entries.push(Entry::Value { key: key.clone(), value });
    }
    is_fine.then_some(entries)
}

fn is_readable_by_others(server: &Server) -> bool {
    match &server.place {
        Address::Unix(_) => false,
        Address::Tcp(host, _) => server.uri.scheme_str() == Some("http") && !is_loopback(host),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
