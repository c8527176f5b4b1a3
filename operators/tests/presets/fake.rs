//! A server of one method that is made from descriptors: requests and messages are JSON.

mod talk;

use bytes::Bytes;
use headwater_proto::{DescriptorInput, Descriptors, Method};
use headwater_test_support::grpc::RawCodec;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value as Json;
use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
pub use talk::Talk;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};

/// What an API's server sends to a request.
pub type Answer = Arc<dyn Fn(&Json) -> Result<Vec<Json>, Status> + Send + Sync>;

/// A running server.
pub struct Fake {
    pub url: String,
    pub method: Method,
    seen: Arc<Mutex<Vec<Json>>>,
    /// The metadata of all calls of conversations.
    pub metadata: Arc<Mutex<Vec<http::HeaderMap>>>,
    /// Conversations that ended by a failed assertion.
    panics: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Part {
    method: Method,
    answer: Answer,
    /// After how many messages the first calls end, the last of these excepted: it falls silent.
    cuts: Arc<[usize]>,
    seen: Arc<Mutex<Vec<Json>>>,
}

/// The method of one of the files in `protos/`.
pub fn method(proto: &str, path: &str) -> Method {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/presets/protos");
    let input = DescriptorInput::Protos { files: vec![folder.join(proto)], includes: vec![folder] };
    let types = Descriptors::load(&input).unwrap_or_else(|error| panic!("{error}"));
    types.method(path).unwrap_or_else(|error| panic!("{error}"))
}

/// A message as proto3 JSON.
pub fn json(message: &MessageDescriptor, wire: &[u8]) -> Json {
    let message = DynamicMessage::decode(message.clone(), wire).expect("it was encoded by us");
    serde_json::to_value(&message).expect("messages are plain data")
}

fn wire(message: &MessageDescriptor, json: Json) -> Bytes {
    let read = DynamicMessage::deserialize(message.clone(), json);
    let message = read.unwrap_or_else(|error| panic!("a message of the API: {error}"));
    message.encode_to_vec().into()
}

impl Fake {
    /// Serves `method`; call number *n* ends in the middle, after `cuts[n]` messages; the last
    /// of these falls silent there instead.
    pub async fn start(
        method: Method,
        cuts: &[usize],
        answer: impl Fn(&Json) -> Result<Vec<Json>, Status> + Send + Sync + 'static,
    ) -> Fake {
        let seen = Arc::<Mutex<Vec<Json>>>::default();
        let part = Part {
            method: method.clone(),
            answer: Arc::new(answer),
            cuts: cuts.into(),
            seen: seen.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
            let part = part.clone();
            async move { Ok::<_, Infallible>(part.serve(request).await) }
        });
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(async move {
            let serving = tonic::transport::Server::builder();
            let _ = serving.serve_with_incoming(service, incoming).await;
        });
        Fake { url, method, seen, metadata: Arc::default(), panics: Arc::default() }
    }

    /// The requests of all calls.
    pub fn requests(&self) -> Vec<Json> {
        self.seen.lock().expect("no panic while locked").clone()
    }
}

/// What a conversation asserts counts for the test that holds it.
impl Drop for Fake {
    fn drop(&mut self) {
        let is_sound = self.panics.load(Ordering::SeqCst) == 0 || std::thread::panicking();
        assert!(is_sound, "the server was told what it should not have been; see above");
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl Part {
    async fn serve(
        self,
        request: http::Request<tonic::body::Body>,
    ) -> http::Response<tonic::body::Body> {
        if request.uri().path() != self.method.path() {
            return Status::unimplemented("another method").into_http();
        }
        tonic::server::Grpc::new(RawCodec).server_streaming(self, request).await
    }

    async fn play(
        self,
        call: usize,
        messages: Vec<Json>,
        sender: mpsc::Sender<Result<Bytes, Status>>,
    ) {
        let output = self.method.output();
        let until = self.cuts.get(call).copied();
        for message in messages.into_iter().take(until.unwrap_or(usize::MAX)) {
            if sender.send(Ok(wire(&output, message))).await.is_err() {
                return;
            }
        }
        if until.is_some() && call + 1 < self.cuts.len() {
            // A status comes behind all messages, so that it is known what the client has seen; a
            // connection that breaks takes some of them with it.
            let _ = sender.send(Err(Status::unavailable("the server restarts"))).await;
        }
        sender.closed().await;
    }
}

impl tonic::server::ServerStreamingService<Bytes> for Part {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = std::future::Ready<Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let request = json(&self.method.input(), &request.into_inner());
        let mut seen = self.seen.lock().expect("no panic while locked");
        let answer = (self.answer)(&request);
        seen.push(request);
        let messages = match answer {
            Ok(messages) => messages,
            Err(status) => return std::future::ready(Err(status)),
        };
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.clone().play(seen.len() - 1, messages, sender));
        std::future::ready(Ok(Response::new(Box::pin(ReceiverStream::new(receiver)))))
    }
}
