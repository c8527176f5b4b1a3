//! A server of `feed.v1.Feed/Follow` whose calls are conversations that a test writes.

use crate::server::{Cut, cut_by};
use bytes::Bytes;
use headwater_test_support::grpc::RawCodec;
use headwater_test_support::grpc_service;
use prost::Message;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request as Incoming, Response as Outgoing, Status, Streaming};

#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(string, tag = "1")]
    pub topic: String,
    #[prost(uint64, tag = "2")]
    pub from: u64,
    #[prost(int32, tag = "3")]
    pub num_requested: i32,
    #[prost(string, repeated, tag = "4")]
    pub ack_ids: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub deadline_ids: Vec<String>,
    #[prost(int32, repeated, tag = "6")]
    pub deadline_seconds: Vec<i32>,
    #[prost(message, tag = "7")]
    pub pong: Option<Ping>,
    #[prost(message, tag = "8")]
    pub commit: Option<Commit>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Response {
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Item>,
    #[prost(message, tag = "2")]
    pub ping: Option<Ping>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Item {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(string, tag = "2")]
    pub ack_id: String,
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Ping {
    #[prost(int32, tag = "1")]
    pub id: i32,
    #[prost(string, tag = "2")]
    pub note: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Commit {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(uint64, repeated, tag = "2")]
    pub numbers: Vec<u64>,
}

/// What the server has seen.
#[derive(Default)]
pub struct Seen {
    /// Calls so far.
    pub calls: AtomicUsize,
    /// Calls that are open now, on the server's side.
    pub open: AtomicUsize,
    /// Conversations that ended by a failed assertion.
    panics: AtomicUsize,
    cut: Notify,
}

pub struct Server {
    address: SocketAddr,
    pub seen: Arc<Seen>,
}

/// One call, from the server's side; it ends with status OK when this is dropped.
pub struct Talk {
    /// Counted from 0.
    pub call: usize,
    requests: Streaming<Bytes>,
    sender: mpsc::Sender<Result<Bytes, Status>>,
    seen: Arc<Seen>,
    /// While it is there the server has not accepted the call; dropping it does.
    _headers: Option<oneshot::Sender<()>>,
}

type Conversation =
    Arc<dyn Fn(Talk) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static>;

impl Cut for Seen {
    fn cut(&self) -> &Notify {
        &self.cut
    }
}

impl Server {
    /// A server that holds each call's conversation by `script`.
    pub async fn start<F>(script: impl Fn(Talk) -> F + Send + Sync + 'static) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Server::start_as(script, |_| false, None).await
    }

    /// The same; a call that `withholds` is accepted when its conversation ends. After `age` a
    /// connection's clients are asked to go.
    pub async fn start_as<F>(
        script: impl Fn(Talk) -> F + Send + Sync + 'static,
        withholds: fn(usize) -> bool,
        age: Option<Duration>,
    ) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let seen = Arc::new(Seen::default());
        let script: Conversation = Arc::new(move |talk| Box::pin(script(talk)));
        let feed = Feed { script, withholds, seen: seen.clone() };
        let inner = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let inner_address = inner.local_addr().expect("bound");
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(inner)
            .map(|stream| stream.inspect(|stream| drop(stream.set_nodelay(true))));
        let mut builder = tonic::transport::Server::builder();
        if let Some(age) = age {
            builder = builder.max_connection_age(age);
        }
        let server = builder.add_service(feed);
        tokio::spawn(server.serve_with_incoming(incoming));
        let outer = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = outer.local_addr().expect("bound");
        let of_cut = seen.clone();
        tokio::spawn(cut_by(outer, inner_address, move || of_cut.clone()));
        Server { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.seen.cut.notify_waiters();
    }

    pub fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }
}

/// What a conversation asserts counts for the test that holds it.
impl Drop for Server {
    fn drop(&mut self) {
        let is_sound = self.seen.panics.load(Ordering::SeqCst) == 0 || std::thread::panicking();
        assert!(is_sound, "the server was told what it should not have been; see above");
    }
}

impl Talk {
    /// The next request; `None` once the client has closed its side or is gone.
    pub async fn hear(&mut self) -> Option<Request> {
        let message = self.requests.message().await.ok().flatten()?;
        Some(Request::decode(message).expect("a valid request"))
    }

    /// The same, told apart: `None` once the client has closed its side, an error if it is gone.
    pub async fn hear_or_end(&mut self) -> Result<Option<Request>, ()> {
        let message = self.requests.message().await.map_err(drop)?;
        Ok(message.map(|message| Request::decode(message).expect("a valid request")))
    }

    /// How the client closed its side: true if it did so on purpose, false if it is gone.
    pub async fn is_closed_well(&mut self) -> bool {
        loop {
            match self.requests.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Sends a response; false if the client is gone.
    pub async fn say(&self, response: &Response) -> bool {
        self.sender.send(Ok(response.encode_to_vec().into())).await.is_ok()
    }

    /// Sends the items of these numbers, in one response.
    pub async fn items(&self, numbers: impl IntoIterator<Item = u64>) -> bool {
        let call = self.call;
        let item = |number| Item { number, ack_id: format!("{call}-{number}"), ..Item::default() };
        let items = numbers.into_iter().map(item).collect();
        self.say(&Response { items, ..Response::default() }).await
    }

    pub async fn fail(&self, status: Status) {
        let _ = self.sender.send(Err(status)).await;
    }

    /// Cuts all connections, once what was sent is on its way.
    pub async fn cut(&self) {
        let _ = self.sender.reserve().await;
        self.seen.cut.notify_waiters();
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.seen.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Feed {
    script: Conversation,
    withholds: fn(usize) -> bool,
    seen: Arc<Seen>,
}

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl tonic::server::StreamingService<Bytes> for Feed {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = tonic::codegen::BoxFuture<Outgoing<Messages>, Status>;

    fn call(&mut self, request: Incoming<Streaming<Bytes>>) -> Self::Future {
        let seen = self.seen.clone();
        seen.open.fetch_add(1, Ordering::SeqCst);
        // One message of room, so that flow control is felt.
        let (sender, receiver) = mpsc::channel(1);
        let call = seen.calls.fetch_add(1, Ordering::SeqCst);
        let (headers, accepted) = oneshot::channel();
        let _headers = (self.withholds)(call).then_some(headers);
        let talk = Talk { call, requests: request.into_inner(), sender, seen, _headers };
        let conversation = tokio::spawn((self.script)(talk));
        let seen = self.seen.clone();
        tokio::spawn(async move {
            if conversation.await.is_err_and(|error| error.is_panic()) {
                seen.panics.fetch_add(1, Ordering::SeqCst);
            }
        });
        Box::pin(async move {
            let _ = accepted.await;
            let messages: Messages = Box::pin(ReceiverStream::new(receiver));
            Ok(Outgoing::new(messages))
        })
    }
}

grpc_service!(Feed, "feed.v1.Feed", |it, request| {
    tonic::server::Grpc::new(RawCodec).streaming(it, request).await
});
