//! What tests of connectors share: a connector over Kafka Connect's paths, and its judge.
//!
//! The connector cannot resume: the server begins at its first event with every call. So the topic
//! holds runs, one a call, each of them 1, 2, 3 … without a gap and without a copy; and as many
//! records as were committed.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use headwater_proto::{DescriptorInput, Descriptors, TELEMETRY_PROTO};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::request;
use headwater_test_support::topic::{Isolation, for_each};
use rdkafka::message::Message;
use serde_json::json;

use crate::served::{Json, Served, Site};
use crate::world::{PATIENCE, kafka};

/// A connector of one name, which is its topic's as well.
pub(crate) struct Connector {
    pub(crate) name: String,
    pub(crate) config: Json,
}

impl Connector {
    /// One that streams from a server of tests.
    pub(crate) fn new(site: &Site, name: &str, port: u16) -> Result<Connector> {
        let config = json!({
            "connector.class": "io.conduktor.connect.grpc.GrpcSourceConnector",
            "tasks.max": "1",
            "grpc.server.host": "127.0.0.1",
            "grpc.server.port": port.to_string(),
            "grpc.service.name": "bench.v1.Telemetry",
            "grpc.method.name": "Subscribe",
            "grpc.proto.descriptor": descriptors(site)?.display().to_string(),
            "grpc.reconnect.interval.ms": "20",
            "kafka.topic": name,
            "topic.creation.default.partitions": "1",
            "topic.creation.default.replication.factor": "1",
        });
        Ok(Connector { name: name.to_owned(), config })
    }

    /// The body of its creation.
    pub(crate) fn body(&self) -> String {
        json!({ "name": self.name, "config": self.config }).to_string()
    }

    pub(crate) fn path(&self, more: &str) -> String {
        format!("/connectors/{}{more}", self.name)
    }
}

/// The descriptor set of the server of tests, in the folder of the program.
fn descriptors(site: &Site) -> Result<PathBuf> {
    let folder = site.launch.folder();
    let (path, proto) = (folder.join("telemetry.desc"), folder.join("telemetry.proto"));
    // A program that runs may be reading it.
    if path.exists() {
        return Ok(path);
    }
    std::fs::write(&proto, TELEMETRY_PROTO)?;
    let input = DescriptorInput::Protos { files: vec![proto], includes: Vec::new() };
    std::fs::write(&path, Descriptors::load(&input)?.pool().encode_to_vec())?;
    Ok(path)
}

impl Served {
    /// Asks with a JSON body, as clients of Kafka Connect do.
    pub(crate) fn json(&self, method: &str, path: &str, body: &str, status: u16) -> Result<Json> {
        let headers = [("Content-Type", "application/json")];
        let answer = request(self.address(), method, path, &headers, body.as_bytes())?;
        ensure!(answer.status == status, "{method} {path}: {answer:?}");
        match answer.body.is_empty() {
            true => Ok(Json::Null),
            false => serde_json::from_str(&answer.body).context(answer.body),
        }
    }

    /// Waits until connector and task are in these states; no task is none.
    pub(crate) fn wait_connector(
        &mut self,
        connector: &Connector,
        state: &str,
        task: Option<&str>,
    ) -> Result<()> {
        let what = format!("{} to be {state} and {task:?}", connector.name);
        let path = connector.path("/status");
        self.headwater.wait_for(&what, PATIENCE, |headwater| {
            let answer = headwater.get(&path).ok();
            let status = answer.and_then(|it| serde_json::from_str::<Json>(&it.body).ok());
            status.is_some_and(|it| {
                it["connector"]["state"] == state && it["tasks"][0]["state"].as_str() == task
            })
        })
    }
}

/// The lengths of the runs in a topic; what is no run is an error.
pub(crate) fn runs(topic: &str) -> Result<Vec<u64>> {
    let mut runs: Vec<u64> = Vec::new();
    for_each(kafka(), topic, Isolation::Committed, |message| {
        let payload = message.payload().context("a value")?;
        let value: Json = serde_json::from_slice(payload)?;
        let sequence = value["sequence"].as_str().context("a sequence, as a text")?;
        let sequence: u64 = sequence.parse()?;
        match (sequence, runs.last_mut()) {
            (1, _) => runs.push(1),
            (next, Some(run)) if next == *run + 1 => *run = next,
            (other, run) => anyhow::bail!("{other} came after {run:?}"),
        }
        Ok(())
    })?;
    Ok(runs)
}

/// Demands that the topic holds runs of what the server has sent, call by call, and so many records
/// in all.
pub(crate) fn demand_runs(
    topic: &str,
    server: &ScriptedServer,
    records: Option<u64>,
) -> Result<u64> {
    let runs = runs(topic)?;
    let sent: Vec<u64> = server.calls().iter().filter_map(|it| it.last_sent()).collect();
    // A call may have brought nothing that was committed; runs are in the order of calls.
    let mut calls = sent.iter();
    for run in &runs {
        ensure!(calls.any(|sent| sent >= run), "runs {runs:?} of calls {sent:?}");
    }
    let count: u64 = runs.iter().sum();
    ensure!(records.is_none_or(|it| it == count), "{count} records of {records:?}: {runs:?}");
    println!("{count} records in {} runs, each record once", runs.len());
    Ok(count)
}
