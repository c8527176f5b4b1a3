//! The connection: one per call, so that each call has flow-control windows of its own and a slow
//! shard does not take room from another one.
//!
//! Next: `call.rs` opens the call on it.

use super::approach::Approach;
use super::balance::{Addresses, Place};
use super::config::{Config, Windows};
use super::health::Health;
use super::link::{self, LinkEnd};
use super::proxy::Proxy;
use super::reload::TlsMaterial;
use super::route::{Address, Route};
use super::status::{CallError, Healing};
use crate::limits::ADDRESSES_SHOWN_MAX;
use http::Uri;
use http::uri::Scheme;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// The name this client goes by.
pub(super) const USER_AGENT: &str = concat!("headwater/", env!("CARGO_PKG_VERSION"));

/// How to reach one server.
pub(super) struct Dial {
    endpoint: Endpoint,
    reach: Reach,
    tls: Option<TlsMaterial>,
    timeout: Duration,
    pings: Duration,
}

/// Where one server is.
#[derive(Clone)]
pub(super) struct Reach {
    /// What it is called: in the call, in its certificate.
    pub(super) uri: Uri,
    /// The same for people.
    pub(super) shown: String,
    /// Where it is found.
    pub(super) addresses: Addresses,
    /// What stands in between.
    pub(super) proxy: Option<Proxy>,
    /// How it is asked whether it is well, if it is.
    pub(super) health: Option<Health>,
}

impl Dial {
    /// The settings of `config` for the server of `reach`, for one of `shards` calls.
    pub(super) fn new(
        reach: Reach,
        config: &Config,
        tls: Option<TlsMaterial>,
        shards: usize,
    ) -> Self {
        let timeout = config.connect_timeout();
        let mut endpoint = Endpoint::from(without_tls(reach.uri.clone()))
            .origin(reach.uri.clone())
            .user_agent(USER_AGENT)
            .expect("name and version are a valid header")
            .connect_timeout(timeout)
            .keep_alive_timeout(Duration::from_millis(config.keepalive.timeout_ms))
            .keep_alive_while_idle(config.keepalive.while_idle);
        if config.http2.adaptive_window {
            endpoint = endpoint.http2_adaptive_window(true);
        } else {
            let Windows { stream_bytes, connection_bytes } = config.http2.windows(shards);
            endpoint = endpoint
                .initial_stream_window_size(stream_bytes)
                .initial_connection_window_size(connection_bytes);
        }
        let pings = Duration::from_millis(config.keepalive.interval_ms);
        Dial { endpoint, reach, tls, timeout, pings }
    }

    /// The server's URL, for people.
    pub(super) fn shown(&self) -> &str {
        &self.reach.shown
    }

    /// What shard `shard` of a source knows of the way before its first call; `seed` is chance.
    pub(super) fn approach(&self, shard: usize, seed: u64) -> Approach {
        Approach::new(self.reach.addresses.turns(shard, seed), self.pings)
    }

    /// How it is reached, for people, where that is not plain.
    pub(super) fn describe(&self) -> Vec<(&'static str, String)> {
        let Reach { addresses, proxy, health, .. } = &self.reach;
        let through = proxy.as_ref().map(|proxy| ("proxy", proxy.shown()));
        let checked = health.as_ref().map(|_| ("health", "asked before each call".to_owned()));
        let addresses = addresses.words().map(|words| ("addresses", words));
        addresses.into_iter().chain(through).chain(checked).collect()
    }

    /// Connects, TLS handshake included, to the first of the server's addresses, in the order of
    /// `approach`, that lets itself be connected to and is well. What `metadata` holds is sent with
    /// the question after its health.
    ///
    /// # Errors
    /// Why none does.
    pub(super) async fn connect(
        &self,
        approach: &mut Approach,
        metadata: &MetadataMap,
    ) -> Result<(Channel, LinkEnd), CallError> {
        let addresses = self.reach.addresses.now().await?;
        let mut failures = Vec::new();
        for place in approach.turns.order(addresses.len()) {
            let Place { index, .. } = place;
            approach.turns.take(place);
            match self.connect_to(&addresses[index], approach.pings(), metadata).await {
                Ok(connected) => return Ok(connected),
                Err(error) => failures.push((index, error)),
            }
        }
        Err(none_of(&addresses, failures))
    }

    async fn connect_to(
        &self,
        address: &Address,
        pings: Duration,
        metadata: &MetadataMap,
    ) -> Result<(Channel, LinkEnd), CallError> {
        let Reach { uri, proxy, health, .. } = &self.reach;
        let (uri, tls, end) = (uri.clone(), self.tls.clone(), LinkEnd::default());
        let route = Route { address: address.clone(), proxy: proxy.clone(), timeout: self.timeout };
        let (route, of_connection) = (std::sync::Arc::new(route), end.clone());
        let connector = service_fn(move |_: Uri| {
            let (route, uri, tls) = (route.clone(), uri.clone(), tls.clone());
            let end = of_connection.clone();
            async move { link::connect(&route, tls.as_ref().map(|tls| (tls, &uri)), end).await }
        });
        let endpoint = self.endpoint.clone().http2_keep_alive_interval(pings);
        let connected = endpoint.connect_with_connector(connector).await;
        let channel = connected.map_err(|error| CallError::of_connect(&error).because_of(&end))?;
        if let Some(health) = health {
            let asked = health.ask(channel.clone(), metadata).await;
            asked.map_err(|error| error.because_of(&end))?;
        }
        Ok((channel, end))
    }
}

/// One failure is told as it is. Of several, whatever may heal is waited for.
fn none_of(addresses: &[Address], mut failures: Vec<(usize, CallError)>) -> CallError {
    let (_, mut error) = failures.pop().expect("a server has an address");
    if failures.is_empty() {
        return error;
    }
    let mut told: Vec<String> = failures
        .iter()
        .map(|(index, error)| format!("{}: {}", addresses[*index], error.text))
        .take(ADDRESSES_SHOWN_MAX)
        .collect();
    let is_healing = |(_, error): &(usize, CallError)| error.healing == Healing::Retry;
    if failures.iter().any(is_healing) {
        error.healing = Healing::Retry;
    }
    told.push(error.text);
    let count = failures.len() + 1;
    CallError { text: format!("none of {count} addresses: {}", told.join("; ")), ..error }
}

/// The URI for tonic, which shall not look for a TLS configuration of its own: `link.rs` has it.
fn without_tls(uri: Uri) -> Uri {
    let mut parts = uri.into_parts();
    parts.scheme = Some(Scheme::HTTP);
    Uri::from_parts(parts).expect("the scheme alone was changed")
}
