//! A broker to check: where it is, and how to kill and restart it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long a broker may take to come up.
const START_MAX: Duration = Duration::from_secs(60);

/// A running broker.
pub(crate) struct Cluster {
    pub(crate) bootstrap: String,
    /// How many kills the crash loop shall survive; real Kafka needs seconds to come back.
    pub(crate) kills: usize,
    /// Names do not repeat on a cluster that several checks share.
    names: AtomicU32,
    prefix: String,
    process: Option<Mutex<Box<dyn Process>>>,
}

/// A broker process that can be killed.
trait Process: Send {
    /// kill -9 and nothing gentler.
    fn kill(&mut self) -> Result<()>;
    /// Starts again on the same port with the same data.
    fn restart(&mut self) -> Result<()>;
}

impl Cluster {
    fn new(bootstrap: String, prefix: &str, kills: usize) -> Cluster {
        let names = AtomicU32::new(0);
        Cluster { bootstrap, kills, names, prefix: prefix.to_owned(), process: None }
    }

    fn killable(mut self, process: impl Process + 'static) -> Cluster {
        self.process = Some(Mutex::new(Box::new(process)));
        self
    }

    /// A name that nothing else on the cluster has.
    pub(crate) fn name(&self, purpose: &str) -> String {
        format!("{}-{purpose}-{}", self.prefix, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Kills the broker, waits, and starts it again.
    pub(crate) fn kill_and_restart(&self, pause: Duration) -> Result<()> {
        let process = self.process.as_ref().context("this cluster is shared, not to be killed")?;
        let mut process = process.lock().expect("a failed restart ends the check");
        process.kill()?;
        std::thread::sleep(pause);
        process.restart()
    }
}

/// The embedded broker.
pub(crate) mod embedded {
    use headwater_broker::{Broker, BrokerConfig, Journal};
    use tempfile::TempDir;
    use tokio::runtime::Runtime;

    use super::*;

    const PORT: &str = "HEADWATER_CONFORMANCE_PORT";
    const JOURNAL: &str = "HEADWATER_CONFORMANCE_JOURNAL";

    /// Runs a check on a broker of its own, in this process and in memory.
    pub(crate) fn steady(check: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
        let runtime = Runtime::new()?;
        let broker = runtime.block_on(Broker::start(BrokerConfig::in_memory()))?;
        let checked = check(&Cluster::new(broker.bootstrap(), "check", 0));
        runtime.block_on(broker.shutdown());
        checked
    }

    /// Runs a check on a broker of its own, in another process and with a journal.
    pub(crate) fn crashing(check: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
        let folder = tempfile::tempdir()?;
        // The port is free now, and nobody else on this machine is about to ask for it.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut broker = BrokerProcess { port, folder, child: None };
        broker.restart()?;
        check(&Cluster::new(format!("127.0.0.1:{port}"), "check", 20).killable(broker))
    }

    /// The other process.
    pub(crate) fn serve_until_killed() -> Result<()> {
        let port: u16 = std::env::var(PORT).context(PORT)?.parse()?;
        let config = BrokerConfig {
            listen: (Ipv4Addr::LOCALHOST, port).into(),
            journal: Journal::File(std::env::var(JOURNAL).context(JOURNAL)?.into()),
            fsync: false,
        };
        let runtime = Runtime::new()?;
        let broker = runtime.block_on(Broker::start(config))?;
        runtime.block_on(std::future::pending::<()>());
        drop(broker);
        Ok(())
    }

    struct BrokerProcess {
        port: u16,
        folder: TempDir,
        child: Option<Child>,
    }

    impl Process for BrokerProcess {
        fn kill(&mut self) -> Result<()> {
            if let Some(mut child) = self.child.take() {
                child.kill()?;
                child.wait()?;
            }
            Ok(())
        }

        fn restart(&mut self) -> Result<()> {
            let child = Command::new(std::env::current_exe()?)
                .args(["--ignored", "--exact", "broker_process"])
                .env(PORT, self.port.to_string())
                .env(JOURNAL, self.folder.path().join("journal"))
                .stdout(Stdio::null())
                .spawn()?;
            let child = self.child.insert(child);
            let deadline = Instant::now() + START_MAX;
            while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
                if let Some(status) = child.try_wait()? {
                    bail!("the broker process ended while it started: {status}");
                }
                ensure!(Instant::now() < deadline, "the broker was not up in {START_MAX:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        }
    }

    impl Drop for BrokerProcess {
        fn drop(&mut self) {
            self.kill().ok();
        }
    }
}

/// Apache Kafka by `scripts/kafka`.
pub(crate) mod real {
    use std::io::{BufRead, BufReader, Write};
    use std::process::ChildStdin;
    use std::sync::{LazyLock, Once};

    use tempfile::TempDir;

    use super::*;

    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka");

    /// One Kafka serves all checks that do not kill it. It ends with this process, because its
    /// script waits for the end of its standard input.
    static SHARED: LazyLock<std::result::Result<Kafka, String>> =
        LazyLock::new(|| Kafka::start(None).map_err(|error| format!("{error:#}")));

    const SKIPPED: &str = "SKIPPED: real Kafka is tested with HEADWATER_KAFKA=real \
        (scripts/test sets it)";

    /// Runs a check on the shared Kafka.
    pub(crate) fn steady(name: &str, check: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
        if !is_wanted() {
            return Ok(());
        }
        let kafka = SHARED.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        check(&Cluster::new(kafka.bootstrap.clone(), name, 0))
    }

    /// Runs a check on a Kafka of its own.
    pub(crate) fn crashing(name: &str, check: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
        if !is_wanted() {
            return Ok(());
        }
        let kafka = Kafka::start(Some(tempfile::tempdir()?))?;
        check(&Cluster::new(kafka.bootstrap.clone(), name, 3).killable(kafka))
    }

    fn is_wanted() -> bool {
        static SAID: Once = Once::new();
        let is_wanted = std::env::var("HEADWATER_KAFKA").is_ok_and(|it| it == "real");
        if !is_wanted {
            // Past the test harness, which swallows what a passing test prints.
            SAID.call_once(|| drop(writeln!(std::io::stderr(), "\n{SKIPPED}\n")));
        }
        is_wanted
    }

    struct Kafka {
        bootstrap: String,
        /// Where its data is, if it is to be killed and restarted; else the script has a folder
        /// of its own and removes it.
        folder: Option<TempDir>,
        /// What is left of the script: its end stops Kafka.
        script: Child,
        stdin: Option<ChildStdin>,
    }

    impl Kafka {
        fn start(folder: Option<TempDir>) -> Result<Kafka> {
            let mut command = Command::new(SCRIPT);
            command.arg("run");
            if let Some(folder) = &folder {
                command.arg("--dir").arg(folder.path());
            }
            let mut script = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .with_context(|| format!("{SCRIPT} does not run"))?;
            let stdin = script.stdin.take();
            let stdout = script.stdout.take().context("standard output was piped")?;
            let mut bootstrap = String::new();
            BufReader::new(stdout).read_line(&mut bootstrap)?;
            let bootstrap = bootstrap.trim().to_owned();
            ensure!(!bootstrap.is_empty(), "{SCRIPT} run did not print an address");
            Ok(Kafka { bootstrap, folder, script, stdin })
        }

        fn call(&self, arguments: &[&str]) -> Result<()> {
            let folder = self.folder.as_ref().context("the shared Kafka is not to be killed")?;
            let mut command = Command::new(SCRIPT);
            command.args(arguments).arg("--dir").arg(folder.path()).stdout(Stdio::null());
            let status = command.status()?;
            ensure!(status.success(), "{SCRIPT} {arguments:?}: {status}");
            Ok(())
        }
    }

    impl Process for Kafka {
        fn kill(&mut self) -> Result<()> {
            self.call(&["stop", "--kill"])
        }

        fn restart(&mut self) -> Result<()> {
            let (_, port) = self.bootstrap.rsplit_once(':').context("host:port")?;
            self.call(&["start", "--keep", "--port", port])
        }
    }

    impl Drop for Kafka {
        fn drop(&mut self) {
            // The script would stop it gently, which nobody waits for here.
            self.call(&["stop", "--kill"]).ok();
            drop(self.stdin.take());
            self.script.wait().ok();
        }
    }
}
