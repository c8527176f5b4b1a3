//! One shard of a source from a pipeline file, running into a timely dataflow whose sink collects.

use headwater_engine::clock::SystemClock;
use headwater_engine::commit::observe::CommitEvent;
use headwater_engine::commit::outlet::{Outlet, OutletError, Sealed, ShardPosition};
use headwater_engine::dataflow::build::{
    Blueprint, BlueprintNode, Running, Shared, Station, launch,
};
use headwater_engine::dataflow::credit::Credit;
use headwater_engine::dataflow::epochs::{EpochBounds, Epochs};
use headwater_engine::dataflow::workers::Workers;
use headwater_engine::failure::Failure;
use headwater_engine::ids::{Epoch, ShardIndex, SinkIndex, Slot};
use headwater_engine::position::Position;
use headwater_engine::record::Batch;
use headwater_engine::spec::{
    Checked, Diagnostics, Encoding, KindEntry, NodeView, Registry, Report, Role, Source,
    StreamFacts, SystemVariables, load, schema_of,
};
use headwater_operators::source::feed::Feed;
use headwater_operators::source::grpc::{GrpcSource, entry};
use headwater_operators::source::link::Link;
use headwater_operators::source::{ShardContext, ShardEnd};
use headwater_operators::telemetry::{Spans, Telemetry};
use headwater_proto::telemetry::Event;
use prost::Message;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// The memory of the dataflow.
pub const CREDIT_BYTES: u64 = 1024 * 1024;

/// Reconnects fast, so that tests are.
pub const FAST: &str = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 50 }";

/// The demo's own cursor.
pub const RESUME: &str = r#"
    resume:
      cursor: { seq: { from: sequence } }
      position: next
      restart: { set: { from_sequence: "${cursor.seq}" } }
      sequence: contiguous"#;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

/// A decoder and a sink that only make the file whole; the test builds the dataflow itself.
fn entries() -> [KindEntry; 2] {
    let decoder = KindEntry {
        role: Role::Decoder,
        name: "pass",
        summary: "Passes records.",
        schema: schema_of::<NoKeys>,
        check: |view: &NodeView<'_>, _: &mut Report| {
            let (_, input) = view.inputs.first()?;
            let output = StreamFacts { encoding: Some(Encoding::Raw), ..input.clone() };
            Some(Checked::new((), output))
        },
    };
    let sink = KindEntry {
        role: Role::Sink,
        name: "collect",
        summary: "Collects records.",
        check: |_: &NodeView<'_>, _: &mut Report| Some(Checked::sink(())),
        ..decoder
    };
    [decoder, sink]
}

/// A pipeline file with one source; `keys` are indented by four.
pub fn pipeline(url: &str, keys: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let protos = root.join("../proto/protos");
    let (proto, own) = (protos.join("telemetry.proto"), root.join("tests/grpc_source"));
    let descriptors = format!(
        "descriptors: {{ protos: [\"{}\", \"{}\"], includes: [\"{}\", \"{}\"] }}",
        proto.display(),
        own.join("history.proto").display(),
        protos.display(),
        own.display(),
    );
    let method = "method: bench.v1.Telemetry/Subscribe";
    format!(
        "pipeline: test\nsources:\n  s:\n    kind: grpc\n    endpoint: {url}\n    {method}\n    \
         {descriptors}\n    {keys}\n\
         decoders:\n  d: {{ kind: pass, from: s }}\nsinks:\n  out: {{ kind: collect, from: d }}\n"
    )
}

/// Reads a pipeline file; its source is named `s`. The texts of warnings come with it.
pub fn read(text: &str, base_dir: &Path) -> Result<(Arc<GrpcSource>, Vec<String>), Diagnostics> {
    let registry = Registry::new([entry()].into_iter().chain(entries()));
    let source = Source { name: "test.yaml", text, base_dir };
    let (plan, warnings) = load(&source, &registry, &SystemVariables)?;
    let config = plan.node("s").expect("the file names it").config.clone();
    let source = config.downcast::<GrpcSource>().expect("a gRPC source");
    Ok((source, warnings.into_iter().map(|warning| warning.message).collect()))
}

pub fn source(url: &str, keys: &str) -> Arc<GrpcSource> {
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    match read(&pipeline(url, keys), base_dir) {
        Ok((source, _)) => source,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

/// A running shard.
pub struct World {
    /// Dropped before the workers, who are waited for.
    _stops: DropGuard,
    pub stop: CancellationToken,
    pub telemetry: Telemetry,
    pub is_gate_open: Arc<AtomicBool>,
    committed: Arc<Mutex<Vec<Batch>>>,
    /// Shards that have ended.
    ended: Arc<AtomicUsize>,
    task: JoinHandle<ShardEnd>,
    credit: Arc<Credit>,
    running: Running,
    /// None once it has ended.
    workers: Option<Workers>,
}

impl World {
    /// Runs the first shard of `source` from `start`.
    pub fn run(source: Arc<GrpcSource>, start: Option<Position>) -> World {
        World::run_shards(source, 1, start)
    }

    /// Runs the first `count` shards of `source`; the end is that of the first which is broken, or
    /// of the last.
    pub fn run_shards(source: Arc<GrpcSource>, count: u32, start: Option<Position>) -> World {
        World::run_from(source, vec![start; count as usize])
    }

    /// Runs the first shards of `source`, each from its own place.
    pub fn run_from(source: Arc<GrpcSource>, starts: Vec<Option<Position>>) -> World {
        World::run_within(CREDIT_BYTES, source, starts)
    }

    /// The same, with more or less that the dataflow may hold.
    pub fn run_within(
        credit_bytes: u64,
        source: Arc<GrpcSource>,
        starts: Vec<Option<Position>>,
    ) -> World {
        let seen = starts.iter().flatten().filter_map(|start| start.seen.as_ref());
        let feed = source.feed(0).map(|_| Feed::new(0, seen));
        let clock = Arc::new(SystemClock::default());
        let bounds =
            EpochBounds { interval: Duration::from_millis(5), bytes_max: 1 << 20, closed_max: 1 };
        let shared = Shared {
            epochs: Arc::new(Epochs::new(Epoch(1), bounds, clock.clone())),
            credit: Arc::new(Credit::new(credit_bytes)),
            failure: Arc::new(Failure::default()),
        };
        let is_gate_open = Arc::new(AtomicBool::new(true));
        let committed = Arc::new(Mutex::new(Vec::new()));
        let outlet = Collect {
            gate: is_gate_open.clone(),
            committed: committed.clone(),
            pending: Vec::new(),
        };
        let workers = Workers::start(1).expect("threads");
        let blueprint = blueprint();
        let telemetry = Telemetry::default();
        let links = links(&telemetry, &clock, &starts);
        let observer = observer(links.clone());
        let mut running =
            launch(&workers, blueprint, &shared, Box::new(outlet), observer).expect("workers run");
        let inlets = running.inlets[0].take().expect("a source has inlets");
        let stop = CancellationToken::new();
        let context = |index: u32, start: Option<Position>| {
            let metrics = telemetry.shard("test", "s", &index.to_string());
            ShardContext {
                index: ShardIndex(index),
                start,
                feed: feed.clone(),
                inlet: inlets[0].clone(),
                stop: stop.clone(),
                failure: shared.failure.clone(),
                link: links[index as usize].clone(),
                metrics,
                spans: Spans::default(),
                clock: clock.clone(),
            }
        };
        let mut shards: JoinSet<ShardEnd> = JoinSet::new();
        for (index, start) in (0..).zip(starts) {
            shards.spawn(source.clone().run_shard(index as usize, context(index, start)));
        }
        drop(inlets);
        let ended = Arc::default();
        let task = tokio::spawn(last_end(shards, feed.is_some(), Arc::clone(&ended)));
        let credit = shared.credit;
        let _stops = stop.clone().drop_guard();
        World {
            _stops,
            stop,
            telemetry,
            is_gate_open,
            committed,
            ended,
            task,
            credit,
            running,
            workers: Some(workers),
        }
    }

    pub fn batches(&self) -> Vec<Batch> {
        self.committed.lock().expect("no panic while locked").clone()
    }

    /// The sequences of the events that were committed.
    pub fn values(&self) -> Vec<u64> {
        let decode = |value: &[u8]| Event::decode(value).expect("what was sent").sequence;
        let batches = self.batches();
        batches
            .iter()
            .flat_map(|batch| batch.values.iter().map(decode).collect::<Vec<_>>())
            .collect()
    }

    /// How many shards have ended.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// How often a reader had to wait for credit.
    pub fn credit_waits(&self) -> u64 {
        self.credit.waits()
    }

    /// Commits nothing until a reader has to wait for credit, which else comes back too soon for
    /// that now and then.
    pub async fn hold_until_a_reader_waits(&self) {
        self.is_gate_open.store(false, Ordering::SeqCst);
        until("a reader waits for credit", || self.credit_waits() > 0).await;
        self.is_gate_open.store(true, Ordering::SeqCst);
    }

    /// Bytes that the dataflow held at most.
    pub fn credit_peak_bytes(&self) -> u64 {
        self.credit.peak_bytes()
    }

    /// Waits until `count` records are committed.
    pub async fn committed(&self, count: usize) {
        until("records are committed", || self.values().len() >= count).await;
    }

    /// Waits for the shard's end and for everything it handed over to be committed.
    pub async fn end(self) -> (ShardEnd, Finished) {
        let mut world = self;
        let end = tokio::time::timeout(PATIENCE, &mut world.task).await.expect("the shard ends");
        let end = end.expect("the shard does not panic");
        until("the committer ends", || world.running.committer.is_finished()).await;
        world.workers.take().expect("it has not ended").join();
        let batches = std::mem::take(&mut *world.committed.lock().expect("no panic while locked"));
        (end, Finished { batches, telemetry: world.telemetry.clone() })
    }

    /// Asks the shard to stop and waits for its end.
    pub async fn stop(self) -> (ShardEnd, Finished) {
        self.stop.cancel();
        self.end().await
    }
}

/// Workers wait for the shard, which cannot end while the one thread of its runtime is busy here: a
/// test that fails must not hang.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(self.workers.take());
        }
    }
}

/// What a shard that has ended left behind.
pub struct Finished {
    pub batches: Vec<Batch>,
    pub telemetry: Telemetry,
}

impl Finished {
    pub fn values(&self) -> Vec<u64> {
        let decode = |value: &[u8]| Event::decode(value).expect("what was sent").sequence;
        self.batches.iter().flat_map(|b| b.values.iter().map(decode).collect::<Vec<_>>()).collect()
    }

    pub fn position(&self) -> Position {
        let last = self.batches.last().expect("something was committed");
        last.position.as_deref().cloned().expect("each batch has one")
    }
}

/// The reason of a shard that is broken.
pub fn broken(end: &ShardEnd) -> &str {
    match end {
        ShardEnd::Broken(reason) => reason,
        other => panic!("expected a broken shard, found {other:?}"),
    }
}

pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn links(
    telemetry: &Telemetry,
    clock: &Arc<SystemClock>,
    starts: &[Option<Position>],
) -> Vec<Link> {
    let link = |(index, start): (usize, &Option<Position>)| {
        let connected = telemetry.shard("test", "s", &index.to_string()).connected;
        let counters = start.as_ref().map(|position| position.counters);
        Link::new(clock.clone(), connected, counters.unwrap_or_default())
    };
    starts.iter().enumerate().map(link).collect()
}

/// Tells shards what is committed.
fn observer(links: Vec<Link>) -> Box<dyn FnMut(&CommitEvent<'_>) + Send> {
    Box::new(move |event| {
        if let CommitEvent::Committed(committed) = event {
            let moved = committed.positions.iter();
            moved.for_each(|it| links[it.shard.0 as usize].committed(&it.position));
        }
    })
}

/// The end of the first shard that is broken, or of the last one.
async fn last_end(
    mut shards: JoinSet<ShardEnd>,
    has_upstreams: bool,
    ended: Arc<AtomicUsize>,
) -> ShardEnd {
    let mut last = ShardEnd::Stopped;
    while let Some(end) = shards.join_next().await {
        ended.fetch_add(1, Ordering::SeqCst);
        if !matches!(last, ShardEnd::Broken(_)) {
            last = end.expect("the shard does not panic");
        }
        // The other upstreams of a feed go on without it.
        if matches!(last, ShardEnd::Broken(_)) && !has_upstreams {
            break;
        }
    }
    last
}

fn blueprint() -> Blueprint {
    let node =
        |name: &str, inputs, station| BlueprintNode { name: name.to_owned(), inputs, station };
    let source = node("s", Vec::new(), Station::Source);
    let sink = node("out", vec![0], Station::Sink(SinkIndex(0)));
    Blueprint { name: "test".to_owned(), nodes: vec![source, sink] }
}

/// Collects what is committed; a closed gate makes a commit wait.
struct Collect {
    gate: Arc<AtomicBool>,
    committed: Arc<Mutex<Vec<Batch>>>,
    pending: Vec<Batch>,
}

/// An epoch that is whole and not committed.
struct Collected {
    gate: Arc<AtomicBool>,
    committed: Arc<Mutex<Vec<Batch>>>,
    batches: Vec<Batch>,
}

impl Sealed for Collected {
    fn commit(&mut self) -> Result<(), OutletError> {
        while !self.gate.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.committed.lock().expect("no panic while locked").append(&mut self.batches);
        Ok(())
    }
}

impl Outlet for Collect {
    fn ring(&self) -> u32 {
        1
    }

    fn begin(&mut self, _: Slot, _: Epoch) -> Result<(), OutletError> {
        self.pending.clear();
        Ok(())
    }

    fn stage(&mut self, _: SinkIndex, batch: &Batch) -> Result<(), OutletError> {
        self.pending.push(batch.clone());
        Ok(())
    }

    fn seal(&mut self, _: Epoch, _: &[ShardPosition]) -> Result<Box<dyn Sealed>, OutletError> {
        let batches = std::mem::take(&mut self.pending);
        let (gate, committed) = (self.gate.clone(), self.committed.clone());
        Ok(Box::new(Collected { gate, committed, batches }))
    }

    fn committed(&mut self, _: Epoch, _: &[ShardPosition]) {}

    fn abort(&mut self) -> Result<(), OutletError> {
        self.pending.clear();
        Ok(())
    }

    fn acquire(&mut self) -> Result<Option<Epoch>, OutletError> {
        Ok(None)
    }

    fn poll(&mut self) {}
}
