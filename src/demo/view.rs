//! What the demo prints: an introduction, how it goes, and at the end what came of it.

use crate::demo::ledger::{Latencies, Ledger};
use crate::demo::verdict::Tally;
use crate::demo::world::World;
use crate::output;
use crate::pipelines::Watched;
use crate::screen::Screen;
use crate::words::{count, cut};
use headwater_operators::pipeline::guarantee::streams;
use headwater_operators::pipeline::state::StateName;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// On plain lines a record is shown after so many seconds.
const SAMPLE_EVERY: u64 = 5;

/// Columns of a record on a plain line.
const SAMPLE_CHARS: usize = 160;

/// Draws how it goes, once a second.
pub(super) struct View {
    screen: Screen,
    started: Instant,
    ticks: u64,
    /// The tick at which a record is shown next.
    sample_due: u64,
    last: (Instant, u64),
}

/// What stands before the first record.
pub(super) fn introduction(world: &World, rate: u64) -> String {
    let mut out = String::from("headwater demo: a gRPC stream into Kafka, exactly once\n\n");
    let mut line = |key: &str, text: &str| {
        let _ = writeln!(out, "  {key:<9} {text}");
    };
    let server = world.server.endpoint();
    line("server", &format!("{server}, bench.v1.Telemetry/Subscribe, {} events/s", count(rate)));
    let brokers = &world.brokers;
    match &world.broker {
        Some(_) => line("broker", &format!("{brokers}, built in, in memory, for development only")),
        None => line("broker", &format!("{brokers}, yours")),
    }
    line(
        "topic",
        &format!("{}, open to any Kafka client while this runs, for example:", world.topic),
    );
    let topic = &world.topic;
    line("", &format!("kcat -C -b {brokers} -t {topic} -X isolation.level=read_committed"));
    for stream in streams(&world.plan) {
        line("promise", &format!("{} → {}: {}", stream.source, stream.sink, stream.guarantee));
    }
    out.push_str("\nCtrl-C stops all of it and compares what was sent with what was read.\n\n");
    out
}

impl View {
    pub(super) fn new(screen: Screen) -> Self {
        let now = Instant::now();
        View { screen, started: now, ticks: 0, sample_due: 0, last: (now, 0) }
    }

    /// Shows one second.
    pub(super) fn tick(&mut self, watched: &Watched, ledger: &mut Ledger) {
        self.ticks += 1;
        let line = self.line(watched, ledger);
        let samples = ledger.samples();
        if self.screen.is_live() {
            let mut lines = vec![line, String::new()];
            lines.push("  newest records, as any read_committed reader sees them:".to_owned());
            lines.extend(samples.iter().map(|sample| format!("  {sample}")));
            self.screen.set(lines);
        } else {
            output::line(&line);
            if let Some(sample) = samples.last().filter(|_| self.ticks >= self.sample_due) {
                self.sample_due = self.ticks + SAMPLE_EVERY;
                output::line(&format!("  newest record: {}", cut(sample, SAMPLE_CHARS)));
            }
        }
    }

    /// Leaves the last lines where they are.
    pub(super) fn settle(&self) {
        self.screen.settle();
    }

    fn line(&mut self, watched: &Watched, ledger: &mut Ledger) -> String {
        let seen = ledger.counts();
        let now = Instant::now();
        let (at, before) = std::mem::replace(&mut self.last, (now, seen.distinct));
        let rate = (seen.distinct - before) as f64 / (now - at).as_secs_f64();
        let Latencies { p50, p99, .. } = ledger.take_recent();
        let mut line = format!(
            "{:>5} s {:>7} records/s {:>10} read  p50 {:>8} p99 {:>8} {:>6} commits",
            self.started.elapsed().as_secs(),
            count(rate.round() as u64),
            count(seen.distinct),
            millis(p50),
            millis(p99),
            count(watched.metrics.commits.get()),
        );
        let state = watched.status.report().state;
        if state.name != StateName::Running {
            let _ = write!(line, "  {state}");
        }
        line
    }
}

/// What came of it.
pub(super) fn summary(tally: &Tally, latencies: Latencies, ran: Duration) -> String {
    let mut out = String::from("\n");
    let mut line = |key: &str, number: u64| {
        let _ = writeln!(out, "  {key:<34} {:>12}", count(number));
    };
    line("sent by the server", tally.sent);
    line("received by the pipeline", tally.received);
    line("committed to Kafka", tally.committed);
    line("read by a read_committed reader", tally.seen.distinct);
    line("missing", tally.seen.missing);
    line("duplicates", tally.seen.duplicates);
    line("out of order within a partition", tally.seen.out_of_order);
    let Latencies { p50, p90, p99, p999, max } = latencies;
    let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(millis);
    let _ = writeln!(
        out,
        "\n  due at the server → seen by the reader: \
         p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}"
    );
    let differences = tally.differences();
    let seconds = ran.as_secs();
    let _ = match differences.as_slice() {
        [] => writeln!(out, "\n  In {seconds} s every event arrived exactly once."),
        found => writeln!(out, "\n  Not exactly once: {}.", found.join("; ")),
    };
    out
}

/// Microseconds as milliseconds with one digit.
fn millis(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1_000.0)
}
