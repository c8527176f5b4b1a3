//! How fast the sample server is, alone and with a client that only counts.
//!
//! Why: a benchmark of the pipeline is worth nothing if the generator is what limits it. Run it
//! with `cargo bench -p headwater-telemetry`; `cargo test --benches` runs a toy size. Each case
//! checks count and order, and prints events per second and the generator's CPU per event.

#[path = "../tests/client/mod.rs"]
mod client;

use std::hint::black_box;
use std::time::{Duration, Instant};

use client::Client;
use headwater_proto::telemetry::SubscribeRequest;
use headwater_telemetry::{Fleet, TelemetryServer};

const EVENTS: u64 = 5_000_000;
const EVENTS_TOY: u64 = 20_000;

fn main() {
    let is_bench = std::env::args().any(|it| it == "--bench");
    let count = if is_bench { EVENTS } else { EVENTS_TOY };
    report("event/encode", count, encode(count));
    report("event/stream/loopback", count, stream(count));
}

/// Encoding alone, on this thread.
fn encode(count: u64) -> Duration {
    let fleet = Fleet::default();
    let mut out = Vec::with_capacity(1 << 10);
    let mut total = 0;
    let start = Instant::now();
    for sequence in 1..=count {
        out.clear();
        fleet.encode(sequence, sequence.cast_signed(), &[], &mut out);
        total += black_box(&out).len();
    }
    let took = start.elapsed();
    assert!((150..170).contains(&(total as u64 / count)), "about 160 bytes an event");
    took
}

/// Server and client on a thread each.
fn stream(count: u64) -> Duration {
    let serving = runtime();
    let server =
        serving.block_on(TelemetryServer::start(([127, 0, 0, 1], 0).into())).expect("a free port");
    let took = runtime().block_on(async {
        let request = SubscribeRequest { count, ..Default::default() };
        let start = Instant::now();
        let mut client =
            Client::open(server.endpoint(), request).await.expect("the server takes the call");
        let mut expected = 1;
        while let Some(message) = client.next().await.expect("the stream is whole") {
            assert_eq!(sequence(&message), expected, "in order, without a gap");
            expected += 1;
        }
        assert_eq!(expected, count + 1, "all of them");
        start.elapsed()
    });
    serving.block_on(server.shutdown());
    took
}

/// Field 1 stands first and is a varint.
fn sequence(message: &[u8]) -> u64 {
    assert_eq!(message[0], 1 << 3);
    prost::encoding::decode_varint(&mut &message[1..]).expect("the server sends events")
}

/// One worker, so that what is measured is one core's work.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime of one thread")
}

fn report(case: &str, count: u64, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    let ns = took.as_nanos() as f64 / count as f64;
    println!("{case:24} {count} events  {rate:>12.0} events/s  {ns:>6.0} ns/event");
}
