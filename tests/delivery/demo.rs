//! Goal: `headwater demo --kafka` shows on a visitor's cluster what it shows on its own broker.
//! Method: Apache Kafka; the numbers it prints must agree with each other and with a reader here.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use headwater_test_support::topic::{Isolation, Sequences, event, for_each};
use rdkafka::message::Message;

use crate::world::{count, own_kafka};

/// The topic of `examples/pipelines/demo.yaml`.
const TOPIC: &str = "headwater-demo";

/// What the demo counted at its stations.
#[derive(Debug)]
struct Summary {
    sent: u64,
    received: u64,
    committed: u64,
    read: u64,
    missing: u64,
    duplicates: u64,
    out_of_order: u64,
}

/// Runs the demo for a few seconds against `bootstrap`.
fn demo(bootstrap: &str) -> Result<Summary> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(["demo", "--kafka", bootstrap, "--rate", "2000", "--duration", "8", "--plain"]);
    let output = command.output().context("headwater demo")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {text}\n{errors}", output.status);
    assert!(text.contains(&format!("{bootstrap}, yours")), "{text}");
    assert!(text.contains("every event arrived exactly once"), "{text}");
    Summary::read(&text)
}

impl Summary {
    fn read(text: &str) -> Result<Summary> {
        let number = |key: &str| {
            let line = text.lines().find_map(|line| line.trim_start().strip_prefix(key));
            let digits = line.map(|line| line.replace([',', ' '], ""));
            let number = digits.and_then(|digits| digits.parse().ok());
            number.with_context(|| format!("no number behind `{key}`:\n{text}"))
        };
        Ok(Summary {
            sent: number("sent by the server")?,
            received: number("received by the pipeline")?,
            committed: number("committed to Kafka")?,
            read: number("read by a read_committed reader")?,
            missing: number("missing")?,
            duplicates: number("duplicates")?,
            out_of_order: number("out of order within a partition")?,
        })
    }

    fn demand_exact(&self) {
        let Summary { sent, received, committed, read, .. } = *self;
        // However many: a fresh cluster may take most of the time to be taken over.
        assert!(sent > 0, "{self:?}");
        assert_eq!([received, committed, read], [sent; 3], "{self:?}");
        let wrong = [self.missing, self.duplicates, self.out_of_order];
        assert_eq!(wrong, [0; 3], "{self:?}");
    }
}

/// Twice, because the cluster keeps what was there: the second run has a server of its own, whose
/// stream is another one, and is not confused by the records of the first.
#[test]
fn the_demo_is_exact_on_a_cluster_of_the_visitors_each_time() -> Result<()> {
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let first = demo(kafka.bootstrap())?;
    first.demand_exact();
    let mut sequences = Sequences::expect(1..=first.sent);
    for_each(kafka.bootstrap(), TOPIC, Isolation::Committed, |message| {
        let sequence = event::sequence(message.payload().unwrap_or_default());
        sequences.observe("", message.partition(), sequence.context("an event")?);
        Ok(())
    })?;
    assert_eq!(sequences.finish()?, first.sent);
    let second = demo(kafka.bootstrap())?;
    second.demand_exact();
    let records = count(kafka.bootstrap(), TOPIC, Isolation::Committed)?;
    assert_eq!(records, first.sent + second.sent);
    println!("{first:?}\n{second:?}");
    Ok(())
}
