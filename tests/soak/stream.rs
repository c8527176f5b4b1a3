//! One pipeline under test: its file, its scripted server, and the ledger of what that sent.
//!
//! The server misbehaves by a script of its own seed: it cuts, ends well and badly, stalls, and
//! sends again what it has sent. Every shard is a stream of numbers without end, so that a reader
//! knows the next one.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use headwater_test_support::grpc::{Call, Cursor, Script, ScriptedServer, ServerOptions, Step};
use headwater_test_support::pipeline::{OnEnd, Pipeline, Resume};
use rand::Rng;
use rand::rngs::StdRng;
use tonic::Code;

use crate::plan::TRANSACTION_TIMEOUT_MS;

/// How a stream resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request names the next number, and numbers are contiguous.
    Next,
    /// The server sends the last one again, and messages are told apart by an id.
    At,
    /// The request names the last number, and numbers only rise.
    After,
}

/// A pipeline and its server.
pub(crate) struct Stream {
    pub(crate) pipeline: Pipeline,
    pub(crate) shards: Vec<String>,
    kind: Kind,
    address: SocketAddr,
    server: Option<ScriptedServer>,
    /// What each call of the present server does.
    planned: Vec<Vec<Step>>,
    /// Of the servers before.
    past: Sent,
}

/// What the servers of a stream did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    pub(crate) servers: u64,
    pub(crate) calls: u64,
    pub(crate) events: u64,
    /// Events that were sent before, to the same call or to another.
    pub(crate) repeated: u64,
    pub(crate) last: u64,
    pub(crate) cuts: u64,
    pub(crate) good_ends: u64,
    pub(crate) bad_ends: u64,
    pub(crate) stalls: u64,
}

/// Events a second of each shard.
const RATE: u64 = 250;

/// Calls with a script of their own; those behind them only send.
const CALLS_SCRIPTED: usize = 500;

/// So long a request to the broker waits for its answer, before the outcome is unknown.
const REQUEST_TIMEOUT_MS: u64 = 5_000;

impl Stream {
    /// A stream of `shards` calls into `bootstrap`.
    pub(crate) fn new(
        kind: Kind,
        shards: u32,
        bootstrap: &str,
        random: &mut StdRng,
    ) -> Result<Stream> {
        let (planned, script) = kind.script(random);
        let server = ScriptedServer::start(script)?;
        let shards: Vec<String> = (1..=shards).map(|it| format!("shard-{it}")).collect();
        let mut pipeline = Pipeline::new(server.endpoint(), bootstrap);
        pipeline.name = format!("soak-{}", kind.name());
        pipeline.topic.clone_from(&pipeline.name);
        pipeline.on_end = OnEnd::Reconnect;
        pipeline.resume = Some(kind.resume());
        if kind == Kind::At {
            // Stands where the file's `resume:` ends, so it is a key of that.
            pipeline.source_extra.push("  id: sequence".to_owned());
        }
        let requests: Vec<String> = shards.iter().map(|it| format!("{{ name: {it} }}")).collect();
        pipeline.source_extra.push(format!("requests: [{}]", requests.join(", ")));
        pipeline
            .source_extra
            .push("reconnect: { backoff_min_ms: 20, backoff_max_ms: 1000 }".into());
        pipeline.sink_extra.push(format!(
            "partition: shard\nheaders: {{ provenance: true }}\n\
             transaction_timeout_ms: {TRANSACTION_TIMEOUT_MS}\n\
             properties: {{ socket.timeout.ms: {REQUEST_TIMEOUT_MS} }}"
        ));
        let address = server.address();
        let (server, past) = (Some(server), Sent::default());
        Ok(Stream { pipeline, shards, kind, address, server, planned, past })
    }

    /// The text of its file. A second instance is there at times, and takes over from a silent one.
    pub(crate) fn file(&self) -> String {
        format!("{}takeover: {{ heartbeat_ms: 300, after_ms: 4000 }}\n", self.pipeline.yaml())
    }

    /// Takes the server away and cuts its connections.
    pub(crate) fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            self.past.add(&server.stop(), &self.planned);
        }
    }

    /// Puts another one in its place.
    pub(crate) fn start_server(&mut self, random: &mut StdRng) -> Result<()> {
        let (planned, script) = self.kind.script(random);
        self.serve(planned, script)
    }

    /// Puts one in its place that plays no trick and ends well behind `total`.
    pub(crate) fn start_last_server(&mut self, total: u64) -> Result<()> {
        self.serve(Vec::new(), Script::new(total).cursor(self.kind.cursor()))
    }

    fn serve(&mut self, planned: Vec<Vec<Step>>, script: Script) -> Result<()> {
        self.stop_server();
        let options = ServerOptions { listen: Some(self.address), tls: None };
        self.server = Some(ScriptedServer::start_with(script, options)?);
        self.planned = planned;
        Ok(())
    }

    /// Lets calls go on that stall.
    pub(crate) fn release_stalled(&self) {
        let Some(server) = &self.server else { return };
        for _ in server.calls().iter().filter(|it| it.is_stalled) {
            server.release();
        }
    }

    /// What all servers did so far.
    pub(crate) fn sent(&self) -> Sent {
        let mut sent = self.past;
        if let Some(server) = &self.server {
            sent.add(&server.calls(), &self.planned);
        }
        sent
    }
}

impl Kind {
    /// The pipeline's name says it.
    fn name(self) -> &'static str {
        match self {
            Kind::Next => "next",
            Kind::At => "at",
            Kind::After => "after",
        }
    }

    fn resume(self) -> Resume {
        let sequence = match self {
            Kind::Next => "contiguous",
            Kind::At => "none",
            Kind::After => "monotone",
        };
        Resume { position: self.name(), sequence, on_gap: "stop" }
    }

    fn cursor(self) -> Cursor {
        match self {
            Kind::Next | Kind::At => Cursor::At,
            Kind::After => Cursor::After,
        }
    }

    /// Calls that misbehave, each in its own way.
    fn script(self, random: &mut StdRng) -> (Vec<Vec<Step>>, Script) {
        let calls: Vec<Vec<Step>> = (0..CALLS_SCRIPTED).map(|_| self.call(random)).collect();
        let script = Script::new(u64::MAX).cursor(self.cursor());
        let script = calls.iter().cloned().fold(script, Script::call);
        (calls, script.rest([Step::Pace(RATE), Step::SendAll]))
    }

    fn call(self, random: &mut StdRng) -> Vec<Step> {
        let mut steps = vec![Step::Pace(RATE)];
        if random.random_ratio(1, 2) {
            // A new call may go back further than it was asked to, whatever the cursor is.
            steps.push(Step::Back(random.random_range(1..200)));
        }
        for _ in 0..random.random_range(0..4) {
            steps.push(Step::Send(random.random_range(1..5_000)));
            match random.random_range(0..4) {
                // Within a call only the order of the numbers tells a repetition.
                0 | 1 if self != Kind::At => steps.push(Step::Back(random.random_range(1..500))),
                2 => steps.push(Step::Stall),
                _ => {}
            }
        }
        steps.push(Step::Send(random.random_range(1..5_000)));
        match random.random_range(0..6) {
            0 => steps.push(Step::Cut),
            1 => steps.push(Step::End(Code::Ok, String::new())),
            2 => steps.push(Step::unavailable()),
            _ => steps.push(Step::SendAll),
        }
        steps
    }
}

impl Sent {
    /// Adds what one server did.
    fn add(&mut self, calls: &[Call], planned: &[Vec<Step>]) {
        self.servers += 1;
        self.calls += calls.len() as u64;
        for (number, call) in calls.iter().enumerate() {
            self.events += call.sent_count();
            self.repeated += repeated(call);
            self.last = self.last.max(call.sent.iter().map(|it| *it.end()).max().unwrap_or(0));
            if let Some(steps) = planned.get(number) {
                self.add_tricks(call, steps);
            }
        }
    }

    /// A step was reached once all that stands before it was sent.
    fn add_tricks(&mut self, call: &Call, steps: &[Step]) {
        let mut left = call.sent_count();
        for step in steps {
            match step {
                Step::Send(count) if left < *count => return,
                Step::Send(count) => left -= count,
                Step::Stall => self.stalls += 1,
                Step::Cut => self.cuts += 1,
                Step::End(Code::Ok, _) => self.good_ends += 1,
                Step::End(..) => self.bad_ends += 1,
                _ => {}
            }
        }
    }

    /// Both together.
    pub(crate) fn plus(self, other: Sent) -> Sent {
        Sent {
            servers: self.servers + other.servers,
            calls: self.calls + other.calls,
            events: self.events + other.events,
            repeated: self.repeated + other.repeated,
            last: self.last.max(other.last),
            cuts: self.cuts + other.cuts,
            good_ends: self.good_ends + other.good_ends,
            bad_ends: self.bad_ends + other.bad_ends,
            stalls: self.stalls + other.stalls,
        }
    }
}

/// How many events of a call stand below one that the same call was sent before.
fn repeated(call: &Call) -> u64 {
    let mut highest = 0;
    let mut repeated = 0;
    for run in &call.sent {
        repeated += highest.min(*run.end()).saturating_sub(run.start() - 1);
        highest = highest.max(*run.end());
    }
    repeated
}

/// The last number any server of `stream` has sent.
pub(crate) fn last_sent(stream: &Stream) -> Result<u64> {
    let last = stream.sent().last;
    (last > 0).then_some(last).with_context(|| format!("{}: nothing sent", stream.pipeline.name))
}
