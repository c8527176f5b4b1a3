//! The Java connector in Kafka Connect standalone, as one JVM that this process starts and ends.
//!
//! It runs as its documentation and Kafka's own start script say: string converters, one task, the
//! JVM options of `connect-standalone.sh` (2 GiB of heap, G1). One setting is not its default: it
//! may not reconnect, for a stream that has ended would be asked for again, from its first message.
//!
//! Done, for a connector, is only to be seen from outside: everything is sent, and the topic has
//! been still for a while.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use headwater_proto::{DescriptorInput, Descriptors};
use headwater_test_support::process::{self, Usage};
use headwater_test_support::wait;
use serde_json::Value;
use tempfile::TempDir;

use crate::subject::{Run, Seen, Subject, Work};

/// Where the connector is.
#[derive(Debug, Args)]
pub struct Place {
    /// The folder of Kafka Connect's jars: `libs` of Apache Kafka's binary distribution.
    #[arg(long, value_name = "DIR")]
    connect_libs: Option<PathBuf>,

    /// The connector's jar, or a folder of all its jars.
    #[arg(long, value_name = "PATH")]
    connector_jar: Option<PathBuf>,

    /// The program that runs them: Java 17 or later.
    #[arg(long, value_name = "PATH", default_value = "java")]
    java: PathBuf,

    /// One more option of the JVM, behind those of Kafka's start script; may be given again.
    #[arg(long = "java-option", value_name = "OPTION", allow_hyphen_values = true)]
    java_options: Vec<String>,
}

/// What is needed to start it, found.
pub struct Connector {
    libs: PathBuf,
    jars: Vec<PathBuf>,
    java: PathBuf,
    java_options: Vec<String>,
}

struct Running {
    child: Child,
    rest: SocketAddr,
    name: String,
    /// Holds the configuration and the log.
    folder: TempDir,
}

const CLASS: &str = "io.conduktor.connect.grpc.GrpcSourceConnector";
const CONVERTER: &str = "org.apache.kafka.connect.storage.StringConverter";
/// As `connect-standalone.sh` of Apache Kafka sets them.
const JVM: [&str; 7] = [
    "-Xms256M",
    "-Xmx2G",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
const LOG: &str = "connect.log";
const LOG_LINES_MAX: usize = 60;
/// A JVM on a busy machine takes its time.
const START_MAX: Duration = Duration::from_secs(120);
/// Longer than any pause that was seen in the middle of a stream.
const QUIET: Duration = Duration::from_secs(5);

impl Connector {
    /// Looks at what was named; none when nothing was.
    pub fn find(place: &Place) -> Result<Option<Connector>> {
        let (libs, jar) = match (&place.connect_libs, &place.connector_jar) {
            (None, None) => return Ok(None),
            (Some(libs), Some(jar)) => (libs, jar),
            _ => {
                bail!("--connect-libs and --connector-jar go together; see benches/peer/README.md")
            }
        };
        let libs = absolute(libs)?;
        let is_connect = |it: &PathBuf| it.to_string_lossy().contains("connect-runtime");
        let has_connect = jars(&libs)?.iter().any(is_connect);
        ensure!(has_connect, "no connect-runtime-*.jar in --connect-libs {}", libs.display());
        let jar = absolute(jar)?;
        let jars = if jar.is_dir() { jars(&jar)? } else { vec![jar.clone()] };
        ensure!(!jars.is_empty(), "no jar in --connector-jar {}", jar.display());
        let java_options = place.java_options.clone();
        Ok(Some(Connector { libs, jars, java: place.java.clone(), java_options }))
    }

    /// Writes what Connect reads: its worker's configuration, the connector's, the types of the
    /// stream, and a folder with the connector alone.
    fn lay_out(&self, folder: &Path, work: &Work<'_>, rest: SocketAddr) -> Result<()> {
        let plugin = folder.join("plugins/connector");
        fs::create_dir_all(&plugin)?;
        for jar in &self.jars {
            symlink(jar, plugin.join(jar.file_name().context("a jar has a name")?))?;
        }
        let proto = folder.join("telemetry.proto");
        fs::write(&proto, headwater_proto::TELEMETRY_PROTO)?;
        let input = DescriptorInput::Protos { files: vec![proto], includes: Vec::new() };
        let descriptors = Descriptors::load(&input)?;
        fs::write(folder.join("telemetry.desc"), descriptors.pool().encode_to_vec())?;
        write_properties(&folder.join("worker.properties"), &worker(folder, work, rest))?;
        write_properties(&folder.join("connector.properties"), &connector(folder, work)?)
    }
}

impl Subject for Connector {
    fn name(&self) -> &'static str {
        "connector"
    }

    fn is_exactly_once(&self) -> bool {
        false
    }

    fn start(&self, work: &Work<'_>) -> Result<Box<dyn Run>> {
        let folder = TempDir::with_prefix("headwater-peer-")?;
        let rest = process::free_address()?;
        self.lay_out(folder.path(), work, rest)?;
        let log = File::create(folder.path().join(LOG))?;
        let mut command = Command::new(&self.java);
        command.args(JVM).args(&self.java_options);
        command.arg("-cp").arg(self.libs.join("*"));
        command.arg("org.apache.kafka.connect.cli.ConnectStandalone");
        command.args(["worker.properties", "connector.properties"]).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child =
            command.spawn().with_context(|| format!("cannot start {}", self.java.display()))?;
        Ok(Box::new(Running { child, rest, name: work.name.to_owned(), folder }))
    }
}

impl Running {
    /// Its only task runs, as Connect's own REST interface says; a task that failed is an error.
    fn is_open(&mut self) -> Result<bool> {
        self.ensure_alive()?;
        let path = format!("/connectors/{}/status", self.name);
        let Ok(answer) = process::get(self.rest, &path) else { return Ok(false) };
        let status: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        match status["tasks"][0]["state"].as_str() {
            Some("RUNNING") => Ok(true),
            Some("FAILED") => bail!("the connector's task has failed:\n{}", answer.body),
            _ => Ok(false),
        }
    }

    fn ensure_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("Connect ended with {status}:\n{}", self.log_end()),
            None => Ok(()),
        }
    }
}

impl Run for Running {
    fn usage(&self) -> Result<Usage> {
        process::usage(self.child.id())
    }

    fn wait_open(&mut self) -> Result<()> {
        let waited = wait::until_ok("the connector's task", START_MAX, || self.is_open());
        waited.with_context(|| self.log_end())
    }

    fn is_done(&mut self, seen: Seen) -> Result<bool> {
        self.ensure_alive()?;
        Ok(seen.is_sent && seen.quiet >= QUIET)
    }

    fn log_end(&self) -> String {
        let log = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Everything that counts is on the broker; whether it is already gone does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn worker(folder: &Path, work: &Work<'_>, rest: SocketAddr) -> Vec<(&'static str, String)> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        ("bootstrap.servers", work.brokers.to_owned()),
        ("key.converter", CONVERTER.to_owned()),
        ("value.converter", CONVERTER.to_owned()),
        ("offset.storage.file.filename", file("offsets")),
        ("plugin.path", file("plugins")),
        ("listeners", format!("http://{rest}")),
    ]
}

fn connector(folder: &Path, work: &Work<'_>) -> Result<Vec<(&'static str, String)>> {
    let address = work.endpoint.strip_prefix("http://").and_then(|it| it.rsplit_once(':'));
    let (host, port) = address.context("the generator's endpoint is http://HOST:PORT")?;
    let request: serde_json::Map<String, Value> =
        work.load.request().into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
    Ok(vec![
        ("name", work.name.to_owned()),
        ("connector.class", CLASS.to_owned()),
        ("tasks.max", "1".to_owned()),
        ("grpc.server.host", host.to_owned()),
        ("grpc.server.port", port.to_owned()),
        ("grpc.service.name", "bench.v1.Telemetry".to_owned()),
        ("grpc.method.name", "Subscribe".to_owned()),
        ("grpc.request.message", Value::Object(request).to_string()),
        ("grpc.proto.descriptor", folder.join("telemetry.desc").display().to_string()),
        ("grpc.reconnect.enabled", "false".to_owned()),
        ("kafka.topic", work.name.to_owned()),
    ])
}

fn write_properties(path: &Path, properties: &[(&str, String)]) -> Result<()> {
    let line = |(key, value): &(&str, String)| format!("{key}={}\n", value.replace('\\', "\\\\"));
    fs::write(path, properties.iter().map(line).collect::<String>())?;
    Ok(())
}

/// Connect runs in a folder of its own.
fn absolute(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| path.display().to_string())
}

fn jars(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|it| Ok(it?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|it| it.extension().is_some_and(|it| it == "jar")).collect())
}
