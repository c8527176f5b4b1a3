//! A pipeline's graph as a timely dataflow, the same on every worker.
//!
//! Timely numbers channels by the order of building. If two workers built in different orders,
//! records would silently come out of the wrong channel, so every worker walks the same
//! [`Blueprint`] in the same order, and a blueprint is made only from a checked plan.
//!
//! The order of the walk is the record's way: sources, then steps, then sinks.
//!
//! Next: `workers.rs` runs it.

use crate::commit::committer::{Committer, CommitterPorts};
use crate::commit::observe::Observer;
use crate::commit::outlet::Outlet;
use crate::dataflow::credit::Credit;
use crate::dataflow::epochs::Epochs;
use crate::dataflow::inlet::{Inlet, InletReceiver, inlet};
use crate::dataflow::source::{Batches, emit};
use crate::dataflow::stage::{StagePort, ToCommitter, stage};
use crate::dataflow::step::{Account, StepFactory, apply};
use crate::dataflow::workers::{Install, Workers, WorkersGone};
use crate::failure::Failure;
use crate::ids::SinkIndex;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use timely::dataflow::Scope;
use timely::dataflow::operators::core::Concatenate;
use timely::worker::Worker;

/// The graph of one pipeline.
pub struct Blueprint {
    /// The pipeline's name; the dataflow bears it.
    pub name: String,
    /// The nodes; every input of a node stands before it.
    pub nodes: Vec<BlueprintNode>,
}

/// One node of the graph.
pub struct BlueprintNode {
    /// The node's name in the pipeline file; its operators bear it.
    pub name: String,
    /// The places of its inputs in the list of nodes.
    pub inputs: Vec<usize>,
    /// What it does.
    pub station: Station,
}

/// What a node does.
#[derive(Clone)]
pub enum Station {
    /// Emits what its inlets bring; shard `n` of the pipeline belongs to worker `n % workers`.
    Source,
    /// Changes batches.
    Step(Arc<dyn StepFactory>),
    /// Ends in the committer.
    Sink(SinkIndex),
}

/// What a started pipeline shares with those who feed, commit and watch it.
pub struct Shared {
    /// Its epochs.
    pub epochs: Arc<Epochs>,
    /// Its credit.
    pub credit: Arc<Credit>,
    /// Its failure.
    pub failure: Arc<Failure>,
}

/// A pipeline that runs.
pub struct Running {
    /// For each source node, by its place in the blueprint, one inlet per worker.
    pub inlets: Vec<Option<Vec<Inlet>>>,
    /// Receives one message per worker once that worker's part of the dataflow is gone.
    pub gone: Receiver<usize>,
    /// Ends once everything is durable, or after a failure.
    pub committer: JoinHandle<()>,
}

/// Builds `blueprint` on all workers and starts its committer.
///
/// # Errors
/// [`WorkersGone`] if the workers have ended.
///
/// # Panics
/// If a thread cannot be started.
pub fn launch(
    workers: &Workers,
    blueprint: Blueprint,
    shared: &Shared,
    outlet: Box<dyn Outlet>,
    observer: Observer,
) -> Result<Running, WorkersGone> {
    let peers = workers.peers();
    let (committer_sender, receiver) = unbounded();
    let mut inlets = Vec::with_capacity(blueprint.nodes.len());
    let mut receivers = Vec::with_capacity(blueprint.nodes.len());
    for node in &blueprint.nodes {
        let is_source = matches!(node.station, Station::Source);
        let pairs = is_source.then(|| (0..peers).map(|_| inlet(&shared.credit)).unzip());
        let (senders, ends): (Option<Vec<_>>, Option<Vec<_>>) = pairs.unzip();
        inlets.push(senders);
        receivers.push(ends.map(|ends: Vec<_>| ends.into_iter().map(Some).collect()));
    }
    let sinks = blueprint.nodes.iter().filter(|node| matches!(node.station, Station::Sink(_)));
    let ports = CommitterPorts {
        receiver,
        inputs: sinks.count() * peers,
        epochs: shared.epochs.clone(),
        credit: shared.credit.clone(),
        failure: shared.failure.clone(),
    };
    let (gone_sender, gone) = unbounded();
    let builder = Builder {
        blueprint,
        receivers: Mutex::new(receivers),
        committer: committer_sender,
        account: Account { credit: shared.credit.clone(), epochs: shared.epochs.clone() },
        failure: shared.failure.clone(),
        gone: gone_sender,
    };
    let committer =
        start_committer(&builder.blueprint.name, Committer::new(ports, outlet, observer));
    let epochs = shared.epochs.clone();
    shared.failure.on_set(move || epochs.wake_all());
    workers.install(Box::new(builder))?;
    Ok(Running { inlets, gone, committer })
}

fn start_committer(pipeline: &str, committer: Committer) -> JoinHandle<()> {
    let thread = std::thread::Builder::new().name(format!("commit:{pipeline}"));
    thread.spawn(move || committer.run()).expect("the system has room for a thread per pipeline")
}

/// The receiving ends of each source node, one per worker, until that worker takes its own.
type Receivers = Vec<Option<Vec<Option<InletReceiver>>>>;

struct Builder {
    blueprint: Blueprint,
    receivers: Mutex<Receivers>,
    committer: Sender<ToCommitter>,
    account: Account,
    failure: Arc<Failure>,
    gone: Sender<usize>,
}

/// Dropped by timely together with this worker's part of the dataflow.
struct Gone(usize, Sender<usize>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

impl Install for Builder {
    fn install(&self, worker: &mut Worker) {
        let index = worker.index();
        let gone = Gone(index, self.gone.clone());
        let logging = worker.logging();
        let name = self.blueprint.name.clone();
        worker.dataflow_core::<u64, _, _, _>(&name, logging, gone, |_, scope| {
            self.build(scope, index);
        });
    }
}

impl Builder {
    fn build<'s>(&self, scope: Scope<'s, u64>, worker: usize) {
        let peers = scope.peers();
        let mut streams: Vec<Option<Batches<'s>>> = Vec::new();
        let mut stage_inputs = 0;
        for (place, node) in self.blueprint.nodes.iter().enumerate() {
            let output = match &node.station {
                Station::Source => Some(self.source(scope, place, worker)),
                Station::Step(factory) => {
                    let input = gather(scope, &node.inputs, &streams);
                    let account = self.account.clone();
                    Some(apply(input, &node.name, &**factory, account, self.failure.clone()))
                }
                Station::Sink(sink) => {
                    let input = gather(scope, &node.inputs, &streams);
                    self.sink(input, &node.name, *sink, stage_inputs + worker);
                    stage_inputs += peers;
                    None
                }
            };
            streams.push(output);
        }
    }

    fn source<'s>(&self, scope: Scope<'s, u64>, place: usize, worker: usize) -> Batches<'s> {
        let mut receivers = self.receivers.lock().expect("building does not panic");
        let receiver = receivers[place].as_mut().and_then(|ends| ends[worker].take());
        drop(receivers);
        let name = &self.blueprint.nodes[place].name;
        emit(scope, name, receiver, self.account.epochs.clone(), self.failure.clone())
    }

    fn sink(&self, input: Batches<'_>, name: &str, sink: SinkIndex, number: usize) {
        let port = StagePort { sink, input: number, committer: self.committer.clone() };
        stage(input, name, port, self.account.epochs.clone(), self.failure.clone());
    }
}

/// All inputs of a node as one stream; each shard keeps its order, because it has one way.
fn gather<'s>(
    scope: Scope<'s, u64>,
    inputs: &[usize],
    streams: &[Option<Batches<'s>>],
) -> Batches<'s> {
    let inputs = inputs.iter().map(|place| {
        streams[*place].clone().expect("a checked plan feeds a node from nodes before it")
    });
    let mut inputs: Vec<_> = inputs.collect();
    match inputs.len() {
        1 => inputs.remove(0),
        _ => scope.concatenate(inputs),
    }
}
