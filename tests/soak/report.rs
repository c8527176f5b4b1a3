//! What was done and what was found, for people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::plan::FAULTS;
use crate::stream::{Sent, Stream};
use crate::verdict::Found;
use crate::world::World;

/// Log events that show what the faults did to the engine; how often each, over all logs.
const EVENTS: [&str; 8] = [
    "pipeline_superseded",
    "pipeline_standby",
    "pipeline_takeover",
    "pipeline_rebuild",
    "sink_error",
    "reconnect_scheduled",
    "overlap_dropped",
    "sequence_gap_detected",
];

/// The whole run.
pub(crate) struct Report<'a> {
    pub(crate) world: &'a World,
    pub(crate) seed: u64,
    pub(crate) lasted: Duration,
    pub(crate) found: Vec<Found>,
    pub(crate) violations: Vec<String>,
}

impl Report<'_> {
    /// Writes `report.md` and `report.json` beside the logs in `folder`; returns the former.
    pub(crate) fn write(&self, folder: &Path) -> Result<String> {
        let events = count_events(folder)?;
        let json = serde_json::to_string_pretty(&self.json(&events))?;
        std::fs::write(folder.join("report.json"), json)?;
        let mut text = String::new();
        self.markdown(&mut text, &events)?;
        std::fs::write(folder.join("report.md"), &text)?;
        Ok(text)
    }

    fn json(&self, events: &BTreeMap<&str, u64>) -> Value {
        let done = &self.world.done;
        let faults = FAULTS.iter().map(|fault| {
            let count = done.faults.get(fault).copied().unwrap_or(0);
            let recoveries = done.recoveries.get(fault).map(Vec::as_slice).unwrap_or_default();
            json!({
                "fault": fault.name(), "count": count, "frames": done.frames.get(fault),
                "recovery_s": recoveries.iter().map(Duration::as_secs_f64).collect::<Vec<_>>(),
            })
        });
        let found = self.found.iter().map(|it| {
            json!({
                "stream": it.name, "shards": it.shards, "events_a_shard": it.events_a_shard,
                "records": it.records, "aborted_copies": it.aborted,
            })
        });
        let tally = &self.world.engines.tally;
        let sent = self.sent();
        json!({
            "seed": self.seed, "seconds": self.lasted.as_secs(),
            "broker": self.world.cluster.name(), "rounds": done.rounds,
            "faults": faults.collect::<Vec<_>>(),
            "recovery_of_pairs_s":
                done.recoveries_of_pairs.iter().map(Duration::as_secs_f64).collect::<Vec<_>>(),
            "streams": found.collect::<Vec<_>>(),
            "progress_compared": done.compared,
            "engine": {
                "starts": tally.starts, "stops": tally.stops,
                "rss_bytes_max": tally.rss_bytes_max, "log_events": events,
            },
            "servers": {
                "servers": sent.servers, "calls": sent.calls, "events": sent.events,
                "repeated": sent.repeated, "cuts": sent.cuts, "good_ends": sent.good_ends,
                "bad_ends": sent.bad_ends, "stalls": sent.stalls,
            },
            "end_txn_passed": self.world.commits_passed(),
            "violations": self.violations,
        })
    }

    fn markdown(&self, out: &mut String, events: &BTreeMap<&str, u64>) -> Result<()> {
        let verdict = if self.violations.is_empty() { "held" } else { "BROKEN" };
        let (done, tally) = (&self.world.done, &self.world.engines.tally);
        writeln!(out, "# Soak: the promise {verdict}\n")?;
        writeln!(
            out,
            "Seed {}, {} s, {} rounds on {}.\n",
            self.seed,
            self.lasted.as_secs(),
            done.rounds,
            self.world.cluster.name()
        )?;
        for violation in &self.violations {
            writeln!(out, "- VIOLATION {violation}")?;
        }
        self.write_faults(out)?;
        self.write_found(out)?;
        writeln!(out, "\nProgress compared with the topic: {} times.", done.compared)?;
        writeln!(
            out,
            "Engine: {} starts; ends on request {:?}; RSS at most {} MiB.",
            tally.starts,
            tally.stops,
            tally.rss_bytes_max >> 20
        )?;
        writeln!(out, "(workers, producers): {:?}.", tally.shapes)?;
        writeln!(out, "Log events: {events:?}.")?;
        writeln!(out, "Servers: {:?}.", self.sent())?;
        writeln!(out, "Requests to commit through the proxy: {:?}.", self.world.commits_passed())?;
        for (stream, reader) in self.world.streams.iter().zip(&self.world.readers) {
            let errors = reader.errors();
            writeln!(out, "Reader of {}: errors {errors:?}.", stream.pipeline.name)?;
        }
        Ok(())
    }

    fn write_faults(&self, out: &mut String) -> Result<()> {
        let done = &self.world.done;
        writeln!(out, "\n| fault | times | frames | until all shards moved: median, most |")?;
        writeln!(out, "|---|---:|---:|---|")?;
        for fault in FAULTS {
            let count = done.faults.get(&fault).copied().unwrap_or(0);
            let frames = done.frames.get(&fault).map_or(String::new(), u64::to_string);
            let recovery = done.recoveries.get(&fault).map_or(String::new(), |it| shown(it));
            writeln!(out, "| {} | {count} | {frames} | {recovery} |", fault.name())?;
        }
        let pairs = &done.recoveries_of_pairs;
        writeln!(out, "| two at once (counted above) | {} | | {} |", pairs.len(), shown(pairs))?;
        Ok(())
    }

    fn write_found(&self, out: &mut String) -> Result<()> {
        writeln!(
            out,
            "\n| stream | shards | events a shard | committed records | aborted copies |"
        )?;
        writeln!(out, "|---|---:|---:|---:|---:|")?;
        for it in &self.found {
            let Found { name, shards, events_a_shard, records, aborted } = it;
            writeln!(out, "| {name} | {shards} | {events_a_shard} | {records} | {aborted} |")?;
        }
        Ok(())
    }

    fn sent(&self) -> Sent {
        self.world.streams.iter().map(Stream::sent).fold(Sent::default(), Sent::plus)
    }
}

/// Median and maximum of recoveries.
fn shown(recoveries: &[Duration]) -> String {
    let mut sorted = recoveries.to_vec();
    sorted.sort();
    let (Some(median), Some(most)) = (sorted.get(sorted.len() / 2), sorted.last()) else {
        return String::new();
    };
    format!("{:.1} s, {:.1} s", median.as_secs_f64(), most.as_secs_f64())
}

fn count_events(folder: &Path) -> Result<BTreeMap<&'static str, u64>> {
    let mut events: BTreeMap<&str, u64> = EVENTS.iter().map(|it| (*it, 0)).collect();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|it| it != "log") {
            continue;
        }
        let log = std::fs::read(&path)?;
        for line in String::from_utf8_lossy(&log).lines() {
            let Some((_, behind)) = line.split_once("event=") else { continue };
            let name = behind.split(' ').next().unwrap_or_default();
            if let Some(count) = events.get_mut(name) {
                *count += 1;
            }
        }
    }
    Ok(events)
}
