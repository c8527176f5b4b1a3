//! `headwater offsets`: what Kafka remembers of a pipeline, shown or forgotten.
//!
//! Progress lives in the pipeline's progress topic and nowhere else. Forgetting appends tombstones;
//! an instance that runs would go on from its own memory, so a reset is refused while one seems to
//! live.

use crate::args::{Reset, Show};
use crate::exit::{Exit, Failed, Outcome};
use crate::output;
use crate::subject::{Subject, failed, owner};
use crate::words::{age, count, plural, unix_ms};
use headwater_engine::commit::progress::{ShardProgress, StoredProgress};
use headwater_engine::ids::ShardKey;
use headwater_operators::sink::kafka::reset_progress;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

/// A pipeline that commits as often as by default is not silent for so long while records flow.
const RECENT_MS: i64 = 60_000;

/// Shows where each shard stands.
pub(crate) fn show(options: &Show) -> Outcome {
    let subject = Subject::load(&options.file)?;
    let stored = subject.read()?;
    if options.json {
        output::line(&format!("{:#}", as_json(&subject, &stored)));
    } else {
        output::print(&as_text(&subject, &stored));
    }
    Ok(Exit::Done)
}

/// Forgets where shards stand, or says what it would forget.
pub(crate) fn reset(options: &Reset) -> Outcome {
    let subject = Subject::load(&options.file)?;
    let stored = subject.read()?;
    let wanted: Vec<ShardKey> = options.shards.iter().cloned().map(ShardKey).collect();
    refuse_unknown(&wanted, &stored)?;
    let forgotten: Vec<&ShardKey> =
        stored.shards.keys().filter(|key| wanted.is_empty() || wanted.contains(key)).collect();
    if forgotten.is_empty() {
        output::line(&format!("nothing is stored for pipeline {}", subject.plan.name()));
        return Ok(Exit::Done);
    }
    output::print(&would_forget(&forgotten, &stored));
    let shards = plural(forgotten.len(), "shard");
    if !options.yes {
        return Err(Exit::Mistake.saying(format!(
            "nothing was forgotten; to forget {shards}, stop the pipeline and repeat the command with --yes"
        )));
    }
    refuse_alive(&stored, options.force)?;
    let gone = subject.forget(&wanted)?;
    output::line(&format!("forgot {}", plural(gone.len(), "shard")));
    Ok(Exit::Done)
}

impl Subject {
    /// Forgets where these shards stand, or all if none is named.
    pub(crate) fn forget(&self, shards: &[ShardKey]) -> Result<Vec<ShardKey>, Failed> {
        let target = &self.sink().target;
        let gone = reset_progress(target, self.plan.name(), &self.topic, shards);
        gone.map_err(|error| failed(&error))
    }
}

fn refuse_unknown(wanted: &[ShardKey], stored: &StoredProgress) -> Result<(), Failed> {
    let Some(unknown) = wanted.iter().find(|key| !stored.shards.contains_key(key)) else {
        return Ok(());
    };
    let known: Vec<String> = stored.shards.keys().map(ToString::to_string).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(Exit::Mistake.saying(format!("no shard `{unknown}` is stored; stored are: {known}")))
}

/// A process of this machine can be seen; one elsewhere only by how lately it committed.
fn refuse_alive(stored: &StoredProgress, force: bool) -> Result<(), Failed> {
    let Some(owner) = owner(stored) else { return Ok(()) };
    let last = stored.shards.values().map(|shard| shard.at_unix_ms).max().unwrap_or(0);
    let sign = if runs_here(&owner.instance) {
        format!("instance `{}` runs on this machine", owner.instance)
    } else if !is_of_this_machine(&owner.instance) && unix_ms() - last < RECENT_MS {
        format!("instance `{}` committed {}", owner.instance, age(last))
    } else {
        return Ok(());
    };
    if force {
        eprintln!("warning: {sign}; it goes on from its own memory until it is restarted");
        return Ok(());
    }
    let hint = "stop it first, or add --force if you know that it is gone";
    Err(Exit::Mistake.saying(format!("{sign}, so nothing was forgotten: {hint}")))
}

/// Host and process id out of `host-pid-random`.
fn host_and_process(instance: &str) -> Option<(&str, u32)> {
    let (rest, _) = instance.rsplit_once('-')?;
    let (host, process) = rest.rsplit_once('-')?;
    Some((host, process.parse().ok()?))
}

fn is_of_this_machine(instance: &str) -> bool {
    let ours = headwater_operators::sink::kafka::instance_name();
    let host = |name| host_and_process(name).map(|(host, _)| host.to_owned());
    host(instance) == host(&ours)
}

/// Whether an instance of this machine is known to have ended.
pub(crate) fn has_left(instance: &str) -> bool {
    // A process id of our own was given anew, as to the first process of a container.
    let is_our_id = host_and_process(instance).is_some_and(|it| it.1 == std::process::id());
    is_of_this_machine(instance) && (is_our_id || !runs_here(instance))
}

/// Whether the process still runs under the name of this program; a process id may be used again.
fn runs_here(instance: &str) -> bool {
    let Some((_, process)) = host_and_process(instance) else { return false };
    let name = |process: &str| std::fs::read_to_string(format!("/proc/{process}/comm")).ok();
    let theirs = name(&process.to_string());
    is_of_this_machine(instance) && theirs.is_some() && theirs == name("self")
}

fn would_forget(forgotten: &[&ShardKey], stored: &StoredProgress) -> String {
    let mut out = String::new();
    for key in forgotten {
        let shard = &stored.shards[*key];
        let _ = writeln!(
            out,
            "{key}: {} committed, cursor {}, last {}",
            count(shard.committed),
            cursor(shard),
            age(shard.at_unix_ms)
        );
    }
    out
}

fn cursor(shard: &ShardProgress) -> String {
    shard.position.cursor.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn as_text(subject: &Subject, stored: &StoredProgress) -> String {
    let mut out = String::new();
    let mut line = |key: &str, text: String| {
        let _ = writeln!(out, "{key:<12} {text}");
    };
    line("pipeline", subject.plan.name().to_owned());
    line("progress", format!("topic {}", subject.topic));
    line("generation", stored.generation().to_string());
    let owner = owner(stored).map_or("none", |owner| owner.instance.as_str());
    line("owner", owner.to_owned());
    line("epoch", stored.epoch().map_or_else(|| "none".to_owned(), |epoch| epoch.to_string()));
    for (key, shard) in &stored.shards {
        out.push_str(&shard_text(key, shard));
    }
    if stored.shards.is_empty() {
        out.push_str("\nno shard has committed yet\n");
    }
    out
}

fn shard_text(key: &ShardKey, shard: &ShardProgress) -> String {
    let position = &shard.position;
    let counters = &position.counters;
    let mut out = format!("\nshard {key}\n");
    let mut line = |key: &str, text: String| {
        let _ = writeln!(out, "  {key:<12} {text}");
    };
    line("cursor", cursor(shard));
    line(
        "committed",
        format!(
            "{} records over all sinks, last {}",
            count(shard.committed),
            age(shard.at_unix_ms)
        ),
    );
    line("epoch", format!("{} of generation {}", shard.epoch, shard.generation));
    line("session", format!("{}, next sequence {}", position.session, position.next_sequence));
    line("received", count(counters.received));
    line("duplicates", format!("{} dropped", count(counters.dropped_duplicates)));
    if counters.heartbeats > 0 {
        line("heartbeats", count(counters.heartbeats));
    }
    line(
        "gaps",
        format!("{}, {} messages missing", count(counters.gaps), count(counters.gap_messages)),
    );
    line("dead letters", count(shard.dead_letters));
    out
}

pub(crate) fn as_json(subject: &Subject, stored: &StoredProgress) -> Json {
    let shard = |(key, shard): (&ShardKey, &ShardProgress)| {
        let mut json = serde_json::to_value(shard).expect("progress is plain data");
        json["shard"] = json!(key);
        json["age_ms"] = json!((unix_ms() - shard.at_unix_ms).max(0));
        json
    };
    json!({
        "pipeline": subject.plan.name(),
        "progress_topic": subject.topic,
        "generation": stored.generation(),
        "epoch": stored.epoch(),
        "owner": owner(stored).map(|owner| &owner.instance),
        "shards": stored.shards.iter().map(shard).collect::<Vec<Json>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_names_host_and_process() {
        assert_eq!(host_and_process("my-host-42-0a1b2c3d"), Some(("my-host", 42)));
        assert_eq!(host_and_process("unknown"), None);
        assert!(is_of_this_machine(&headwater_operators::sink::kafka::instance_name()));
        assert!(!is_of_this_machine("another.example-1-00000000"));
    }

    #[test]
    fn a_process_that_is_gone_does_not_run() {
        let ours = headwater_operators::sink::kafka::instance_name();
        assert!(runs_here(&ours));
        let (host, _) = host_and_process(&ours).expect("we name our instances ourselves");
        assert!(!runs_here(&format!("{host}-4294967294-00000000")));
    }
}
