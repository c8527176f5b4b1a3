//! What the connectors of the cases find around them: a gRPC server to stream from, a port where
//! nobody listens, and files. The server under test runs on this machine, so it can reach them.

use std::fs;

use anyhow::Result;
use headwater_proto::{DescriptorInput, Descriptors};
use headwater_telemetry::TelemetryServer;
use headwater_test_support::process::free_address;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::placeholder::Given;

/// Lasts as long as the cases are played.
pub struct World {
    folder: TempDir,
    server: Option<TelemetryServer>,
    closed_port: u16,
    runtime: Runtime,
}

/// Few: what is streamed is not what the cases are about.
const EVENTS_PER_SECOND: u64 = 20;
/// What `${file:{{folder}}/secrets.properties:host}` comes to.
const SECRETS: &str = "host=127.0.0.1\ntopic=contract-secret\n";

impl World {
    pub fn start() -> Result<World> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listen = "127.0.0.1:0".parse()?;
        let started = runtime.block_on(TelemetryServer::start_paced(listen, EVENTS_PER_SECOND));
        let folder = TempDir::with_prefix("headwater-connect-")?;
        let proto = folder.path().join("telemetry.proto");
        fs::write(&proto, headwater_proto::TELEMETRY_PROTO)?;
        let input = DescriptorInput::Protos { files: vec![proto], includes: Vec::new() };
        let descriptors = Descriptors::load(&input)?;
        fs::write(folder.path().join("telemetry.desc"), descriptors.pool().encode_to_vec())?;
        fs::write(folder.path().join("secrets.properties"), SECRETS)?;
        Ok(World { folder, server: Some(started?), closed_port: free_address()?.port(), runtime })
    }

    /// What stands for `{{grpc_port}}`, `{{closed_port}}` and `{{folder}}`.
    pub fn given(&self) -> Vec<Given> {
        let server = self.server.as_ref().expect("it runs until this is dropped");
        vec![
            ("folder", self.folder.path().display().to_string()),
            ("grpc_port", server.local_addr().port().to_string()),
            ("closed_port", self.closed_port.to_string()),
        ]
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shutdown());
        }
    }
}
