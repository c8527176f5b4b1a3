//! Types from the server itself: what it gives is enough, or it is told why not; and a file whose
//! types come late is checked like any other.
//!
//! Method: tonic's own reflection service, which is not ours, and a scripted one for what other
//! servers do.

mod hostile;
mod server;

use crate::world::until;
use bytes::Bytes;
use headwater_engine::spec::{
    Diagnostics, Loaded, Plan, Question, Source, SystemVariables, load_or_outline,
};
use headwater_operators::limits::REFLECTION_TIMEOUT;
use headwater_operators::registry;
use headwater_operators::source::grpc::{Away, GrpcSource, Inquiry, Learned, NoAnswer, put_types};
use headwater_proto::reflection::{
    Answer, Ask, ErrorAnswer, FilesAnswer, ReflectionRequest, ReflectionResponse, ServiceName,
    ServicesAnswer,
};
use headwater_proto::{DescriptorInput, Descriptors, telemetry};
use headwater_test_support::grpc::RawCodec;
use prost::Message;
use server::{SILENCE, Server, serve};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

// === what it has ===

/// A service whose types are spread over three files, one of Google's among the imports.
const SOURCES: [(&str, &str); 3] = [
    (
        "feed.proto",
        "syntax = \"proto3\"; package shop.v1; import \"event.proto\"; import \"options.proto\";
         service Feed { rpc Watch(WatchRequest) returns (stream Event); }
         message WatchRequest { uint64 from_offset = 1 [(opt.unit) = \"1\"]; }",
    ),
    (
        "event.proto",
        "syntax = \"proto3\"; package shop.v1; import \"google/protobuf/any.proto\";
         message Event { uint64 offset = 1; google.protobuf.Any detail = 2; }",
    ),
    (
        "options.proto",
        "syntax = \"proto2\"; package opt; import \"google/protobuf/descriptor.proto\";
         extend google.protobuf.FieldOptions { optional string unit = 50001; }",
    ),
];

fn compiled(sources: &[(&str, &str)]) -> Descriptors {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |(name, text): &(&str, &str)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it is writable");
        path
    };
    let files = sources.iter().map(write).collect();
    let includes = vec![folder.path().to_owned()];
    Descriptors::load(&DescriptorInput::Protos { files, includes }).expect("they compile")
}

/// The encoded files by name.
fn files() -> BTreeMap<String, Bytes> {
    let all = compiled(&SOURCES);
    all.pool().files().map(|it| (it.name().to_owned(), it.encode_to_vec().into())).collect()
}

/// How a well-behaved server answers from `files`.
fn answer(files: &BTreeMap<String, Bytes>, ask: &Ask) -> Answer {
    let found = match ask {
        Ask::File(name) => files.get(name),
        Ask::FileOfSymbol(symbol) if symbol.starts_with("shop.v1.Feed") => files.get("feed.proto"),
        Ask::FileOfSymbol(_) => None,
        Ask::Services(_) => {
            let names = ["shop.v1.Feed", "grpc.reflection.v1.ServerReflection"];
            let services = names.map(|name| ServiceName { name: name.to_owned() }).to_vec();
            return Answer::Services(ServicesAnswer { services });
        }
    };
    match found {
        Some(file) => Answer::Files(FilesAnswer { files: vec![file.clone()] }),
        None => Answer::Error(ErrorAnswer { code: 5, message: "no such thing".to_owned() }),
    }
}

// === a file ===

const METHOD: &str = "shop.v1.Feed/Watch";

fn file(url: &str, method: &str, keys: &str) -> String {
    format!(
        "pipeline: test\nsources:\n  s:\n    kind: grpc\n    endpoint: {url}\n    method: {method}\n    \
         reconnect: {{ backoff_min_ms: 10, backoff_max_ms: 50 }}\n    {keys}\n\
         decoders:\n  d: {{ kind: protobuf, from: s, to: json }}\nsinks:\n  out: {{ kind: discard, \
         from: d }}\n"
    )
}

const REFLECTION: &str = "descriptors: { reflection: true }";

fn load(text: &str, types: Option<&Learned>) -> Result<Loaded, Diagnostics> {
    let source = Source { name: "test.yaml", text, base_dir: Path::new(".") };
    let loaded = load_or_outline(&source, &registry(), &SystemVariables, &|values| {
        if let Some(types) = types {
            put_types(values, "s", &types.base64());
        }
    });
    loaded.map(|(loaded, _)| loaded)
}

fn question(text: &str) -> Question {
    match load(text, None).unwrap_or_else(|mistakes| panic!("{mistakes}")) {
        Loaded::Outline(outline) => outline.questions()[0].clone(),
        Loaded::Plan(_) => panic!("the types are not known yet"),
    }
}

fn inquiry(question: &Question) -> &Inquiry {
    question.about.downcast_ref().expect("a gRPC source asks")
}

fn plan(loaded: Result<Loaded, Diagnostics>) -> Plan {
    match loaded.unwrap_or_else(|mistakes| panic!("{mistakes}")) {
        Loaded::Plan(plan) => plan,
        Loaded::Outline(_) => panic!("everything is known"),
    }
}

async fn learned(text: &str) -> Learned {
    let question = question(text);
    let asked = inquiry(&question).types().await;
    asked.unwrap_or_else(|error| panic!("{error}"))
}

// === tests ===

#[tokio::test]
async fn types_come_from_tonics_own_service_in_both_versions_and_are_the_same() {
    let set = telemetry::descriptor_set();
    let reflection = || {
        tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(&set)
    };
    let listener = async || TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let new = tonic::transport::Server::builder()
        .add_service(reflection().build_v1().expect("whole types"));
    let old = tonic::transport::Server::builder()
        .add_service(reflection().build_v1alpha().expect("whole types"));
    let mut told = Vec::new();
    for (router, version) in [(new, "v1"), (old, "v1alpha")] {
        let url = serve(listener().await, router);
        let text = file(&url, "bench.v1.Telemetry/Subscribe", REFLECTION);
        let learned = learned(&text).await;
        assert_eq!((learned.version, learned.server.as_str()), (version, url.as_str()));
        let plan = plan(load(&text, Some(&learned)));
        let source = plan.node("s").expect("it is named").config::<GrpcSource>();
        assert_eq!(source.message().full_name(), "bench.v1.Event");
        told.push(learned.sha256());
    }
    assert_eq!(told[0], told[1], "the same types have the same digest");
}

#[tokio::test]
async fn after_any_failure_of_the_newer_version_the_older_one_is_asked() {
    let failures = [Status::internal("x"), Status::unavailable("x"), Status::unimplemented("x")];
    for failure in failures {
        let files = files();
        let server = Server::scripted(move |version, ask| match version {
            "v1" => Err(failure.clone()),
            _ => Ok(answer(&files, ask)),
        });
        let server = server.await;
        let learned = learned(&file(&server.url, METHOD, REFLECTION)).await;
        assert_eq!(learned.version, "v1alpha");
    }
}

#[tokio::test]
async fn imports_are_asked_for_and_one_that_only_options_need_may_be_missing() {
    // As most servers do: an error for the one question.
    let mut lacking = files();
    lacking.remove("options.proto");
    lacking.remove("google/protobuf/any.proto");
    let files = lacking.clone();
    let server = Server::scripted(move |_, ask| Ok(answer(&files, ask))).await;
    let one = learned(&file(&server.url, METHOD, REFLECTION)).await;
    assert_eq!((one.absent.as_slice(), server.streams()), (&["options.proto".to_owned()][..], 1));
    // As tonic does: the stream ends, and the questions behind must be asked again.
    let server = Server::scripted(move |_, ask| match answer(&lacking, ask) {
        Answer::Error(error) => Err(Status::not_found(error.message)),
        answer => Ok(answer),
    });
    let server = server.await;
    let other = learned(&file(&server.url, METHOD, REFLECTION)).await;
    assert_eq!(other.sha256(), one.sha256());
    assert!(server.streams() > 1, "the stream was opened again");
}

#[tokio::test]
async fn a_server_that_gives_too_much_or_nonsense_is_refused() {
    let many = |_: &str, ask: &Ask| {
        let number = match ask {
            Ask::File(name) => name.parse().unwrap_or(0),
            _ => 0,
        };
        let file = |number: u32| prost_types::FileDescriptorProto {
            name: Some(number.to_string()),
            dependency: vec![(number + 64).to_string()],
            ..Default::default()
        };
        let files = (number..number + 64).map(|number| file(number).encode_to_vec().into());
        Ok(Answer::Files(FilesAnswer { files: files.collect() }))
    };
    let large = |_: &str, _: &Ask| {
        let file = prost_types::FileDescriptorProto {
            name: Some("x".repeat(9 << 20)),
            dependency: vec!["y".repeat(8 << 20)],
            ..Default::default()
        };
        Ok(Answer::Files(FilesAnswer { files: vec![file.encode_to_vec().into()] }))
    };
    let nonsense = |_: &str, _: &Ask| {
        let files = vec![Bytes::from_static(&[0xff; 9])];
        Ok(Answer::Files(FilesAnswer { files }))
    };
    let servers = [
        (Server::scripted(many).await, "more than 4096 files"),
        (Server::scripted(large).await, "larger than"),
        (Server::scripted(nonsense).await, "no FileDescriptorProto"),
    ];
    for (server, expected) in servers {
        let question = question(&file(&server.url, METHOD, REFLECTION));
        let error = inquiry(&question).types().await.expect_err("it cannot be used");
        assert!(error.text.contains(expected), "{expected}: {error}");
        assert!(!error.may_heal, "{error}");
    }
}

/// The bound is too long to wait for: the clock is moved once the server has the question.
#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let server = Server::scripted(|_, _| Err(Status::unknown(SILENCE))).await;
    let question = question(&file(&server.url, METHOD, REFLECTION));
    let asking = tokio::spawn(async move { inquiry(&question).types().await });
    for stream in 1..=2 {
        until("the question is asked", || server.streams() == stream).await;
        tokio::time::pause();
        tokio::time::advance(REFLECTION_TIMEOUT).await;
        tokio::time::resume();
    }
    let error = asking.await.expect("no panic").expect_err("it said nothing");
    assert!(error.text.contains("took longer than 20 s") && error.may_heal, "{error}");
}

#[tokio::test]
async fn a_server_without_reflection_is_told_with_a_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let set = telemetry::descriptor_set();
    // It serves something, but not this.
    let health = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(&set)
        .build_v1()
        .expect("whole types");
    let router = tonic::transport::Server::builder().add_service(Renamed(health));
    let url = serve(listener, router);
    let question = question(&file(&url, METHOD, REFLECTION));
    let stop = CancellationToken::new();
    let none = inquiry(&question).answered(&stop, |away| panic!("{away:?}")).await;
    let Err(NoAnswer::Refused(reason)) = none else { panic!("{none:?}") };
    assert!(reason.contains("does not serve reflection; name `file`"), "{reason}");
}

/// A service under a name of its own.
#[derive(Clone)]
struct Renamed<S>(S);

impl<S> tonic::server::NamedService for Renamed<S> {
    const NAME: &'static str = "elsewhere.Service";
}

impl<S: Service<R>, R> Service<R> for Renamed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_until_it_is_there() {
    // The port is ours, and nobody listens on it yet.
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address: SocketAddr = reserved.local_addr().expect("bound");
    drop(reserved);
    let question = question(&file(&format!("http://{address}"), METHOD, REFLECTION));
    let tries = Arc::new(Mutex::new(Vec::new()));
    let told = tries.clone();
    let asking = tokio::spawn(async move {
        let stop = CancellationToken::new();
        let heard = |away: &Away| told.lock().expect("no panic while locked").push(away.clone());
        inquiry(&question).answered(&stop, heard).await
    });
    until("it was tried several times", || tries.lock().expect("unlocked").len() >= 3).await;
    let listener = TcpListener::bind(address).await.expect("the port is still free");
    let files = files();
    let _server = Server::scripted_on(listener, move |_, ask| Ok(answer(&files, ask)));
    let learned = asking.await.expect("no panic").expect("it answers at last");
    assert_eq!(learned.files, 5);
    let tries = tries.lock().expect("unlocked");
    let attempts: Vec<u32> = tries.iter().map(|away| away.attempt).collect();
    assert!(attempts.iter().copied().eq(1..=attempts.len() as u32), "{attempts:?}");
    assert!(tries[0].reason.contains(&address.to_string()), "{}", tries[0].reason);
}

#[tokio::test]
async fn who_waits_for_a_server_can_be_stopped() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", reserved.local_addr().expect("bound"));
    drop(reserved);
    let question = question(&file(&url, METHOD, REFLECTION));
    let stop = CancellationToken::new();
    let asker = stop.clone();
    let none = inquiry(&question).answered(&stop, |_| asker.cancel()).await;
    assert_eq!(none.expect_err("nobody answered"), NoAnswer::Stopped);
}

#[tokio::test]
async fn of_several_endpoints_the_first_that_answers_tells_the_types() {
    let files = files();
    let server = Server::scripted(move |_, ask| Ok(answer(&files, ask))).await;
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let away = format!("http://{}", reserved.local_addr().expect("bound"));
    drop(reserved);
    let text = file(&away, METHOD, REFLECTION).replace(
        &format!("endpoint: {away}"),
        &format!("endpoints: [\"{away}\", \"{}\"]", server.url),
    );
    assert_eq!(learned(&text).await.server, server.url);
}

#[tokio::test]
async fn a_server_of_a_list_that_changes_tells_the_types() {
    let files = files();
    let server = Server::scripted(move |_, ask| Ok(answer(&files, ask))).await;
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("targets.txt");
    let servers =
        format!("# one that is away, and one that is there\n127.0.0.1:1\n{}\n", server.url);
    std::fs::write(&list, servers).expect("it is writable");
    let text = file("", METHOD, REFLECTION)
        .replace("endpoint: ", &format!("targets: {{ file: \"{}\" }}", list.display()));
    let learned = learned(&text).await;
    assert_eq!(learned.server, server.url);
    let plan = plan(load(&text, Some(&learned)));
    assert_eq!(plan.node("s").expect("it is named").config::<GrpcSource>().shard_count(), 2);
    // A list that cannot be read is waited for, and a wrong one as well: it may be mended.
    std::fs::write(&list, "ftp://x\n").expect("it is writable");
    let question = question(&text);
    let error = inquiry(&question).types().await.expect_err("no server");
    assert!(error.may_heal && error.text.contains("neither http nor https"), "{error}");
}

#[tokio::test]
async fn mistakes_that_need_no_types_are_told_before_anybody_is_asked() {
    let keys = "descriptors: { reflection: true, extra: [missing.desc], includes: [x] }\n    \
                metadata: { \"grpc-x\": v }\n    http2: { stream_window_bytes: 1 }";
    let mistakes = load(&file("ftp://host", "Watch", keys), None).expect_err("mistakes");
    let mistakes = mistakes.to_string();
    for expected in [
        "neither http nor https",
        "\"Watch\" is not a method",
        "cannot read the descriptor set ./missing.desc",
        "`includes` is for `protos`",
        "grpc-x",
        "stream_window_bytes",
    ] {
        assert!(mistakes.contains(expected), "{expected} is missing from:\n{mistakes}");
    }
    let twice = "descriptors: { reflection: true, base64: \"\" }";
    let mistakes = load(&file("http://host:1", METHOD, twice), None).expect_err("named twice");
    assert!(mistakes.to_string().contains("exactly one of `file`, `base64`, `protos` and"));
}

#[tokio::test]
async fn mistakes_that_need_the_types_are_told_at_their_places_once_these_are_known() {
    let files = files();
    let server = Server::scripted(move |_, ask| Ok(answer(&files, ask))).await;
    let keys = format!(
        "{REFLECTION}\n    request: {{ from_ofset: 1 }}\n    resume: {{ cursor: {{ o: {{ from: \
         ofset }} }} }}"
    );
    let text = file(&server.url, METHOD, &keys);
    let learned = learned(&text).await;
    let mistakes = load(&text, Some(&learned)).expect_err("two mistakes").to_string();
    for expected in ["test.yaml:9:16", "from_offset", "test.yaml:10:", "\"offset\"", "2 errors"] {
        assert!(mistakes.contains(expected), "{expected} is missing from:\n{mistakes}");
    }
}

#[tokio::test]
async fn a_service_that_the_server_does_not_have_is_told_with_those_it_has() {
    let files = files();
    let server = Server::scripted(move |_, ask| Ok(answer(&files, ask))).await;
    let text = file(&server.url, "shop.v1.Fed/Watch", REFLECTION);
    let learned = learned(&text).await;
    let mistakes = load(&text, Some(&learned)).expect_err("no such service").to_string();
    assert!(mistakes.contains("did you mean \"shop.v1.Feed\"?"), "{mistakes}");
}

#[tokio::test]
async fn extra_sets_hold_what_an_any_may_hold_with_files_and_with_reflection() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, types: &Descriptors| {
        let path = folder.path().join(name);
        std::fs::write(&path, types.pool().encode_to_vec()).expect("it is writable");
        path.display().to_string()
    };
    let detail = "syntax = \"proto3\"; package extra; message Detail { string text = 1; }";
    let extra = write("extra.desc", &compiled(&[("extra.proto", detail)]));
    let main = write("main.desc", &compiled(&SOURCES));
    let holds_both = |plan: &Plan| {
        let source = plan.node("s").expect("it is named").config::<GrpcSource>();
        let pool = source.message().parent_pool();
        assert!(pool.get_message_by_name("extra.Detail").is_some());
    };
    let keys = format!("descriptors: {{ file: \"{main}\", extra: [\"{extra}\"] }}");
    holds_both(&plan(load(&file("http://host:1", METHOD, &keys), None)));
    let files = files();
    let server = Server::scripted(move |_, ask| Ok(answer(&files, ask))).await;
    let keys = format!("descriptors: {{ reflection: true, extra: [\"{extra}\"] }}");
    let text = file(&server.url, METHOD, &keys);
    let learned = learned(&text).await;
    holds_both(&plan(load(&text, Some(&learned))));
    // The same type in a file of another name.
    let twin = write("twin.desc", &compiled(&[("twin.proto", detail)]));
    let keys = format!("descriptors: {{ file: \"{main}\", extra: [\"{extra}\", \"{twin}\"] }}");
    let mistakes = load(&file("http://host:1", METHOD, &keys), None).expect_err("contradiction");
    assert!(mistakes.to_string().contains("extra.Detail"), "{mistakes}");
}
