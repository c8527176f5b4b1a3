//! A pipeline on real workers, fed by threads, committed to a world that remembers and misbehaves.

use crate::world::{CommittedEpoch, Faults, TestOutlet, World};
use bytes::Bytes;
use headwater_engine::clock::SystemClock;
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
    /// As `Plain`; the step adds so many bytes to each batch.
    Grows(u64),
}

struct Pass {
    seen: Arc<AtomicU64>,
    panics_at: Option<u64>,
    grows_by: u64,
}

impl StepFactory for Pass {
    fn make(&self) -> Box<dyn Step> {
        Box::new(Pass { seen: self.seen.clone(), ..*self })
    }
}

impl Step for Pass {
    fn apply(&mut self, batch: &mut Batch) -> Result<(), StepError> {
        let seen = self.seen.fetch_add(batch.len() as u64, Ordering::SeqCst) + batch.len() as u64;
        if self.panics_at.is_some_and(|at| seen >= at) {
            panic!("injected");
        }
        batch.credit_bytes += self.grows_by;
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
    /// The most transactions that were open at once.
    pub open_peak: usize,
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
        let closed_max = u64::from(self.faults.ring.min(2));
        let interval = Duration::from_millis(2);
        let bounds = EpochBounds { interval, bytes_max: 4_096, closed_max };
        let shared = Shared {
            epochs: Arc::new(Epochs::new(Epoch(1), bounds, clock)),
            credit: Arc::new(Credit::new(self.credit_bytes)),
            failure: Arc::new(Failure::default()),
        };
        let (blueprint, sinks) = blueprint(self.graph);
        let world = Arc::new(Mutex::new(World::default()));
        let outlet = TestOutlet::new(&world, &self.faults, sinks);
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
            open_peak: world.open_peak,
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
    let (panics_at, grows_by) = match graph {
        Graph::PanicsAt(at) => (Some(at), 0),
        Graph::Grows(bytes) => (None, bytes),
        _ => (None, 0),
    };
    let step = || Station::Step(Arc::new(Pass { seen: Arc::default(), panics_at, grows_by }));
    let node = |name: &str, inputs: &[usize], station: Station| BlueprintNode {
        name: name.to_owned(),
        inputs: inputs.to_vec(),
        station,
    };
    let sink = |number: u32| Station::Sink(SinkIndex(number));
    let nodes = match graph {
        Graph::Plain | Graph::PanicsAt(_) | Graph::Grows(_) => vec![
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
            gaps: Vec::new(),
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
