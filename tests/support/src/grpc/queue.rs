//! A server that keeps each message until it is acknowledged, and sends what is left to each call.
//!
//! It sends no more than so many ahead of the acks, and names each delivery anew, as such servers
//! do. Its types are those of `operators/tests/protos/feed.proto`; a message holds one item. It
//! ends a call with status OK once all is acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::server::{Grpc, StreamingService};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::codec::RawCodec;
use crate::grpc_service;
use crate::runtime::RUNTIME;

/// The `.proto` of its method, `feed.v1.Feed/Follow`.
pub const FEED_PROTO: &str = include_str!("../../../../operators/tests/protos/feed.proto");

/// A running server; it ends with the process.
pub struct QueueServer {
    address: SocketAddr,
    queue: Queue,
}

#[derive(Clone)]
struct Queue(Arc<Shared>);

struct Shared {
    total: u64,
    unacked_max: usize,
    /// Something was acknowledged.
    heard: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: usize,
    /// By item, how often it was delivered.
    delivered: BTreeMap<u64, u32>,
    /// By item, how often it was acknowledged.
    acked: BTreeMap<u64, u32>,
}

impl QueueServer {
    /// Serves items 1 to `total` on a free port of loopback; of each call at most `unacked_max`
    /// wait for their acks.
    pub fn start(total: u64, unacked_max: usize) -> Result<QueueServer> {
        let (heard, state) = (Notify::new(), Mutex::default());
        let shared = Shared { total, unacked_max, heard, state };
        let queue = Queue(Arc::new(shared));
        let _inside = RUNTIME.enter();
        let bound = RUNTIME.block_on(TcpListener::bind(("127.0.0.1", 0)));
        let listener = bound.context("queue server")?;
        let address = listener.local_addr()?;
        let incoming = TcpListenerStream::new(listener)
            .map(|stream| stream.inspect(|stream| drop(stream.set_nodelay(true))));
        let router = Server::builder().add_service(queue.clone());
        RUNTIME.spawn(router.serve_with_incoming(incoming));
        Ok(QueueServer { address, queue })
    }

    /// The address as a pipeline file's `endpoint` writes it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls so far.
    pub fn calls(&self) -> usize {
        self.queue.state().calls
    }

    /// How often each item was delivered.
    pub fn delivered(&self) -> BTreeMap<u64, u32> {
        self.queue.state().delivered.clone()
    }

    /// How often each item was acknowledged.
    pub fn acked(&self) -> BTreeMap<u64, u32> {
        self.queue.state().acked.clone()
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder of the state panics")
    }

    /// What is not acknowledged, in order.
    fn left(&self) -> Vec<u64> {
        let state = self.state();
        (1..=self.0.total).filter(|number| !state.acked.contains_key(number)).collect()
    }

    async fn deliver(self, call: usize, sender: mpsc::Sender<Result<Bytes, Status>>) {
        let mut unacked = VecDeque::new();
        for number in self.left() {
            self.room(&mut unacked).await;
            unacked.push_back(number);
            let item = Item { number, ack_id: format!("{call}-{number}") };
            let message = Delivery { items: vec![item] }.encode_to_vec();
            if sender.send(Ok(message.into())).await.is_err() {
                return;
            }
            *self.state().delivered.entry(number).or_default() += 1;
        }
        sender.closed().await;
    }

    /// Waits until so few of `unacked` are left that another one may be sent.
    async fn room(&self, unacked: &mut VecDeque<u64>) {
        loop {
            let mut heard = std::pin::pin!(self.0.heard.notified());
            heard.as_mut().enable();
            let is_acked = |number: &u64| self.state().acked.contains_key(number);
            unacked.retain(|number| !is_acked(number));
            if unacked.len() < self.0.unacked_max {
                return;
            }
            heard.await;
        }
    }

    /// Hears acks until all is acknowledged or the client is gone.
    async fn hear(self, mut requests: Streaming<Bytes>) {
        while let Ok(Some(request)) = requests.message().await {
            let Ok(request) = Acks::decode(request) else { return };
            let mut state = self.state();
            let number = |id: &String| id.split_once('-')?.1.parse().ok();
            for number in request.ack_ids.iter().filter_map(number) {
                *state.acked.entry(number).or_default() += 1;
            }
            let is_all = state.acked.len() as u64 == self.0.total;
            drop(state);
            self.0.heard.notify_waiters();
            if is_all {
                return;
            }
        }
    }
}

type Deliveries = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl StreamingService<Bytes> for Queue {
    type Response = Bytes;
    type ResponseStream = Deliveries;
    type Future = Ready<Result<Response<Deliveries>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let call = {
            let mut state = self.state();
            state.calls += 1;
            state.calls
        };
        let (sender, receiver) = mpsc::channel(16);
        let (speaking, hearing) = (self.clone(), self.clone());
        tokio::spawn(async move {
            // Whichever ends first ends the call.
            tokio::select! {
                () = speaking.deliver(call, sender) => {}
                () = hearing.hear(request.into_inner()) => {}
            }
        });
        ready(Ok(Response::new(Box::pin(ReceiverStream::new(receiver)))))
    }
}

grpc_service!(Queue, "feed.v1.Feed", |it, request| {
    Grpc::new(RawCodec).streaming(it, request).await
});

#[derive(Clone, PartialEq, Message)]
struct Acks {
    #[prost(string, repeated, tag = "4")]
    ack_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Delivery {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Item>,
}

#[derive(Clone, PartialEq, Message)]
struct Item {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    ack_id: String,
}
