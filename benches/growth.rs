//! What grows with what: shards, bytes, single large messages; and how long a start takes.
//!
//! Method. *Shards*: the same total rate over 1 to 1,000 calls of one source; CPU of the process
//! per committed record, over a window in which all of them are open; beside it the straight line
//! with as many calls on one connection, which shows what the calls alone cost. *Targets*: the same
//! for the servers of a file that is watched, of which some leave and come back meanwhile. *Bytes*:
//! raw messages of growing size at full speed, CPU per message and per KiB moved. *Large*: messages
//! of 4 and 64 MiB, whose resident peak must stay below a multiple of message and credit, or the
//! case fails. *Start*: from starting the process to the first record that a `read_committed`
//! reader gets, on a pipeline that was there before. Every case checks that each sequence arrived
//! once and in order.
//!
//! ```text
//! cargo bench --bench growth                             # Apache Kafka
//! cargo bench --bench growth -- --only shards --rate 100000 --seconds 20
//! cargo bench --bench growth -- --toy                    # seconds, embedded broker
//! ```

mod support;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use headwater_test_support::kafka::Cluster;
use headwater_test_support::pipeline::{OnEnd, Pipeline, Values};
use headwater_test_support::process::{Headwater, Launch, Usage};
use headwater_test_support::topic::{self, Isolation, Sequences, event};
use rdkafka::Message;
use serde_json::{Value, json};
use support::generator::{self, Generator};
use support::options::Common;
use support::straight::{self, Line, LineValues, Straight};
use support::subject::Subject;
use support::table::{markdown, median, mib, thousands};
use support::{PARTITIONS, SETTLE_MAX, machine};

/// Measures what grows with the number of shards and the size of messages.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,

    /// Messages a second of all shards together. [default: 100000; toy: 2000]
    #[arg(long, value_name = "N")]
    rate: Option<u64>,

    /// How long a case with shards is measured. [default: 10; toy: 1]
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
}

/// Everything a case needs.
struct Bench {
    options: Options,
    is_toy: bool,
    cluster: Cluster,
    generator: Generator,
}

/// Shards of one pipeline at the same total rate.
struct Shards {
    count: u64,
    messages_per_second: f64,
    cpu_us_per_message: f64,
    rss_bytes: u64,
    /// The straight line's, with as many calls.
    line_cpu_us_per_message: f64,
}

/// Shards with numbers of their own, so that one topic can be checked for all of them.
#[derive(Clone, Copy)]
struct Numbered {
    count: u64,
    /// Events a second on each.
    rate: u64,
    seconds: u64,
    /// How many numbers each has.
    span: u64,
}

/// Raw messages of one size.
struct Size {
    bytes: f64,
    messages_per_second: f64,
    cpu_us_per_message: f64,
    rss_bytes_max: u64,
}

const SHARDS: [u64; 4] = [1, 10, 100, 1000];
const SHARDS_TOY: [u64; 2] = [1, 10];
const FLEETS: [u64; 2] = [100, 500];
const FLEETS_TOY: [u64; 1] = [10];
/// `Event.payload`: messages of about 150 bytes, 1 KiB and 4 KiB.
const PAYLOADS: [u64; 3] = [1, 880, 3950];
const PAYLOADS_TOY: [u64; 2] = [1, 880];
/// What a case of [`PAYLOADS`] moves.
const MOVED_BYTES: u64 = 400 << 20;
const MOVED_BYTES_TOY: u64 = 4 << 20;
/// Large messages, and how many of them.
const LARGE: [(u64, u64); 2] = [(4 << 20, 200), (64 << 20, 20)];
const LARGE_TOY: [(u64, u64); 1] = [(4 << 20, 5)];
/// What a start may take at most before it is called a failure.
const START_MAX: Duration = Duration::from_secs(60);
const STARTS: usize = 7;
/// How many times the sum of message and credit may be resident beside what the program needs: the
/// receive buffer doubles while a message arrives, the message is kept until its epoch is durable,
/// and librdkafka has a copy.
const LARGE_FACTOR: u64 = 4;
const PROGRAM_BYTES: u64 = 96 << 20;
const CREDIT_BYTES: u64 = 12 << 20;

fn main() -> Result<()> {
    if generator::serve_if_asked()? || straight::run_if_asked()? {
        return Ok(());
    }
    let options = Options::parse();
    let is_toy = options.common.is_toy();
    let (cluster, generator) = (options.common.cluster()?, Generator::start()?);
    let bench = Bench { options, is_toy, cluster, generator };
    let machine = machine::describe();
    println!("{}; {machine}\n", bench.cluster.name());
    let shards = bench.all("shards", bench.counts(), |bench, count| bench.shards(*count))?;
    report(&SHARDS_HEAD, shards.iter().map(Shards::row));
    let targets = bench.all("targets", bench.fleets(), |bench, count| bench.targets(*count))?;
    report(&TARGETS_HEAD, targets.iter().map(Shards::row));
    let sizes = bench.all("bytes", bench.payloads(), |bench, payload| bench.size(*payload))?;
    report(&SIZES_HEAD, sizes.iter().map(Size::row));
    let large = bench.all("large", bench.large(), |bench, (bytes, count)| {
        bench.large_messages(*bytes, *count)
    })?;
    report(&SIZES_HEAD, large.iter().map(Size::row));
    let starts = bench.all("start", &[()], |bench, ()| bench.start())?;
    bench.options.common.write_json(&json!({
        "bench": "growth", "machine": machine, "broker": bench.cluster.name(),
        "shards": shards.iter().map(Shards::json).collect::<Vec<_>>(),
        "targets": targets.iter().map(Shards::json).collect::<Vec<_>>(),
        "bytes": sizes.iter().chain(&large).map(Size::json).collect::<Vec<_>>(),
        "start_seconds": starts,
    }))
}

impl Bench {
    fn counts(&self) -> &'static [u64] {
        if self.is_toy { &SHARDS_TOY } else { &SHARDS }
    }

    fn fleets(&self) -> &'static [u64] {
        if self.is_toy { &FLEETS_TOY } else { &FLEETS }
    }

    fn payloads(&self) -> &'static [u64] {
        if self.is_toy { &PAYLOADS_TOY } else { &PAYLOADS }
    }

    fn large(&self) -> &'static [(u64, u64)] {
        if self.is_toy { &LARGE_TOY } else { &LARGE }
    }

    /// Runs all cases of a group, if they are wanted.
    fn all<C, T>(
        &self,
        group: &str,
        cases: &[C],
        run: impl Fn(&Bench, &C) -> Result<T>,
    ) -> Result<Vec<T>> {
        if !self.options.common.wants(group) {
            return Ok(Vec::new());
        }
        cases.iter().map(|case| run(self, case).with_context(|| group.to_owned())).collect()
    }

    /// A pipeline of its own, with its topic made.
    fn pipeline(&self, case: &str, settings: &[(&str, &str)]) -> Result<Pipeline> {
        let name = format!("growth-{case}-{}", std::process::id());
        self.cluster.create_topic_with(&name, PARTITIONS, settings)?;
        Ok(Pipeline {
            name: name.clone(),
            topic: name,
            partitions: None,
            ..Pipeline::new(self.generator.endpoint(), self.cluster.bootstrap())
        })
    }
}

/// Shards.
impl Bench {
    fn shards(&self, count: u64) -> Result<Shards> {
        let mut pipeline = self.pipeline(&format!("shards-{count}"), &[])?;
        let requests = self.numbered(count).requests();
        pipeline.requests = requests.map(|(name, fields)| (name, fields.into())).collect();
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        self.measure_shards("shards", count, &pipeline, &mut launch, |_| Ok(()))
    }

    /// The same from a file of targets. In the middle a tenth of them leaves and comes back.
    fn targets(&self, count: u64) -> Result<Shards> {
        let mut pipeline = self.pipeline(&format!("targets-{count}"), &[])?;
        pipeline.targets = Some("{ file: targets.yaml, interval_ms: 200 }".to_owned());
        let url = pipeline.endpoint.clone();
        let entries: Vec<String> = (self.numbered(count).requests())
            .map(|(name, fields)| {
                let fields: Vec<String> = fields.map(|(k, v)| format!("{k}: {v}")).into();
                let request = fields.join(", ");
                format!("- {{ name: {name}, url: \"{url}\", request: {{ {request} }} }}\n")
            })
            .collect();
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let (file, new) = ("targets.yaml", "targets.new");
        let (file, new) = (launch.folder().join(file), launch.folder().join(new));
        let write = |entries: &[String]| -> Result<()> {
            std::fs::write(&new, entries.concat())?;
            Ok(std::fs::rename(&new, &file)?)
        };
        write(&entries)?;
        let stay = entries.len() - entries.len() / 10;
        self.measure_shards("targets", count, &pipeline, &mut launch, |headwater| {
            for count in [stay, entries.len()] {
                write(&entries[..count])?;
                headwater.wait_for("the new list", SETTLE_MAX, |it| {
                    let metrics = it.metrics();
                    metrics.is_ok_and(|it| it.sum("headwater_source_connected") == count as f64)
                })?;
            }
            Ok(())
        })
    }

    fn numbered(&self, count: u64) -> Numbered {
        let total = self.options.rate.unwrap_or(if self.is_toy { 2_000 } else { 100_000 });
        let seconds = self.options.seconds.unwrap_or(if self.is_toy { 1 } else { 10 });
        let rate = (total / count).max(1);
        let span = rate * (seconds + START_MAX.as_secs()) * 2;
        Numbered { count, rate, seconds, span }
    }

    /// CPU and memory while `count` calls are open and, in the middle, `change` happens.
    fn measure_shards(
        &self,
        group: &str,
        count: u64,
        pipeline: &Pipeline,
        launch: &mut Launch,
        change: impl FnOnce(&mut Headwater) -> Result<()>,
    ) -> Result<Shards> {
        let Numbered { rate, seconds, span, .. } = self.numbered(count);
        let mut headwater = launch.run(pipeline)?;
        headwater.wait_for("all streams to be open", SETTLE_MAX, |it| {
            let metrics = it.metrics();
            metrics.is_ok_and(|it| it.sum("headwater_source_connected") == count as f64)
        })?;
        std::thread::sleep(support::open_loop::WARM_UP);
        let (records, usage, began) = self.look(&headwater)?;
        let half = Duration::from_secs(seconds) / 2;
        std::thread::sleep(half);
        change(&mut headwater)?;
        std::thread::sleep(half);
        let (records_after, after, ended) = self.look(&headwater)?;
        support::open_loop::stop(&mut headwater)?;
        self.check_shards(&pipeline.topic, count, span)?;
        let records = records_after - records;
        let outcome = Shards {
            count,
            messages_per_second: records / (ended - began).as_secs_f64(),
            cpu_us_per_message: (after.cpu - usage.cpu).as_secs_f64() * 1e6 / records,
            rss_bytes: after.rss_bytes,
            line_cpu_us_per_message: self.line(group, count, rate, seconds)?,
        };
        eprintln!("{group}/{count}: {:.2} CPU µs a message", outcome.cpu_us_per_message);
        Ok(outcome)
    }

    /// CPU of the straight line per message, in microseconds.
    fn line(&self, group: &str, shards: u64, rate: u64, seconds: u64) -> Result<f64> {
        let Pipeline { topic, .. } = self.pipeline(&format!("line-{group}-{shards}"), &[])?;
        let consumer = topic::consumer(self.cluster.bootstrap(), &topic, Isolation::Committed)?;
        let line = Straight::start(&Line {
            endpoint: self.generator.endpoint().to_owned(),
            brokers: self.cluster.bootstrap().to_owned(),
            topic: topic.clone(),
            values: LineValues::Json,
            commit_interval_ms: Some(50),
            shards,
            count: 0,
            rate,
        })?;
        std::thread::sleep(support::open_loop::WARM_UP);
        let look = || anyhow::Ok((topic::end_offsets(&consumer, &topic)?, line.usage()?.cpu));
        let (offsets, cpu) = look()?;
        std::thread::sleep(Duration::from_secs(seconds));
        let (offsets_after, cpu_after) = look()?;
        // Each commit adds a mark to each partition: far less than one in a hundred of them.
        let records = offsets_after - offsets;
        ensure!(records > 0, "the straight line brought nothing");
        Ok((cpu_after - cpu).as_secs_f64() * 1e6 / records as f64)
    }

    fn look(&self, headwater: &Headwater) -> Result<(f64, Usage, Instant)> {
        let records = headwater.metrics()?.sum("headwater_committed_records_total");
        Ok((records, headwater.usage()?, Instant::now()))
    }

    /// Every shard has each number from its first to its last once, in order per partition.
    fn check_shards(&self, topic: &str, count: u64, span: u64) -> Result<()> {
        let mut last = vec![0; usize::try_from(count)?];
        let visit = |look: &mut dyn FnMut(usize, i32, u64)| {
            topic::for_each(self.cluster.bootstrap(), topic, Isolation::Committed, |message| {
                let value = message.payload().context("a record without a value")?;
                let sequence = event::sequence(value).context("a value without a sequence")? - 1;
                look(usize::try_from(sequence / span)?, message.partition(), sequence % span + 1);
                Ok(())
            })
        };
        visit(&mut |shard, _, sequence| last[shard] = sequence.max(last[shard]))?;
        ensure!(last.iter().all(|last| *last > 0), "a shard brought nothing");
        let ranges = last.iter().enumerate().map(|(shard, last)| (shard.to_string(), 1..=*last));
        let mut sequences = Sequences::expect_shards(ranges);
        visit(&mut |shard, partition, sequence| {
            sequences.observe(&shard.to_string(), partition, sequence);
        })?;
        sequences.finish().with_context(|| format!("topic {topic}"))?;
        Ok(())
    }
}

/// Bytes.
impl Bench {
    fn size(&self, payload: u64) -> Result<Size> {
        let moved = if self.is_toy { MOVED_BYTES_TOY } else { MOVED_BYTES };
        let count = moved / (payload + 145);
        let mut pipeline = self.pipeline(&format!("bytes-{payload}"), &[])?;
        pipeline.values = Values::Raw;
        self.full_speed(pipeline, payload, count)
    }

    fn large_messages(&self, bytes: u64, count: u64) -> Result<Size> {
        let most = (bytes + (1 << 20)).to_string();
        let limits = [("max.message.bytes", most.as_str())];
        let mut pipeline = self.pipeline(&format!("large-{bytes}"), &limits)?;
        pipeline.values = Values::Raw;
        pipeline.source_extra.push(format!("message_bytes_max: {most}"));
        let size = self.full_speed(pipeline, bytes, count)?;
        let bound = PROGRAM_BYTES + LARGE_FACTOR * (bytes + CREDIT_BYTES);
        let peak = size.rss_bytes_max;
        ensure!(peak <= bound, "{} MiB resident, at most {} may be", mib(peak), mib(bound));
        Ok(size)
    }

    fn full_speed(&self, mut pipeline: Pipeline, payload: u64, count: u64) -> Result<Size> {
        pipeline.on_end = OnEnd::Finish;
        let pipeline = pipeline.request("payload_bytes", payload).request("count", count);
        let subject = Subject::headwater(&pipeline)?;
        let measured = subject.measure(&self.cluster, &pipeline.topic, count)?;
        let outcome = Size {
            bytes: measured.value_bytes,
            messages_per_second: count as f64 / measured.seconds,
            cpu_us_per_message: measured.cpu.as_secs_f64() * 1e6 / count as f64,
            rss_bytes_max: measured.rss_bytes_max,
        };
        eprintln!("{payload} bytes: {:.2} CPU µs a message", outcome.cpu_us_per_message);
        Ok(outcome)
    }
}

/// Starts.
impl Bench {
    /// Seconds from starting the process to the first record that can be read, one per start; the
    /// first start, which makes the progress topic, is not among them.
    fn start(&self) -> Result<Vec<f64>> {
        let pipeline = self.pipeline("start", &[])?.request("rate", 1_000);
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let mut seconds = Vec::new();
        for start in 0..=if self.is_toy { 1 } else { STARTS } {
            let consumer =
                topic::consumer(self.cluster.bootstrap(), &pipeline.topic, Isolation::Committed)?;
            let before = topic::end_offsets(&consumer, &pipeline.topic)?;
            let begun = Instant::now();
            let mut headwater = launch.run(&pipeline)?;
            while topic::end_offsets(&consumer, &pipeline.topic)? == before {
                ensure!(begun.elapsed() < START_MAX, "no record came:\n{}", headwater.log()?);
                std::thread::sleep(Duration::from_millis(2));
            }
            if start > 0 {
                seconds.push(begun.elapsed().as_secs_f64());
            }
            support::open_loop::stop(&mut headwater)?;
        }
        support::check(&self.cluster, &pipeline.topic, None)?;
        let (least, most) = (seconds.iter().copied().fold(f64::NAN, f64::min), max(&seconds));
        let middle = median(seconds.iter().copied());
        println!("start to first committed record, s: {middle:.2} ({least:.2}–{most:.2})\n");
        Ok(seconds)
    }
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

fn report(head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        println!("{}\n", markdown(head, &rows));
    }
}

const SHARDS_HEAD: [&str; 6] =
    ["shards", "messages/s", "CPU µs/message", "straight line", "more than it", "MiB"];
const TARGETS_HEAD: [&str; 6] =
    ["targets", "messages/s", "CPU µs/message", "straight line", "more than it", "MiB"];
const SIZES_HEAD: [&str; 6] =
    ["bytes", "messages/s", "MiB/s", "CPU µs/message", "CPU ns/byte", "peak MiB"];

impl Numbered {
    /// Names, and the fields of each request.
    fn requests(self) -> impl Iterator<Item = (String, [(String, String); 2])> {
        (0..self.count).map(move |shard| {
            let field = |name: &str, value: u64| (name.to_owned(), value.to_string());
            let from = field("from_sequence", shard * self.span + 1);
            (format!("s{shard}"), [from, field("rate", self.rate)])
        })
    }
}

impl Shards {
    fn row(&self) -> Vec<String> {
        vec![
            self.count.to_string(),
            thousands(self.messages_per_second),
            format!("{:.2}", self.cpu_us_per_message),
            format!("{:.2}", self.line_cpu_us_per_message),
            format!("{:.2}", self.cpu_us_per_message - self.line_cpu_us_per_message),
            mib(self.rss_bytes),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "shards": self.count,
            "messages_per_second": self.messages_per_second,
            "cpu_us_per_message": self.cpu_us_per_message,
            "rss_bytes": self.rss_bytes,
            "line_cpu_us_per_message": self.line_cpu_us_per_message,
        })
    }
}

impl Size {
    fn row(&self) -> Vec<String> {
        vec![
            thousands(self.bytes),
            thousands(self.messages_per_second),
            format!("{:.0}", self.messages_per_second * self.bytes / f64::from(1 << 20)),
            format!("{:.2}", self.cpu_us_per_message),
            format!("{:.2}", self.cpu_us_per_message * 1000.0 / self.bytes),
            mib(self.rss_bytes_max),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "bytes": self.bytes,
            "messages_per_second": self.messages_per_second,
            "cpu_us_per_message": self.cpu_us_per_message,
            "rss_bytes_max": self.rss_bytes_max,
        })
    }
}
