//! A broker for a test: embedded, real, or one that is already there.
//!
//! The embedded broker is for speed. What claims exactly once is also tried on real Apache Kafka,
//! which only here can be killed, restarted on its data, and frozen.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use headwater_broker::{Broker, BrokerConfig};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;

use crate::process::signal;
use crate::runtime::RUNTIME;
use crate::wait;

/// The variable that names a cluster to use instead of starting one.
pub const BOOTSTRAP_VARIABLE: &str = "KAFKA_BOOTSTRAP";

/// A cluster of one broker. Dropping it ends what it started.
pub struct Cluster {
    bootstrap: String,
    kind: Kind,
}

enum Kind {
    Embedded(Option<Broker>),
    Apache(Apache),
    Given,
}

/// How Apache Kafka is started, where it is not the usual way.
#[derive(Debug, Clone, Default)]
pub struct ApacheOptions {
    /// Settings of the broker that stand above those of `scripts/kafka`.
    pub settings: Vec<(&'static str, String)>,
    /// The port of a proxy, to which a second listener sends its clients.
    pub via: Option<u16>,
}

/// The broker process of the project's script, and where it keeps its data.
struct Apache {
    folder: TempDir,
    port: String,
    options: ApacheOptions,
}

const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

impl Cluster {
    /// The embedded broker, in this process, in memory.
    pub fn embedded() -> Result<Cluster> {
        let broker = RUNTIME.block_on(Broker::start(BrokerConfig::in_memory()))?;
        Ok(Cluster { bootstrap: broker.bootstrap(), kind: Kind::Embedded(Some(broker)) })
    }

    /// Real Apache Kafka, on a free port, with an empty data folder.
    pub fn apache() -> Result<Cluster> {
        Cluster::apache_with(ApacheOptions::default())
    }

    /// The same as `options` say.
    pub fn apache_with(options: ApacheOptions) -> Result<Cluster> {
        let folder = TempDir::with_prefix("headwater-kafka-")?;
        let bootstrap = script(&options.start(&[]), folder.path())?;
        let (_, port) = bootstrap.rsplit_once(':').context("scripts/kafka printed no address")?;
        let port = port.to_owned();
        Ok(Cluster { bootstrap, kind: Kind::Apache(Apache { folder, port, options }) })
    }

    /// A cluster that is already there, and stays.
    pub fn given(bootstrap: impl Into<String>) -> Cluster {
        Cluster { bootstrap: bootstrap.into(), kind: Kind::Given }
    }

    /// The cluster of `KAFKA_BOOTSTRAP`, if set.
    pub fn from_environment() -> Option<Cluster> {
        let bootstrap = std::env::var(BOOTSTRAP_VARIABLE).ok()?;
        (!bootstrap.is_empty()).then(|| Cluster::given(bootstrap))
    }

    /// What a client gives as `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where a proxy finds the listener that sends clients to it; see [`ApacheOptions::via`].
    pub fn behind(&self) -> Result<SocketAddr> {
        let address = std::fs::read_to_string(self.apache_folder()?.join("behind"));
        address.context("started for no proxy")?.trim().parse().context("the file of scripts/kafka")
    }

    /// The names of all topics that are there now; asking makes none.
    pub fn topics(&self) -> Result<Vec<String>> {
        let mut config = ClientConfig::new();
        let config = config.set("bootstrap.servers", &self.bootstrap);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let metadata = admin.inner().fetch_metadata(None, ADMIN_TIMEOUT)?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// What kind of broker this is, for reports.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Embedded(_) => "embedded broker",
            Kind::Apache(_) => "Apache Kafka, one node",
            Kind::Given => "given cluster",
        }
    }

    /// Makes a topic without replicas.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        self.create_topic_with(name, partitions, &[])
    }

    /// Makes a topic with settings.
    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let mut config = ClientConfig::new();
        let config = config.set("bootstrap.servers", &self.bootstrap);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT));
        let results = RUNTIME.block_on(admin.create_topics([&topic], &options))?;
        for result in results {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Raises a topic to so many partitions.
    pub fn add_partitions(&self, name: &str, partitions: usize) -> Result<()> {
        let mut config = ClientConfig::new();
        let config = config.set("bootstrap.servers", &self.bootstrap);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT));
        let wanted = [&NewPartitions::new(name, partitions)];
        let results = RUNTIME.block_on(admin.create_partitions(wanted, &options))?;
        for result in results {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let mut config = ClientConfig::new();
        let config = config.set("bootstrap.servers", &self.bootstrap);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT));
        let results = RUNTIME.block_on(admin.delete_topics(&[name], &options))?;
        for result in results {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Kills the broker, as `kill -9` does. Apache Kafka only.
    pub fn kill9(&self) -> Result<()> {
        script(&["stop", "--kill"], self.apache_folder()?).map(|_| ())
    }

    /// Asks the broker to end, and waits until it has. Apache Kafka only.
    pub fn stop(&self) -> Result<()> {
        script(&["stop"], self.apache_folder()?).map(|_| ())
    }

    /// Starts the broker again, on its data and at its port. Apache Kafka only.
    pub fn restart(&self) -> Result<()> {
        let Kind::Apache(apache) = &self.kind else {
            bail!("only Apache Kafka can be restarted, not the {}", self.name());
        };
        let again = ["--keep", "--port", &apache.port];
        let bootstrap = script(&apache.options.start(&again), apache.folder.path())?;
        ensure!(bootstrap == self.bootstrap, "restarted elsewhere: {bootstrap}");
        Ok(())
    }

    /// Freezes the broker, as a long pause of the machine does. Apache Kafka only.
    pub fn pause(&self) -> Result<()> {
        signal(self.apache_pid()?, "STOP")
    }

    /// Ends a [`Cluster::pause`].
    pub fn resume(&self) -> Result<()> {
        signal(self.apache_pid()?, "CONT")
    }

    /// Lets no file of the broker grow beyond `bytes` any more, as on a disk that is full; its
    /// next life has room again. Apache Kafka only.
    pub fn fill_disk(&self, bytes: u64) -> Result<()> {
        // Of util-linux, which every Debian has. A JVM ignores SIGXFSZ, so writes fail.
        let mut command = Command::new("prlimit");
        command.arg(format!("--pid={}", self.apache_pid()?)).arg(format!("--fsize={bytes}"));
        let status = command.status().context("cannot run prlimit of util-linux")?;
        ensure!(status.success(), "prlimit: {status}");
        Ok(())
    }

    /// Waits until the broker has ended by itself. Apache Kafka only.
    pub fn wait_ended(&self, timeout: Duration) -> Result<()> {
        let process = PathBuf::from(format!("/proc/{}", self.apache_pid()?));
        wait::until("the broker to end by itself", timeout, || !process.exists())
    }

    /// What the broker has printed in its present or last life. Apache Kafka only.
    pub fn log(&self) -> Result<String> {
        let log = std::fs::read(self.apache_folder()?.join("kafka.log"))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// Whether [`Cluster::kill9`] and its like can be had here.
    pub fn can_be_killed(&self) -> bool {
        matches!(self.kind, Kind::Apache(_))
    }

    /// Copies the log of the broker's present life into `folder`, if it has one.
    pub fn keep_log(&self, folder: &Path) -> Result<()> {
        if self.can_be_killed() {
            std::fs::copy(self.apache_folder()?.join("kafka.log"), folder.join("kafka.log"))?;
        }
        Ok(())
    }

    /// Leaves the broker's data where it is when the cluster is dropped; returns the place.
    pub fn keep_data(&mut self) -> Option<PathBuf> {
        let Kind::Apache(apache) = &mut self.kind else { return None };
        apache.folder.disable_cleanup(true);
        Some(apache.folder.path().to_owned())
    }

    fn apache_folder(&self) -> Result<&Path> {
        match &self.kind {
            Kind::Apache(apache) => Ok(apache.folder.path()),
            _ => bail!("only Apache Kafka can be killed or frozen, not the {}", self.name()),
        }
    }

    fn apache_pid(&self) -> Result<u32> {
        let pid = std::fs::read_to_string(self.apache_folder()?.join("pid"))?;
        pid.trim().parse().context("the pid file of scripts/kafka")
    }
}

impl ApacheOptions {
    /// The arguments that start the broker.
    fn start(&self, more: &[&str]) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["start"].iter().chain(more).map(ToString::to_string).collect();
        for (key, value) in &self.settings {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        if let Some(port) = self.via {
            arguments.extend(["--via".to_owned(), port.to_string()]);
        }
        arguments
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        match &mut self.kind {
            Kind::Embedded(broker) => {
                if let Some(broker) = broker.take() {
                    RUNTIME.block_on(broker.shutdown());
                }
            }
            Kind::Apache(apache) => {
                // A frozen process does not mind kill -9; one that is gone is no failure.
                let _ = script(&["stop", "--kill"], apache.folder.path());
            }
            Kind::Given => {}
        }
    }
}

/// Runs `scripts/kafka` and returns the line it prints.
pub(crate) fn script(arguments: &[impl AsRef<OsStr>], folder: &Path) -> Result<String> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let (command, rest) = arguments.split_first().context("a command for scripts/kafka")?;
    let command = command.as_ref();
    let mut child = Command::new(root.join("scripts/kafka"));
    child.arg(command).arg("--dir").arg(folder).args(rest);
    let output = child
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run scripts/kafka")?;
    ensure!(output.status.success(), "scripts/kafka {command:?}: {}", output.status);
    let printed = String::from_utf8(output.stdout)?;
    Ok(printed.lines().last().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_process_can_do_is_refused_for_the_embedded_broker() {
        let cluster = Cluster::embedded().unwrap();
        for refused in [cluster.kill9(), cluster.restart(), cluster.pause()] {
            assert!(refused.unwrap_err().to_string().contains("embedded broker"));
        }
    }
}
