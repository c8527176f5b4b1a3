//! Writes pipeline files: telemetry in, Kafka out, and what a test wants changed.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// A pipeline of one source, at most one decoder and one sink. The fields are the file's.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Timely workers.
    pub workers: u32,
    /// How often it commits.
    pub commit_interval_ms: u64,
    /// How many producers take turns; none leaves it to the program.
    pub ring: Option<u32>,
    /// How much it may hold in memory; none leaves it to the program.
    pub credit_bytes: Option<u64>,
    /// The gRPC server.
    pub endpoint: String,
    /// Where a fleet's servers are found, as YAML, instead of the one server.
    pub targets: Option<String>,
    /// The request's fields, as YAML flow values.
    pub request: Vec<(String, String)>,
    /// Several requests, each a shard with a name, instead of the one.
    pub requests: Vec<(String, Vec<(String, String)>)>,
    /// How the source resumes; without it, it does not.
    pub resume: Option<Resume>,
    /// What the good end of the stream means.
    pub on_end: OnEnd,
    /// What the decoder reads: the source, or a transform that stands behind the file.
    pub decoder_from: String,
    /// What values look like.
    pub values: Values,
    /// What the sink reads: the decoder, or such a transform.
    pub sink_from: String,
    /// The brokers.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// Partitions to make the topic with; without it, it must be there.
    pub partitions: Option<u32>,
    /// The promise.
    pub delivery: Delivery,
    /// More lines for the source, the decoder and the sink, each a YAML key with its value.
    pub source_extra: Vec<String>,
    /// See [`Pipeline::source_extra`].
    pub decoder_extra: Vec<String>,
    /// See [`Pipeline::source_extra`].
    pub sink_extra: Vec<String>,
}

/// How a source resumes by `Event.sequence`.
#[derive(Debug, Clone)]
pub struct Resume {
    /// `after`, `at` or `next`.
    pub position: &'static str,
    /// `contiguous`, `monotone` or `none`.
    pub sequence: &'static str,
    /// `report` or `stop`.
    pub on_gap: &'static str,
}

/// What the good end of the stream means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnEnd {
    /// The source calls again.
    Reconnect,
    /// The pipeline is done.
    Finish,
}

/// What values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// proto3 JSON.
    Json,
    /// The bytes as they came.
    Raw,
}

/// The promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Transactions.
    ExactlyOnce,
    /// Idempotent, progress after acks.
    AtLeastOnce,
}

impl Pipeline {
    /// From a telemetry server into the topic `telemetry` of four partitions, exactly once.
    pub fn new(endpoint: impl Into<String>, brokers: impl Into<String>) -> Pipeline {
        Pipeline {
            name: "telemetry".to_owned(),
            workers: 1,
            commit_interval_ms: 50,
            ring: None,
            credit_bytes: None,
            endpoint: endpoint.into(),
            targets: None,
            request: Vec::new(),
            requests: Vec::new(),
            resume: Some(Resume::default()),
            on_end: OnEnd::Finish,
            decoder_from: "events".to_owned(),
            values: Values::Json,
            sink_from: "values".to_owned(),
            brokers: brokers.into(),
            topic: "telemetry".to_owned(),
            partitions: Some(4),
            delivery: Delivery::ExactlyOnce,
            source_extra: Vec::new(),
            decoder_extra: Vec::new(),
            sink_extra: Vec::new(),
        }
    }

    /// Sets a field of the request.
    #[must_use]
    pub fn request(mut self, field: &str, value: impl ToString) -> Pipeline {
        self.request.push((field.to_owned(), value.to_string()));
        self
    }

    /// The file's text.
    pub fn yaml(&self) -> String {
        let mut out = String::new();
        self.write_yaml(&mut out).expect("writing to a string does not fail");
        out
    }

    /// Writes the file and the `.proto` it names into `folder`; returns the file's path.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::write(folder.join("telemetry.proto"), headwater_proto::TELEMETRY_PROTO)?;
        let path = folder.join(format!("{}.yaml", self.name));
        fs::write(&path, self.yaml())?;
        Ok(path)
    }

    fn write_yaml(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "pipeline: {}", self.name)?;
        writeln!(out, "workers: {}", self.workers)?;
        let ring = self.ring.map_or_else(String::new, |ring| format!(", ring: {ring}"));
        writeln!(out, "commit: {{ interval_ms: {}{ring} }}", self.commit_interval_ms)?;
        if let Some(bytes) = self.credit_bytes {
            writeln!(out, "memory: {{ credit_bytes: {bytes} }}")?;
        }
        self.write_source(out)?;
        let to = match self.values {
            Values::Json => "json",
            Values::Raw => "raw",
        };
        let from = &self.decoder_from;
        writeln!(out, "decoders:\n  values:\n    kind: protobuf\n    from: {from}\n    to: {to}")?;
        write_extra(out, &self.decoder_extra)?;
        self.write_sink(out)
    }

    fn write_source(&self, out: &mut String) -> std::fmt::Result {
        let on_end = match self.on_end {
            OnEnd::Reconnect => "reconnect",
            OnEnd::Finish => "finish",
        };
        writeln!(out, "sources:\n  events:\n    kind: grpc")?;
        match &self.targets {
            None => writeln!(out, "    endpoint: {}", self.endpoint)?,
            Some(targets) => writeln!(out, "    targets: {targets}")?,
        }
        writeln!(out, "    method: bench.v1.Telemetry/Subscribe")?;
        writeln!(out, "    descriptors: {{ protos: [telemetry.proto], includes: [.] }}")?;
        if !self.request.is_empty() {
            writeln!(out, "    request: {{ {} }}", flow(&self.request))?;
        }
        if !self.requests.is_empty() {
            writeln!(out, "    requests:")?;
        }
        for (name, request) in &self.requests {
            writeln!(out, "      - {{ name: {name}, request: {{ {} }} }}", flow(request))?;
        }
        writeln!(out, "    on_end: {on_end}")?;
        if let Some(resume) = &self.resume {
            resume.write_yaml(out)?;
        }
        write_extra(out, &self.source_extra)
    }

    fn write_sink(&self, out: &mut String) -> std::fmt::Result {
        let delivery = match self.delivery {
            Delivery::ExactlyOnce => "exactly_once",
            Delivery::AtLeastOnce => "at_least_once",
        };
        writeln!(out, "sinks:\n  out:\n    kind: kafka\n    from: {}", self.sink_from)?;
        writeln!(out, "    brokers: {}", self.brokers)?;
        writeln!(out, "    topic: {}", self.topic)?;
        if let Some(partitions) = self.partitions {
            writeln!(out, "    create: {{ partitions: {partitions}, replication: 1 }}")?;
        }
        writeln!(out, "    delivery: {delivery}")?;
        write_extra(out, &self.sink_extra)
    }
}

impl Default for Resume {
    fn default() -> Self {
        Resume { position: "next", sequence: "contiguous", on_gap: "report" }
    }
}

impl Resume {
    fn write_yaml(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "    resume:")?;
        writeln!(out, "      cursor: {{ sequence: {{ from: sequence }} }}")?;
        writeln!(out, "      position: {}", self.position)?;
        let value = "\"${cursor.sequence}\"";
        writeln!(out, "      restart: {{ set: {{ from_sequence: {value} }} }}")?;
        writeln!(out, "      sequence: {}", self.sequence)?;
        writeln!(out, "      on_gap: {}", self.on_gap)
    }
}

fn flow(fields: &[(String, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    fields.join(", ")
}

fn write_extra(out: &mut String, lines: &[String]) -> std::fmt::Result {
    lines.iter().flat_map(|it| it.lines()).try_for_each(|line| writeln!(out, "    {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_the_fields_say() {
        let mut pipeline = Pipeline::new("http://127.0.0.1:1", "127.0.0.1:2").request("rate", 1000);
        pipeline.sink_extra.push("properties:\n  compression.type: lz4".to_owned());
        let expected = "\
pipeline: telemetry
workers: 1
commit: { interval_ms: 50 }
sources:
  events:
    kind: grpc
    endpoint: http://127.0.0.1:1
    method: bench.v1.Telemetry/Subscribe
    descriptors: { protos: [telemetry.proto], includes: [.] }
    request: { rate: 1000 }
    on_end: finish
    resume:
      cursor: { sequence: { from: sequence } }
      position: next
      restart: { set: { from_sequence: \"${cursor.sequence}\" } }
      sequence: contiguous
      on_gap: report
decoders:
  values:
    kind: protobuf
    from: events
    to: json
sinks:
  out:
    kind: kafka
    from: values
    brokers: 127.0.0.1:2
    topic: telemetry
    create: { partitions: 4, replication: 1 }
    delivery: exactly_once
    properties:
      compression.type: lz4
";
        assert_eq!(pipeline.yaml(), expected);
    }

    #[test]
    fn the_proto_file_lies_beside_the_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let path = Pipeline::new("http://a", "b").write(folder.path()).unwrap();
        assert!(path.is_file() && folder.path().join("telemetry.proto").is_file());
    }
}
