//! Connections of the API: accepted, counted, and ended when they take too long.
//!
//! Invariants
//! 1. At most [`CONNECTIONS_MAX`] are open; then nobody is accepted until one ends.
//! 2. Who does not send its request's head in time, or sends too long a one, is cut off.

use super::answer::Answer;
use super::auth::Peer;
use super::credentials::Sides;
use super::dispatch::Api;
use super::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_CLIENT_MAX, HANDSHAKE_TIMEOUT, HEAD_BYTES_MAX, HEAD_TIMEOUT,
    HEADERS_MAX,
};
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long open requests are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// The wait after the system refused a connection, as it does when it has no file left for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What TLS connections are made with now, if they are.
pub(crate) type Tls = Option<watch::Receiver<Sides>>;

/// How many connections each client has open.
type Clients = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One connection, as long as it lives.
struct Place {
    client: IpAddr,
    clients: Clients,
    _turn: OwnedSemaphorePermit,
}

/// Serves until it is asked to stop.
pub(crate) async fn listen(
    listener: TcpListener,
    tls: Tls,
    api: Arc<Api>,
    stop: CancellationToken,
) {
    let turns = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let clients = Clients::default();
    loop {
        let turn = turns.clone().acquire_owned().await.expect("it is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(event = "api_accept_failed", %error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = Place::take(address.ip(), &clients, turn) else { continue };
        let connection = Connection {
            peer: Peer { address },
            tls: tls.as_ref().map(|tls| tls.borrow().server.clone()),
            api: api.clone(),
            stop: stop.clone(),
        };
        tokio::spawn(async move {
            connection.run(stream).await;
            drop(place);
        });
    }
}

impl Place {
    /// None if the client has as many as it may.
    fn take(client: IpAddr, clients: &Clients, turn: OwnedSemaphorePermit) -> Option<Place> {
        let mut counts = clients.lock().expect("counting does not panic");
        let count = counts.entry(client).or_default();
        if *count >= CONNECTIONS_PER_CLIENT_MAX {
            tracing::debug!(event = "api_client_refused", %client);
            return None;
        }
        *count += 1;
        Some(Place { client, clients: clients.clone(), _turn: turn })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.lock().expect("counting does not panic");
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

struct Connection {
    peer: Peer,
    tls: Option<Arc<ServerConfig>>,
    api: Arc<Api>,
    stop: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Some(config) = self.tls.clone() else { return self.serve(stream).await };
        let handshake = TlsAcceptor::from(config).accept(stream);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => {
                let client = self.peer.address;
                tracing::debug!(event = "api_handshake_failed", %client, %error);
            }
            Err(_) => {}
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Connection { peer, api, stop, .. } = self;
        let service = service_fn(move |request: Request<Incoming>| {
            let api = api.clone();
            let answer = async move { api.answer(request.map(Body::new), peer).await };
            async move { Ok::<Answer, Infallible>(answer.await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        http.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            // How a connection ends is its client's business.
            _ = connection.as_mut() => {}
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(FAREWELL, connection).await;
            }
        }
    }
}
