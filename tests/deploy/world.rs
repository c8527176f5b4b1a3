//! A program at work, and a Prometheus that scrapes it each second.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer, ServerOptions, Step};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::pipeline::{OnEnd, Pipeline};
use headwater_test_support::process::{Headwater, Launch, free_address, get};
use headwater_test_support::wait;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::tools::{root, tool};

/// So long may anything take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Events a second on each call.
const RATE: u64 = 500;

/// One event in so many cannot be decoded and becomes a dead letter.
pub(crate) const BROKEN_EVERY: u64 = 100;

/// The program with two pipelines: `readings` of two fixed shards, `fleet` of a list of targets.
pub(crate) struct World {
    pub(crate) headwater: Headwater,
    server: Option<ScriptedServer>,
    address: SocketAddr,
    _launch: Launch,
    _cluster: Cluster,
}

/// Debian's Prometheus, with the project's rules.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl World {
    /// Starts all of it, on streams without end.
    pub(crate) fn start() -> Result<World> {
        World::on(serve(None)?)
    }

    /// Starts all of it beside `server`, and waits until both pipelines have committed.
    pub(crate) fn on(server: ScriptedServer) -> Result<World> {
        let cluster = Cluster::embedded()?;
        let address = server.address();
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let mut readings = pipeline("readings", &server, &cluster);
        let requests = "requests: [{ name: north }, { name: south }]";
        readings.source_extra.push(requests.to_owned());
        let mut fleet = pipeline("fleet", &server, &cluster);
        fleet.targets = Some("{ file: fleet.txt, interval_ms: 1000 }".to_owned());
        fs::write(launch.folder().join("fleet.txt"), format!("{address}\n"))?;
        let files = [readings.write(launch.folder())?, fleet.write(launch.folder())?];
        let mut headwater = launch.run_files(&files)?;
        headwater.wait_for("dead letters of both pipelines", PATIENCE, |it| {
            let letters = |name| {
                it.metrics().map_or(0.0, |it| {
                    it.sum_where("headwater_dead_letters_total", "pipeline", name)
                })
            };
            letters("readings") > 0.0 && letters("fleet") > 0.0
        })?;
        let server = Some(server);
        Ok(World { headwater, server, address, _launch: launch, _cluster: cluster })
    }

    /// Takes the gRPC server away.
    pub(crate) fn fell_server(&mut self) {
        drop(self.server.take().map(ScriptedServer::stop));
    }

    /// Brings it back where it was.
    pub(crate) fn raise_server(&mut self) -> Result<()> {
        self.server = Some(serve(Some(self.address))?);
        Ok(())
    }

    fn scraped_at(&self) -> SocketAddr {
        self.headwater.address()
    }
}

fn serve(listen: Option<SocketAddr>) -> Result<ScriptedServer> {
    let script = Script::new(u64::MAX).rest([Step::Pace(RATE), Step::SendAll]);
    let script = script.broken_every(BROKEN_EVERY);
    ScriptedServer::start_with(script, ServerOptions { listen, tls: None })
}

fn pipeline(name: &str, server: &ScriptedServer, cluster: &Cluster) -> Pipeline {
    let mut pipeline = Pipeline::new(server.endpoint(), cluster.bootstrap());
    (pipeline.name, pipeline.topic) = (name.to_owned(), name.to_owned());
    pipeline.on_end = OnEnd::Reconnect;
    pipeline.source_extra.push("reconnect: { backoff_max_ms: 500 }".to_owned());
    pipeline.decoder_extra.push("on_error: dead_letter".to_owned());
    let create = "{ partitions: 1, replication: 1 }";
    let dead = format!("dead_letter: {{ topic: {name}.dead, create: {create} }}");
    pipeline.sink_extra.push(dead);
    pipeline
}

impl Prometheus {
    /// Scrapes `world` each second, and evaluates the project's rules as often.
    pub(crate) fn scrape(world: &World) -> Result<Prometheus> {
        let folder = TempDir::with_prefix("headwater-prometheus-")?;
        let address = free_address()?;
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [root().join("deploy/prometheus/alerts.yaml")],
            "scrape_configs": [{
                "job_name": "headwater",
                "static_configs": [{ "targets": [world.scraped_at().to_string()] }],
            }],
        });
        let file = folder.path().join("prometheus.yml");
        // JSON is YAML.
        fs::write(&file, config.to_string())?;
        let log = fs::File::create(folder.path().join("log"))?;
        let child = Command::new(tool("prometheus")?)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("prometheus does not start")?;
        let prometheus = Prometheus { child, address, _folder: folder };
        wait::until("Prometheus to be ready", PATIENCE, || {
            get(address, "/-/ready").is_ok_and(|it| it.status == 200)
        })?;
        Ok(prometheus)
    }

    /// Waits until so many scrapes are there, so that rates have a base.
    pub(crate) fn wait_scrapes(&self, count: usize) -> Result<()> {
        let query = format!("count_over_time(headwater_build_info[1h]) >= {count}");
        wait::until("enough scrapes", PATIENCE, || {
            self.query(&query).is_ok_and(|it| !it.is_empty())
        })
    }

    /// The series that an expression comes to now.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<Json>> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expression)))?;
        let result = answer["data"]["result"].as_array().cloned();
        result.with_context(|| format!("`{expression}` is no vector: {answer}"))
    }

    /// The values of all series of one name, one a scrape, since so many seconds; each with the
    /// series as Prometheus writes it.
    pub(crate) fn recorded(&self, name: &str, seconds: u64) -> Result<Vec<(String, Vec<String>)>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (start, query) = (now - seconds, encoded(name));
        let path = format!("/api/v1/query_range?query={query}&start={start}&end={now}&step=1");
        let answer = self.ask(&path)?;
        let series = answer["data"]["result"].as_array().context("no matrix")?;
        Ok(series.iter().map(|it| (series_of(&it["metric"]), values_of(it))).collect())
    }

    /// What each rule comes to, by name: its health and, of an alert, its state.
    pub(crate) fn rules(&self) -> Result<Vec<Json>> {
        let answer = self.ask("/api/v1/rules")?;
        let groups = answer["data"]["groups"].as_array().context("no groups")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        Ok(rules.flatten().cloned().collect())
    }

    fn ask(&self, path: &str) -> Result<Json> {
        let answer = get(self.address, path)?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `name{label="value",…}`.
fn series_of(metric: &Json) -> String {
    let labels = metric.as_object().into_iter().flatten().filter(|(name, _)| *name != "__name__");
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}{{{}}}", metric["__name__"].as_str().unwrap_or_default(), labels.join(","))
}

fn values_of(series: &Json) -> Vec<String> {
    let values = series["values"].as_array().into_iter().flatten();
    values.filter_map(|it| it[1].as_str().map(str::to_owned)).collect()
}

/// Percent-encodes all but what is safe everywhere.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
