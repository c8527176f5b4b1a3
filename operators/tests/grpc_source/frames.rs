//! What HTTP/2 says to a client: GOAWAY with and without an error, and complaints about pings.
//!
//! Method: a server that writes its frames by hand, so that each comes when the test wants it.

use crate::server::event;
use crate::world::{FAST, RESUME, World, source, until};
use headwater_proto::telemetry::SubscribeRequest;
use prost::Message;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Any wait between two calls would be longer than a test has patience.
const NO_WAIT: &str = "reconnect: { backoff_min_ms: 600000, backoff_max_ms: 600000 }";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

const PREFACE_BYTES: usize = 24;
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What the server does when a call has come.
#[derive(Clone)]
enum Act {
    /// Events from..=to.
    Events(u64, u64),
    /// The first half of an event's message.
    Half(u64),
    GoAway(u32, &'static str),
    /// Ends the stream with status OK.
    End,
    Close,
    /// Events from..=to, behind a ping that comes no sooner than the server allows.
    BehindPing(u64, u64),
}

#[derive(Default)]
struct Seen {
    from: Mutex<Vec<u64>>,
    complaints: AtomicUsize,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// One connection with its only call.
struct Connection {
    stream: TcpStream,
    seen: Arc<Seen>,
    /// Pings that come sooner are complained about.
    pings_min: Duration,
    last: Instant,
}

struct Frame {
    kind: u8,
    flags: u8,
    payload: Vec<u8>,
}

impl Server {
    async fn start(
        pings_min: Duration,
        script: impl Fn(usize, u64) -> Vec<Act> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Seen::default());
        let (script, shared) = (Arc::new(script), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen) = (script.clone(), shared.clone());
                let connection = Connection { stream, seen, pings_min, last: Instant::now() };
                tokio::spawn(async move { connection.serve(&*script).await });
            }
        });
        Server { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn calls(&self) -> usize {
        self.from().len()
    }

    /// Where each call began.
    fn from(&self) -> Vec<u64> {
        self.seen.from.lock().expect("no panic while locked").clone()
    }
}

impl Connection {
    /// An error is the client's end.
    async fn serve(mut self, script: &(dyn Fn(usize, u64) -> Vec<Act> + Sync)) -> Option<()> {
        self.read(PREFACE_BYTES).await?;
        self.write(SETTINGS, 0, 0, &[]).await?;
        let request = loop {
            let frame = self.frame().await?;
            if frame.kind == DATA {
                break SubscribeRequest::decode(&frame.payload[5..]).expect("a request");
            }
        };
        let from = request.from_sequence.max(1);
        let call = {
            let mut all = self.seen.from.lock().expect("no panic while locked");
            all.push(from);
            all.len() - 1
        };
        // `:status: 200`, and `content-type` by its number in HPACK's table.
        let headers = [&[0x88, 0x0f, 0x10, 16][..], b"application/grpc"].concat();
        self.write(HEADERS, END_HEADERS, 1, &headers).await?;
        self.last = Instant::now();
        for act in script(call, from) {
            self.act(act).await?;
        }
        // The client's frames are answered until it goes.
        loop {
            self.frame().await?;
        }
    }

    async fn act(&mut self, act: Act) -> Option<()> {
        match act {
            Act::Events(from, to) => {
                for sequence in from..=to {
                    self.write(DATA, 0, 1, &message(sequence)).await?;
                }
                self.last = Instant::now();
            }
            Act::Half(sequence) => {
                let message = message(sequence);
                self.write(DATA, 0, 1, &message[..message.len() / 2]).await?;
            }
            Act::GoAway(code, debug) => self.go_away(code, debug).await?,
            Act::End => {
                // `grpc-status: 0`, a literal without a number.
                let trailers = [&[0, 11][..], b"grpc-status", &[1], b"0"].concat();
                self.write(HEADERS, END_HEADERS | END_STREAM, 1, &trailers).await?;
            }
            // What was written arrives: an end while something is unread would be a reset.
            Act::Close => {
                self.stream.shutdown().await.ok()?;
                loop {
                    self.read(1).await?;
                }
            }
            Act::BehindPing(from, to) => {
                while self.frame().await?.kind != PING {}
                for sequence in from..=to {
                    self.write(DATA, 0, 1, &message(sequence)).await?;
                }
            }
        }
        Some(())
    }

    async fn go_away(&mut self, code: u32, debug: &str) -> Option<()> {
        let payload = [&1_u32.to_be_bytes()[..], &code.to_be_bytes(), debug.as_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await
    }

    /// The next frame, once what it demands is done.
    async fn frame(&mut self) -> Option<Frame> {
        let header = self.read(9).await?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let payload = self.read(length).await?;
        let frame = Frame { kind: header[3], flags: header[4], payload };
        if frame.flags & ACK == 0 {
            match frame.kind {
                SETTINGS => self.write(SETTINGS, ACK, 0, &[]).await?,
                PING => self.ping(&frame.payload).await?,
                _ => {}
            }
        }
        Some(frame)
    }

    async fn ping(&mut self, payload: &[u8]) -> Option<()> {
        if self.last.elapsed() < self.pings_min {
            self.seen.complaints.fetch_add(1, Ordering::SeqCst);
            // As gRPC's own servers do it: the call is among the streams that were accepted.
            self.go_away(ENHANCE_YOUR_CALM, "too_many_pings").await?;
            return None;
        }
        self.last = Instant::now();
        self.write(PING, ACK, 0, payload).await
    }

    async fn read(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let mut buffer = vec![0; bytes];
        self.stream.read_exact(&mut buffer).await.ok()?;
        Some(buffer)
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<()> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).await.ok()
    }
}

/// A gRPC message, not packed.
fn message(sequence: u64) -> Vec<u8> {
    let body = event(sequence).encode_to_vec();
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[0][..], &length, &body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goaway_without_an_error_moves_a_resumable_call_at_once() {
    let server = Server::start(Duration::ZERO, |call, from| match call {
        0 | 1 => vec![Act::Events(from, from + 9), Act::GoAway(NO_ERROR, "bye")],
        _ => vec![Act::Events(from, from + 9)],
    })
    .await;
    let world = World::run(source(&server.url(), &format!("{NO_WAIT}{RESUME}")), None);
    world.committed(30).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (1..=30).collect::<Vec<_>>());
    assert_eq!(server.from(), [1, 11, 21]);
    assert_eq!(finished.position().counters.gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goaway_without_an_error_leaves_a_call_that_cannot_resume_to_its_end() {
    let server = Server::start(Duration::ZERO, |_, _| {
        vec![Act::Events(1, 5), Act::GoAway(NO_ERROR, ""), Act::Events(6, 10), Act::End]
    })
    .await;
    let keys = format!("{FAST}\n    on_end: finish");
    let (_, finished) = World::run(source(&server.url(), &keys), None).end().await;
    assert_eq!(finished.values(), (1..=10).collect::<Vec<_>>());
    assert_eq!(server.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_sends_every_connection_away_is_not_called_in_a_tight_loop() {
    let server = Server::start(Duration::ZERO, |_, _| vec![Act::GoAway(NO_ERROR, "")]).await;
    let limited = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 20, attempts_max: 3 }";
    let world = World::run(source(&server.url(), &format!("{limited}{RESUME}")), None);
    let (end, _) = world.end().await;
    let reason = crate::world::broken(&end);
    assert!(reason.contains("asks its clients to go") && reason.contains("3 attempts"), "{reason}");
    assert_eq!(server.calls(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goaway_in_the_middle_of_a_message_loses_and_repeats_nothing_and_is_named() {
    let server = Server::start(Duration::ZERO, |call, from| match call {
        0..3 => vec![
            Act::Events(from, from + 4),
            Act::Half(from + 5),
            Act::GoAway(INTERNAL_ERROR, "restarting"),
            Act::Close,
        ],
        _ => vec![Act::Events(from, 20)],
    })
    .await;
    let world = World::run(source(&server.url(), &format!("{FAST}{RESUME}")), None);
    world.committed(20).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (1..=20).collect::<Vec<_>>());
    assert_eq!(finished.position().counters.dropped_duplicates, 0);

    let closing = Server::start(Duration::ZERO, |_, _| {
        vec![Act::GoAway(INTERNAL_ERROR, "restarting"), Act::Close]
    })
    .await;
    let limited = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 20, attempts_max: 1 }";
    let (end, _) =
        World::run(source(&closing.url(), &format!("{limited}{RESUME}")), None).end().await;
    let reason = crate::world::broken(&end);
    assert!(reason.contains("GOAWAY INTERNAL_ERROR (restarting)"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_pinged_too_often_is_pinged_half_as_often() {
    // The client pings after a second of silence, the server allows one in one and a half.
    let server = Server::start(Duration::from_millis(1_500), |call, from| match call {
        0 => vec![Act::Events(from, from + 4)],
        _ => vec![Act::Events(from, from + 4), Act::BehindPing(from + 5, from + 9)],
    })
    .await;
    let keys = format!("{FAST}\n    keepalive: {{ interval_ms: 1000 }}{RESUME}");
    let world = World::run(source(&server.url(), &keys), None);
    until("it complains", || server.seen.complaints.load(Ordering::SeqCst) == 1).await;
    world.committed(15).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (1..=15).collect::<Vec<_>>());
    assert_eq!(server.from(), [1, 6], "after one complaint the pings are rare enough");
    assert_eq!(server.seen.complaints.load(Ordering::SeqCst), 1);
}
