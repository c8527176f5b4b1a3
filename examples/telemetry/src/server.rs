//! The server: a port, the service on it, and an end that does not wait for endless streams.
//!
//! Next: `service.rs` takes the calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_proto::telemetry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_reflection::server::Builder as Reflection;

use crate::event::Fleet;
use crate::link::Incoming;
use crate::service::Telemetry;
use crate::stream::Shared;

/// A running server. Dropping it leaves it running; [`TelemetryServer::shutdown`] ends it.
#[derive(Debug)]
pub struct TelemetryServer {
    local_addr: SocketAddr,
    sent: Arc<AtomicU64>,
    /// Ends the streams.
    closing: CancellationToken,
    /// Ends the serving, which tells clients to leave.
    leaving: CancellationToken,
    /// Cuts what is left.
    down: CancellationToken,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// The server cannot listen where it was told to.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: {source}; choose another address, or port 0 for a free one")]
pub struct StartError {
    /// Where it was told to listen.
    pub listen: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

/// So long may clients take to read the end of their streams before they are cut off.
const CLOSE_MAX: Duration = Duration::from_millis(500);

impl TelemetryServer {
    /// Listens on `listen` (port 0 takes a free one) and serves on the current tokio runtime.
    pub async fn start(listen: SocketAddr) -> Result<TelemetryServer, StartError> {
        TelemetryServer::start_paced(listen, 0).await
    }

    /// As [`TelemetryServer::start`], with a rate for requests that name none.
    pub async fn start_paced(
        listen: SocketAddr,
        rate_default: u64,
    ) -> Result<TelemetryServer, StartError> {
        let refused = |source| StartError { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        let (sent, closing) = (Arc::<AtomicU64>::default(), CancellationToken::new());
        let service = Telemetry(Shared {
            fleet: Arc::new(Fleet::default()),
            sent: Arc::clone(&sent),
            closing: closing.clone(),
            rate_default,
        });
        let (leaving, down) = (CancellationToken::new(), CancellationToken::new());
        let incoming = Incoming::new(listener, down.clone());
        let types = telemetry::descriptor_set();
        let reflection = || Reflection::configure().register_encoded_file_descriptor_set(&types);
        let (v1, v1alpha) = (reflection().build_v1(), reflection().build_v1alpha());
        let serving = Server::builder()
            .add_service(service)
            .add_service(v1.expect("the types are whole"))
            .add_service(v1alpha.expect("the types are whole"))
            .serve_with_incoming_shutdown(incoming, leaving.clone().cancelled_owned());
        let task = tokio::spawn(serving);
        Ok(TelemetryServer { local_addr, sent, closing, leaving, down, task })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The address as a pipeline file's `endpoint` writes it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.local_addr)
    }

    /// How many events left, over all calls since the start.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends every stream with `UNAVAILABLE`, and each later one before its first event. The
    /// connections stay: a client that is told to leave one (GOAWAY) may do so at once, without
    /// what is still on its way, because it can ask for that again. Here it gets all that was sent.
    pub fn end_streams(&self) {
        self.closing.cancel();
    }

    /// Ends every stream with `UNAVAILABLE`, waits a moment for the clients to read that, then
    /// cuts what is left. Done when the port is free again.
    pub async fn shutdown(mut self) {
        self.end_streams();
        self.leaving.cancel();
        let ended = tokio::time::timeout(CLOSE_MAX, &mut self.task).await;
        self.down.cancel();
        if ended.is_err() {
            // The task now ends by itself; what it has to say about cut links is of no interest.
            let _ = self.task.await;
        }
    }
}
