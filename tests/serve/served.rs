//! A served program: its config topic, its API, and pipelines for it.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Call, Script, ScriptedServer};
use headwater_test_support::pipeline::{OnEnd, Pipeline};
use headwater_test_support::process::{Answer, Headwater, Launch, request};
use headwater_test_support::wait;
use rand::random;

use crate::world::{COMMITTED, PATIENCE, judge, kafka, server_at};

/// Programs that share a config topic.
pub(crate) struct Site {
    pub(crate) launch: Launch,
    pub(crate) topic: String,
    pub(crate) arguments: Vec<String>,
}

/// One running program.
pub(crate) struct Served {
    pub(crate) headwater: Headwater,
    pub(crate) token: Option<String>,
}

impl Site {
    /// A config topic that nobody else has.
    pub(crate) fn new() -> Result<Site> {
        let launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        fs::write(launch.folder().join("telemetry.proto"), headwater_proto::TELEMETRY_PROTO)?;
        let topic = format!("configs-{:08x}", random::<u32>());
        let arguments = ["--brokers", kafka(), "--config-topic", &topic, "--api-rate", "100000"];
        let arguments = arguments.into_iter().chain(["--workers", "2", "--takeover-after", "3"]);
        let arguments = arguments.map(str::to_owned).collect();
        Ok(Site { launch, topic, arguments })
    }

    /// Starts a program, without waiting for anything.
    pub(crate) fn start(&mut self) -> Result<Served> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Ok(Served { headwater: self.launch.serve(&arguments)?, token: None })
    }

    /// Starts a program and waits until it leads.
    pub(crate) fn lead(&mut self) -> Result<Served> {
        let mut served = self.start()?;
        served.wait_role("leader")?;
        Ok(served)
    }
}

impl Served {
    pub(crate) fn address(&self) -> SocketAddr {
        self.headwater.address()
    }

    /// Asks.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let token = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> =
            token.iter().map(|token| ("Authorization", token.as_str())).collect();
        request(self.address(), method, path, &headers, body.as_bytes())
    }

    /// Asks, and demands this status.
    pub(crate) fn demand(&self, method: &str, path: &str, body: &str, status: u16) -> Result<Json> {
        let answer = self.ask(method, path, body)?;
        ensure!(answer.status == status, "{method} {path}: {answer:?}");
        match answer.body.is_empty() {
            true => Ok(Json::Null),
            false => serde_json::from_str(&answer.body).context(answer.body),
        }
    }

    /// Makes a pipeline.
    pub(crate) fn create(&self, pipeline: &Pipeline) -> Result<Json> {
        self.demand("POST", "/pipelines", &pipeline.yaml(), 201)
    }

    /// Makes or replaces one.
    pub(crate) fn put(&self, pipeline: &Pipeline) -> Result<Answer> {
        self.ask("PUT", &format!("/pipelines/{}", pipeline.name), &pipeline.yaml())
    }

    pub(crate) fn status(&self, name: &str) -> Result<Json> {
        self.demand("GET", &format!("/pipelines/{name}/status"), "", 200)
    }

    /// Waits until a pipeline is in this state.
    pub(crate) fn wait_state(&mut self, name: &str, state: &str) -> Result<()> {
        let what = format!("{name} to be {state}");
        let path = format!("/pipelines/{name}/status");
        let token = self.token.clone();
        self.headwater.wait_for(&what, PATIENCE, |headwater| {
            let token = token.as_ref().map(|token| format!("Bearer {token}"));
            let headers: Vec<(&str, &str)> =
                token.iter().map(|token| ("Authorization", token.as_str())).collect();
            let answer = request(headwater.address(), "GET", &path, &headers, b"");
            answer.is_ok_and(|it| it.body.contains(&format!("\"state\":\"{state}\"")))
        })
    }

    /// Waits until this instance leads, or stands by.
    pub(crate) fn wait_role(&mut self, role: &str) -> Result<()> {
        let role = format!("\"role\":\"{role}\"");
        self.headwater.wait_for(&role.clone(), PATIENCE, |headwater| {
            headwater.get("/health").is_ok_and(|it| it.body.contains(&role))
        })
    }

    /// Records of a pipeline that this process has made visible.
    pub(crate) fn committed(&self, name: &str) -> f64 {
        let metrics = self.headwater.metrics();
        metrics.map_or(0.0, |it| it.sum_where(COMMITTED, "pipeline", name))
    }

    /// Waits until that is so many.
    pub(crate) fn wait_committed(&mut self, name: &str, count: f64) -> Result<()> {
        let what = format!("{count} committed records of {name}");
        wait::until_ok(&what, PATIENCE, || {
            ensure!(!self.headwater.has_ended()?, "it has ended:\n{}", self.headwater.log()?);
            Ok(self.committed(name) >= count)
        })
    }

    /// Gives an endless stream an end, past all that was ever sent, and demands that each event
    /// of it is in the topic once and in order.
    pub(crate) fn demand_exact(&mut self, name: &str, server: ScriptedServer) -> Result<u64> {
        const MORE: u64 = 500;
        let address = server.address();
        let last = server.stop().iter().filter_map(Call::last_sent).max();
        let total = last.context("the server has sent something")? + MORE;
        let _server = server_at(address, Script::new(total))?;
        self.wait_state(name, "FINISHED")?;
        let shards = [SHARD.to_owned()];
        let count = judge(kafka(), name, &shards, total)??;
        ensure!(count == total, "{count} records of {total}");
        Ok(total)
    }
}

/// The one shard of a pipeline here.
pub(crate) const SHARD: &str = "shard-1";

/// An answer's body.
pub(crate) type Json = serde_json::Value;

/// A pipeline from `endpoint` into the topic of its name.
pub(crate) fn pipeline(name: &str, endpoint: impl Into<String>) -> Pipeline {
    let mut pipeline = Pipeline::new(endpoint, kafka());
    pipeline.name = name.to_owned();
    pipeline.topic = name.to_owned();
    pipeline.partitions = Some(1);
    pipeline.on_end = OnEnd::Finish;
    pipeline.source_extra.push("reconnect: { backoff_min_ms: 20 }".to_owned());
    pipeline.source_extra.push(format!("requests: [{{ name: {SHARD} }}]"));
    pipeline.sink_extra.push("partition: shard\nheaders: { provenance: true }".to_owned());
    pipeline
}

/// A name that no other test has.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{:08x}", random::<u32>())
}
