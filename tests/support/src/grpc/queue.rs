//! A server that keeps each message until it is acknowledged, and sends what is left to each call.
//!
//! It sends no more than so many ahead of the acks, and names each delivery anew, as such servers
//! do. With a lease it sends again, in the same call, what is neither acknowledged in time nor
//! given more of it; an ack of the delivery before counts for nothing. Its types are those of
//! `operators/tests/protos/feed.proto`; a message holds one item. It ends a call with status OK
//! once all is acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

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
    /// How long a delivery waits for its ack; none: for ever.
    lease: Option<Duration>,
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
    /// By item, its last delivery and when that one's time is over.
    leases: BTreeMap<u64, Lease>,
    /// Acks of deliveries that others had followed.
    late: u64,
}

struct Lease {
    ack_id: String,
    until: Instant,
    /// How often it was given more time.
    extended: u32,
}

/// How often leases are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl QueueServer {
    /// Serves items 1 to `total` on a free port of loopback; of each call at most `unacked_max`
    /// wait for their acks.
    pub fn start(total: u64, unacked_max: usize) -> Result<QueueServer> {
        QueueServer::leasing(total, unacked_max, None)
    }

    /// The same, with a lease on each delivery.
    pub fn leasing(total: u64, unacked_max: usize, lease: Option<Duration>) -> Result<QueueServer> {
        let (heard, state) = (Notify::new(), Mutex::default());
        let shared = Shared { total, unacked_max, lease, heard, state };
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

    /// How often the delivery that was given more time most often was.
    pub fn extended_max(&self) -> u32 {
        self.queue.state().leases.values().map(|it| it.extended).max().unwrap_or_default()
    }

    /// Acks that came for deliveries that others had followed.
    pub fn late(&self) -> u64 {
        self.queue.state().late
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

    async fn deliver(self, call: usize, sender: Sender) {
        let mut unacked = VecDeque::new();
        for number in self.left() {
            if !self.room(call, &sender, &mut unacked).await {
                return;
            }
            unacked.push_back(number);
            if !self.send(call, number, &sender).await {
                return;
            }
        }
        // Until the client is gone.
        while !sender.is_closed() {
            if !self.send_again(call, &sender).await {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Sends an item under a new name; false if the client is gone.
    async fn send(&self, call: usize, number: u64, sender: &Sender) -> bool {
        let ack_id = {
            let mut state = self.state();
            let delivered = state.delivered.entry(number).or_default();
            *delivered += 1;
            let ack_id = format!("{call}.{delivered}-{number}");
            let until = Instant::now() + self.0.lease.unwrap_or_default();
            state.leases.insert(number, Lease { ack_id: ack_id.clone(), until, extended: 0 });
            ack_id
        };
        let message = Delivery { items: vec![Item { number, ack_id }] }.encode_to_vec();
        sender.send(Ok(message.into())).await.is_ok()
    }

    /// Sends again what waited too long; false if the client is gone.
    async fn send_again(&self, call: usize, sender: &Sender) -> bool {
        if self.0.lease.is_none() {
            return !sender.is_closed();
        }
        let now = Instant::now();
        let due: Vec<u64> = {
            let state = self.state();
            let is_due = |it: &(&u64, &Lease)| it.1.until < now && !state.acked.contains_key(it.0);
            state.leases.iter().filter(is_due).map(|it| *it.0).collect()
        };
        for number in due {
            if !self.send(call, number, sender).await {
                return false;
            }
        }
        true
    }

    /// Waits until so few of `unacked` are left that another one may be sent; false if the client
    /// is gone.
    async fn room(&self, call: usize, sender: &Sender, unacked: &mut VecDeque<u64>) -> bool {
        loop {
            let mut heard = std::pin::pin!(self.0.heard.notified());
            heard.as_mut().enable();
            let is_acked = |number: &u64| self.state().acked.contains_key(number);
            unacked.retain(|number| !is_acked(number));
            if unacked.len() < self.0.unacked_max {
                return true;
            }
            let _ = tokio::time::timeout(LOOK_EVERY, heard).await;
            if !self.send_again(call, sender).await {
                return false;
            }
        }
    }

    /// Hears acks until all is acknowledged or the client is gone.
    async fn hear(self, mut requests: Streaming<Bytes>) {
        while let Ok(Some(request)) = requests.message().await {
            let Ok(request) = Acks::decode(request) else { return };
            let is_all = self.note(&request);
            self.0.heard.notify_waiters();
            if is_all {
                return;
            }
        }
    }

    /// Takes acks and wishes for more time; whether all is acknowledged.
    fn note(&self, request: &Acks) -> bool {
        let mut guard = self.state();
        let state = &mut *guard;
        let number = |id: &str| id.split_once('-')?.1.parse::<u64>().ok();
        for id in &request.ack_ids {
            let Some(number) = number(id) else { continue };
            let is_last = state.leases.get(&number).is_some_and(|it| it.ack_id == *id);
            match is_last || self.0.lease.is_none() {
                true => *state.acked.entry(number).or_default() += 1,
                false => state.late += 1,
            }
        }
        for (id, seconds) in request.deadline_ids.iter().zip(&request.deadline_seconds) {
            let lease = number(id).and_then(|number| state.leases.get_mut(&number));
            if let Some(lease) = lease.filter(|it| it.ack_id == *id) {
                lease.until = Instant::now() + Duration::from_secs((*seconds).into());
                lease.extended += 1;
            }
        }
        state.acked.len() as u64 == self.0.total
    }
}

type Sender = mpsc::Sender<Result<Bytes, Status>>;
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
    #[prost(string, repeated, tag = "5")]
    deadline_ids: Vec<String>,
    #[prost(uint32, repeated, tag = "6")]
    deadline_seconds: Vec<u32>,
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
