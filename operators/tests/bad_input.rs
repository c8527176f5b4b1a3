//! Goal: a pipeline file of the real kinds, and the TLS files it names, end in a plan or in
//! findings at their places, whatever is wrong with them; no finding shows a secret.
//! Method: a file with most of the keys there are, and a generated authority, certificate and key,
//! all of them damaged. Nothing is contacted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/support/property/mod.rs"]
mod property;

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use headwater_engine::spec::{Registry, Source, Variables, load};
use headwater_operators::registry;
use headwater_proto::{DescriptorInput, Descriptors, TELEMETRY_PROTO};
use property::damage::{damaged, damaged_text, damages};
use property::property;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// What no finding may show.
const SECRET: &str = "hunter2-and-more";

const FULL: &str = r#"pipeline: orders
workers: 2
commit: { interval_ms: 100, epoch_bytes_max: 1048576 }
memory: { credit_bytes: 8388608 }
sources:
  events:
    kind: grpc
    endpoint: "https://telemetry.example:443"
    method: bench.v1.Telemetry/Subscribe
    descriptors: { base64: "${env:TYPES}" }
    request: { filter: north, from_sequence: "7" }
    metadata: { authorization: "Bearer ${env:TOKEN}", trace-bin: aGk= }
    tls: { server_name: telemetry.internal }
    reconnect: { backoff_min_ms: 10, backoff_max_ms: 500, attempts_max: 5 }
    on_end: finish
    resume:
      cursor: { seq: { from: sequence } }
      position: next
      sequence: contiguous
      on_gap: report
      restart: { set: { from_sequence: "${cursor.seq}" } }
decoders:
  json: { kind: protobuf, from: events, to: json, on_error: dead_letter }
sinks:
  topic:
    kind: kafka
    from: json
    brokers: "127.0.0.1:9092"
    topic: telemetry
    key: device_id
    timestamp: { field: emitted_ns, unit: ns }
    create: { partitions: 6, replication: 1 }
    dead_letter: { topic: telemetry.dead, create: { partitions: 1, replication: 1 } }
    properties: { compression.type: zstd, sasl.password: "${env:TOKEN}" }
"#;

static REGISTRY: LazyLock<Registry> = LazyLock::new(registry);

static TYPES: LazyLock<String> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telemetry.proto");
    fs::write(&file, TELEMETRY_PROTO).unwrap();
    let input = DescriptorInput::Protos { files: vec![file], includes: Vec::new() };
    let set = Descriptors::load(&input).unwrap().pool().encode_to_vec();
    base64::engine::general_purpose::STANDARD.encode(set)
});

struct Table;

impl Variables for Table {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "TYPES" => Some(TYPES.clone()),
            "TOKEN" => Some(SECRET.to_owned()),
            _ => None,
        }
    }

    fn file(&self, _: &Path) -> io::Result<String> {
        Err(io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }
}

/// Whether a file is sound; an error if what is told of it is not.
fn read(text: &str, base_dir: &Path) -> Result<Result<(), String>, String> {
    let source = Source { name: "pipeline.yaml", text, base_dir };
    let (findings, told) = match load(&source, &REGISTRY, &Table) {
        Ok((_, warnings)) => (warnings, None),
        Err(diagnostics) => {
            let rendered = diagnostics.to_string();
            (diagnostics.iter().cloned().collect(), Some(rendered))
        }
    };
    for finding in &findings {
        let span = finding.span;
        if text.get(span.start..span.end).is_none() || finding.message.is_empty() {
            return Err(format!("{finding:?}"));
        }
        if format!("{finding:?}").contains(SECRET) {
            return Err(format!("shows a secret: {finding:?}"));
        }
    }
    match told {
        Some(told) if told.contains(SECRET) => Err(format!("shows a secret: {told}")),
        Some(told) => Ok(Err(told)),
        None => Ok(Ok(())),
    }
}

#[test]
fn the_file_that_is_damaged_is_sound() {
    read(FULL, Path::new(".")).unwrap().unwrap();
}

#[test]
fn a_damaged_file_of_real_kinds_ends_in_a_plan_or_in_findings_at_their_places() {
    property!("pipeline-damaged", 1.0, 5).holds(&damages(4), |damages| {
        read(&damaged_text(FULL, &damages), Path::new(".")).map(drop)
    });
}

/// Each value of the file in turn is another one: of another type, at an end of a range, or odd.
#[test]
fn another_value_at_any_place_ends_in_a_plan_or_in_findings_at_their_places() {
    let values = [
        "null",
        "-1",
        "0",
        "1",
        "18446744073709551615",
        "1e999",
        "true",
        "''",
        "[]",
        "{}",
        "[[]]",
        "{a: b}",
        "\"\\0\"",
        "\"é\\u2028\"",
        "'${env:TOKEN}'",
        "'${cursor.seq}'",
        "a[-1].b",
        "http://[::1]:99999",
        "https://user:pw@host",
        "\"\\x7f\"",
        "~",
        ".inf",
    ];
    let places = value_places(FULL);
    assert!(places.len() > 30, "{}", places.len());
    let strategy = (0..places.len(), 0..values.len());
    property!("pipeline-values", 2.0, 5).holds(&strategy, |(place, value)| {
        let (start, end) = places[place];
        let text = format!("{}{}{}", &FULL[..start], values[value], &FULL[end..]);
        read(&text, Path::new(".")).map(drop)
    });
}

/// The ranges of what stands behind `: ` up to a comma, a brace or the end of the line.
fn value_places(text: &str) -> Vec<(usize, usize)> {
    let starts = text.match_indices(": ").map(|(at, _)| at + 2);
    let place = |start: usize| {
        let rest = &text[start..];
        let end = match rest.strip_prefix('"') {
            Some(quoted) => quoted.find('"').map_or(rest.len(), |at| at + 2),
            None => rest.find([',', '}', '\n']).unwrap_or(rest.len()),
        };
        (start, start + end)
    };
    starts.map(place).collect()
}

/// An authority, a certificate of it and the certificate's key, as PEM.
fn material() -> [String; 3] {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    [authority.pem(), certificate.pem(), key.serialize_pem()]
}

const FILES: [&str; 3] = ["ca.pem", "client.pem", "client.key"];

fn with_tls(folder: &TempDir, files: &[Vec<u8>; 3]) -> Result<Result<(), String>, String> {
    for (name, bytes) in FILES.iter().zip(files) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let tls = "tls: { ca_file: ca.pem, certificate_file: client.pem, key_file: client.key }";
    let text = FULL.replace("tls: { server_name: telemetry.internal }", tls);
    read(&text, folder.path())
}

/// What is told names a file and repeats nothing that stands in one.
fn judge(files: &[Vec<u8>; 3], told: &str) -> Result<(), String> {
    if !FILES.iter().any(|name| told.contains(name)) {
        return Err(format!("no file is named: {told}"));
    }
    let key = String::from_utf8_lossy(&files[2]).into_owned();
    let secrets = key.lines().filter(|line| !line.contains("--"));
    match secrets.filter_map(|line| line.get(..12)).find(|part| told.contains(part)) {
        Some(part) => Err(format!("shows {part:?} of the key: {told}")),
        None => Ok(()),
    }
}

#[test]
fn damaged_tls_files_are_named_or_work() {
    let (folder, sound) = (tempfile::tempdir().unwrap(), material());
    let (worked, refused) = (Cell::new(0u32), Cell::new(0u32));
    with_tls(&folder, &sound.clone().map(String::into_bytes)).unwrap().unwrap();
    let strategy = (0..3usize, damages(3));
    property!("tls-damaged", 1.0, 5).holds(&strategy, |(pick, damages)| {
        let mut files = sound.clone().map(String::into_bytes);
        files[pick] = damaged(&files[pick], &damages);
        match with_tls(&folder, &files)? {
            Ok(()) => worked.set(worked.get() + 1),
            Err(told) => {
                refused.set(refused.get() + 1);
                judge(&files, &told)?;
            }
        }
        Ok(())
    });
    assert!(worked.get() > 0 && refused.get() > worked.get(), "{} {}", worked.get(), refused.get());
}

#[test]
fn random_tls_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let sound = material();
    let block = prop::sample::select(
        &[
            "-----BEGIN CERTIFICATE-----\n",
            "-----END CERTIFICATE-----\n",
            "-----BEGIN ",
            "-----BEGIN PRIVATE KEY-----\n",
            "-----END PRIVATE KEY-----\n",
            "MIIB",
            "=",
            "\n",
            "é",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
            "-----",
            "AAAA\n",
            "\0",
        ][..],
    );
    let pem = prop_oneof![
        prop::collection::vec(block, 0..12).prop_map(|blocks| blocks.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    property!("tls-random", 1.0, 5).holds(&(0..3usize, pem), |(pick, pem)| {
        let mut files = sound.clone().map(String::into_bytes);
        files[pick] = pem;
        match with_tls(&folder, &files)? {
            Ok(()) => Err("it was taken".to_owned()),
            Err(told) => judge(&files, &told),
        }
    });
}
