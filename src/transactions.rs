//! `headwater transactions`: what a pipeline may hold open in Kafka, shown or ended.
//!
//! Meant for a bad day: readers stand still because a transaction is open, and whoever opened it is
//! gone or hangs. A start of the pipeline ends it as well; this does it without starting anything.

use crate::args::{AbortTransactions, ListTransactions};
use crate::exit::{Exit, Failed, Outcome};
use crate::output;
use crate::subject::{Subject, failed, owner};
use crate::words::{age, plural};
use headwater_engine::commit::progress::StoredProgress;
use headwater_engine::spec::Role;
use headwater_operators::sink::kafka::{
    HeldBack, KafkaSink, abort_transaction, held_back, transactional_ids,
};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

/// What is known about a pipeline's transactions.
struct Found {
    subject: Subject,
    stored: StoredProgress,
    ids: Vec<String>,
    held: Vec<HeldBack>,
}

/// Shows the ids and where readers are held back.
pub(crate) fn list(options: &ListTransactions) -> Outcome {
    let found = Found::look(Subject::load(&options.file)?)?;
    if options.json {
        output::line(&format!("{:#}", found.as_json()));
    } else {
        output::print(&found.as_text());
    }
    Ok(Exit::Done)
}

/// Ends what the ids have open, or says what it would end.
pub(crate) fn abort(options: &AbortTransactions) -> Outcome {
    let found = Found::look(Subject::load(&options.file)?)?;
    if found.ids.is_empty() {
        output::line("the pipeline writes without transactions");
        return Ok(Exit::Done);
    }
    output::print(&found.as_text());
    let ids = plural(found.ids.len(), "id");
    if !options.yes {
        return Err(Exit::Mistake.saying(format!(
            "nothing was aborted; to take {ids} and abort what is open, repeat the command with --yes"
        )));
    }
    for id in &found.ids {
        abort_transaction(&found.subject.sink().target, id).map_err(|error| failed(&error))?;
        output::line(&format!("aborted what {id} had open"));
    }
    Ok(Exit::Done)
}

impl Found {
    fn look(subject: Subject) -> Result<Self, Failed> {
        let stored = subject.read()?;
        let target = &subject.sink().target;
        let ring = subject.plan.settings().commit.ring;
        let ids = transactional_ids(target, subject.plan.name(), ring, &stored);
        let held = held_back(target, &topics(&subject)).map_err(|error| failed(&error))?;
        Ok(Found { subject, stored, ids, held })
    }

    fn as_text(&self) -> String {
        let mut out = String::new();
        let mut line = |key: &str, text: String| {
            let _ = writeln!(out, "{key:<12} {text}");
        };
        line("pipeline", self.subject.plan.name().to_owned());
        line("generation", self.stored.generation().to_string());
        line("owner", owner(&self.stored).map_or("none", |it| it.instance.as_str()).to_owned());
        line("last sign", self.last_sign().map_or_else(|| "none".to_owned(), age));
        for id in &self.ids {
            line("id", id.clone());
        }
        for held in &self.held {
            let HeldBack { topic, partition, stable_offset, end_offset } = held;
            let behind = plural(usize::try_from(end_offset - stable_offset).unwrap_or(0), "offset");
            let place = format!("{topic}[{partition}] at offset {stable_offset}");
            line("held back", format!("{place}, {behind} before the end: {}", self.whose(held)));
        }
        if self.held.is_empty() {
            out.push_str("\nno transaction is open: readers of committed records see everything\n");
        }
        out
    }

    fn as_json(&self) -> Json {
        let held = |held: &HeldBack| {
            json!({
                "topic": held.topic,
                "partition": held.partition,
                "stable_offset": held.stable_offset,
                "end_offset": held.end_offset,
                "is_ours": held.topic == self.subject.topic,
            })
        };
        json!({
            "pipeline": self.subject.plan.name(),
            "generation": self.stored.generation(),
            "owner": owner(&self.stored).map(|owner| &owner.instance),
            "last_sign_unix_ms": self.last_sign(),
            "transactional_ids": self.ids,
            "held_back": self.held.iter().map(held).collect::<Vec<Json>>(),
        })
    }

    /// When the owner last committed or showed that it lives.
    fn last_sign(&self) -> Option<i64> {
        let commits = self.stored.shards.values().map(|shard| shard.at_unix_ms);
        commits.chain(self.stored.alive.as_ref().map(|alive| alive.at_unix_ms)).max()
    }

    fn whose(&self, held: &HeldBack) -> &'static str {
        if held.topic == self.subject.topic {
            "a transaction of this pipeline"
        } else {
            "a transaction of this pipeline or of another writer"
        }
    }
}

/// Every topic the pipeline writes to, the progress topic last.
fn topics(subject: &Subject) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    let sinks = subject.plan.of_role(Role::Sink).filter(|node| node.kind == "kafka");
    for sink in sinks.map(|node| node.config::<KafkaSink>()) {
        let dead_letters = sink.dead_letter.as_ref().map(|it| it.topic.clone());
        topics.extend([Some(sink.topic.clone()), dead_letters].into_iter().flatten());
    }
    topics.sort();
    topics.dedup();
    topics.push(subject.topic.clone());
    topics
}
