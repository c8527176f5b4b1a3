//! A reflection service that answers by script, in both versions of the protocol.

use super::*;
use headwater_test_support::grpc_service;

/// What a scripted server says to a question; `v1` or `v1alpha`, and which question of the stream.
type Script = Arc<dyn Fn(&str, &Ask) -> Result<Answer, Status> + Send + Sync>;

/// The message of a status that is never sent: the server says nothing at all.
pub const SILENCE: &str = "silence";

/// A reflection service that answers by script.
#[derive(Clone)]
struct Scripted {
    script: Script,
    streams: Arc<AtomicUsize>,
}

pub struct Server {
    pub url: String,
    streams: Arc<AtomicUsize>,
}

impl Server {
    pub async fn scripted(
        script: impl Fn(&str, &Ask) -> Result<Answer, Status> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Server::scripted_on(listener, script)
    }

    pub fn scripted_on(
        listener: TcpListener,
        script: impl Fn(&str, &Ask) -> Result<Answer, Status> + Send + Sync + 'static,
    ) -> Server {
        let streams = Arc::new(AtomicUsize::new(0));
        let service = Scripted { script: Arc::new(script), streams: streams.clone() };
        let router = tonic::transport::Server::builder()
            .add_service(Version(service.clone(), "v1"))
            .add_service(VersionAlpha(service));
        Server { url: serve(listener, router), streams }
    }

    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }
}

pub fn serve(listener: TcpListener, router: Router) -> String {
    let address = listener.local_addr().expect("bound");
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    format!("http://{address}")
}

type Answers = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl Scripted {
    async fn talk(self, version: &'static str, mut asks: Streaming<Bytes>) -> Answers {
        self.streams.fetch_add(1, Ordering::SeqCst);
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(Ok(wire)) = asks.next().await {
                let request = ReflectionRequest::decode(wire).expect("a request");
                let answer = (self.script)(version, &request.ask.expect("a question"));
                if answer.as_ref().is_err_and(|status| status.message() == SILENCE) {
                    std::future::pending::<()>().await;
                }
                let is_over = answer.is_err();
                let wire = answer.map(|answer| {
                    ReflectionResponse { answer: Some(answer) }.encode_to_vec().into()
                });
                if sender.send(wire).await.is_err() || is_over {
                    return;
                }
            }
        });
        Box::pin(ReceiverStream::new(receiver))
    }

    async fn answer(
        self,
        version: &'static str,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let mut server = tonic::server::Grpc::new(RawCodec);
        server.streaming(Call(self, version), request).await
    }
}

struct Call(Scripted, &'static str);

impl tonic::server::StreamingService<Bytes> for Call {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (service, version) = (self.0.clone(), self.1);
        Box::pin(
            async move { Ok(Response::new(service.talk(version, request.into_inner()).await)) },
        )
    }
}

#[derive(Clone)]
struct Version(Scripted, &'static str);

#[derive(Clone)]
struct VersionAlpha(Scripted);

grpc_service!(Version, "grpc.reflection.v1.ServerReflection", |it, request| {
    it.0.answer(it.1, request).await
});

grpc_service!(VersionAlpha, "grpc.reflection.v1alpha.ServerReflection", |it, request| {
    it.0.answer("v1alpha", request).await
});
