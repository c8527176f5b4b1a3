//! The straight line: receive → transcode → produce, and nothing else.
//!
//! What Headwater is measured against: the program somebody would write in an afternoon. It keeps
//! no cursor, no progress, no memory of what it sent, counts nothing, and survives nothing; any
//! error ends it. All its parts are the best that are known, and so are those of Headwater: tonic
//! handing out message bytes uncopied, the table-driven transcoder, librdkafka through
//! `BaseProducer`, with the same windows and the same settings. What it is faster by is what
//! Headwater's layers cost.
//!
//! ```text
//!   tokio: read what is ready ──channel, bounded──► thread: transcode, produce; every 50 ms commit
//! ```
//!
//! It is this same program as a process of its own, so that its CPU and memory can be told apart.

use std::future::poll_fn;
use std::io::{BufRead, BufReader};
use std::pin::Pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use headwater_proto::JsonTranscoder;
use headwater_proto::telemetry::SubscribeRequest;
use headwater_test_support::grpc::RawCodec;
use headwater_test_support::process::{Usage, usage};
use prost::Message;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

/// The argument that makes a benchmark the straight line.
const ARGUMENT: &str = "--straight-line";

/// Messages that cross to the producing thread together; and so many such batches may wait.
const BATCH_RECORDS_MAX: usize = 1024;
const BATCHES_MAX: usize = 64;

/// HTTP/2 windows: twice Headwater's defaults, as was found best for a single stream.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// How long a look for delivery reports waits when there is none.
const REPORT_STEP: Duration = Duration::from_micros(200);
const KAFKA_MAX: Duration = Duration::from_secs(60);

/// One run of the straight line.
#[derive(Debug, Clone, Parser)]
pub struct Line {
    /// The generator.
    #[arg(long)]
    pub endpoint: String,
    /// The cluster.
    #[arg(long)]
    pub brokers: String,
    /// The topic.
    #[arg(long)]
    pub topic: String,
    /// What values look like.
    #[arg(long, value_enum)]
    pub values: LineValues,
    /// How often a transaction is committed; none without transactions.
    #[arg(long)]
    pub commit_interval_ms: Option<u64>,
    /// How many calls, all on one connection.
    #[arg(long)]
    pub shards: u64,
    /// How many messages to ask for on each; 0 is no end.
    #[arg(long)]
    pub count: u64,
    /// How many a second on each; 0 is as many as flow control lets through.
    #[arg(long)]
    pub rate: u64,
}

/// What values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LineValues {
    /// proto3 JSON.
    Json,
    /// The bytes as they came.
    Raw,
}

/// A running straight line. Dropping it kills it.
pub struct Straight {
    child: Child,
}

/// Runs the line, if this process was started as it; to be called first in `main`.
pub fn run_if_asked() -> Result<bool> {
    if std::env::args().nth(1).as_deref() != Some(ARGUMENT) {
        return Ok(false);
    }
    Line::parse_from(std::env::args().skip(1)).run()?;
    Ok(true)
}

impl Straight {
    /// Starts `line` in a process of its own; it is ready to receive when this returns.
    pub fn start(line: &Line) -> Result<Straight> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ARGUMENT).args(line.arguments()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the straight line")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let mut word = String::new();
        BufReader::new(stdout).read_line(&mut word)?;
        ensure!(word.trim() == "ready", "the straight line did not start: {word:?}");
        Ok(Straight { child })
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Memory and CPU so far.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.child.id())
    }
}

impl Drop for Straight {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Line {
    fn arguments(&self) -> Vec<String> {
        let values = match self.values {
            LineValues::Json => "json",
            LineValues::Raw => "raw",
        };
        let mut out = Vec::new();
        let mut add = |name: &str, value: String| out.extend([format!("--{name}"), value]);
        add("endpoint", self.endpoint.clone());
        add("brokers", self.brokers.clone());
        add("topic", self.topic.clone());
        add("values", values.to_owned());
        add("shards", self.shards.to_string());
        add("count", self.count.to_string());
        add("rate", self.rate.to_string());
        if let Some(interval) = self.commit_interval_ms {
            add("commit-interval-ms", interval.to_string());
        }
        out
    }

    fn run(self) -> Result<()> {
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let (endpoint, shards) = (self.endpoint.clone(), self.shards);
        let request =
            SubscribeRequest { count: self.count, rate: self.rate, ..SubscribeRequest::default() };
        let producing = std::thread::spawn(move || Producing::start(self)?.run(receiver));
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(receive(endpoint, shards, &request, sender))?;
        producing.join().expect("the producing thread does not panic")
    }

    fn producer(&self) -> Result<BaseProducer> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "1000000");
        if self.commit_interval_ms.is_some() {
            config.set("transactional.id", format!("straight-{}", self.topic));
        }
        Ok(config.create()?)
    }

    fn transcoder(&self) -> Result<Option<JsonTranscoder>> {
        if self.values == LineValues::Raw {
            return Ok(None);
        }
        Ok(Some(JsonTranscoder::compile(&super::event_descriptor()?)))
    }
}

async fn receive(
    endpoint: String,
    shards: u64,
    request: &SubscribeRequest,
    sender: mpsc::Sender<Vec<Bytes>>,
) -> Result<()> {
    let channel = Endpoint::from_shared(endpoint)?
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .tcp_nodelay(true)
        .connect()
        .await?;
    // The thread behind the channel has its producer when it takes the first, empty batch.
    sender.send(Vec::new()).await?;
    sender.reserve_many(BATCHES_MAX).await?;
    println!("ready");
    let request = Bytes::from(request.encode_to_vec());
    let calls: JoinSet<_> =
        (0..shards).map(|_| call(channel.clone(), request.clone(), sender.clone())).collect();
    calls.join_all().await.into_iter().collect()
}

async fn call(channel: Channel, request: Bytes, sender: mpsc::Sender<Vec<Bytes>>) -> Result<()> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let request = Request::new(request);
    let path = "/bench.v1.Telemetry/Subscribe".parse()?;
    let mut stream = client.server_streaming(request, path, RawCodec).await?.into_inner();
    while let Some(batch) = ready_messages(&mut stream).await? {
        sender.send(batch).await?;
    }
    Ok(())
}

/// Whatever is ready, waiting for the first message only; `None` at the stream's end.
async fn ready_messages(stream: &mut Streaming<Bytes>) -> Result<Option<Vec<Bytes>>> {
    let mut batch = Vec::new();
    poll_fn(|context| {
        while batch.len() < BATCH_RECORDS_MAX {
            match Pin::new(&mut *stream).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => batch.push(message),
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Err(status)),
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    Ok((!batch.is_empty()).then_some(batch))
}

/// The producing thread.
struct Producing {
    topic: String,
    producer: BaseProducer,
    transcoder: Option<JsonTranscoder>,
    interval: Option<Duration>,
}

impl Producing {
    fn start(line: Line) -> Result<Producing> {
        let producer = line.producer()?;
        if line.commit_interval_ms.is_some() {
            producer.init_transactions(KAFKA_MAX)?;
            producer.begin_transaction()?;
        }
        let transcoder = line.transcoder()?;
        let interval = line.commit_interval_ms.map(Duration::from_millis);
        Ok(Producing { topic: line.topic, producer, transcoder, interval })
    }

    fn run(self, mut batches: mpsc::Receiver<Vec<Bytes>>) -> Result<()> {
        let mut begun = Instant::now();
        let mut json = Vec::new();
        while let Some(batch) = batches.blocking_recv() {
            for message in &batch {
                let value = match &self.transcoder {
                    Some(transcoder) => {
                        json.clear();
                        transcoder.transcode(message, &mut json)?;
                        &json[..]
                    }
                    None => message,
                };
                self.produce(value)?;
            }
            self.producer.poll(Duration::ZERO);
            if self.interval.is_some_and(|interval| begun.elapsed() >= interval) {
                self.commit()?;
                self.producer.begin_transaction()?;
                begun = Instant::now();
            }
        }
        self.commit()
    }

    fn produce(&self, value: &[u8]) -> Result<()> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic).payload(value);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.serve();
                    record = back;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Waits until all is acknowledged, and commits if there is a transaction.
    fn commit(&self) -> Result<()> {
        while self.producer.in_flight_count() > 0 {
            self.serve();
        }
        if self.interval.is_some() {
            self.producer.commit_transaction(KAFKA_MAX)?;
        }
        Ok(())
    }

    /// Serves a delivery report; sleeps for a step if there was none.
    fn serve(&self) {
        let in_flight = self.producer.in_flight_count();
        self.producer.poll(Duration::ZERO);
        if self.producer.in_flight_count() == in_flight {
            std::thread::sleep(REPORT_STEP);
        }
    }
}
