//! Targets that DNS names: a server of DNS whose answers change, and the fleet that follows them.

use crate::server::{Server, Step, events};
use crate::world::{pipeline, read, until};
use headwater_operators::source::grpc::{GrpcSource, News, TargetWatch};
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

const NAME: &str = "_grpc._tcp.example.org.";

/// What DNS says: ports of `host`, or that something went wrong.
type Answer = Arc<Mutex<Result<Vec<u16>, ResponseCode>>>;

/// Answers each question with what `answer` holds then.
async fn dns(answer: Answer) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Ok(query) = Message::from_vec(&buffer[..length]) else { continue };
            let reply = reply(&query, &answer.lock().expect("no panic while locked"));
            let _ = socket.send_to(&reply, from).await;
        }
    });
    address
}

fn reply(query: &Message, answer: &Result<Vec<u16>, ResponseCode>) -> Vec<u8> {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.recursion_available = true;
    reply.add_queries(query.queries.clone());
    match answer {
        Err(code) => reply.metadata.response_code = *code,
        Ok(ports) => {
            for port in ports {
                let target = Name::from_ascii("localhost.").expect("a name");
                let srv = RData::SRV(SRV::new(1, 1, *port, target));
                let name = Name::from_ascii(NAME).expect("a name");
                reply.add_answer(Record::from_rdata(name, 60, srv));
            }
        }
    }
    reply.to_vec().expect("it can be written")
}

fn fleet_source(targets: &str) -> Arc<GrpcSource> {
    let text = pipeline("none", targets).replace("    endpoint: none\n", "");
    match read(&text, std::path::Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok((source, _)) => source,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

async fn next(news: &mut mpsc::Receiver<(usize, News)>) -> News {
    news.recv().await.expect("it is watched").1
}

fn keys(news: News) -> Vec<String> {
    match news {
        News::List(list) => list.iter().map(|shard| shard.spec().key.0.clone()).collect(),
        News::Refused(reason) => panic!("refused: {reason}"),
        News::Restored => panic!("restored"),
    }
}

fn refused(news: News) -> String {
    match news {
        News::Refused(reason) => reason,
        _ => panic!("it is not refused"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_targets_are_what_dns_says_and_stay_while_it_says_nothing() {
    let answer: Answer = Arc::new(Mutex::new(Ok(vec![7002, 7001])));
    let server = dns(answer.clone()).await;
    let targets =
        format!("targets: {{ dns_srv: {NAME}, dns_server: \"{server}\", interval_ms: 100 }}");
    let source = fleet_source(&targets);
    let watch: Arc<TargetWatch> = source.watch().expect("they change").clone();
    assert!(watch.list().is_none(), "nobody is asked when the file is checked");
    let (sender, mut news) = mpsc::channel(4);
    let watching = tokio::spawn(watch.clone().run(0, sender));
    assert_eq!(keys(next(&mut news).await), ["s/localhost:7001", "s/localhost:7002"]);
    *answer.lock().expect("no panic while locked") = Ok(vec![7001, 7003]);
    assert_eq!(keys(next(&mut news).await), ["s/localhost:7001", "s/localhost:7003"]);
    *answer.lock().expect("no panic while locked") = Err(ResponseCode::NXDomain);
    let reason = refused(next(&mut news).await);
    assert!(reason.contains("names no target"), "{reason}");
    *answer.lock().expect("no panic while locked") = Err(ResponseCode::ServFail);
    let reason = refused(next(&mut news).await);
    assert!(reason.contains(NAME), "{reason}");
    assert_eq!(watch.list().expect("it holds").len(), 2, "the last good answer holds");
    *answer.lock().expect("no panic while locked") = Ok(vec![7003, 7001]);
    assert!(matches!(next(&mut news).await, News::Restored), "in whatever order");
    drop(news);
    watching.await.expect("it ends when nobody listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dns_names_is_called() {
    let grpc = Server::start(|_, _| {
        let mut steps = events(1, 10);
        steps.push(Step::Hang);
        steps
    })
    .await;
    let server = dns(Arc::new(Mutex::new(Ok(vec![grpc.address.port()])))).await;
    let folder = tempfile::tempdir().expect("a folder");
    let targets = format!("{{ dns_srv: {NAME}, dns_server: \"{server}\", interval_ms: 100 }}");
    let fleet = crate::fleet::Fleet::run_in(folder, &targets);
    fleet.committed(10).await;
    until("its state says so", || fleet.report().state.is_ready()).await;
    assert_eq!(fleet.stop_exact().await, [10]);
}
