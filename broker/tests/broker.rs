//! The broker from outside: starting, stopping, refusing, surviving.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use headwater_broker::{Broker, BrokerConfig, Journal, StartError};

/// ApiVersions version 0 with correlation id 7 and no client id.
const API_VERSIONS: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

/// Whether the broker at an address answers.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut head = [0; 8];
    stream.write_all(API_VERSIONS).is_ok()
        && stream.read_exact(&mut head).is_ok()
        && head[4..] == [0, 0, 0, 7]
}

/// Sends what is no request and waits for the broker to close the connection.
fn is_closed_after(address: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes).unwrap();
    // The end, or a reset where bytes were left unread.
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_loopback_is_listened_on() {
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = Broker::start(BrokerConfig { listen, ..BrokerConfig::in_memory() }).await;
    let error = refused.expect_err("every interface is not loopback");
    assert!(matches!(error, StartError::NotLoopback { .. }));
    assert!(error.to_string().contains("loopback only"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_refused_by_name() {
    let broker = Broker::start(BrokerConfig::in_memory()).await.unwrap();
    let listen = broker.local_addr();
    let refused = Broker::start(BrokerConfig { listen, ..BrokerConfig::in_memory() }).await;
    let error = refused.expect_err("the port is taken").to_string();
    assert!(error.contains(&broker.bootstrap()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_closes_its_connection_and_no_other() {
    let broker = Broker::start(BrokerConfig::in_memory()).await.unwrap();
    let address = broker.local_addr();
    let mut bystander = TcpStream::connect(address).unwrap();
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[0, 0, 0, 2, 0, 18],
        &[0, 0, 0, 8, 0x7f, 0xff, 0, 0, 0, 0, 0, 7],
        &[0, 0, 0, 10, 0, 3, 0, 9, 0, 0, 0, 7, 0xff, 0xff],
    ] {
        assert!(is_closed_after(address, bytes), "{bytes:?}");
    }
    bystander.write_all(API_VERSIONS).unwrap();
    bystander.read_exact(&mut [0; 8]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_broker_lets_go_of_its_port_and_journal() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::File(folder.path().join("journal"));
    let config = BrokerConfig { journal, ..BrokerConfig::in_memory() };
    let first = Broker::start(config.clone()).await.unwrap();
    let address = first.local_addr();
    assert!(answers(address));
    let second = Broker::start(config.clone()).await.expect_err("the journal is in use");
    assert!(second.to_string().contains("in use by another broker"), "{second}");
    let mut waiting = TcpStream::connect(address).unwrap();
    first.shutdown().await;
    assert!(matches!(waiting.read(&mut [0; 1]), Ok(0) | Err(_)), "its connections are closed");
    let again = Broker::start(BrokerConfig { listen: address, ..config }).await.unwrap();
    assert!(answers(again.local_addr()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_broker_stops() {
    let broker = Broker::start(BrokerConfig::in_memory()).await.unwrap();
    let address = broker.local_addr();
    drop(broker);
    tokio::time::timeout(Duration::from_secs(10), async {
        while answers(address) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("a dropped broker stops listening");
}

/// Starts the program and reads the address it prints.
fn start(journal: &std::path::Path) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_headwater-dev-broker"))
        .arg("--journal")
        .arg(journal)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().parse().unwrap())
}

#[test]
fn the_program_prints_its_address_and_comes_back_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    for _ in 0..3 {
        let (mut broker, address) = start(&journal);
        assert!(answers(address));
        broker.kill().unwrap();
        broker.wait().unwrap();
    }
}
