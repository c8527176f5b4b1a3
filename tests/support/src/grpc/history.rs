//! A server whose unary method tells a history page by page: a page follows the token of the one
//! before it, and waits for news where there are none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::codec::RawCodec;
use crate::grpc_service;
use crate::runtime::RUNTIME;

/// The `.proto` of its method, `history.v1.History/Get`.
pub const HISTORY_PROTO: &str = r#"syntax = "proto3";
package history.v1;
service History { rpc Get(GetRequest) returns (GetResponse); }
message GetRequest { string page_token = 1; }
message GetResponse { repeated Event events = 1; string next_page_token = 2; }
message Event { uint64 number = 1; }
"#;

/// The largest page; smaller ones come between.
const PAGE_MAX: u64 = 40;

/// How long an answer takes, so that some are on their way whenever a client dies.
const ANSWER_TIME: Duration = Duration::from_millis(2);

/// A running server; it ends with the process.
pub struct HistoryServer {
    address: SocketAddr,
    history: Arc<History>,
}

struct History {
    total: AtomicU64,
    /// The highest number of any answer.
    told: AtomicU64,
    asked: AtomicU64,
}

#[derive(Clone)]
struct Pages(Arc<History>);

impl HistoryServer {
    /// Tells events 1 to `total` on a free port of loopback.
    pub fn start(total: u64) -> Result<HistoryServer> {
        let total = AtomicU64::new(total);
        let history =
            Arc::new(History { total, told: AtomicU64::new(0), asked: AtomicU64::new(0) });
        let _inside = RUNTIME.enter();
        let bound = RUNTIME.block_on(TcpListener::bind(("127.0.0.1", 0)));
        let listener = bound.context("history server")?;
        let address = listener.local_addr()?;
        let router = Server::builder().add_service(Pages(history.clone()));
        RUNTIME.spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(HistoryServer { address, history })
    }

    /// The address as a pipeline file's `endpoint` writes it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The highest number that was told.
    pub fn told(&self) -> u64 {
        self.history.told.load(Ordering::SeqCst)
    }

    /// How many pages were asked for.
    pub fn asked(&self) -> u64 {
        self.history.asked.load(Ordering::SeqCst)
    }

    /// Lets the history end `more` events behind what was told. Returns how many there are.
    pub fn end_behind(&self, more: u64) -> u64 {
        // What is being answered meanwhile is not beyond it: a page is smaller.
        assert!(more > 2 * PAGE_MAX, "an answer on its way may be longer");
        let total = self.told() + more;
        self.history.total.store(total, Ordering::SeqCst);
        total
    }
}

impl History {
    async fn page(&self, after: u64) -> GetResponse {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(ANSWER_TIME).await;
        let size = 1 + after % PAGE_MAX;
        let last = (after + size).min(self.total.load(Ordering::SeqCst));
        if last <= after {
            // The client gives up, which tells it that there is nothing new.
            return std::future::pending().await;
        }
        self.told.fetch_max(last, Ordering::SeqCst);
        let events = (after + 1..=last).map(|number| Event { number }).collect();
        GetResponse { events, next_page_token: last.to_string() }
    }
}

impl UnaryService<Bytes> for Pages {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let history = self.0.clone();
        Box::pin(async move {
            let request = GetRequest::decode(request.into_inner())
                .map_err(|error| Status::invalid_argument(error.to_string()))?;
            let after = match request.page_token.as_str() {
                "" => 0,
                token => token.parse().map_err(|_| Status::invalid_argument("no such page"))?,
            };
            Ok(Response::new(history.page(after).await.encode_to_vec().into()))
        })
    }
}

grpc_service!(Pages, "history.v1.History", |it, request| {
    Grpc::new(RawCodec).unary(it, request).await
});

#[derive(Clone, PartialEq, Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    page_token: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetResponse {
    #[prost(message, repeated, tag = "1")]
    events: Vec<Event>,
    #[prost(string, tag = "2")]
    next_page_token: String,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(uint64, tag = "1")]
    number: u64,
}
