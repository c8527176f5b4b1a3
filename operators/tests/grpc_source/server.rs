//! A scripted telemetry server behind a proxy that can cut every connection.

use crate::world::until;
use bytes::Bytes;
use headwater_proto::telemetry::{Event, SubscribeRequest};
use headwater_test_support::grpc::RawCodec;
use headwater_test_support::grpc_service;
use prost::Message;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Notify, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, UnixListenerStream};
use tonic::codec::CompressionEncoding;
use tonic::codegen::BoxFuture;
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
    /// As many events, from this one on, as the client takes.
    Stream {
        from: u64,
    },
    /// As a first step: the answer does not even begin.
    Withhold,
    /// Refuses a caller whose `authorization` is another one.
    Admit(String),
    Pause(Duration),
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

/// More than any test sends.
pub const RELEASED: u64 = 1 << 40;

type Script = Arc<dyn Fn(usize, &SubscribeRequest) -> Vec<Step> + Send + Sync>;

/// What the server has seen and done.
#[derive(Default)]
pub struct Seen {
    pub requests: Mutex<Vec<(SubscribeRequest, MetadataMap)>>,
    /// The client certificate of each call, where there is TLS.
    pub certificates: Mutex<Vec<Option<Vec<u8>>>>,
    pub sent: AtomicU64,
    /// The response headers of each call, as far as they are set.
    pub headers: Mutex<Vec<(&'static str, &'static str)>>,
    /// What `bench.v1.History/Oldest` answers, in turn; the last one for ever.
    pub oldest: Mutex<Vec<Result<Event, Status>>>,
    pub asked: AtomicU64,
    /// Bytes that the server sent on connections that are closed.
    pub sent_bytes: AtomicU64,
    /// What the health service says; 0 if there is none.
    pub health: AtomicI32,
    cut: Notify,
}

/// What a server is like.
#[derive(Default)]
pub struct Options {
    pub tls: Option<ServerTlsConfig>,
    /// What it packs messages with, and takes requests packed with.
    pub packing: Option<CompressionEncoding>,
    /// What the health service says; 0 if there is none.
    pub health: i32,
    /// A socket that it listens on beside its port.
    pub socket: Option<PathBuf>,
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
        Self::start_as(Options { tls, ..Options::default() }, script).await
    }

    pub async fn start_as(
        options: Options,
        script: impl Fn(usize, &SubscribeRequest) -> Vec<Step> + Send + Sync + 'static,
    ) -> Server {
        let seen = Arc::new(Seen::default());
        seen.health.store(options.health, Ordering::SeqCst);
        let packing = options.packing;
        let service = Telemetry { script: Arc::new(script), seen: seen.clone(), packing };
        let inner = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let inner_address = inner.local_addr().expect("bound");
        let mut builder = tonic::transport::Server::builder();
        if let Some(tls) = options.tls {
            builder = builder.tls_config(tls).expect("valid material");
        }
        let router = builder
            .add_service(service)
            .add_service(History(seen.clone()))
            .add_service(Health(seen.clone()));
        if let Some(socket) = options.socket {
            let listener = UnixListener::bind(socket).expect("a free path");
            tokio::spawn(router.clone().serve_with_incoming(UnixListenerStream::new(listener)));
        }
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(inner)));
        let outer = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = outer.local_addr().expect("bound");
        let of_cut = seen.clone();
        tokio::spawn(cut_by(outer, inner_address, move || of_cut.clone()));
        Server { address, seen }
    }

    /// Lets every [`Step::Await`] that waits for fewer events go on.
    pub fn release(&self) {
        self.seen.sent.fetch_add(RELEASED, Ordering::SeqCst);
    }

    /// The `authorization` of each call.
    pub fn callers(&self) -> Vec<String> {
        let requests = self.seen.requests.lock().expect("no panic while locked");
        let of = |metadata: &MetadataMap| {
            let value = metadata.get("authorization").map(|value| value.to_str().expect("ASCII"));
            value.unwrap_or_default().to_owned()
        };
        requests.iter().map(|(_, metadata)| of(metadata)).collect()
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

/// What connections through [`cut_by`] obey and tell.
pub trait Cut: Send + Sync + 'static {
    /// Ends all that are open.
    fn cut(&self) -> &Notify;

    /// So many bytes went to the client on one that has ended.
    fn sent_bytes(&self, _: u64) {}
}

impl Cut for Seen {
    fn cut(&self) -> &Notify {
        &self.cut
    }

    fn sent_bytes(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::SeqCst);
    }
}

/// Passes connections on until they are cut, which ends all that are open then.
pub async fn cut_by<S: Cut>(
    listener: TcpListener,
    to: SocketAddr,
    seen: impl Fn() -> Arc<S> + Send + 'static,
) {
    while let Ok((mut client, _)) = listener.accept().await {
        let seen = seen();
        tokio::spawn(async move {
            let cut = seen.cut().notified();
            let Ok(mut server) = TcpStream::connect(to).await else { return };
            // Small messages that wait for each other would take 40 ms each.
            let _ = client.set_nodelay(true).and(server.set_nodelay(true));
            tokio::select! {
                () = cut => {}
                Ok((_, bytes)) = tokio::io::copy_bidirectional(&mut client, &mut server) => {
                    seen.sent_bytes(bytes);
                }
                else => {}
            }
        });
    }
}

#[derive(Clone)]
struct Telemetry {
    script: Script,
    seen: Arc<Seen>,
    packing: Option<CompressionEncoding>,
}

type Messages = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl tonic::server::ServerStreamingService<Bytes> for Telemetry {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = BoxFuture<Response<Messages>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let metadata = request.metadata().clone();
        let certificates = request.peer_certs();
        let certificate = certificates.and_then(|all| Some(all.first()?.to_vec()));
        let request = SubscribeRequest::decode(request.into_inner()).expect("a valid request");
        let mut requests = self.seen.requests.lock().expect("no panic while locked");
        let call = requests.len();
        let steps = (self.script)(call, &request);
        requests.push((request, metadata.clone()));
        let certificates = &self.seen.certificates;
        certificates.lock().expect("no panic while locked").push(certificate);
        let is_withheld = matches!(steps.first(), Some(Step::Withhold));
        // One message of room: `sent` is what the client's flow control let through.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(play(steps, metadata, sender, self.seen.clone()));
        let mut response = Response::new(Box::pin(ReceiverStream::new(receiver)) as Messages);
        let headers = self.seen.headers.lock().expect("no panic while locked");
        if let Some((key, value)) = headers.get(call) {
            response.metadata_mut().insert(*key, value.parse().expect("a header's value"));
        }
        Box::pin(async move {
            if is_withheld {
                std::future::pending::<()>().await;
            }
            Ok(response)
        })
    }
}

async fn play(
    steps: Vec<Step>,
    metadata: MetadataMap,
    sender: mpsc::Sender<Result<Bytes, Status>>,
    seen: Arc<Seen>,
) {
    for step in steps {
        let is_open = match step {
            Step::Withhold => true,
            Step::Pause(pause) => {
                tokio::time::sleep(pause).await;
                true
            }
            Step::Admit(expected) => {
                let is_admitted =
                    metadata.get("authorization").is_some_and(|given| *given == *expected);
                if !is_admitted {
                    let refusal = Status::unauthenticated("the token is not valid any more");
                    let _ = sender.send(Err(refusal)).await;
                }
                is_admitted
            }
            Step::Stream { from } => {
                let mut next = event(from);
                while send(&sender, &next, &seen).await {
                    next.sequence += 1;
                }
                false
            }
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

impl Telemetry {
    async fn answer(
        self,
        request: http::Request<tonic::body::Body>,
    ) -> http::Response<tonic::body::Body> {
        let mut server = tonic::server::Grpc::new(RawCodec);
        if let Some(packing) = self.packing {
            server = server.send_compressed(packing).accept_compressed(packing);
        }
        server.server_streaming(self, request).await
    }
}

grpc_service!(Telemetry, "bench.v1.Telemetry", |it, request| it.answer(request).await);

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

grpc_service!(History, "bench.v1.History", |it, request| {
    tonic::server::Grpc::new(RawCodec).unary(it, request).await
});

/// `grpc.health.v1.Health`.
#[derive(Clone)]
struct Health(Arc<Seen>);

impl tonic::server::UnaryService<Bytes> for Health {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let health = self.0.health.load(Ordering::SeqCst);
        Box::pin(std::future::ready(match health {
            0 => Err(Status::unimplemented("no health here")),
            // Field 1, a varint.
            health => Ok(Response::new(Bytes::from(vec![8, health as u8]))),
        }))
    }
}

grpc_service!(Health, "grpc.health.v1.Health", |it, request| {
    tonic::server::Grpc::new(RawCodec).unary(it, request).await
});
