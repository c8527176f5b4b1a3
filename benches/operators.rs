//! What the dataflow costs per record, without gRPC and without Kafka.
//!
//! Method: batches of telemetry messages go through a real pipeline, `inlet → source → operators →
//! stage → committer`, into an outlet that adds up what it gets. A bare loop does the same work on
//! the same batches in turn: nothing, or the decoder alone. CPU of the whole process, so that what
//! other threads do counts as well; the difference is what the layers cost. Each case demands that
//! both ways saw the same records and the same bytes.
//!
//! ```text
//! cargo bench --bench operators
//! cargo bench --bench operators -- --only json --seconds 3
//! cargo bench --bench operators -- --toy
//! ```

mod support;

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use headwater_engine::clock::SystemClock;
use headwater_engine::commit::observe::unobserved;
use headwater_engine::commit::outlet::{Outlet, OutletError, Sealed, ShardPosition};
use headwater_engine::dataflow::build::{
    Blueprint, BlueprintNode, Running, Shared, Station, launch,
};
use headwater_engine::dataflow::credit::Credit;
use headwater_engine::dataflow::epochs::{EpochBounds, Epochs};
use headwater_engine::dataflow::inlet::Inlet;
use headwater_engine::dataflow::step::{Step, StepError, StepFactory};
use headwater_engine::dataflow::workers::Workers;
use headwater_engine::failure::Failure;
use headwater_engine::ids::{Epoch, Sequence, Session, ShardIndex, ShardKey, SinkIndex, Slot};
use headwater_engine::limits::{BATCH_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES};
use headwater_engine::position::Position;
use headwater_engine::record::{Batch, ReceivedAt, Values};
use headwater_engine::shards::{ShardEntry, ShardTable};
use headwater_operators::decode::protobuf::operator::DecodeFactory;
use headwater_operators::decode::protobuf::{Envelope, OnError, OutputFormat, ProtobufDecoder};
use headwater_proto::JsonStyle;
use headwater_telemetry::Fleet;
use headwater_test_support::process::usage;
use serde_json::json;
use support::machine;
use support::options::Common;
use support::table::{markdown, median};

/// Measures the dataflow alone: nanoseconds of CPU per record.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,

    /// How much CPU a round of a case takes, roughly. [default: 1; toy: 0.05]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,

    /// How often both ways take their turn. [default: 5; toy: 1]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

/// The operators between source and sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// So many operators that pass batches on.
    Passing(usize),
    /// The decoder.
    Decoder,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    between: Between,
    records_per_batch: usize,
}

/// What a case came to: nanoseconds of CPU per record.
struct Outcome {
    name: String,
    dataflow_ns: f64,
    bare_ns: f64,
}

/// What arrived.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    records: u64,
    bytes: u64,
    hash: u64,
}

const SIZES: [usize; 4] = [1, 16, 256, 1024];
const COMMIT_INTERVAL: Duration = Duration::from_millis(50);
const CREDIT_BYTES: u64 = 20 << 20;
/// No case is taken for cheaper than this when the size of a round is chosen: memory is bounded.
const NS_MIN: f64 = 200.0;
/// Both ways first run so many records, to learn how many fill a round.
const TRIAL_RECORDS: usize = 20_000;

fn main() -> Result<()> {
    let options = Options::parse();
    let is_toy = options.common.is_toy();
    let seconds = options.seconds.unwrap_or(if is_toy { 0.05 } else { 1.0 });
    let rounds = options.rounds.unwrap_or(if is_toy { 1 } else { 5 });
    let machine = machine::describe();
    println!("{rounds} rounds of {seconds} s; {machine}\n");
    let mut outcomes = Vec::new();
    for case in Case::all().filter(|case| options.common.wants(&case.name())) {
        outcomes.push(case.run(seconds, rounds)?);
    }
    ensure!(!outcomes.is_empty(), "no case has a name with that in it");
    println!("{}", report(&outcomes));
    options.common.write_json(&json!({
        "bench": "operators", "machine": machine,
        "results": outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
    }))
}

impl Case {
    fn all() -> impl Iterator<Item = Case> {
        let between = [Between::Passing(0), Between::Passing(4), Between::Decoder];
        between
            .into_iter()
            .flat_map(|between| SIZES.map(|records_per_batch| Case { between, records_per_batch }))
    }

    fn name(self) -> String {
        let between = match self.between {
            Between::Passing(0) => "straight through".to_owned(),
            Between::Passing(count) => format!("{count} operators"),
            Between::Decoder => "json".to_owned(),
        };
        format!("{between}/{}", self.records_per_batch)
    }

    fn run(self, seconds: f64, rounds: usize) -> Result<Outcome> {
        let messages = messages(self.records_per_batch);
        let trial = batches(&messages, TRIAL_RECORDS);
        let ns = self.bare(trial.clone())?.0.max(self.dataflow(trial)?.0).max(NS_MIN);
        let records = (seconds * 1e9 / ns) as usize;
        let (mut through, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (bare_ns, expected) = self.bare(batches(&messages, records))?;
            let (dataflow_ns, arrived) = self.dataflow(batches(&messages, records))?;
            ensure!(arrived == expected, "{}: {arrived:?} is not {expected:?}", self.name());
            through.push(dataflow_ns);
            beside.push(bare_ns);
        }
        let name = self.name();
        let (dataflow_ns, bare_ns) = (median(through.into_iter()), median(beside.into_iter()));
        eprintln!("{name}: {:.1} ns a record more than a bare loop", dataflow_ns - bare_ns);
        Ok(Outcome { name, dataflow_ns, bare_ns })
    }

    /// The same work in a loop.
    fn bare(self, batches: Vec<Batch>) -> Result<(f64, Sum)> {
        let mut decoder = (self.between == Between::Decoder).then(|| decoder().make());
        let mut sum = Sum::default();
        let ns = cpu_ns_per_record(records(&batches), || {
            for mut batch in batches {
                if let Some(decoder) = &mut decoder {
                    decoder.apply(&mut batch)?;
                }
                sum.add(&batch);
            }
            Ok(())
        })?;
        Ok((ns, sum))
    }

    /// Through a pipeline of its own, on one worker; it counts until all is committed.
    fn dataflow(self, batches: Vec<Batch>) -> Result<(f64, Sum)> {
        let workers = Workers::start(1)?;
        let shared = shared();
        let sum = Arc::new(Mutex::new(Sum::default()));
        let outlet = Box::new(Adding(sum.clone()));
        let Running { mut inlets, gone, committer } =
            launch(&workers, self.blueprint(), &shared, outlet, unobserved())?;
        let inlet = inlets[0].take().context("the first node is the source")?.remove(0);
        drop(inlets);
        let feeding = tokio::runtime::Builder::new_current_thread().build()?;
        let ns = cpu_ns_per_record(records(&batches), || {
            feeding.block_on(feed(inlet, batches))?;
            committer.join().expect("the committer does not panic");
            Ok(())
        })?;
        gone.recv()?;
        ensure!(!shared.failure.is_set(), "{:?}", shared.failure.get());
        workers.join();
        let sum = std::mem::take(&mut *sum.lock().expect("nobody panicked"));
        Ok((ns, sum))
    }

    fn blueprint(self) -> Blueprint {
        let mut stations = vec![Station::Source];
        match self.between {
            Between::Passing(count) => {
                stations.extend((0..count).map(|_| Station::Step(Arc::new(Passing))));
            }
            Between::Decoder => stations.push(Station::Step(Arc::new(decoder()))),
        }
        stations.push(Station::Sink(SinkIndex(0)));
        let node = |(place, station): (usize, Station)| BlueprintNode {
            name: format!("node-{place}"),
            inputs: place.checked_sub(1).into_iter().collect(),
            station,
        };
        let nodes = stations.into_iter().enumerate().map(node).collect();
        Blueprint { name: "bench".to_owned(), nodes }
    }
}

/// Passes each batch on.
struct Passing;

impl StepFactory for Passing {
    fn make(&self) -> Box<dyn Step> {
        Box::new(Passing)
    }
}

impl Step for Passing {
    fn apply(&mut self, _batch: &mut Batch) -> Result<(), StepError> {
        Ok(())
    }
}

/// An outlet that adds up what it is given.
struct Adding(Arc<Mutex<Sum>>);

struct Added;

impl Sealed for Added {
    fn commit(&mut self) -> Result<(), OutletError> {
        Ok(())
    }
}

impl Outlet for Adding {
    fn ring(&self) -> u32 {
        2
    }

    fn begin(&mut self, _slot: Slot, _epoch: Epoch) -> Result<(), OutletError> {
        Ok(())
    }

    fn stage(&mut self, _sink: SinkIndex, batch: &Batch) -> Result<(), OutletError> {
        self.0.lock().expect("nobody panicked").add(batch);
        Ok(())
    }

    fn seal(
        &mut self,
        _epoch: Epoch,
        _positions: &[ShardPosition],
    ) -> Result<Box<dyn Sealed>, OutletError> {
        Ok(Box::new(Added))
    }

    fn committed(&mut self, _epoch: Epoch, _positions: &[ShardPosition]) {}

    fn abort(&mut self) -> Result<(), OutletError> {
        Ok(())
    }

    fn acquire(&mut self) -> Result<Option<Epoch>, OutletError> {
        Ok(None)
    }

    fn poll(&mut self) {}
}

impl Sum {
    /// The hash looks at a few bytes of each value, so that it shows order and content and costs
    /// little.
    fn add(&mut self, batch: &Batch) {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.hash);
        for value in batch.values.iter() {
            self.bytes += value.len() as u64;
            hasher.write(&value[..value.len().min(16)]);
        }
        self.records += batch.len() as u64;
        self.hash = hasher.finish();
    }
}

fn shared() -> Shared {
    let bytes_max = CREDIT_BYTES / 2;
    let bounds = EpochBounds { interval: COMMIT_INTERVAL, bytes_max, closed_max: 2 };
    Shared {
        epochs: Arc::new(Epochs::new(Epoch(1), bounds, Arc::new(SystemClock::default()))),
        credit: Arc::new(Credit::new(CREDIT_BYTES)),
        failure: Arc::new(Failure::default()),
    }
}

async fn feed(inlet: Inlet, batches: Vec<Batch>) -> Result<()> {
    for batch in batches {
        inlet.send(batch).await?;
    }
    Ok(())
}

/// CPU of the whole process while `run` runs.
fn cpu_ns_per_record(records: usize, run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = usage(std::process::id())?.cpu;
    run()?;
    let cpu = usage(std::process::id())?.cpu - before;
    Ok(cpu.as_secs_f64() * 1e9 / records as f64)
}

fn records(batches: &[Batch]) -> usize {
    batches.iter().map(Batch::len).sum()
}

fn messages(count: usize) -> Vec<Bytes> {
    let fleet = Fleet::default();
    let payload = Bytes::from_static(&[7; 16]);
    let message = |sequence| {
        let mut out = Vec::new();
        fleet.encode(sequence, 1_700_000_000_000_000_000, &payload, &mut out);
        Bytes::from(out)
    };
    (1..=count as u64).map(message).collect()
}

/// So many records in batches of `messages`, all of one shard.
fn batches(messages: &[Bytes], records: usize) -> Vec<Batch> {
    let count = (records / messages.len()).max(1);
    let value_bytes: usize = messages.iter().map(Bytes::len).sum();
    let records = messages.len() as u64;
    let credit_bytes = value_bytes as u64 + records * RECORD_OVERHEAD_BYTES + BATCH_OVERHEAD_BYTES;
    let batch = |place: u64| Batch {
        shard: ShardIndex(0),
        session: Session(1),
        first: Sequence(place * records),
        end: Sequence((place + 1) * records),
        received: ReceivedAt::default(),
        kept: None,
        values: Values::Received(Arc::new(messages.to_vec())),
        columns: Vec::new(),
        dead: Vec::new(),
        gaps: Vec::new(),
        position: Some(Arc::new(Position::default())),
        credit_bytes,
    };
    (0..count as u64).map(batch).collect()
}

fn decoder() -> DecodeFactory {
    let message = support::event_descriptor().expect("our own message");
    DecodeFactory {
        node: Arc::from("decoder"),
        decoder: ProtobufDecoder {
            message,
            to: OutputFormat::Json,
            style: JsonStyle::default(),
            envelope: Envelope::None,
            on_error: OnError::Stop,
        },
        demands: Vec::new(),
        shards: ShardTable::new([ShardEntry {
            key: ShardKey("events/a".to_owned()),
            fingerprint: String::new(),
        }]),
    }
}

impl Outcome {
    fn row(&self) -> Vec<String> {
        let ns = |ns: f64| format!("{ns:.1}");
        let Outcome { name, dataflow_ns, bare_ns } = self;
        vec![name.clone(), ns(*dataflow_ns), ns(*bare_ns), ns(dataflow_ns - bare_ns)]
    }

    fn json(&self) -> serde_json::Value {
        let Outcome { name, dataflow_ns, bare_ns } = self;
        json!({ "case": name, "dataflow_ns": dataflow_ns, "bare_ns": bare_ns })
    }
}

fn report(outcomes: &[Outcome]) -> String {
    let head = ["operators/records a batch", "CPU ns/record", "bare loop", "the dataflow's share"];
    markdown(&head, &outcomes.iter().map(Outcome::row).collect::<Vec<_>>())
}
