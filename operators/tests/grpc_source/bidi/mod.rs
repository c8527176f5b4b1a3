//! Bidirectional methods: what is said on the request stream, and when.
//!
//! Method: `server.rs` plays a conversation per call, written as a function of the test; behind the
//! proxy of the other tests, which can cut it.

mod acks;
mod calls;
mod check;
mod credit;
mod farewell;
mod leases;
mod repeats;
mod replies;
mod room;
mod server;

use crate::world::{FAST, World};
use headwater_engine::spec::Diagnostics;
use headwater_operators::source::grpc::GrpcSource;
use prost::Message;
use server::{Item, Response};
use std::path::Path;
use std::sync::Arc;

/// A pipeline file whose source calls `method` of the feed; `keys` are indented by four.
fn pipeline(url: &str, method: &str, keys: &str) -> String {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protos/feed.proto");
    format!(
        "pipeline: test\nsources:\n  s:\n    kind: grpc\n    endpoint: {url}\n    \
         method: feed.v1.Feed/{method}\n    descriptors: {{ protos: [\"{}\"] }}\n    {FAST}\n    \
         {keys}\n\
         decoders:\n  d: {{ kind: pass, from: s }}\n\
         sinks:\n  out: {{ kind: collect, from: d }}\n",
        proto.display()
    )
}

fn read(url: &str, method: &str, keys: &str) -> Result<Arc<GrpcSource>, Diagnostics> {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate::world::read(&pipeline(url, method, keys), base_dir).map(|(source, _)| source)
}

/// The source of a pipeline file without mistakes.
fn source_of(text: &str) -> Arc<GrpcSource> {
    match crate::world::read(text, Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok((source, _)) => source,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

/// A source that follows the feed.
fn follow(url: &str, keys: &str) -> Arc<GrpcSource> {
    source_of(&pipeline(url, "Follow", keys))
}

/// The items of committed responses.
fn items<'b>(values: impl IntoIterator<Item = &'b [u8]>) -> Vec<Item> {
    let response = |value| Response::decode(value).expect("what was sent");
    values.into_iter().flat_map(|value| response(value).items).collect()
}

/// The numbers of committed items.
fn numbers(world: &World) -> Vec<u64> {
    let batches = world.batches();
    let values = batches.iter().flat_map(|batch| batch.values.iter());
    items(values).iter().map(|item| item.number).collect()
}
