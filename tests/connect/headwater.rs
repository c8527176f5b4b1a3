//! A `headwater serve` to play the cases against, over a Kafka of its own.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use headwater_test_support::process::{Headwater, Launch};
use rand::random;

use crate::delivery::kafka;

/// A program that runs until this is dropped.
pub struct Served {
    headwater: Headwater,
    _launch: Launch,
}

/// The worker that the cases were recorded from, as far as a connector sees it.
const WORKER: &str = "key.converter=org.apache.kafka.connect.json.JsonConverter\n\
                      value.converter=org.apache.kafka.connect.json.JsonConverter\n";

impl Served {
    pub fn start() -> Result<Served> {
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let worker = launch.folder().join("worker.properties");
        fs::write(&worker, WORKER)?;
        let topic = format!("configs-{:08x}", random::<u32>());
        let worker = worker.display().to_string();
        let arguments = ["--brokers", kafka(), "--config-topic", &topic, "--api-rate", "100000"];
        let more = ["--workers", "2", "--takeover-after", "3", "--connect-worker", &worker];
        let mut headwater = launch.serve(&[&arguments[..], &more].concat())?;
        headwater.wait_for("it to lead", Duration::from_secs(60), |headwater| {
            headwater.get("/health").is_ok_and(|it| it.body.contains("\"role\":\"leader\""))
        })?;
        Ok(Served { headwater, _launch: launch })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.headwater.address())
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.headwater.log().unwrap_or_default()
    }
}
