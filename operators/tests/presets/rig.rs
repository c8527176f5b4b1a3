//! A source that a preset describes, run against a fake, restarted in between.

use crate::fake::{Fake, json};
use crate::world::{World, until};
use headwater_engine::record::Batch;
use headwater_engine::spec::{Plan, Source, SystemVariables, load};
use headwater_operators::registry;
use headwater_operators::source::Resumability;
use headwater_operators::source::grpc::GrpcSource;
use headwater_proto::MessageDescriptor;
use serde_json::Value as Json;
use std::path::Path;
use std::sync::Arc;

/// The file of a person who uses the preset: a server, its types, and `keys` of their own.
pub fn file(url: &str, proto: &str, preset: &str, keys: &str) -> String {
    format!(
        "pipeline: test\nsources:\n  s:\n    kind: grpc\n    preset: {preset}\n    endpoint: {url}\n    \
         descriptors: {{ protos: [tests/presets/protos/{proto}] }}\n    \
         reconnect: {{ backoff_min_ms: 10, backoff_max_ms: 50 }}\n    {keys}\n\
         decoders:\n  d: {{ kind: protobuf, from: s, to: json }}\n\
         sinks:\n  out: {{ kind: discard, from: d }}\n"
    )
}

pub fn plan(text: &str) -> Plan {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = Source { name: "test.yaml", text, base_dir };
    match load(&source, &registry(), &SystemVariables) {
        Ok((plan, warnings)) => {
            // Some are run with less than their API demands.
            let told = format!("{warnings:?}");
            assert!(warnings.is_empty() || told.contains("which nothing gives"), "{told}");
            plan
        }
        Err(mistakes) => panic!("{mistakes}"),
    }
}

pub fn source(text: &str) -> Arc<GrpcSource> {
    let config = plan(text).node("s").expect("the file names it").config.clone();
    config.downcast().expect("a gRPC source")
}

/// What came of a run.
pub struct Outcome {
    /// All committed messages, of both processes.
    pub committed: Vec<Json>,
    /// The requests of all calls.
    pub requests: Vec<Json>,
    pub resumability: Resumability,
}

/// Runs the preset until `first` messages are committed, all that the fake sends before it falls
/// silent; stops the process, and runs it again from what was committed until there are `all`.
pub async fn run(fake: Fake, text: &str, first: usize, all: usize) -> Outcome {
    let is_silent = move |messages: &[Json]| {
        assert!(messages.len() <= first, "the fake falls silent after {first}");
        messages.len() == first
    };
    run_by(fake, text, is_silent, move |all_of_them| all_of_them.len() >= all).await
}

/// The same until `first` holds of what is committed, and then until `all` does of both processes'.
pub async fn run_by(
    fake: Fake,
    text: &str,
    first: impl Fn(&[Json]) -> bool,
    all: impl Fn(&[Json]) -> bool,
) -> Outcome {
    let output = fake.method.output();
    let source = source(text);
    let resumability = source.resumability();
    let world = World::run(source.clone(), None);
    until("the first process has committed", || first(&messages(&output, &world.batches()))).await;
    let (_, ended) = world.stop().await;
    let position = ended.position();
    let mut committed = messages(&output, &ended.batches);
    let world = World::run(source, Some(position));
    until("the second process has committed", || {
        all(&[&committed[..], &messages(&output, &world.batches())].concat())
    })
    .await;
    let (_, ended) = world.stop().await;
    committed.extend(messages(&output, &ended.batches));
    Outcome { committed, requests: fake.requests(), resumability }
}

/// What batches hold.
pub fn messages(output: &MessageDescriptor, batches: &[Batch]) -> Vec<Json> {
    let values = batches.iter().flat_map(|batch| {
        let values: Vec<Json> = batch.values.iter().map(|wire| json(output, wire)).collect();
        values
    });
    values.collect()
}

/// The value at a path of keys, as a number; proto3 JSON writes 64 bits as text.
pub fn number(json: &Json, path: &[&str]) -> Option<u64> {
    let value = path.iter().try_fold(json, |json, key| json.get(key))?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
