//! What the steps of a `fields` transform cost per record, beside the way that is written first:
//! parse the JSON into a tree, change it, print it again.
//!
//! Method: the steps of `examples/pipelines/transforms.yaml` on the JSON of telemetry events, in
//! batches; both ways take turns over the same batches, and must come to the same bytes. CPU of the
//! process.
//!
//! ```text
//! cargo bench --bench transforms
//! cargo bench --bench transforms -- --toy
//! ```

mod support;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use headwater_engine::dataflow::step::{Step, StepFactory};
use headwater_engine::ids::{Sequence, Session, ShardIndex, ShardKey};
use headwater_engine::record::{Batch, Packed, ReceivedAt, Values};
use headwater_engine::shards::{ShardEntry, ShardTable};
use headwater_engine::spec::{Source, SystemVariables, load};
use headwater_operators::registry;
use headwater_operators::transform::FieldsTransform;
use headwater_operators::transform::fields::operator::FieldsFactory;
use headwater_proto::JsonTranscoder;
use headwater_telemetry::Fleet;
use headwater_test_support::process::usage;
use serde_json::{Map, Value as Json, json};
use support::machine;
use support::options::Common;
use support::table::{markdown, median};

/// Measures the steps of a transform: nanoseconds of CPU per record.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,

    /// Records in each round of each way. [default: 500000; toy: 5000]
    #[arg(long, value_name = "N")]
    records: Option<usize>,

    /// How often both ways take their turn. [default: 7; toy: 1]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

const RECORDS_PER_BATCH: usize = 256;
const RECEIVED_UNIX_MS: i64 = 1_700_000_000_123;

fn main() -> Result<()> {
    let options = Options::parse();
    let is_toy = options.common.is_toy();
    let records = options.records.unwrap_or(if is_toy { 5_000 } else { 500_000 });
    let rounds = options.rounds.unwrap_or(if is_toy { 1 } else { 7 });
    let machine = machine::describe();
    println!("{rounds} rounds of {records} records; {machine}\n");
    let batch = batch()?;
    let mut step = step()?;
    let by_steps = changed_by_steps(&mut *step, &batch)?;
    ensure!(by_steps == changed_as_trees(&batch)?, "both ways come to the same bytes");
    let batches = records.div_ceil(RECORDS_PER_BATCH);
    let (mut steps, mut trees) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        steps.push(cpu_ns_per_record(batches, || {
            let mut batch = batch.clone();
            step.apply(&mut batch)?;
            Ok(batch.values.size_bytes())
        })?);
        trees.push(cpu_ns_per_record(batches, || {
            let mut out = Vec::with_capacity(batch.values.size_bytes());
            for value in batch.values.iter() {
                serde_json::to_writer(&mut out, &changed(value)?)?;
            }
            Ok(out.len())
        })?);
    }
    let (steps, trees) = (median(steps.into_iter()), median(trees.into_iter()));
    let bytes = batch.values.size_bytes() / batch.len();
    let rows = [("steps on bytes", steps), ("serde_json: parse, change, print", trees)];
    let rows: Vec<Vec<String>> =
        rows.iter().map(|(name, ns)| vec![(*name).to_owned(), format!("{ns:.0}")]).collect();
    println!("{}", markdown(&[&format!("{bytes} bytes of JSON a record"), "CPU ns/record"], &rows));
    options.common.write_json(&json!({
        "bench": "transforms", "machine": machine,
        "results": [{ "case": "fields", "steps_ns": steps, "trees_ns": trees, "bytes": bytes }],
    }))
}

/// The steps as they stand in the example.
fn step() -> Result<Box<dyn Step>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pipelines");
    let text = std::fs::read_to_string(folder.join("transforms.yaml"))?;
    let source = Source { name: "transforms.yaml", text: &text, base_dir: &folder };
    let (plan, _) = load(&source, &registry(), &SystemVariables)?;
    let node = plan.node("slim").context("the example has the node")?;
    let entry = ShardEntry { key: ShardKey("events/a".to_owned()), fingerprint: String::new() };
    let factory = FieldsFactory {
        node: Arc::from("slim"),
        transform: node.config::<FieldsTransform>().clone(),
        shards: ShardTable::new([entry]),
    };
    Ok(factory.make())
}

fn batch() -> Result<Batch> {
    let (fleet, payload) = (Fleet::default(), Bytes::from_static(&[7; 16]));
    let transcoder = JsonTranscoder::compile(&support::event_descriptor()?);
    let mut packed = Packed::default();
    for sequence in 1..=RECORDS_PER_BATCH as u64 {
        let mut wire = Vec::new();
        fleet.encode(sequence, 1_700_000_000_000_000_000, &payload, &mut wire);
        packed.push_with(|out| transcoder.transcode(&wire, out))?;
    }
    Ok(Batch {
        shard: ShardIndex(0),
        session: Session(1),
        first: Sequence(1),
        end: Sequence(1 + RECORDS_PER_BATCH as u64),
        received: ReceivedAt { monotonic_ns: 0, unix_ms: RECEIVED_UNIX_MS },
        kept: None,
        values: Values::Packed(Arc::new(packed)),
        columns: Vec::new(),
        dead: Vec::new(),
        gaps: Vec::new(),
        position: None,
        credit_bytes: 0,
    })
}

fn changed_by_steps(step: &mut dyn Step, batch: &Batch) -> Result<Vec<Vec<u8>>> {
    let mut batch = batch.clone();
    step.apply(&mut batch)?;
    ensure!(batch.dead.is_empty(), "every record can be changed");
    Ok(batch.values.iter().map(<[u8]>::to_vec).collect())
}

fn changed_as_trees(batch: &Batch) -> Result<Vec<Vec<u8>>> {
    batch.values.iter().map(|value| Ok(serde_json::to_vec(&changed(value)?)?)).collect()
}

/// The example's steps on a tree.
fn changed(value: &[u8]) -> Result<Json> {
    let fields: Map<String, Json> = serde_json::from_slice(value)?;
    let mut out = Map::new();
    for (name, value) in fields {
        match name.as_str() {
            "payload" | "samples" => {}
            "deviceId" => drop(out.insert("device".to_owned(), value)),
            "sequence" => {
                let number: i64 = value.as_str().context("a text")?.parse()?;
                out.insert(name, number.into());
            }
            "labels" => drop(out.insert(name, json!({}))),
            _ => drop(out.insert(name, value)),
        }
    }
    out.insert("environment".to_owned(), "production".into());
    out.insert("receivedAt".to_owned(), RECEIVED_UNIX_MS.into());
    Ok(Json::Object(out))
}

fn cpu_ns_per_record(batches: usize, mut change: impl FnMut() -> Result<usize>) -> Result<f64> {
    let before = usage(std::process::id())?.cpu;
    for _ in 0..batches {
        std::hint::black_box(change()?);
    }
    let cpu = usage(std::process::id())?.cpu - before;
    Ok(cpu.as_secs_f64() * 1e9 / (batches * RECORDS_PER_BATCH) as f64)
}
