//! A real etcd, which can be killed and started again on its data, and what a client writes to it.
//!
//! Why real: how far a watch is, what a compaction does to it and how a message is cut into
//! fragments are etcd's own, and a fake would only know what its writer thinks of them.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use tempfile::TempDir;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

use crate::grpc::RawCodec;
use crate::runtime::RUNTIME;
use crate::wait;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it says how far a watch of quiet keys is.
const PROGRESS: &str = "200ms";

const SKIPPED: &str = "SKIPPED: there is no etcd; scripts/etcd fetch gets it";

/// An etcd of one node. Dropping it ends it.
pub struct Etcd {
    program: PathBuf,
    folder: TempDir,
    client: String,
    peer: String,
    process: Option<Child>,
}

impl Etcd {
    /// Starts one, empty. None, and a word about it, where there is none; with
    /// `HEADWATER_ETCD=real` that is an error.
    pub fn start() -> Result<Option<Etcd>> {
        static SAID: Once = Once::new();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/etcd");
        let found = Command::new(script).arg("path").output().context("scripts/etcd")?;
        if !found.status.success() {
            let is_wanted = std::env::var("HEADWATER_ETCD").is_ok_and(|it| it == "real");
            ensure!(!is_wanted, "HEADWATER_ETCD=real, and there is no etcd: scripts/etcd fetch");
            SAID.call_once(|| drop(writeln!(std::io::stderr(), "\n{SKIPPED}\n")));
            return Ok(None);
        }
        let program = PathBuf::from(String::from_utf8(found.stdout)?.trim());
        let folder = TempDir::with_prefix("headwater-etcd-")?;
        let (client, peer) = (free_address()?, free_address()?);
        let mut etcd = Etcd { program, folder, client, peer, process: None };
        etcd.run()?;
        Ok(Some(etcd))
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.client)
    }

    /// Ends it without warning.
    pub fn kill9(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it runs")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Starts it again, on its data.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "it runs");
        self.run()
    }

    /// Sets a key; the revision of that.
    pub fn put(&self, key: &str, value: &[u8]) -> Result<i64> {
        let answer: Answer = self.call("Put", &put_request(key, value))?;
        Ok(answer.revision())
    }

    /// Sets several keys in one revision.
    pub fn put_all(&self, keys: &[String], value: &[u8]) -> Result<i64> {
        let put = |key: &String| Op { put: Some(put_request(key, value)) };
        let answer: Answer = self.call("Txn", &Txn { success: keys.iter().map(put).collect() })?;
        Ok(answer.revision())
    }

    /// Removes a key.
    pub fn delete(&self, key: &str) -> Result<i64> {
        let answer: Answer = self.call("DeleteRange", &Delete { key: key.into() })?;
        Ok(answer.revision())
    }

    /// Forgets what happened before `revision`.
    pub fn compact(&self, revision: i64) -> Result<()> {
        let _: Answer = self.call("Compact", &Compact { revision, physical: true })?;
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        let (client, peer) = (self.url(), format!("http://{}", self.peer));
        let mut command = Command::new(&self.program);
        command
            .arg("--data-dir")
            .arg(self.folder.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(["--experimental-watch-progress-notify-interval", PROGRESS])
            .args(["--logger", "zap", "--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.process = Some(command.spawn().context("etcd does not run")?);
        wait::until("etcd to answer", START_TIMEOUT, || self.delete("unheard-of").is_ok())
    }

    fn call<M: Message + Default>(&self, method: &str, request: &impl Message) -> Result<M> {
        let path = PathAndQuery::try_from(format!("/etcdserverpb.KV/{method}"))?;
        let request = tonic::Request::new(Bytes::from(request.encode_to_vec()));
        let endpoint = Endpoint::from_shared(self.url())?;
        let answer = RUNTIME.block_on(async {
            let channel: Channel = endpoint.connect().await?;
            let mut client = Grpc::new(channel);
            client.ready().await?;
            anyhow::Ok(client.unary(request, path, RawCodec).await?.into_inner())
        })?;
        Ok(M::decode(answer)?)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.kill9();
    }
}

fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn put_request(key: &str, value: &[u8]) -> Put {
    Put { key: key.into(), value: value.to_vec() }
}

// === what is said to etcd, by the numbers of its rpc.proto ===

#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Delete {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Op {
    #[prost(message, optional, tag = "2")]
    put: Option<Put>,
}

#[derive(Clone, PartialEq, Message)]
struct Txn {
    #[prost(message, repeated, tag = "2")]
    success: Vec<Op>,
}

#[derive(Clone, PartialEq, Message)]
struct Compact {
    #[prost(int64, tag = "1")]
    revision: i64,
    #[prost(bool, tag = "2")]
    physical: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(int64, tag = "3")]
    revision: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

impl Answer {
    fn revision(&self) -> i64 {
        self.header.as_ref().map_or(0, |header| header.revision)
    }
}
