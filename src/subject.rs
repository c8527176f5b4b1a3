//! The pipeline that a command about Kafka means, and what Kafka knows of it.

use crate::exit::{Exit, Failed};
use crate::load;
use headwater_engine::commit::progress::{Owner, StoredProgress};
use headwater_engine::spec::{Plan, Role};
use headwater_operators::sink::kafka::{KafkaSink, KafkaStartError, read_progress};
use std::path::Path;
use std::sync::Arc;

/// The pipeline whose progress is meant.
pub(crate) struct Subject {
    pub(crate) plan: Arc<Plan>,
    /// Its progress topic.
    pub(crate) topic: String,
}

impl Subject {
    /// Reads the file.
    pub(crate) fn load(file: &Path) -> Result<Self, Failed> {
        // Where Kafka keeps what is kept does not depend on the types of messages.
        let plan = load::file(file)?.into_sketch();
        let name = plan.name().to_owned();
        Subject::of(plan).ok_or_else(|| {
            let why = format!("pipeline {name} has no Kafka sink, so nothing of it is kept");
            Exit::Mistake.saying(why)
        })
    }

    /// The same of a plan that is known; none if nothing of it is kept.
    pub(crate) fn of(plan: Arc<Plan>) -> Option<Self> {
        let topic = sink(&plan)?.progress_topic(plan.name());
        Some(Subject { plan, topic })
    }

    /// One of its Kafka sinks; all agree on the cluster and the progress topic.
    pub(crate) fn sink(&self) -> &KafkaSink {
        sink(&self.plan).expect("a subject has a Kafka sink")
    }

    /// What is committed of it.
    pub(crate) fn read(&self) -> Result<StoredProgress, Failed> {
        let stored = read_progress(&self.sink().target, self.plan.name(), &self.topic);
        stored.map_err(|error| failed(&error))
    }
}

/// All Kafka sinks of a plan name one cluster and one progress topic.
fn sink(plan: &Plan) -> Option<&KafkaSink> {
    let first = plan.of_role(Role::Sink).find(|node| node.kind == "kafka")?;
    Some(first.config::<KafkaSink>())
}

/// A request to Kafka came to nothing.
pub(crate) fn failed(error: &KafkaStartError) -> Failed {
    let exit = if error.may_heal() { Exit::Unavailable } else { Exit::Failed };
    exit.saying(error.to_string())
}

/// Who claimed or wrote last.
pub(crate) fn owner(stored: &StoredProgress) -> Option<&Owner> {
    stored.owner_of(stored.generation()).or(stored.manifest.as_ref())
}
