//! The way to a server: sockets, proxies, several addresses, and health.

use crate::server::{Options, Server, Step, events};
use crate::world::{FAST, RESUME, World, broken, source, until};
use headwater_operators::source::ShardEnd;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

/// A proxy that connects everybody to one server, whatever is asked for.
pub struct Proxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `answer` is the status line of its answers; a way is opened behind `200`.
    pub async fn start(to: SocketAddr, answer: &'static str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = heads.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, to, answer, seen.clone()));
            }
        });
        Proxy { address, heads }
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic while locked").clone()
    }
}

async fn tunnel(
    mut client: TcpStream,
    to: SocketAddr,
    answer: &'static str,
    heads: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8(head).expect("ASCII").to_ascii_lowercase();
    heads.lock().expect("no panic while locked").push(text);
    client.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
    if answer.starts_with("200") {
        let mut server = TcpStream::connect(to).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    }
    Ok(())
}

/// A port on which nobody listens.
fn nobody() -> SocketAddr {
    let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}

async fn ten() -> Server {
    Server::start(|_, _| events(1, 10)).await
}

fn hang(from: u64) -> Vec<Step> {
    let mut steps = events(from, from + 9);
    steps.push(Step::Hang);
    steps
}

async fn with_health(health: i32) -> Server {
    let options = Options { health, ..Options::default() };
    Server::start_as(options, |_, request| hang(request.from_sequence.max(1))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_an_endpoint_and_an_address() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("feed.sock");
    let options = Options { socket: Some(socket.clone()), ..Options::default() };
    let server = Server::start_as(options, |_, _| events(1, 10)).await;
    let url = format!("unix://{}", socket.display());
    let finish = "on_end: finish";
    let (end, finished) = World::run(source(&url, finish), None).end().await;
    assert_eq!((end, finished.values().len()), (ShardEnd::Finished, 10));
    let keys = format!("{finish}\n    addresses: [ \"{url}\" ]");
    let (end, _) = World::run(source("http://feed.example:1", &keys), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(server.calls(), 2);

    let limited = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 20, attempts_max: 1 }";
    let (end, _) = World::run(source(&format!("{url}.none"), limited), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("cannot connect to the socket"), "{reason}");
    assert!(reason.contains("feed.sock.none"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_behind_a_proxy_is_asked_for_by_its_name() {
    let server = ten().await;
    let proxy = Proxy::start(server.address, "200 Connection established").await;
    let keys = format!("on_end: finish\n    proxy: \"http://me:p%3Aw@{}\"", proxy.address);
    // Nobody but the proxy could resolve this name.
    let (end, finished) = World::run(source("http://feed.invalid:4711", &keys), None).end().await;
    assert_eq!((end, finished.values().len()), (ShardEnd::Finished, 10));
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with("connect feed.invalid:4711 http/1.1\r\n"), "{heads:?}");
    assert!(heads[0].contains("\r\nhost: feed.invalid:4711\r\n"), "{heads:?}");
    assert!(heads[0].contains("\r\nproxy-authorization: basic bwu6cdp3\r\n"), "{heads:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_does_not_open_the_way_is_named_without_its_credentials() {
    let limited = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 20, attempts_max: 1 }";
    for (answer, expected) in [
        ("407 Proxy Authentication Required", "wants other credentials"),
        ("403 Forbidden", "refuses to connect to feed.invalid:80: 403 Forbidden"),
    ] {
        let proxy = Proxy::start(nobody(), answer).await;
        let keys = format!("{limited}\n    proxy: \"http://me:s3cr3t@{}\"", proxy.address);
        let (end, _) = World::run(source("http://feed.invalid", &keys), None).end().await;
        let reason = broken(&end);
        assert!(reason.contains(expected), "{reason}");
        assert!(reason.contains(&proxy.address.to_string()), "{reason}");
        assert!(!reason.contains("s3cr3t"), "{reason}");
    }
    let keys = format!("{limited}\n    proxy: \"http://{}\"", nobody());
    let (end, _) = World::run(source("http://feed.invalid", &keys), None).end().await;
    assert!(broken(&end).contains("cannot connect to the proxy 127.0.0.1:"), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_address_is_tried_and_all_are_named_if_none_answers() {
    let server = ten().await;
    let (dead, other) = (nobody(), nobody());
    let limited = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 20, attempts_max: 1 }";
    let finish = format!("on_end: finish\n    {limited}");
    let keys = format!("{finish}\n    addresses: [ \"{dead}\", \"{}\" ]", server.address);
    let (end, _) = World::run(source("http://feed.example", &keys), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(server.calls(), 1);

    let keys = format!("{finish}\n    addresses: [ \"{dead}\", \"{other}\" ]");
    let (end, _) = World::run(source("http://feed.example", &keys), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("http://feed.example: none of 2 addresses"), "{reason}");
    assert!(reason.contains(&dead.to_string()) && reason.contains("refused"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_whose_calls_bring_nothing_is_followed_by_the_next() {
    let bad = Server::start(|_, _| vec![Step::Fail(Status::unavailable("draining"))]).await;
    let good = Server::start(|_, request| hang(request.from_sequence.max(1))).await;
    let list = format!("addresses: [ \"{}\", \"{}\" ]", bad.address, good.address);
    let keys = format!("{FAST}\n    {list}{RESUME}");
    let world = World::run(source("http://feed.example", &keys), None);
    world.committed(10).await;
    world.stop().await;
    assert_eq!((bad.calls(), good.calls()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_spreads_the_shards_of_a_source() {
    let (one, two) = (with_health(0).await, with_health(0).await);
    let list = format!("addresses: [ \"{}\", \"{}\" ]", one.address, two.address);
    let shards = "requests: [ { name: a }, { name: b }, { name: c }, { name: d } ]";
    let keys = format!("{FAST}\n    {list}\n    balance: round_robin\n    {shards}{RESUME}");
    let world = World::run_shards(source("http://feed.example", &keys), 4, None);
    world.committed(40).await;
    world.stop().await;
    assert_eq!((one.calls(), two.calls()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_well_is_passed_over_until_it_is() {
    let (sick, well) = (with_health(NOT_SERVING).await, with_health(SERVING).await);
    let list = format!("addresses: [ \"{}\", \"{}\" ]", sick.address, well.address);
    let health = "health: { service: bench.v1.Telemetry }";
    let keys = format!("{FAST}\n    {list}\n    {health}{RESUME}");
    let world = World::run(source("http://feed.example", &keys), None);
    world.committed(10).await;
    assert_eq!((sick.calls(), well.calls()), (0, 1));
    world.stop().await;

    // Now none is; the shard waits for the first one to recover.
    well.seen.health.store(NOT_SERVING, Ordering::SeqCst);
    let world = World::run(source("http://feed.example", &keys), None);
    let metrics = world.telemetry.shard("test", "s", "0");
    until("several attempts are made", || metrics.calls.get() >= 3).await;
    assert_eq!((sick.calls(), well.calls()), (0, 1));
    sick.seen.health.store(SERVING, Ordering::SeqCst);
    world.committed(10).await;
    world.stop().await;
    assert_eq!((sick.calls(), well.calls()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_health_service_counts_as_well_and_each_address_of_a_name_is_tried() {
    let server = ten().await;
    let port = server.address.port();
    // The name may have addresses on which nobody listens, such as ::1.
    let keys = "on_end: finish\n    health: {}\n    balance: random";
    let url = format!("http://localhost:{port}");
    let (end, _) = World::run(source(&url, keys), None).end().await;
    assert_eq!(end, ShardEnd::Finished);

    let limited = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 20, attempts_max: 1 }";
    let keys = format!("{limited}\n    balance: pick_first");
    let (end, _) = World::run(source("http://feed.invalid", &keys), None).end().await;
    assert!(broken(&end).contains("feed.invalid: "), "{end:?}");
}
