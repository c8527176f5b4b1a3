//! Unary methods that are asked again and again, against a server that plays a script of answers.

use crate::world::{CREDIT_BYTES, World, broken, read, until};
use bytes::Bytes;
use headwater_engine::position::Position;
use headwater_operators::source::grpc::GrpcSource;
use headwater_operators::source::{Resumability, ShardEnd};
use headwater_test_support::grpc::RawCodec;
use headwater_test_support::grpc_service;
use prost::Message;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

const PROTO: &str = r#"syntax = "proto3";
package poll.v1;
service History {
  rpc Get(GetRequest) returns (GetResponse);
  rpc Watch(GetRequest) returns (stream GetResponse);
}
message GetRequest { string page_token = 1; int64 after = 2; Page page = 3; }
message Page { string token = 1; }
message GetResponse {
  repeated Event events = 1; string next_page_token = 2; int64 last = 3; bool done = 4;
}
message Event { int64 id = 1; }
"#;

#[derive(Clone, PartialEq, Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    page_token: String,
    #[prost(int64, tag = "2")]
    after: i64,
    #[prost(message, optional, tag = "3")]
    page: Option<Page>,
}

#[derive(Clone, PartialEq, Message)]
struct Page {
    #[prost(string, tag = "1")]
    token: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetResponse {
    #[prost(message, repeated, tag = "1")]
    events: Vec<Event>,
    #[prost(string, tag = "2")]
    next_page_token: String,
    #[prost(int64, tag = "3")]
    last: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int64, tag = "1")]
    id: i64,
}

/// What a server does with a request.
enum Answer {
    With(GetResponse),
    Fail(Status),
    /// Nothing, for as long as the client waits.
    Hang,
}

type Script = Arc<dyn Fn(usize, &GetRequest) -> Answer + Send + Sync>;

struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<GetRequest>>>,
    callers: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Service {
    script: Script,
    asked: Arc<Mutex<Vec<GetRequest>>>,
    callers: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(
        script: impl Fn(usize, &GetRequest) -> Answer + Send + Sync + 'static,
    ) -> Server {
        let asked: Arc<Mutex<Vec<GetRequest>>> = Arc::default();
        let callers: Arc<Mutex<Vec<String>>> = Arc::default();
        let script = Arc::new(script);
        let service = Service { script, asked: asked.clone(), callers: callers.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(incoming));
        Server { address, asked, callers }
    }

    /// The `authorization` of each call.
    fn callers(&self) -> Vec<String> {
        self.callers.lock().expect("no panic while locked").clone()
    }

    fn asked(&self) -> Vec<GetRequest> {
        self.asked.lock().expect("no panic while locked").clone()
    }

    fn tokens(&self) -> Vec<String> {
        self.asked().into_iter().map(|request| request.page_token).collect()
    }

    fn source(&self, keys: &str) -> Arc<GrpcSource> {
        match self.read(keys) {
            Ok(source) => source,
            Err(text) => panic!("{text}"),
        }
    }

    fn read(&self, keys: &str) -> Result<Arc<GrpcSource>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("poll.proto"), PROTO).expect("a file");
        let text = format!(
            "pipeline: test\nsources:\n  s:\n    kind: grpc\n    endpoint: http://{}\n    \
             method: poll.v1.History/Get\n    descriptors: {{ protos: [poll.proto] }}\n    \
             reconnect: {{ backoff_min_ms: 10, backoff_max_ms: 20, attempts_max: 5 }}\n    {keys}\n\
             decoders:\n  d: {{ kind: pass, from: s }}\n\
             sinks:\n  out: {{ kind: collect, from: d }}\n",
            self.address
        );
        let read = read(&text, folder.path());
        read.map(|(source, _)| source).map_err(|diagnostics| diagnostics.to_string())
    }

    fn run(&self, keys: &str, start: Option<Position>) -> World {
        World::run(self.source(keys), start)
    }
}

impl tonic::server::UnaryService<Bytes> for Service {
    type Response = Bytes;
    type Future = tonic::codegen::BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let caller = request.metadata().get("authorization");
        let caller = caller.map(|value| value.to_str().expect("ASCII").to_owned());
        self.callers.lock().expect("no panic while locked").push(caller.unwrap_or_default());
        let request = GetRequest::decode(request.into_inner()).expect("a valid request");
        let mut asked = self.asked.lock().expect("no panic while locked");
        let answer = (self.script)(asked.len(), &request);
        asked.push(request);
        drop(asked);
        Box::pin(async move {
            match answer {
                Answer::With(response) => Ok(Response::new(response.encode_to_vec().into())),
                Answer::Fail(status) => Err(status),
                Answer::Hang => std::future::pending().await,
            }
        })
    }
}

grpc_service!(Service, "poll.v1.History", |it, request| {
    tonic::server::Grpc::new(RawCodec).unary(it, request).await
});

fn page(ids: std::ops::RangeInclusive<i64>, token: &str) -> Answer {
    let last = *ids.end();
    let events = ids.map(|id| Event { id }).collect();
    Answer::With(GetResponse { events, next_page_token: token.to_owned(), last })
}

/// The token of a request, as a number; 0 for none.
fn number(request: &GetRequest) -> i64 {
    request.page_token.parse().unwrap_or(0)
}

/// A history whose token is the cursor, as Temporal's.
const TOKEN: &str = r#"poll: { interval_ms: 10, items: events, more: next_page_token }
    resume:
      cursor: { token: { from: next_page_token } }
      restart: { set: { page_token: "${cursor.token}" } }"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_is_a_message_and_one_that_is_the_same_may_be_passed_over() {
    let script = |call: usize, _: &_| {
        let last = [1, 1, 1, 2, 2, 1][call.min(5)];
        Answer::With(GetResponse { last, ..GetResponse::default() })
    };
    let server = Server::start(script).await;
    let world = server.run("poll: { interval_ms: 10, skip_unchanged: true }", None);
    until("it is asked", || server.asked().len() > 8).await;
    let (end, finished) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    let last = |bytes: &[u8]| GetResponse::decode(bytes).expect("an answer").last;
    let lasts: Vec<i64> = finished.batches.iter().flat_map(|b| b.values.iter().map(last)).collect();
    assert_eq!(lasts, [1, 2, 1]);
    let metrics = finished.telemetry.shard("test", "s", "0");
    assert_eq!((metrics.calls.get(), metrics.connected.get()), (1, 0), "one call to all else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_question_bears_the_credentials_of_its_time_and_a_refusal_is_a_reconnect() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "one").expect("writable");
    let server = Server::start(|call, _| match call {
        3 => Answer::Fail(Status::unauthenticated("expired")),
        _ => Answer::With(GetResponse::default()),
    })
    .await;
    let auth = format!("auth: {{ bearer: {{ file: \"{}\" }} }}", file.display());
    let world = server.run(&format!("poll: {{ interval_ms: 10 }}\n    {auth}"), None);
    until("it goes on behind the refusal", || server.callers().len() > 6).await;
    std::fs::write(&file, "two").expect("writable");
    until("the other token is sent", || server.callers().contains(&"Bearer two".to_owned())).await;
    let (end, finished) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    assert!(server.callers()[..6].iter().all(|caller| caller == "Bearer one"));
    assert_eq!(finished.telemetry.shard("test", "s", "0").calls.get(), 2, "one refusal, no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elements_follow_page_by_page_and_a_restart_goes_on_behind_the_last_answer() {
    let script = |_: usize, request: &GetRequest| {
        let at = number(request);
        // A server that waits for news, and then says that there is none.
        if at >= 300 { Answer::Hang } else { page(at + 1..=at + 3, &(at + 3).to_string()) }
    };
    let server = Server::start(script).await;
    let first = server.run(TOKEN, None);
    first.committed(300).await;
    let (_, finished) = first.stop().await;
    assert_eq!(finished.values(), (1..=300).collect::<Vec<_>>());
    let position = finished.position();
    assert_eq!(position.cursor.as_ref().expect("declared").to_string(), "token=300");
    let script = |_: usize, request: &GetRequest| {
        let at = number(request);
        if at >= 360 { Answer::Hang } else { page(at + 1..=at + 3, &(at + 3).to_string()) }
    };
    let later = Server::start(script).await;
    let second = later.run(TOKEN, Some(position));
    second.committed(60).await;
    let (_, finished) = second.stop().await;
    assert_eq!(finished.values(), (301..=360).collect::<Vec<_>>());
    assert_eq!(later.tokens()[0], "300");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_in_one_batch_or_not_at_all() {
    let script = |_: usize, request: &GetRequest| {
        let at = number(request);
        if at >= 9_000 {
            Answer::Hang
        } else {
            page(at + 1..=at + 3_000, &(at + 3_000).to_string())
        }
    };
    let server = Server::start(script).await;
    let world = server.run(TOKEN, None);
    world.committed(9_000).await;
    let (_, finished) = world.stop().await;
    let ends: Vec<usize> =
        finished.batches.iter().map(headwater_engine::record::Batch::len).collect();
    assert_eq!(ends, [3_000; 3], "a cut within an answer would lose what follows it");
    const { assert!(3_000 * 256 < CREDIT_BYTES, "the credit holds one") };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_page_that_grows_is_tailed_by_counting_also_over_a_restart() {
    let keys = TOKEN.replace("interval_ms: 10,", "interval_ms: 10, without_cursor: last_page,");
    let length = Arc::new(Mutex::new(2));
    let grown = length.clone();
    // Pages of five; the last one has no token.
    let script = move |_: usize, request: &GetRequest| {
        let (at, length) = (number(request), *grown.lock().expect("no panic while locked"));
        let end = (at + 5).min(length);
        page(at + 1..=end, if end == at + 5 { end.to_string() } else { String::new() }.as_str())
    };
    let server = Server::start(script).await;
    let grow = |to: i64| *length.lock().expect("no panic while locked") = to;
    let world = server.run(&keys, None);
    world.committed(2).await;
    let calls = server.asked().len();
    until("it is asked again", || server.asked().len() > calls + 2).await;
    grow(4);
    world.committed(4).await;
    grow(8);
    world.committed(8).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (1..=8).collect::<Vec<_>>());
    grow(9);
    let world = server.run(&keys, Some(finished.position()));
    world.committed(1).await;
    grow(23);
    world.committed(15).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (9..=23).collect::<Vec<_>>());
    let weakened = server.source(&keys).resumability();
    assert!(matches!(weakened, Resumability::Weakened { field: "poll.without_cursor", .. }));
    assert_eq!(server.source(TOKEN).resumability(), Resumability::Exact);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_without_a_cursor_stop_the_shard_unless_it_is_said_what_they_mean() {
    let script = |call: usize, _: &GetRequest| {
        if call == 0 { page(1..=3, "3") } else { page(4..=5, "") }
    };
    let server = Server::start(script).await;
    let (end, finished) = server.run(TOKEN, None).end().await;
    assert!(broken(&end).contains("poll.without_cursor: last_page"), "{end:?}");
    assert_eq!(finished.values(), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_pages_is_read_whole_and_from_its_start_again_at_the_interval() {
    let script = |_: usize, request: &GetRequest| {
        let token = request.page.as_ref().map_or("", |page| page.token.as_str());
        match token {
            "" => page(1..=2, "b"),
            "b" => page(3..=4, "c"),
            _ => page(5..=5, ""),
        }
    };
    let server = Server::start(script).await;
    let keys = "poll: { interval_ms: 10, items: events, page: { from: next_page_token, set: \
                page.token } }\n    request: { after: 7 }";
    let world = server.run(keys, None);
    world.committed(10).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values()[..10], [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
    assert!(server.asked().iter().all(|request| request.after == 7), "the rest of it stays");
    let once = server.run(&format!("{keys}\n    on_end: finish"), None);
    let (end, finished) = once.end().await;
    assert_eq!((end, finished.values()), (ShardEnd::Finished, vec![1, 2, 3, 4, 5]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_come_in_time_is_nothing_new_whoever_gives_up() {
    let script = |call: usize, request: &GetRequest| match call {
        0 => Answer::Hang,
        1 => Answer::Fail(Status::deadline_exceeded("nothing new")),
        _ if number(request) == 0 => page(1..=1, "1"),
        _ => Answer::Hang,
    };
    let server = Server::start(script).await;
    let keys = TOKEN.replace("interval_ms: 10,", "interval_ms: 10, timeout_ms: 200,");
    let world = server.run(&keys, None);
    world.committed(1).await;
    let (end, finished) = world.stop().await;
    assert_eq!((end, finished.values()), (ShardEnd::Stopped, vec![1]));
    assert_eq!(finished.position().session.0, 1, "it is one call to all else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_waited_out_for_as_long_as_streams_wait() {
    let script = |call: usize, request: &GetRequest| match call {
        1..=3 => Answer::Fail(Status::unavailable("a restart")),
        0 | 4 => {
            page(number(request) + 1..=number(request) + 2, &(number(request) + 2).to_string())
        }
        _ => Answer::Fail(Status::unavailable("for good")),
    };
    let server = Server::start(script).await;
    let (end, finished) = server.run(TOKEN, None).end().await;
    assert!(broken(&end).contains("attempts_max"), "{end:?}");
    assert_eq!(finished.values(), [1, 2, 3, 4]);
    assert_eq!(server.asked().len(), 5 + 1 + 5, "five attempts behind the last news");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_more_for_ever_is_asked_at_the_interval() {
    let script = |_: usize, _: &GetRequest| {
        Answer::With(GetResponse { next_page_token: "same".to_owned(), ..GetResponse::default() })
    };
    let server = Server::start(script).await;
    let world = server.run(&TOKEN.replace("interval_ms: 10", "interval_ms: 3600000"), None);
    until("its token is used", || server.asked().len() == 2).await;
    // A loop would ask thousands of times meanwhile.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.tokens(), ["", "same"]);
    assert_eq!(world.stop().await.0, ShardEnd::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_polled_is_told_with_its_place() {
    let server = Server::start(|_, _| Answer::Hang).await;
    let resume = |more: &str| {
        format!(
            "poll: {{}}\n    resume: {{ cursor: {{ t: {{ from: last }} }}, restart: {{ set: \
             {{ after: \"${{cursor.t}}\" }} }}, {more} }}"
        )
    };
    let cases = [
        ("on_end: finish".to_owned(), "is unary"),
        ("poll: { items: next_page_token }".to_owned(), "is not a list of messages"),
        ("poll: { items: event }".to_owned(), "has no field \"event\""),
        ("poll: { more: mor }".to_owned(), "has no field \"mor\""),
        ("poll: { page: { from: done, set: page_token } }".to_owned(), "cannot be a page's token"),
        ("poll: { page: { from: last, set: pag } }".to_owned(), "pag"),
        ("poll: { page: { from: last, set: page_token } }".to_owned(), "page_token"),
        ("poll: { interval_ms: 1 }".to_owned(), "interval_ms"),
        (resume("position: at"), "`position` does not go with `poll`"),
        (resume("boundary: change"), "`boundary` does not go with `poll`"),
        (resume("sequence: contiguous"), "`sequence` does not go with `poll`"),
        (
            resume("position: after")
                .replace("poll: {}", "poll: { page: { from: last, set: after } }"),
            "`page` does not go with `resume`",
        ),
    ];
    for (keys, words) in cases {
        let text = server.read(&keys).err().unwrap_or_default();
        assert!(text.contains(words), "{keys}: {text}");
    }
    let none = Path::new(env!("CARGO_MANIFEST_DIR"));
    let streams = crate::world::pipeline("http://127.0.0.1:1", "poll: {}");
    let text = read(&streams, none).err().map(|it| it.to_string()).unwrap_or_default();
    assert!(text.contains("server-streaming") && text.contains("expected with `poll`"), "{text}");
}
