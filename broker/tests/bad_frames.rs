//! Goal: whatever bytes arrive, the broker lives, its memory is bounded, what cannot be a request
//! closes its connection with a line in the log, and nobody else notices.
//! Method: over TCP, as a client would: random frames, requests of every kind damaged, batches
//! damaged behind a right checksum, lengths that promise everything; after each, a bystander asks.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../../tests/support/property/mod.rs"]
mod property;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use headwater_broker::{Broker, BrokerConfig};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, ListOffsetsRequest, ProduceRequest, RequestHeader, TopicName,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use property::damage::{damaged, damages};
use property::{peak_bytes, property};
use proptest::prelude::*;
use proptest::sample::Index;

/// What the broker and its tests may hold at most, all together.
const PEAK_BYTES_MAX: u64 = 1 << 30;

/// How long an answer may take; a request that waits by right is given up after it.
const ANSWER_MAX: Duration = Duration::from_millis(30);

/// ApiVersions version 0 with a correlation id that no other request has.
const PING: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0x70, 0x69, 0x6e, 0x67, 0xff, 0xff];
const PONG: &[u8] = &[0x70, 0x69, 0x6e, 0x67];

/// Connections that the broker says it closed.
static CLOSED: AtomicUsize = AtomicUsize::new(0);

/// One broker for all tests, with a compacted topic `t`.
static BROKER: LazyLock<SocketAddr> = LazyLock::new(|| {
    let subscriber = tracing_subscriber::fmt().with_writer(|| Log).with_ansi(false).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let broker = Broker::start(BrokerConfig::in_memory()).await.unwrap();
            sender.send(broker.local_addr()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let address = receiver.recv().unwrap();
    let compacted = CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str("cleanup.policy"))
        .with_value(Some(StrBytes::from_static_str("compact")));
    let topic = CreatableTopic::default()
        .with_name(name())
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![compacted]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    let mut client = Client::new(address);
    assert_eq!(client.exchange(&frame(ApiKey::CreateTopics, 5, &request)), Came::Answer);
    address
});

/// Counts what the broker says of connections it closed.
struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_closed = line.windows(17).any(|it| it == b"connection_closed");
        CLOSED.fetch_add(usize::from(is_closed), Ordering::SeqCst);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

/// A whole frame with its length in front.
fn frame(api: ApiKey, version: i16, body: &impl Encodable) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    head(api, version, &mut bytes);
    body.encode(&mut bytes, version).unwrap();
    sized(&bytes)
}

fn head(api: ApiKey, version: i16, bytes: &mut BytesMut) {
    RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str("client")))
        .encode(bytes, api.request_header_version(version))
        .unwrap();
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// What came of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// The connection answers what came behind it.
    Answer,
    /// The broker closed the connection.
    End,
    /// Nothing came: the request waits, or the frame is not whole.
    Nothing,
}

/// A client that connects again where it must.
struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a frame and a ping behind it.
    fn exchange(&mut self, frame: &[u8]) -> Came {
        let mut stream = self.stream.take().unwrap_or_else(|| connect(self.address));
        let sent = stream.write_all(frame).and_then(|()| stream.write_all(PING));
        let came = if sent.is_ok() { wait(&mut stream) } else { Came::End };
        if came == Came::Answer {
            self.stream = Some(stream);
        }
        came
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    stream
}

/// Reads frames until the pong.
fn wait(stream: &mut TcpStream) -> Came {
    loop {
        let mut length = [0; 4];
        match stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if is_timeout(&error) => return Came::Nothing,
            Err(_) => return Came::End,
        }
        let mut response = vec![0; u32::from_be_bytes(length) as usize];
        if stream.read_exact(&mut response).is_err() {
            return Came::End;
        }
        if response.starts_with(PONG) {
            return Came::Answer;
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Tries frames on one client while another one watches.
struct Trial {
    client: RefCell<Client>,
    bystander: RefCell<Client>,
    ended: Cell<usize>,
    answered: Cell<u32>,
    closed_before: usize,
}

impl Trial {
    fn new() -> Self {
        let address = *BROKER;
        Self {
            client: RefCell::new(Client::new(address)),
            bystander: RefCell::new(Client::new(address)),
            ended: Cell::new(0),
            answered: Cell::new(0),
            closed_before: CLOSED.load(Ordering::SeqCst),
        }
    }

    fn frame(&self, frame: &[u8]) -> Result<(), String> {
        let came = self.client.borrow_mut().exchange(frame);
        self.ended.set(self.ended.get() + usize::from(came == Came::End));
        self.answered.set(self.answered.get() + u32::from(came == Came::Answer));
        // Slow is not dead: a busy machine may take its time.
        let is_alive = (0..300).any(|_| self.bystander.borrow_mut().exchange(b"") == Came::Answer);
        if is_alive { Ok(()) } else { Err("the broker does not answer any more".to_owned()) }
    }

    /// Every connection that ended did so with a line in the log.
    fn end(self) {
        let start = Instant::now();
        let closed = || CLOSED.load(Ordering::SeqCst) - self.closed_before;
        while closed() < self.ended.get() && start.elapsed() < Duration::from_secs(20) {
            std::thread::yield_now();
        }
        assert!(closed() >= self.ended.get(), "{} of {} told", closed(), self.ended.get());
        assert!(peak_bytes().is_none_or(|peak| peak < PEAK_BYTES_MAX), "{:?}", peak_bytes());
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// Kind and version of a request, mostly one that is offered.
fn kind() -> impl Strategy<Value = (i16, i16)> {
    prop_oneof![8 => (0..76i16, 0..14i16), 1 => (any::<i16>(), any::<i16>())]
}

#[test]
fn random_frames_close_their_connection_and_no_other() {
    let trial = Trial::new();
    let strategy = (kind(), bytes(60), any::<u8>());
    property!("broker-frames", 2.0, 2).holds(&strategy, |((api, version), body, how)| {
        let mut frame = BytesMut::new();
        frame.put_i16(api);
        frame.put_i16(version);
        frame.put_slice(&body);
        match how {
            // No length that fits, or none at all.
            0..5 => trial.frame(&frame),
            _ => trial.frame(&sized(&frame)),
        }
    });
    assert!(trial.ended.get() > 0, "no frame was refused");
    trial.end();
}

/// Requests of every kind there is, of plain patterns: lists of none and of one element at one
/// place or another. Some thirty kinds are offered, and of each some pattern is a request.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for api in (0..=75).filter_map(|key| ApiKey::try_from(key).ok()) {
        for version in 0..=9 {
            for pattern in [&[0; 4], &[0, 0, 0, 1], &[0, 0, 1, 0], &[0, 1, 0, 0], &[1, 0, 0, 0]] {
                let mut bytes = BytesMut::new();
                head(api, version, &mut bytes);
                seeds.push([&bytes[..], &pattern.repeat(20)].concat());
            }
        }
    }
    // A tenth of them, so that they are met often.
    for _ in 0..seeds.len() / 20 {
        seeds.extend([whole_produce(), whole_list()].map(|frame| frame[4..].to_vec()));
    }
    seeds
}

#[test]
fn damaged_requests_are_answered_or_close_their_connection() {
    let (trial, seeds) = (Trial::new(), seeds());
    let strategy = (any::<Index>(), damages(4));
    property!("broker-damaged", 2.0, 2).holds(&strategy, |(seed, damages)| {
        let (kind, body) = seeds[seed.index(seeds.len())].split_at(4);
        trial.frame(&sized(&[kind, &damaged(body, &damages)].concat()))
    });
    assert!(trial.answered.get() > property::cases(0.1), "{} answered", trial.answered.get());
    trial.end();
}

fn whole_produce() -> Vec<u8> {
    produce(&batch(0, b"\x18\0\0\0\x04k\x02a\0", 1))
}

fn whole_list() -> Vec<u8> {
    let partition = ListOffsetsPartition::default().with_timestamp(1);
    let topic = ListOffsetsTopic::default().with_name(name()).with_partitions(vec![partition]);
    frame(ApiKey::ListOffsets, 7, &ListOffsetsRequest::default().with_topics(vec![topic]))
}

fn produce(records: &[u8]) -> Vec<u8> {
    let data = PartitionProduceData::default().with_records(Some(Bytes::copy_from_slice(records)));
    let topic = TopicProduceData::default().with_name(name()).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(1).with_topic_data(vec![topic]);
    frame(ApiKey::Produce, 9, &request)
}

/// A batch whose checksum is right, whatever its records are.
fn batch(attributes: i16, records: &[u8], count: i32) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_i64(0);
    bytes.put_i32(i32::try_from(records.len()).unwrap() + 49);
    bytes.put_i32(0);
    bytes.put_u8(2);
    bytes.put_u32(0);
    bytes.put_i16(attributes);
    bytes.put_i32(count.wrapping_sub(1));
    bytes.put_i64(1_000);
    bytes.put_i64(i64::MAX);
    bytes.put_i64(-1);
    bytes.put_i16(-1);
    bytes.put_i32(-1);
    bytes.put_i32(count);
    bytes.put_slice(records);
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes.to_vec()
}

/// The checksum is right, so the records are looked into: the topic is compacted.
#[test]
fn damaged_batches_behind_a_right_checksum_are_refused_or_kept() {
    let trial = Trial::new();
    let count = prop_oneof![0..4i32, any::<i32>()];
    let records = prop_oneof![
        Just(b"\x18\0\0\0\x04k\x02a\0".to_vec()),
        Just(zstd::stream::encode_all(&[0; 1 << 20][..], 1).unwrap()),
        Just(b"\xff\xff\xff\xff\x0f0123456789".to_vec()),
        Just(b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\x7f\xff\xff\xff".to_vec()),
        bytes(60),
    ];
    let strategy = (0..8i16, records, count, damages(3));
    property!("broker-batches", 1.0, 2).holds(&strategy, |(codec, records, count, damages)| {
        let batch = batch(codec, &damaged(&records, &damages), count);
        trial.frame(&produce(&batch))?;
        trial.frame(&whole_list())
    });
    trial.end();
}

/// Twelve bytes that announce two thousand million elements: a process that believes them asks
/// for more memory than there is, and is ended for it.
#[test]
fn a_length_that_promises_everything_reserves_nothing() {
    let trial = Trial::new();
    for api in (0..=75).filter_map(|key| ApiKey::try_from(key).ok()) {
        for version in 0..=12 {
            for at in 0..24 {
                let mut bytes = BytesMut::new();
                head(api, version, &mut bytes);
                bytes.put_bytes(0, at);
                for promise in
                    [&b"\x7f\xff\xff\xf0"[..], b"\xf0\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x0f"]
                {
                    let frame = sized(&[&bytes[..], promise, &[0; 8]].concat());
                    trial
                        .frame(&frame)
                        .unwrap_or_else(|error| panic!("{api:?} {version}: {error}"));
                }
            }
        }
    }
    // A frame that is announced and never comes.
    let waiting: Vec<TcpStream> = (0..64).map(|_| connect(*BROKER)).collect();
    for mut stream in &waiting {
        stream.write_all(&[0x06, 0x40, 0, 0]).unwrap();
    }
    trial.frame(PING).unwrap();
    trial.end();
}
