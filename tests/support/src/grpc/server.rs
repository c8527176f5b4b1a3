//! The server that plays a script.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use headwater_proto::telemetry::SubscribeRequest;
use headwater_telemetry::Fleet;
use headwater_telemetry::link::{Incoming, LinkHandle};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::codec::RawCodec;
use super::ledger::{Call, Ledger};
use super::script::Script;
use super::stream::{CallContext, Doing, ScriptedStream};
use crate::grpc_service;
use crate::runtime::RUNTIME;

/// A running server. Dropping it cuts all connections and frees the port.
pub struct ScriptedServer {
    address: SocketAddr,
    is_tls: bool,
    stage: Stage,
    down: CancellationToken,
    task: Option<JoinHandle<Result<(), tonic::transport::Error>>>,
}

/// How a server is started, where it is not the usual way.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Where to listen: the address of a server that was stopped, to take its place.
    pub listen: Option<SocketAddr>,
    /// Its certificate, and whom it trusts; see [`crate::tls::TestCa::serve`].
    pub tls: Option<ServerTlsConfig>,
}

/// What all calls share.
#[derive(Clone)]
struct Stage {
    script: Arc<Mutex<Script>>,
    ledger: Arc<Ledger>,
    fleet: Arc<Fleet>,
    gate: Arc<Semaphore>,
}

impl ScriptedServer {
    /// Plays `script` on a free port of loopback, without TLS.
    pub fn start(script: Script) -> Result<ScriptedServer> {
        ScriptedServer::start_with(script, ServerOptions::default())
    }

    /// Plays `script` as `options` say.
    pub fn start_with(script: Script, options: ServerOptions) -> Result<ScriptedServer> {
        let stage = Stage {
            script: Arc::new(Mutex::new(script)),
            ledger: Arc::default(),
            fleet: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        let listen = options.listen.unwrap_or(([127, 0, 0, 1], 0).into());
        let _inside = RUNTIME.enter();
        let listener = RUNTIME.block_on(TcpListener::bind(listen)).context("scripted server")?;
        let (address, is_tls) = (listener.local_addr()?, options.tls.is_some());
        let down = CancellationToken::new();
        let mut server = Server::builder();
        if let Some(tls) = options.tls {
            server = server.tls_config(tls)?;
        }
        let router = server.add_service(Scripted(stage.clone()));
        let serving = router.serve_with_incoming(Incoming::new(listener, down.clone()));
        let task = Some(RUNTIME.spawn(serving));
        Ok(ScriptedServer { address, is_tls, stage, down, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a pipeline file's `endpoint` writes it.
    pub fn endpoint(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The ledger: every call so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.stage.ledger.calls()
    }

    /// How many messages were handed to the transport, over all calls.
    pub fn sent(&self) -> u64 {
        self.stage.ledger.sent_total()
    }

    /// Lets one call go on that stands at a [`super::Step::Stall`], or the next that gets there.
    pub fn release(&self) {
        self.stage.gate.add_permits(1);
    }

    /// Cuts all connections and frees the port; returns the ledger.
    pub fn stop(mut self) -> Vec<Call> {
        self.end();
        self.calls()
    }

    fn end(&mut self) {
        self.down.cancel();
        if let Some(task) = self.task.take() {
            // It ends once the listener is closed; what became of the links is of no interest.
            let _ = RUNTIME.block_on(task);
        }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Stage {
    fn open(&self, request: Request<Bytes>) -> Result<ScriptedStream, Status> {
        let link = request.extensions().get::<LinkHandle>().cloned();
        let (metadata, _, request) = request.into_parts();
        let request = SubscribeRequest::decode(request);
        let request = request.map_err(|it| Status::invalid_argument(it.to_string()))?;
        let mut script = self.script.lock().expect("no holder of the script panics");
        Ok(ScriptedStream {
            steps: script.take_call().into(),
            doing: Doing::NextStep,
            next: script.first(request.from_sequence),
            total: script.total,
            broken_every: script.broken_every,
            odd_of: script.odd_of,
            pace: None,
            context: CallContext {
                number: self.ledger.open(request, metadata),
                ledger: Arc::clone(&self.ledger),
                fleet: Arc::clone(&self.fleet),
                gate: Arc::clone(&self.gate),
                link: link.expect("tonic hands on the link of every connection"),
            },
        })
    }
}

#[derive(Clone)]
struct Scripted(Stage);

struct Subscribe(Stage);

grpc_service!(Scripted, "bench.v1.Telemetry", |it, request| {
    Grpc::new(RawCodec).server_streaming(Subscribe(it.0), request).await
});

impl ServerStreamingService<Bytes> for Subscribe {
    type Response = Bytes;
    type ResponseStream = ScriptedStream;
    type Future = Ready<Result<Response<ScriptedStream>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(self.0.open(request).map(Response::new))
    }
}
