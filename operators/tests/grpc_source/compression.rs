//! Packed messages: taken, asked for, and bounded by their unpacked size.

use crate::server::{Options, Server, Step, event};
use crate::world::{RESUME, World, broken, source, until};
use headwater_operators::source::ShardEnd;
use std::sync::atomic::Ordering;
use tonic::codec::CompressionEncoding;

const PAYLOAD_BYTES: usize = 1024 * 1024;

async fn server(packing: CompressionEncoding, payload_bytes: usize) -> Server {
    let options = Options { packing: Some(packing), ..Options::default() };
    Server::start_as(options, move |_, _| {
        let mut large = event(2);
        large.payload = vec![7; payload_bytes];
        vec![Step::Send(event(1)), Step::Send(large)]
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packed_messages_are_taken_unless_the_file_says_otherwise() {
    let cases = [
        (CompressionEncoding::Zstd, "", true),
        (CompressionEncoding::Gzip, "compression: { accept: [gzip] }\n    ", true),
        (CompressionEncoding::Gzip, "compression: { accept: [] }\n    ", false),
    ];
    for (packing, keys, is_packed) in cases {
        let server = server(packing, PAYLOAD_BYTES).await;
        let keys = format!("{keys}on_end: finish{RESUME}");
        let (end, finished) = World::run(source(&server.url(), &keys), None).end().await;
        assert_eq!((end, finished.values()), (ShardEnd::Finished, vec![1, 2]));
        let sent_bytes = || server.seen.sent_bytes.load(Ordering::SeqCst);
        until("the connection is closed", || sent_bytes() > 0).await;
        assert_eq!(sent_bytes() < PAYLOAD_BYTES as u64 / 10, is_packed, "{keys}: {}", sent_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_message_that_unpacks_above_the_limit_breaks_the_shard_and_names_the_key() {
    for packing in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let server = server(packing, 5 * PAYLOAD_BYTES).await;
        let (end, finished) =
            World::run(source(&server.url(), RESUME.trim_start()), None).end().await;
        let reason = broken(&end);
        assert!(reason.contains("`message_bytes_max`") && reason.contains("4194304"), "{reason}");
        assert_eq!(finished.values(), [1], "what came before is delivered");
        assert_eq!(server.calls(), 1, "calling again cannot help");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_packed_where_the_file_says_so() {
    let cases = [("gzip", CompressionEncoding::Gzip), ("zstd", CompressionEncoding::Zstd)];
    for (name, packing) in cases {
        let server = server(packing, 10).await;
        let keys = format!(
            "on_end: finish\n    request: {{ filter: \"{}\" }}\n    \
             compression: {{ request: {name} }}",
            "north".repeat(1_000)
        );
        let (end, _) = World::run(source(&server.url(), &keys), None).end().await;
        assert_eq!(end, ShardEnd::Finished);
        let requests = server.seen.requests.lock().expect("no panic while locked");
        assert_eq!(requests[0].0.filter.len(), 5_000);
        assert_eq!(requests[0].1.get("grpc-encoding").expect("packed"), name);
    }
}
