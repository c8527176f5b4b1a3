//! Servers of bidirectional methods: each call is a conversation, written as a function.

use super::{Fake, Messages, json, wire};
use bytes::Bytes;
use headwater_proto::Method;
use headwater_test_support::grpc::RawCodec;
use serde_json::Value as Json;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// One call, from the server's side; it ends with status OK when this is dropped.
pub struct Talk {
    /// Counted from 0.
    pub call: usize,
    method: Method,
    requests: Streaming<Bytes>,
    sender: mpsc::Sender<Result<Bytes, Status>>,
}

type Script = Arc<dyn Fn(Talk, Json) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

#[derive(Clone)]
struct Part {
    method: Method,
    script: Script,
    calls: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Json>>>,
    metadata: Arc<Mutex<Vec<http::HeaderMap>>>,
    panics: Arc<AtomicUsize>,
}

impl Fake {
    /// Serves a bidirectional `method`; `script` is given each call and its first request, which is
    /// kept as the call's.
    pub async fn converse<F>(
        method: Method,
        script: impl Fn(Talk, Json) -> F + Send + Sync + 'static,
    ) -> Fake
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let seen = Arc::<Mutex<Vec<Json>>>::default();
        let script: Script = Arc::new(move |talk, first| Box::pin(script(talk, first)));
        let panics = Arc::<AtomicUsize>::default();
        let part = Part {
            method: method.clone(),
            script,
            calls: Arc::default(),
            seen: seen.clone(),
            metadata: Arc::default(),
            panics: panics.clone(),
        };
        let metadata = part.metadata.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
            let part = part.clone();
            async move { Ok::<_, Infallible>(part.serve(request).await) }
        });
        let incoming = TcpListenerStream::new(listener)
            .map(|stream| stream.inspect(|stream| drop(stream.set_nodelay(true))));
        tokio::spawn(async move {
            let serving = tonic::transport::Server::builder();
            let _ = serving.serve_with_incoming(service, incoming).await;
        });
        Fake { url, method, seen, metadata, panics }
    }
}

impl Talk {
    /// The next request; `None` once the client has closed its side or is gone.
    pub async fn hear(&mut self) -> Option<Json> {
        let request = self.requests.message().await.ok().flatten()?;
        Some(json(&self.method.input(), &request))
    }

    /// Sends a message; false if the client is gone.
    pub async fn say(&self, message: Json) -> bool {
        self.sender.send(Ok(wire(&self.method.output(), message))).await.is_ok()
    }

    /// Ends the call with a status, behind all that was sent.
    pub async fn fail(self, status: Status) {
        let _ = self.sender.send(Err(status)).await;
    }

    /// Ends it as a server does that restarts.
    pub async fn restart(self) {
        self.fail(Status::unavailable("the server restarts")).await;
    }
}

impl Part {
    async fn serve(
        self,
        request: http::Request<tonic::body::Body>,
    ) -> http::Response<tonic::body::Body> {
        if request.uri().path() != self.method.path() {
            return Status::unimplemented("another method").into_http();
        }
        self.metadata.lock().expect("no panic while locked").push(request.headers().clone());
        tonic::server::Grpc::new(RawCodec).streaming(self, request).await
    }
}

impl tonic::server::StreamingService<Bytes> for Part {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = std::future::Ready<Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (sender, receiver) = mpsc::channel(1);
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let method = self.method.clone();
        let mut talk = Talk { call, method, requests: request.into_inner(), sender };
        let (script, seen) = (self.script.clone(), self.seen.clone());
        let conversation = tokio::spawn(async move {
            let Some(first) = talk.hear().await else { return };
            seen.lock().expect("no panic while locked").push(first.clone());
            script(talk, first).await;
        });
        let panics = self.panics.clone();
        tokio::spawn(async move {
            if conversation.await.is_err_and(|error| error.is_panic()) {
                panics.fetch_add(1, Ordering::SeqCst);
            }
        });
        std::future::ready(Ok(Response::new(Box::pin(ReceiverStream::new(receiver)))))
    }
}
