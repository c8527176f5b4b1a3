//! A pipeline on real workers, fed by threads, committed to a world that remembers and misbehaves.

use bytes::Bytes;
use headwater_engine::clock::SystemClock;
use headwater_engine::commit::outlet::{Outlet, OutletError, Repair, ShardPosition};
use headwater_engine::dataflow::build::{
    Blueprint, BlueprintNode, Running, Shared, Station, launch,
};
use headwater_engine::dataflow::credit::Credit;
use headwater_engine::dataflow::epochs::{EpochBounds, Epochs};
use headwater_engine::dataflow::inlet::Inlet;
use headwater_engine::dataflow::step::{Step, StepError, StepFactory};
use headwater_engine::dataflow::workers::Workers;
use headwater_engine::failure::{Failure, FailureReason};
use headwater_engine::ids::{Epoch, Sequence, Session, ShardIndex, SinkIndex};
use headwater_engine::position::Position;
use headwater_engine::record::{Batch, ReceivedAt, Values};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// The graphs under test.
#[derive(Clone, Copy)]
pub enum Graph {
    /// source → step → sink
    Plain,
    /// source → step → two sinks
    Fork,
    /// two sources → one sink
    Join,
    /// As `Plain`; the step panics when it has seen so many records.
    PanicsAt(u64),
}

/// What the outside world does wrong.
#[derive(Clone)]
pub struct Faults {
    random: u64,
    one_in: u64,
    repairs: Vec<Repair>,
    commit_takes: Duration,
}

impl Faults {
    pub fn none() -> Self {
        Faults { random: 1, one_in: 0, repairs: Vec::new(), commit_takes: Duration::ZERO }
    }

    pub fn seeded(seed: u64, one_in: u64, repairs: &[Repair]) -> Self {
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Faults { random, one_in, repairs: repairs.to_vec(), ..Faults::none() }
    }

    pub fn always(repair: Repair) -> Self {
        Faults { one_in: 1, repairs: vec![repair], ..Faults::none() }
    }

    pub fn slow_commits(millis: u64) -> Self {
        Faults { commit_takes: Duration::from_millis(millis), ..Faults::none() }
    }

    fn roll(&mut self) -> Option<Repair> {
        if self.one_in == 0 {
            return None;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let hits = self.random.is_multiple_of(self.one_in);
        hits.then(|| self.repairs[(self.random >> 32) as usize % self.repairs.len()])
    }
}

/// What became visible with one epoch.
#[derive(Clone, Default)]
pub struct CommittedEpoch {
    pub epoch: u64,
    /// Per sink: (shard, value), in order.
    pub records: Vec<Vec<(u32, u64)>>,
    /// Per shard: the position that was committed with it.
    pub positions: BTreeMap<u32, u64>,
}

#[derive(Default)]
struct World {
    open: Option<CommittedEpoch>,
    log: Vec<CommittedEpoch>,
    begun: usize,
    faults: usize,
}

struct TestOutlet {
    world: Arc<Mutex<World>>,
    faults: Faults,
    sinks: usize,
}

impl TestOutlet {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().expect("tests do not panic while they hold the world")
    }

    fn fail(&self, repair: Repair) -> OutletError {
        self.world().faults += 1;
        OutletError { message: "injected".to_owned(), repair }
    }
}

impl Outlet for TestOutlet {
    fn begin(&mut self, epoch: Epoch) -> Result<(), OutletError> {
        let mut world = self.world();
        world.begun += 1;
        let records = vec![Vec::new(); self.sinks];
        world.open = Some(CommittedEpoch { epoch: epoch.0, records, ..Default::default() });
        Ok(())
    }

    fn stage(&mut self, sink: SinkIndex, batch: &Batch) -> Result<(), OutletError> {
        let mut world = self.world();
        let open = world.open.as_mut().expect("records go into an open transaction");
        for value in batch.values.iter() {
            let value = u64::from_le_bytes(value[..8].try_into().expect("eight bytes"));
            open.records[sink.0 as usize].push((batch.shard.0, value));
        }
        Ok(())
    }

    fn commit(&mut self, epoch: Epoch, positions: &[ShardPosition]) -> Result<(), OutletError> {
        std::thread::sleep(self.faults.commit_takes);
        let fault = self.faults.roll();
        let mut world = self.world();
        // The outcome of a failed commit is open, except where the error promises an abort; a
        // repeated commit of what has landed is acknowledged.
        let lands = match fault {
            Some(Repair::Abort | Repair::Superseded) => false,
            Some(_) => self.faults.random.is_multiple_of(2),
            None => true,
        };
        if lands && let Some(mut open) = world.open.take() {
            assert_eq!(open.epoch, epoch.0, "the open epoch is the one that commits");
            let place = |moved: &ShardPosition| (moved.shard.0, moved.position.next_sequence.0);
            open.positions = positions.iter().map(place).collect();
            world.log.push(open);
        }
        drop(world);
        fault.map_or(Ok(()), |repair| Err(self.fail(repair)))
    }

    fn abort(&mut self) -> Result<(), OutletError> {
        self.world().open = None;
        Ok(())
    }

    fn acquire(&mut self) -> Result<Option<Epoch>, OutletError> {
        let mut world = self.world();
        world.open = None;
        Ok(world.log.last().map(|epoch| Epoch(epoch.epoch)))
    }

    fn poll(&mut self) {}
}

struct Pass {
    seen: Arc<AtomicU64>,
    panics_at: Option<u64>,
}

impl StepFactory for Pass {
    fn make(&self) -> Box<dyn Step> {
        Box::new(Pass { seen: self.seen.clone(), panics_at: self.panics_at })
    }
}

impl Step for Pass {
    fn apply(&mut self, batch: &mut Batch) -> Result<(), StepError> {
        let seen = self.seen.fetch_add(batch.len() as u64, Ordering::SeqCst) + batch.len() as u64;
        if self.panics_at.is_some_and(|at| seen >= at) {
            panic!("injected");
        }
        Ok(())
    }
}

/// A started pipeline.
pub struct Rig {
    workers: Arc<Workers>,
    graph: Graph,
    faults: Faults,
    credit_bytes: u64,
}

/// What was left when it ended.
pub struct End {
    pub epochs: Vec<CommittedEpoch>,
    pub failure: Option<FailureReason>,
    pub begun: usize,
    pub faults: usize,
    pub credit_peak: u64,
    pub credit_waits: u64,
    pub credit_left: u64,
}

impl Rig {
    pub fn start(workers: usize, graph: Graph, faults: Faults) -> Rig {
        Rig::start_on(Arc::new(Workers::start(workers).expect("threads")), graph, faults)
    }

    pub fn start_on(workers: Arc<Workers>, graph: Graph, faults: Faults) -> Rig {
        Rig { workers, graph, faults, credit_bytes: 16 << 20 }
    }

    pub fn with_credit(mut self, bytes: u64) -> Rig {
        self.credit_bytes = bytes;
        self
    }

    pub fn workers(&self) -> Arc<Workers> {
        self.workers.clone()
    }

    /// Feeds `batches` batches of `records` records from each of `shards` shards, then ends the
    /// inlets and waits for the pipeline's end.
    pub fn feed(self, shards: u32, batches: u64, records: u64) -> End {
        let mut started = self.launch();
        let sources = std::mem::take(&mut started.sources);
        let feeders: Vec<_> = (0..shards)
            .map(|shard| {
                let of_source = &sources[shard as usize % sources.len()];
                let inlet = of_source[shard as usize % of_source.len()].clone();
                std::thread::spawn(move || feed_shard(&inlet, shard, batches, records))
            })
            .collect();
        drop(sources);
        if !matches!(self.graph, Graph::PanicsAt(_)) {
            feeders.into_iter().for_each(|feeder| feeder.join().expect("feeders do not panic"));
        }
        started.end()
    }

    /// Feeds one shard and ends it, while every other inlet stays open and silent, until its
    /// records are committed.
    pub fn feed_one_beside_silence(self, records: u64) -> End {
        let mut started = self.launch();
        let first = started.sources[0].remove(0);
        feed_shard(&first, 0, 1, records);
        drop(first);
        let until = Instant::now() + PATIENCE;
        while started.world.lock().expect("nobody panicked").log.is_empty() {
            assert!(Instant::now() < until, "the tail was not committed");
            std::thread::yield_now();
        }
        started.sources.clear();
        started.end()
    }

    fn launch(&self) -> Started {
        let clock = Arc::new(SystemClock::default());
        let bounds = EpochBounds { interval: Duration::from_millis(2), bytes_max: 4_096 };
        let shared = Shared {
            epochs: Arc::new(Epochs::new(Epoch(1), bounds, clock)),
            credit: Arc::new(Credit::new(self.credit_bytes)),
            failure: Arc::new(Failure::default()),
        };
        let (blueprint, sinks) = blueprint(self.graph);
        let world = Arc::new(Mutex::new(World::default()));
        let outlet = TestOutlet { world: world.clone(), faults: self.faults.clone(), sinks };
        let outlet = Box::new(outlet);
        let running = launch(&self.workers, blueprint, &shared, outlet, Box::new(|_| {}));
        let Running { inlets, gone, committer } = running.expect("the workers run");
        let sources = inlets.into_iter().flatten().collect();
        Started { shared, world, sources, gone, committer, _workers: self.workers.clone() }
    }
}

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pipeline that runs.
struct Started {
    shared: Shared,
    world: Arc<Mutex<World>>,
    sources: Vec<Vec<Inlet>>,
    gone: crossbeam_channel::Receiver<usize>,
    committer: JoinHandle<()>,
    _workers: Arc<Workers>,
}

impl Started {
    /// Waits for the end; all inlets are gone.
    fn end(self) -> End {
        self.committer.join().expect("the committer does not panic");
        while self.gone.recv_timeout(PATIENCE).is_ok() {}
        let world = self.world.lock().expect("nobody panicked");
        End {
            epochs: world.log.clone(),
            failure: self.shared.failure.get().cloned(),
            begun: world.begun,
            faults: world.faults,
            credit_peak: self.shared.credit.peak_bytes(),
            credit_waits: self.shared.credit.waits(),
            credit_left: self.shared.credit.used_bytes(),
        }
    }
}

impl End {
    pub fn committed(&self) -> usize {
        self.epochs.iter().map(|epoch| epoch.records[0].len()).sum()
    }

    /// Each sink has each shard's records 0..`records`, once and in order.
    pub fn assert_exact(&self, shards: u32, records: u64) {
        assert_eq!(self.failure, None);
        for (sink, of_shards) in self.by_sink_and_shard().iter().enumerate() {
            for shard in 0..shards {
                let values = of_shards.get(&shard).map_or(&[][..], Vec::as_slice);
                let expected: Vec<u64> = (0..records).collect();
                assert_eq!(values, expected, "sink {sink}, shard {shard}");
            }
        }
        self.assert_positions();
    }

    /// What is committed is a beginning of each shard, without a hole.
    pub fn assert_prefix(&self, shards: u32) {
        for of_shards in self.by_sink_and_shard() {
            for shard in 0..shards {
                let values = of_shards.get(&shard).map_or(&[][..], Vec::as_slice);
                let expected: Vec<u64> = (0..values.len() as u64).collect();
                assert_eq!(values, expected, "shard {shard}");
            }
        }
        self.assert_positions();
    }

    /// Each epoch's positions are right behind its last record.
    fn assert_positions(&self) {
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        for epoch in &self.epochs {
            for (shard, _) in &epoch.records[0] {
                *counts.entry(*shard).or_default() += 1;
            }
            for (shard, position) in &epoch.positions {
                assert_eq!(counts.get(shard), Some(position), "epoch {}", epoch.epoch);
            }
        }
    }

    fn by_sink_and_shard(&self) -> Vec<BTreeMap<u32, Vec<u64>>> {
        let sinks = self.epochs.first().map_or(0, |epoch| epoch.records.len());
        let mut all = vec![BTreeMap::<u32, Vec<u64>>::new(); sinks];
        for epoch in &self.epochs {
            for (sink, records) in epoch.records.iter().enumerate() {
                for (shard, value) in records {
                    all[sink].entry(*shard).or_default().push(*value);
                }
            }
        }
        all
    }
}

fn blueprint(graph: Graph) -> (Blueprint, usize) {
    let panics_at = match graph {
        Graph::PanicsAt(at) => Some(at),
        _ => None,
    };
    let step = || Station::Step(Arc::new(Pass { seen: Arc::default(), panics_at }));
    let node = |name: &str, inputs: &[usize], station: Station| BlueprintNode {
        name: name.to_owned(),
        inputs: inputs.to_vec(),
        station,
    };
    let sink = |number: u32| Station::Sink(SinkIndex(number));
    let nodes = match graph {
        Graph::Plain | Graph::PanicsAt(_) => vec![
            node("source", &[], Station::Source),
            node("step", &[0], step()),
            node("sink", &[1], sink(0)),
        ],
        Graph::Fork => vec![
            node("source", &[], Station::Source),
            node("step", &[0], step()),
            node("first", &[1], sink(0)),
            node("second", &[1], sink(1)),
        ],
        Graph::Join => vec![
            node("left", &[], Station::Source),
            node("right", &[], Station::Source),
            node("step", &[0], step()),
            node("sink", &[2, 1], sink(0)),
        ],
    };
    let sinks = nodes.iter().filter(|node| matches!(node.station, Station::Sink(_))).count();
    (Blueprint { name: "test".to_owned(), nodes }, sinks)
}

fn feed_shard(inlet: &Inlet, shard: u32, batches: u64, records: u64) {
    for batch in 0..batches {
        let first = batch * records;
        let value = |value: u64| Bytes::copy_from_slice(&value.to_le_bytes());
        let values: Vec<Bytes> = (first..first + records).map(value).collect();
        let next_sequence = Sequence(first + records);
        let batch = Batch {
            shard: ShardIndex(shard),
            session: Session(1),
            first: Sequence(first),
            end: next_sequence,
            received: ReceivedAt::default(),
            kept: None,
            values: Values::Received(Arc::new(values)),
            columns: Vec::new(),
            dead: Vec::new(),
            position: Some(Arc::new(Position { next_sequence, ..Position::default() })),
            credit_bytes: records * 64 + 256,
        };
        if block_on(inlet.send(batch)).is_err() {
            return;
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
