//! The way to an endpoint: its addresses, the proxy before it, how its health is asked for.
//!
//! Invariant: the text of a wrong proxy is not repeated; it may hold credentials.

use super::super::balance::Addresses;
use super::super::channel::Reach;
use super::super::config::{Balance, Config, Mode};
use super::super::health::Health;
use super::super::proxy::{Environment, Proxy};
use super::super::route::Address;
use super::shards::{EndpointAt, Server};
use headwater_engine::spec::{NodeView, Report, Step};
use http::Uri;
use http::uri::Authority;
use std::path::{Path, PathBuf};

/// How addresses are written.
const FORM: &str = "write HOST, HOST:PORT (IPv6 in brackets) or unix:///PATH";

/// Finds the ways to the endpoints of a source.
pub(super) struct Reaches<'c, 'v> {
    config: &'c Config,
    view: &'c NodeView<'v>,
    environment: Environment,
    /// A wrong proxy is told once.
    is_proxy_told: bool,
}

impl<'c, 'v> Reaches<'c, 'v> {
    /// Checks what does not depend on an endpoint.
    pub(super) fn new(config: &'c Config, view: &'c NodeView<'v>, report: &mut Report) -> Self {
        if config.addresses.is_some() && config.endpoints.is_some() {
            report
                .error(&view.at_key(&["addresses"]), "`addresses` is for `endpoint`")
                .hint("write it at an entry of `endpoints`, beside its `url`");
        }
        let environment = Environment::of_process();
        Reaches { config, view, environment, is_proxy_told: false }
    }

    /// The way to one endpoint; none after an error.
    pub(super) fn check(
        &mut self,
        endpoint: &EndpointAt<'_>,
        server: Option<&Server>,
        report: &mut Report,
    ) -> Option<Reach> {
        let list = self.addresses(endpoint, server, report);
        let server = server?;
        let proxy = self.proxy(server, report);
        let (list, proxy) = (list?, proxy?);
        let Config { balance, health, .. } = self.config;
        let is_told_apart = endpoint.addresses.is_some() || balance.is_some() || health.is_some();
        let is_socket = matches!(server.place, Address::Unix(_));
        let addresses = match list {
            Some(list) => {
                let is_resolved = balance.is_some() && proxy.is_none();
                Addresses::balanced(list, balance.unwrap_or_default(), is_resolved)
            }
            None if is_told_apart && !is_socket && proxy.is_none() => {
                let balance = balance.unwrap_or(Balance::PickFirst);
                Addresses::balanced(vec![server.place.clone()], balance, true)
            }
            None => Addresses::plain(server.place.clone()),
        };
        let shown = match &server.place {
            Address::Unix(_) => server.place.to_string(),
            Address::Tcp(..) => server.uri.to_string().trim_end_matches('/').to_owned(),
        };
        let health = health.as_ref().map(Health::new);
        Some(Reach { uri: server.uri.clone(), shown, addresses, proxy, health })
    }

    /// Outside none after an error, inside none where no addresses are given.
    fn addresses(
        &self,
        endpoint: &EndpointAt<'_>,
        server: Option<&Server>,
        report: &mut Report,
    ) -> Option<Option<Vec<Address>>> {
        let Some(written) = endpoint.addresses else { return Some(None) };
        let at = endpoint.step_or_common("addresses");
        if server.is_some_and(|server| matches!(server.place, Address::Unix(_))) {
            report
                .error(&self.view.at_key(&at), "a socket has no other addresses")
                .hint("name the server in `endpoint`, and its socket in `addresses`");
            return None;
        }
        let port = server.and_then(|server| match server.place {
            Address::Tcp(_, port) => Some(port),
            Address::Unix(_) => None,
        });
        let each = written.iter().enumerate().map(|(index, text)| {
            let place: Vec<Step<'_>> = at.iter().copied().chain([Step::Index(index)]).collect();
            let address = address(text, port, self.view.base_dir());
            if address.is_none() {
                report.error(&self.view.at(&place), "this is not an address").hint(FORM);
            }
            address
        });
        let list: Vec<Option<Address>> = each.collect();
        list.into_iter().collect::<Option<Vec<_>>>().map(Some)
    }

    /// Outside none after an error, inside none where there is no proxy.
    fn proxy(&mut self, server: &Server, report: &mut Report) -> Option<Option<Proxy>> {
        if matches!(server.place, Address::Unix(_)) {
            return Some(None);
        }
        let written = self.config.proxy.as_deref();
        let proxy = proxy(written, &server.uri, &self.environment, |error, hint| {
            if !self.is_proxy_told {
                report.error(&self.view.at(&["proxy"]), error).hint(hint);
            }
            self.is_proxy_told = true;
        });
        proxy.filter(|_| self.view.knows(&["proxy"]))
    }
}

/// The proxy to `uri`; outside none after an error, which is told with a hint.
pub(super) fn proxy(
    written: Option<&str>,
    uri: &Uri,
    environment: &Environment,
    mut tell: impl FnMut(String, &'static str),
) -> Option<Option<Proxy>> {
    match Proxy::choose(written, uri, environment) {
        Ok(proxy) => Some(proxy),
        Err(error) => {
            let hint = "write http://HOST:PORT, http://USER:PASSWORD@HOST:PORT or `none`";
            match error.variable {
                None => tell(error.to_string(), hint),
                Some(name) => tell(
                    format!("{error}, in the environment variable {name}"),
                    "correct the variable, or write `proxy: none`",
                ),
            }
            None
        }
    }
}

/// What says how long calls last must fit together.
pub(super) fn check_life(config: &Config, view: &NodeView<'_>, report: &mut Report) {
    let (reopen, deadline) = (config.call.reopen_after_ms, config.call.deadline_ms);
    let is_known = view.knows(&["call", "reopen_after_ms"]) && view.knows(&["call", "deadline_ms"]);
    if reopen.zip(deadline).is_some_and(|(reopen, deadline)| is_known && reopen >= deadline) {
        report
            .warning(
                &view.at(&["call", "reopen_after_ms"]),
                "`reopen_after_ms` has no effect: `deadline_ms` comes first",
            )
            .hint("make reopen_after_ms less than deadline_ms");
    }
    if config.poll.is_some() {
        let timed = [
            (config.idle_timeout_ms, &["idle_timeout_ms"][..]),
            (deadline, &["call", "deadline_ms"]),
            (reopen, &["call", "reopen_after_ms"]),
        ];
        for (_, path) in timed.into_iter().filter(|(time, _)| time.is_some()) {
            let key = path.last().expect("a path has a key");
            report
                .warning(
                    &view.at(path),
                    format!("`{key}` has no effect on a method that is polled"),
                )
                .hint("leave it out: `poll.timeout_ms` bounds each call");
        }
    }
    if reopen.is_some() && !is_resumed(config) {
        report
            .warning(
                &view.at(&["call", "reopen_after_ms"]),
                "without `resume`, what is sent between two calls is lost",
            )
            .hint("declare `resume`, or leave reopen_after_ms out");
    }
}

/// Whether another call goes on where the last one ended.
pub(super) fn is_resumed(config: &Config) -> bool {
    config.resume.as_ref().is_some_and(|resume| resume.mode != Mode::None)
}

/// The path of a socket's URL; none if it is another URL.
pub(super) fn socket(url: &str, base_dir: &Path) -> Option<PathBuf> {
    let path = url.strip_prefix("unix:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (!path.is_empty()).then(|| base_dir.join(path))
}

fn address(text: &str, port: Option<u16>, base_dir: &Path) -> Option<Address> {
    if let Some(path) = socket(text, base_dir) {
        return Some(Address::Unix(path));
    }
    let authority: Authority = text.parse().ok().filter(|_| !text.contains('@'))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_port_read = text.ends_with(authority.host()) || authority.port_u16().is_some();
    // Without the endpoint's own port any will do: nothing is made of it.
    let port = authority.port_u16().or(port).unwrap_or_default();
    (is_port_read && !host.is_empty()).then(|| Address::Tcp(host.to_owned(), port))
}
