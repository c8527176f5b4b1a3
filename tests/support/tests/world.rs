//! Goal: the world around the program under test does what it says, or no test on it means a thing.
//! Method: a plain tonic client against scripted servers; a plain producer against the readers.

#[path = "../../../examples/telemetry/tests/client/mod.rs"]
mod client;

use std::path::Path;
use std::time::Duration;

use client::Client;
use headwater_proto::telemetry::{Event, SubscribeRequest};
use headwater_test_support::grpc::{Cursor, Script, ScriptedServer, ServerOptions, Step};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::tls::TestCa;
use headwater_test_support::topic::{Isolation, Sequences, event, read_all};
use headwater_test_support::wait;
use prost::Message;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::runtime::Runtime;
use tonic::{Code, Status};

const TIMEOUT: Duration = Duration::from_secs(10);

/// One call's messages, and how it ended.
fn call(server: &ScriptedServer, from_sequence: u64) -> (Vec<u64>, Result<(), Status>) {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let request = SubscribeRequest { from_sequence, ..Default::default() };
        let mut client = match Client::open(server.endpoint(), request).await {
            Ok(client) => client,
            Err(status) => return (Vec::new(), Err(status)),
        };
        let mut sequences = Vec::new();
        loop {
            match client.next().await {
                Ok(Some(bytes)) => sequences.push(sequence(&bytes)),
                Ok(None) => return (sequences, Ok(())),
                Err(status) => return (sequences, Err(status)),
            }
        }
    })
}

/// 0 stands for what is no event.
fn sequence(bytes: &[u8]) -> u64 {
    Event::decode(bytes).map_or(0, |it| it.sequence)
}

#[test]
fn each_call_plays_its_steps_and_the_rest_plays_on() {
    let script = Script::new(10)
        .call([Step::Send(3), Step::unavailable()])
        .call([Step::Back(2), Step::Send(4), Step::Skip(1), Step::Send(1)])
        .call([Step::Swap, Step::Garbage, Step::Huge(1 << 20)]);
    let server = ScriptedServer::start(script).unwrap();

    let (received, ended) = call(&server, 0);
    assert_eq!((received, ended.unwrap_err().code()), (vec![1, 2, 3], Code::Unavailable));
    assert_eq!(call(&server, 4).0, [2, 3, 4, 5, 7]);
    assert_eq!(call(&server, 5).0, [6, 5, 0, 8]);
    let (received, ended) = call(&server, 9);
    assert_eq!(received, [9, 10]);
    ended.expect("a good end");

    let calls = server.stop();
    let asked: Vec<u64> = calls.iter().map(|it| it.request.from_sequence).collect();
    assert_eq!(asked, [0, 4, 5, 9]);
    assert_eq!(calls[1].sent, [2..=5, 7..=7]);
    assert_eq!(calls[2].sent, [6..=6, 5..=5, 8..=8]);
    assert!(calls.iter().all(|it| it.is_over));
}

#[test]
fn a_cursor_names_the_last_event_where_the_script_says_so() {
    let server = ScriptedServer::start(Script::new(5).cursor(Cursor::After)).unwrap();
    assert_eq!(call(&server, 0).0, [1, 2, 3, 4, 5]);
    assert_eq!(call(&server, 3).0, [4, 5]);
}

#[test]
fn a_cut_resets_the_connection_after_what_was_sent() {
    let script = Script::new(100).call([Step::Send(40), Step::Cut]);
    let server = ScriptedServer::start(script).unwrap();
    let (received, ended) = call(&server, 0);
    assert_eq!(received.len(), 40);
    assert_ne!(ended.unwrap_err().code(), Code::Ok);
    assert_eq!(call(&server, 41).0.len(), 60);
}

#[test]
fn a_stall_lasts_until_it_is_released() {
    let script = Script::new(4).call([Step::Send(2), Step::Stall, Step::SendAll]);
    let server = ScriptedServer::start(script).unwrap();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| call(&server, 0).0);
        let stalls = || server.calls().first().is_some_and(|it| it.is_stalled);
        wait::until("the stall", TIMEOUT, stalls).unwrap();
        assert_eq!(server.sent(), 2);
        server.release();
        assert_eq!(client.join().unwrap(), [1, 2, 3, 4]);
    });
}

#[test]
fn a_server_that_was_stopped_can_be_replaced_at_its_address() {
    let server = ScriptedServer::start(Script::new(3)).unwrap();
    let listen = Some(server.address());
    server.stop();
    let options = ServerOptions { listen, tls: None };
    let server = ScriptedServer::start_with(Script::new(3), options).unwrap();
    assert_eq!(call(&server, 2).0, [2, 3]);
}

#[test]
fn mutual_tls_lets_in_whom_the_authority_knows() {
    let (ca, stranger) = (TestCa::new().unwrap(), TestCa::new().unwrap());
    let identity = ca.server(&["localhost", "127.0.0.1"]).unwrap();
    let tls = Some(TestCa::serve(&identity, Some(&ca)).unwrap());
    let script = Script::new(3).rest([Step::SendAll, Step::Cut]);
    let server = ScriptedServer::start_with(script, ServerOptions { listen: None, tls }).unwrap();
    let connect = |by: &TestCa| {
        let client = by.client("client").unwrap();
        Runtime::new().unwrap().block_on(tls_call(&server.endpoint(), &ca.certificate(), &client))
    };
    assert_eq!(connect(&ca).expect("the authority knows this client"), 3);
    connect(&stranger).expect_err("the authority does not know this one");
    assert_eq!(server.calls().len(), 1);
}

async fn tls_call(
    endpoint: &str,
    ca: &Path,
    client: &headwater_test_support::tls::Issued,
) -> anyhow::Result<usize> {
    use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(std::fs::read(ca)?))
        .identity(client.identity()?);
    let endpoint = Endpoint::from_shared(endpoint.to_owned())?.tls_config(tls)?;
    let mut client = Client::over(endpoint, SubscribeRequest::default()).await?;
    for received in 0.. {
        // A cut ends a TLS stream as well, with an error after what was sent.
        let Ok(Some(_)) = client.next().await else { return Ok(received) };
    }
    unreachable!("the stream ends")
}

fn producer(cluster: &Cluster, settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap());
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().expect("a producer")
}

fn send(producer: &BaseProducer, topic: &str, sequences: impl Iterator<Item = u64>) {
    for sequence in sequences {
        let value = format!("{{\"sequence\":\"{sequence}\"}}");
        let record = BaseRecord::<(), _>::to(topic).partition((sequence % 2) as i32);
        producer.send(record.payload(&value)).map_err(|(error, _)| error).expect("room to send");
    }
    producer.flush(TIMEOUT).expect("the broker takes the records");
}

fn judge(cluster: &Cluster, topic: &str, isolation: Isolation) -> anyhow::Result<u64> {
    let mut sequences = Sequences::expect(1..=100);
    for read in read_all(cluster.bootstrap(), topic, isolation)? {
        let value = read.value.as_deref().unwrap_or_default();
        sequences.observe("", read.partition, event::sequence(value).unwrap_or(0));
    }
    Ok(sequences.finish()?)
}

#[test]
fn a_reader_sees_the_whole_topic_and_the_judge_turns_red_on_a_second_copy() {
    let cluster = Cluster::embedded().unwrap();
    cluster.create_topic("t", 2).unwrap();
    let producer = producer(&cluster, &[]);
    send(&producer, "t", 1..=100);
    assert_eq!(judge(&cluster, "t", Isolation::Committed).unwrap(), 100);
    send(&producer, "t", 50..=50);
    let fault = judge(&cluster, "t", Isolation::Committed).unwrap_err().to_string();
    assert!(fault.contains("duplicates: 1 (50)"), "{fault}");
}

#[test]
fn only_an_uncommitted_reader_sees_an_aborted_transaction() {
    let cluster = Cluster::embedded().unwrap();
    cluster.create_topic("t", 2).unwrap();
    let producer = producer(&cluster, &[("transactional.id", "world")]);
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, "t", 1..=10);
    producer.abort_transaction(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, "t", 1..=100);
    producer.commit_transaction(TIMEOUT).unwrap();
    assert_eq!(judge(&cluster, "t", Isolation::Committed).unwrap(), 100);
    let fault = judge(&cluster, "t", Isolation::Uncommitted).unwrap_err().to_string();
    assert!(fault.contains("duplicates: 10"), "{fault}");
}

/// Real Kafka: takes seconds, and needs Java; run by `scripts/test`, which installs it.
#[test]
fn a_broker_that_is_killed_and_restarted_keeps_its_data() {
    if !std::env::var("HEADWATER_KAFKA").is_ok_and(|it| it == "real") {
        eprintln!("SKIPPED: real Kafka is tested with HEADWATER_KAFKA=real (scripts/test sets it)");
        return;
    }
    let cluster = Cluster::apache().unwrap();
    cluster.create_topic("t", 2).unwrap();
    send(&producer(&cluster, &[]), "t", 1..=60);
    cluster.kill9().unwrap();
    cluster.restart().unwrap();
    send(&producer(&cluster, &[]), "t", 61..=90);
    cluster.pause().unwrap();
    let frozen = producer(&cluster, &[]);
    let value = BaseRecord::<(), str>::to("t").partition(0).payload("{\"sequence\":\"92\"}");
    frozen.send(value).map_err(|(error, _)| error).unwrap();
    frozen.flush(Duration::from_secs(1)).expect_err("a frozen broker answers nothing");
    cluster.resume().unwrap();
    frozen.flush(TIMEOUT).expect("it goes on where it was");
    let fault = judge(&cluster, "t", Isolation::Committed).unwrap_err().to_string();
    assert!(fault.starts_with("91 records read; missing: 9 (first: 91, 93,"), "{fault}");
}
