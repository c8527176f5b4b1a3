//! A gRPC server that plays the part of a source's own: it takes any call and answers with messages
//! of the source's type, numbered where the cursor stands, from where the request asks for.
//!
//! Each source has a port of its own, so that two sources with one method can have different
//! cursors. Numbers begin at 1, or where a request says; each message is one more.
//!
//! Invariant: between two waits nothing is awaited, as in the sample server: HTTP/2 flow control is
//! the only brake of a stream without a rate.
//!
//! Next: `src/bench/child.rs` runs it in a process of its own.

use crate::bench::draw::Draw;
use crate::bench::limits::POOL_MESSAGES;
use crate::bench::part::Part;
use crate::bench::sample::{Sample, Stamp, number_at};
use crate::load::Text;
use bytes::{Bytes, BytesMut};
use headwater_engine::spec::{Plan, Role};
use headwater_operators::source::grpc::{GrpcSource, RawCodec};
use headwater_proto::CursorScalar;
use headwater_telemetry::link::Incoming;
use headwater_telemetry::pace::{Pace, unix_ns};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready as poll_ready};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Messages are written into chunks of this size, one allocation for all of them.
const CHUNK_BYTES: usize = 64 * 1024;

/// So many messages share one look at the clock.
const BURST: u64 = 64;

/// What is to be generated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) text: Text,
    pub(super) rate: Option<u64>,
    pub(super) messages: Option<u64>,
    pub(super) message_bytes: usize,
    pub(super) seed: u64,
}

/// Where a source is served.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Served {
    pub(super) port: u16,
    /// The mean size of its messages.
    pub(super) message_bytes: u64,
}

/// What all calls of one source share.
struct Stage {
    plan: Arc<Plan>,
    /// The source's place in the plan.
    node: usize,
    pool: Vec<Sample>,
    number_max: u64,
    rate: Option<u64>,
    messages: Option<u64>,
    start_ns: u64,
    /// The lowest number that was ever asked for: messages are counted from it. That is right for
    /// shards that begin at one place, as they do unless their requests say otherwise.
    first: AtomicU64,
}

/// A call that is about to be answered.
struct Call(Arc<Stage>);

/// The messages of one call.
struct Numbered {
    stage: Arc<Stage>,
    next: u64,
    last: u64,
    pace: Option<Pace>,
    now_ns: u64,
    scratch: Vec<u8>,
    chunk: BytesMut,
}

/// Starts a server for each source of the pipeline; they run until the process ends.
pub(super) async fn serve(order: &Order) -> Result<BTreeMap<String, Served>, String> {
    let plan = Arc::new(order.text.check_changed(&|_| {})?);
    let mut served = BTreeMap::new();
    for node in plan.of_role(Role::Source) {
        let stage = Stage::new(&plan, node.index, order)?;
        served.insert(node.name.clone(), stage.serve().await.map_err(|it| it.to_string())?);
    }
    Ok(served)
}

impl Stage {
    fn new(plan: &Arc<Plan>, node: usize, order: &Order) -> Result<Stage, String> {
        let part = Part::of(plan, &plan.nodes()[node])?;
        let mut draw = Draw::new(order.seed, part.keys);
        let draw = |_| Sample::draw(&part.message, &part.live, &mut draw, order.message_bytes);
        let pool: Option<Vec<Sample>> = (0..POOL_MESSAGES).map(draw).collect();
        Ok(Stage {
            plan: plan.clone(),
            node,
            pool: pool.expect("the live fields of a part can be told"),
            number_max: part.number_max,
            rate: order.rate,
            messages: order.messages,
            start_ns: now_ns(),
            first: AtomicU64::new(u64::MAX),
        })
    }

    /// Listens on a free port, and serves there.
    async fn serve(self) -> std::io::Result<Served> {
        let sizes = self.pool.iter().map(|sample| sample.bytes() as u64);
        let message_bytes = sizes.sum::<u64>() / POOL_MESSAGES as u64;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let stage = Arc::new(self);
        let answer = move |request: axum::extract::Request| {
            let call = Call(stage.clone());
            async move { Grpc::new(RawCodec).server_streaming(call, request).await }
        };
        let routes = Routes::from(axum::Router::new().fallback(answer));
        let incoming = Incoming::new(listener, CancellationToken::new());
        tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(incoming));
        Ok(Served { port, message_bytes })
    }

    /// The number that a request asks for: of several components, the one that is furthest.
    fn asked(&self, request: &[u8]) -> u64 {
        let asked = self.plan.nodes()[self.node].config::<GrpcSource>().asked(request);
        let number = |value: &CursorScalar| match value {
            CursorScalar::Int(number) => u64::try_from(*number).ok(),
            CursorScalar::Uint(number) => Some(*number),
            CursorScalar::Text(text) => text.parse().ok(),
            CursorScalar::Bytes(bytes) => Some(u64::from_be_bytes(bytes[..].try_into().ok()?)),
            CursorScalar::Timestamp { seconds, nanos } => {
                Some(number_at(*seconds, *nanos, self.start_ns))
            }
            CursorScalar::Message(_) => None,
        };
        let number = asked.values.values().filter_map(number).max().unwrap_or(0);
        number.saturating_add(u64::from(asked.is_behind)).max(1)
    }
}

impl ServerStreamingService<Bytes> for Call {
    type Response = Bytes;
    type ResponseStream = Numbered;
    type Future = Ready<Result<Response<Numbered>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(Numbered::open(&self.0, request.get_ref()))))
    }
}

impl Numbered {
    fn open(stage: &Arc<Stage>, request: &[u8]) -> Self {
        let next = stage.asked(request);
        let first = stage.first.fetch_min(next, Ordering::Relaxed).min(next);
        let count = stage.messages.unwrap_or(u64::MAX);
        Numbered {
            stage: stage.clone(),
            next,
            last: first.saturating_add(count - 1).min(stage.number_max),
            pace: stage.rate.map(Pace::new),
            now_ns: now_ns(),
            scratch: Vec::new(),
            chunk: BytesMut::new(),
        }
    }

    fn message(&mut self) -> Bytes {
        let Stage { pool, start_ns, .. } = &*self.stage;
        let stamp = Stamp { number: self.next, now_ns: self.now_ns, start_ns: *start_ns };
        self.scratch.clear();
        pool[(self.next % pool.len() as u64) as usize].write(&stamp, &mut self.scratch);
        if self.chunk.capacity() < self.scratch.len() {
            self.chunk = BytesMut::with_capacity(CHUNK_BYTES.max(self.scratch.len()));
        }
        self.chunk.extend_from_slice(&self.scratch);
        self.chunk.split().freeze()
    }
}

impl Stream for Numbered {
    type Item = Result<Bytes, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.next > this.last {
            return Poll::Ready(None);
        }
        if let Some(pace) = &mut this.pace {
            poll_ready!(pace.poll_due(context));
        }
        if this.next.is_multiple_of(BURST) || this.pace.is_some() {
            this.now_ns = now_ns();
        }
        let message = this.message();
        this.next += 1;
        Poll::Ready(Some(Ok(message)))
    }
}

fn now_ns() -> u64 {
    u64::try_from(unix_ns()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
