//! The connection: one per call, so that each call has flow-control windows of its own and a slow
//! shard does not take room from another one.
//!
//! Next: `call.rs` opens the call on it.

use super::config::{Config, Windows};
use super::link::{self, TlsEnd};
use super::tls::TlsMaterial;
use http::Uri;
use http::uri::Scheme;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

/// The name this client goes by.
const USER_AGENT: &str = concat!("headwater/", env!("CARGO_PKG_VERSION"));

/// How to reach one server.
pub(super) struct Dial {
    endpoint: Endpoint,
    uri: Uri,
    tls: Option<TlsMaterial>,
    shown: String,
}

impl Dial {
    /// The settings of `config` for the server at `uri`, for one of `shards` calls.
    pub(super) fn new(uri: Uri, config: &Config, tls: Option<TlsMaterial>, shards: usize) -> Self {
        let shown = uri.to_string().trim_end_matches('/').to_owned();
        let mut endpoint = Endpoint::from(without_tls(uri.clone()))
            .origin(uri.clone())
            .user_agent(USER_AGENT)
            .expect("name and version are a valid header")
            .connect_timeout(config.connect_timeout())
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_millis(config.keepalive.interval_ms))
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
        Dial { endpoint, uri, tls, shown }
    }

    /// The server's URL, for people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Connects, TLS handshake included. Why TLS ends the connection, then or later, is kept in
    /// `end`.
    ///
    /// # Errors
    /// tonic's, with its causes.
    pub(super) async fn connect(&self, end: &TlsEnd) -> Result<Channel, Error> {
        let Some(tls) = &self.tls else { return self.endpoint.connect().await };
        let (uri, tls, end) = (self.uri.clone(), tls.clone(), end.clone());
        let connector =
            service_fn(move |_: Uri| link::connect(uri.clone(), tls.clone(), end.clone()));
        self.endpoint.connect_with_connector(connector).await
    }
}

/// The URI for tonic, which shall not look for a TLS configuration of its own: `link.rs` has it.
fn without_tls(uri: Uri) -> Uri {
    let mut parts = uri.into_parts();
    parts.scheme = Some(Scheme::HTTP);
    Uri::from_parts(parts).expect("the scheme alone was changed")
}
