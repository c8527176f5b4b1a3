//! How much faster the transcoder is than prost-reflect, shape by shape.
//!
//! Each shape's output is compared before it is timed, and the bytes of the run are hashed. Quote
//! the ratios: absolute rates move with the machine, and the two subjects take turns so that a
//! noisy minute hits both. The best pass counts, and a pass is so short that a busy machine leaves
//! some of them alone.
//!
//! ```text
//! cargo bench -p headwater-proto --bench transcode
//! cargo bench -p headwater-proto --bench transcode -- --only text --json results.json
//! ```
//!
//! `--check` fails where a shape is less than five times as fast as prost-reflect.
//!
//! With `--toy`, without cargo's `--bench`, as under `cargo test --benches`, or with
//! `HEADWATER_BENCH_TOY` set, it only tries every shape.

#[path = "support/options.rs"]
mod options;
#[path = "support/shapes.rs"]
mod shapes;

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::hint::black_box;
use std::time::{Duration, Instant};

use headwater_proto::{JsonTranscoder, MessageDescriptor};
use options::Options;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::json;
use shapes::{Shape, shapes};

/// Every shape is to be so many times as fast as prost-reflect; `--check` demands it.
const RATIO_MIN: f64 = 5.0;

/// How long to measure a shape, and how often each subject has a turn before the other.
struct Effort {
    total: Duration,
    passes: u32,
}

/// What was measured of one shape.
struct Outcome {
    case: &'static str,
    /// Of a message on the wire, the mean.
    bytes: usize,
    messages_per_second: f64,
    reflect_messages_per_second: f64,
    /// Of all the JSON, to see whether two runs printed the same.
    hash: u64,
}

fn main() {
    let options = Options::parse();
    let effort = match options.is_toy() {
        true => Effort { total: Duration::ZERO, passes: 1 },
        false => Effort { total: Duration::from_secs(3), passes: 4 },
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("one of {cores} cores of {}\n", processor());
    println!("| shape | bytes | messages/s | prost-reflect | times as fast | hash |");
    println!("|---|---:|---:|---:|---:|---|");
    let (mut results, mut slow) = (Vec::new(), Vec::new());
    for shape in shapes().iter().filter(|shape| options.wants(shape.name)) {
        let outcome = measure(shape, &effort);
        println!("{outcome}");
        results.push(outcome.json());
        slow.extend((outcome.ratio() < RATIO_MIN).then_some(outcome.case));
    }
    options.write_json(&json!({ "bench": "decode", "results": results }));
    let is_checked = options.is_checked();
    assert!(!is_checked || slow.is_empty(), "less than {RATIO_MIN} times as fast: {slow:?}");
}

fn processor() -> String {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "an unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}

fn measure(shape: &Shape, effort: &Effort) -> Outcome {
    let transcoder = JsonTranscoder::compile(&shape.descriptor);
    let hash = assert_equal(shape, &transcoder);
    let mut out = Vec::new();
    let (mut ours, mut theirs) = (0.0_f64, 0.0_f64);
    let start = Instant::now();
    loop {
        ours = ours.max(rate(shape, effort, |wire| {
            out.clear();
            transcoder.transcode(wire, &mut out).expect("the bench's messages decode");
            black_box(&out);
        }));
        theirs = theirs.max(rate(shape, effort, |wire| {
            black_box(reflected(&shape.descriptor, wire));
        }));
        if start.elapsed() >= effort.total {
            break;
        }
    }
    Outcome {
        case: shape.name,
        bytes: shape.messages.iter().map(Vec::len).sum::<usize>() / shape.messages.len(),
        messages_per_second: ours,
        reflect_messages_per_second: theirs,
        hash,
    }
}

impl Outcome {
    fn ratio(&self) -> f64 {
        self.messages_per_second / self.reflect_messages_per_second
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "case": self.case,
            "bytes": self.bytes,
            "messages_per_second": self.messages_per_second,
            "reflect_messages_per_second": self.reflect_messages_per_second,
            "ratio": self.ratio(),
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, bytes, hash, .. } = self;
        let (ours, theirs) = (self.messages_per_second, self.reflect_messages_per_second);
        write!(
            f,
            "| {case} | {bytes} | {ours:.0} | {theirs:.0} | {:.2} | {hash:016x} |",
            self.ratio()
        )
    }
}

/// Messages per second in the best pass over all messages of a shape.
fn rate(shape: &Shape, effort: &Effort, mut transcode: impl FnMut(&[u8])) -> f64 {
    let pass = |_| {
        let start = Instant::now();
        shape.messages.iter().for_each(|wire| transcode(wire));
        start.elapsed()
    };
    let best = (0..effort.passes).map(pass).min().expect("there is a first pass");
    shape.messages.len() as f64 / best.as_secs_f64()
}

fn reflected(descriptor: &MessageDescriptor, wire: &[u8]) -> Vec<u8> {
    let message = DynamicMessage::decode(descriptor.clone(), wire).expect("the messages decode");
    let mut serializer = serde_json::Serializer::new(Vec::with_capacity(512));
    message
        .serialize_with_options(&mut serializer, &SerializeOptions::default())
        .expect("the messages can be printed");
    serializer.into_inner()
}

/// Compares every message; only the order of a map's entries, random in prost-reflect, may differ.
fn assert_equal(shape: &Shape, transcoder: &JsonTranscoder) -> u64 {
    let mut hasher = DefaultHasher::new();
    for wire in &shape.messages {
        let mut ours = Vec::new();
        transcoder.transcode(wire, &mut ours).expect("the bench's messages decode");
        let theirs = reflected(&shape.descriptor, wire);
        let parse = |json: &[u8]| -> serde_json::Value {
            serde_json::from_slice(json).expect("both print JSON")
        };
        assert_eq!(ours.len(), theirs.len(), "{}", shape.name);
        assert_eq!(parse(&ours), parse(&theirs), "{}", shape.name);
        // Sorted, because prost writes a map's entries in random order.
        ours.sort_unstable();
        ours.hash(&mut hasher);
    }
    hasher.finish()
}
