//! A scripted telemetry server behind a proxy that can cut every connection.

use crate::world::until;
use bytes::Bytes;
use headwater_proto::telemetry::{Event, SubscribeRequest};
use headwater_test_support::grpc::RawCodec;
use prost::Message;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::ServerTlsConfig;
use tonic::{Request, Response, Status};

/// What the server does next in a call; a call whose steps are done ends with status OK.
pub enum Step {
    Send(Event),
    /// A message as it is.
    Raw(Vec<u8>),
    /// As many events with a payload of this size as the client takes.
    Flood {
        payload_bytes: usize,
    },
    /// Waits until so many events were sent by all calls.
    Await {
        sent: u64,
    },
    Fail(Status),
    /// Ends the call with status OK and this trailer.
    End {
        trailer: (&'static str, &'static str),
    },
    /// Cuts all connections.
    Cut,
    /// Stays silent until the client goes.
    Hang,
}

type Script = Arc<dyn Fn(usize, &SubscribeRequest) -> Vec<Step> + Send + Sync>;

/// What the server has seen and done.
#[derive(Default)]
pub struct Seen {
    pub requests: Mutex<Vec<(SubscribeRequest, MetadataMap)>>,
    pub sent: AtomicU64,
    /// The response headers of each call, as far as they are set.
    pub headers: Mutex<Vec<(&'static str, &'static str)>>,
    /// What `bench.v1.History/Oldest` answers, in turn; the last one for ever.
    pub oldest: Mutex<Vec<Result<Event, Status>>>,
    pub asked: AtomicU64,
    cut: Notify,
}

pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
}

impl Server {
    pub async fn start(
        script: impl Fn(usize, &SubscribeRequest) -> Vec<Step> + Send + Sync + 'static,
    ) -> Server {
        Self::start_with(None, script).await
    }

    pub async fn start_with(
        tls: Option<ServerTlsConfig>,
        script: impl Fn(usize, &SubscribeRequest) -> Vec<Step> + Send + Sync + 'static,
    ) -> Server {
        let seen = Arc::new(Seen::default());
        let service = Telemetry { script: Arc::new(script), seen: seen.clone() };
        let inner = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let inner_address = inner.local_addr().expect("bound");
        let mut builder = tonic::transport::Server::builder();
        if let Some(tls) = tls {
            builder = builder.tls_config(tls).expect("valid material");
        }
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(inner);
        let history = History(seen.clone());
        let router = builder.add_service(service).add_service(history);
        tokio::spawn(router.serve_with_incoming(incoming));
        let outer = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = outer.local_addr().expect("bound");
        let of_cut = seen.clone();
        tokio::spawn(cut_by(outer, inner_address, move || of_cut.clone(), |seen| &seen.cut));
        Server { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn calls(&self) -> usize {
        self.requests().len()
    }

    pub fn requests(&self) -> Vec<SubscribeRequest> {
        let requests = self.seen.requests.lock().expect("no panic while locked");
        requests.iter().map(|(request, _)| request.clone()).collect()
    }
}

/// Events `from..=to`, one per value.
pub fn events(from: u64, to: u64) -> Vec<Step> {
    (from..=to).map(|sequence| Step::Send(event(sequence))).collect()
}

pub fn event(sequence: u64) -> Event {
    Event { sequence, site: "site".to_owned(), ..Event::default() }
}

/// Passes connections on until `cut` is notified, which ends all that are open then.
pub async fn cut_by<S: Send + Sync + 'static>(
    listener: TcpListener,
    to: SocketAddr,
    seen: impl Fn() -> Arc<S> + Send + 'static,
    cut: fn(&S) -> &Notify,
) {
    while let Ok((mut client, _)) = listener.accept().await {
        let seen = seen();
        tokio::spawn(async move {
            let cut = cut(&seen).notified();
            let Ok(mut server) = TcpStream::connect(to).await else { return };
            // Small messages that wait for each other would take 40 ms each.
            let _ = client.set_nodelay(true).and(server.set_nodelay(true));
            tokio::select! {
                () = cut => {}
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
            }
        });
    }
}

#[derive(Clone)]
struct Telemetry {
    script: Script,
    seen: Arc<Seen>,
}

type Messages = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl tonic::server::ServerStreamingService<Bytes> for Telemetry {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = std::future::Ready<Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let metadata = request.metadata().clone();
        let request = SubscribeRequest::decode(request.into_inner()).expect("a valid request");
        let mut requests = self.seen.requests.lock().expect("no panic while locked");
        let call = requests.len();
        let steps = (self.script)(call, &request);
        requests.push((request, metadata));
        // One message of room: `sent` is what the client's flow control let through.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(play(steps, sender, self.seen.clone()));
        let mut response = Response::new(Box::pin(ReceiverStream::new(receiver)) as Messages);
        let headers = self.seen.headers.lock().expect("no panic while locked");
        if let Some((key, value)) = headers.get(call) {
            response.metadata_mut().insert(*key, value.parse().expect("a header's value"));
        }
        std::future::ready(Ok(response))
    }
}

async fn play(steps: Vec<Step>, sender: mpsc::Sender<Result<Bytes, Status>>, seen: Arc<Seen>) {
    for step in steps {
        let is_open = match step {
            Step::Send(event) => send(&sender, &event, &seen).await,
            Step::Flood { payload_bytes } => {
                let mut next = event(1);
                next.payload = vec![7; payload_bytes];
                while send(&sender, &next, &seen).await {
                    next.sequence += 1;
                }
                false
            }
            Step::Await { sent } => {
                until("enough is sent", || seen.sent.load(Ordering::SeqCst) >= sent).await;
                true
            }
            Step::Raw(bytes) => sender.send(Ok(bytes.into())).await.is_ok(),
            Step::Fail(status) => sender.send(Err(status)).await.is_ok(),
            Step::End { trailer: (key, value) } => {
                let mut trailers = MetadataMap::new();
                trailers.insert(key, value.parse().expect("a trailer's value"));
                let status = Status::with_metadata(tonic::Code::Ok, "", trailers);
                sender.send(Err(status)).await.is_ok()
            }
            Step::Cut => {
                // What was sent before is on its way once the stream has taken it.
                let _ = sender.reserve().await;
                seen.cut.notify_waiters();
                false
            }
            Step::Hang => {
                sender.closed().await;
                false
            }
        };
        if !is_open {
            return;
        }
    }
}

async fn send(sender: &mpsc::Sender<Result<Bytes, Status>>, event: &Event, seen: &Seen) -> bool {
    let is_open = sender.send(Ok(event.encode_to_vec().into())).await.is_ok();
    seen.sent.fetch_add(u64::from(is_open), Ordering::SeqCst);
    is_open
}

impl tonic::server::NamedService for Telemetry {
    const NAME: &'static str = "bench.v1.Telemetry";
}

impl tonic::codegen::Service<http::Request<tonic::body::Body>> for Telemetry {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut server = tonic::server::Grpc::new(RawCodec);
            Ok(server.server_streaming(service, request).await)
        })
    }
}

/// Where the history begins, for who asks.
#[derive(Clone)]
struct History(Arc<Seen>);

impl tonic::server::UnaryService<Bytes> for History {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.0.oldest.lock().expect("no panic while locked");
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        std::future::ready(answer.map(|event| Response::new(event.encode_to_vec().into())))
    }
}

impl tonic::server::NamedService for History {
    const NAME: &'static str = "bench.v1.History";
}

impl tonic::codegen::Service<http::Request<tonic::body::Body>> for History {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(
            async move { Ok(tonic::server::Grpc::new(RawCodec).unary(service, request).await) },
        )
    }
}
