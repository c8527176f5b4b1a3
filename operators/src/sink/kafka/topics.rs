//! What must exist before the first record: topics of data, dead letters and gaps, and the progress
//! topic.
//!
//! Nothing is created unasked, except the progress topic, which is ours. It is checked at each
//! start: one partition (its log is the order of claims), compacted (it is a table), never deleted
//! by age (a forgotten position is a silent gap).

use crate::limits::KAFKA_REQUEST_TIMEOUT;
use crate::sink::kafka::KafkaSink;
use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::config::CreateTopic;
use crate::sink::kafka::context::Context;
use crate::sink::kafka::error::{KafkaStartError, is_denied, is_passing, request_error};
use crate::sink::kafka::progress::Mark;
use headwater_engine::commit::progress::{ProgressKey, StoredProgress};
use headwater_engine::ids::ShardKey;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;

/// Settings of a progress topic that we create: small segments, so that compaction keeps it short.
const PROGRESS_CONFIG: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// Partitions or copies of a topic when nobody says how many: the cluster's own default (KIP-464).
const OF_CLUSTER: i32 = -1;

/// How many partitions each topic has.
pub(super) type Partitions = BTreeMap<String, i32>;

type Admin = AdminClient<Context>;

/// Checks or creates every topic of `sinks` and the progress topic.
pub(super) fn prepare(
    target: &KafkaTarget,
    sinks: &[KafkaSink],
    progress_topic: &str,
    needs_progress: bool,
) -> Result<Partitions, KafkaStartError> {
    let admin: Admin = target.admin()?;
    let mut partitions = Partitions::new();
    for sink in sinks {
        // Topics that records are routed to are met one by one.
        if sink.route.is_none() {
            let create = sink.create.as_ref();
            let count = ensure(&admin, target, &sink.topic, create, "create")?;
            partitions.insert(sink.topic.clone(), count);
        }
        if let Some(dead_letter) = &sink.dead_letter {
            let create = dead_letter.create.as_ref();
            ensure(&admin, target, &dead_letter.topic, create, "dead_letter.create")?;
        }
        if let Some(gaps) = &sink.gaps {
            ensure(&admin, target, &gaps.topic, gaps.create.as_ref(), "gaps.create")?;
        }
    }
    if needs_progress && partitions_of(admin.inner(), target, progress_topic)?.is_none() {
        return Err(KafkaStartError::ProgressMissing { topic: progress_topic.to_owned() });
    }
    ensure_progress(&admin, target, sinks, progress_topic)?;
    Ok(partitions)
}

/// Demands that `topics` are there, of a pipeline that ran with them: what was deleted under it is
/// not made anew in silence.
pub(super) fn demand(target: &KafkaTarget, topics: &[&str]) -> Result<Partitions, KafkaStartError> {
    let admin: Admin = target.admin()?;
    let mut partitions = Partitions::new();
    for topic in topics {
        let gone = || KafkaStartError::TopicGone { topic: (*topic).to_owned() };
        let count = partitions_of(admin.inner(), target, topic)?.ok_or_else(gone)?;
        partitions.insert((*topic).to_owned(), count);
    }
    Ok(partitions)
}

/// The number of partitions of a topic that records are routed to; made first if it may be.
pub(super) fn look_up(
    target: &KafkaTarget,
    topic: &str,
    create: Option<&CreateTopic>,
) -> Result<i32, KafkaStartError> {
    let admin: Admin = target.admin()?;
    ensure(&admin, target, topic, create, "create")
}

fn ensure(
    admin: &Admin,
    target: &KafkaTarget,
    topic: &str,
    create: Option<&CreateTopic>,
    key: &'static str,
) -> Result<i32, KafkaStartError> {
    if let Some(count) = partitions_of(admin.inner(), target, topic)? {
        return Ok(count);
    }
    let Some(create) = create else {
        return Err(KafkaStartError::TopicMissing { topic: topic.to_owned(), key });
    };
    let config: Vec<(&str, String)> =
        create.config.iter().map(|(key, value)| (key.as_str(), value.to_string())).collect();
    let of_cluster = |count: Option<i32>| count.unwrap_or(OF_CLUSTER);
    let size = (of_cluster(create.partitions), of_cluster(create.replication));
    create_topic(admin, target, topic, size, &config)?;
    wait_until_known(admin, target, topic)
}

fn ensure_progress(
    admin: &Admin,
    target: &KafkaTarget,
    sinks: &[KafkaSink],
    topic: &str,
) -> Result<(), KafkaStartError> {
    if partitions_of(admin.inner(), target, topic)?.is_none() {
        let of_progress = sinks.iter().find_map(|sink| sink.progress.replication);
        let of_data =
            sinks.iter().find_map(|sink| sink.create.as_ref()).and_then(|c| c.replication);
        let replication = of_progress.or(of_data).unwrap_or(OF_CLUSTER);
        let config: Vec<(&str, String)> =
            PROGRESS_CONFIG.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        create_topic(admin, target, topic, (1, replication), &config)?;
    }
    let unfit = |problem: &str| KafkaStartError::ProgressTopicUnfit {
        topic: topic.to_owned(),
        problem: problem.to_owned(),
    };
    if wait_until_known(admin, target, topic)? != 1 {
        return Err(unfit("must have exactly one partition: its log is the order of claims"));
    }
    match cleanup_policy(admin, target, topic)?.as_deref() {
        Some("compact") | None => Ok(()),
        Some(other) => Err(unfit(&format!(
            "has cleanup.policy={other}, which forgets positions: set cleanup.policy=compact"
        ))),
    }
}

/// Makes the topic of a table if it is missing, and demands that it forgets nothing.
pub(super) fn ensure_table(
    target: &KafkaTarget,
    topic: &str,
    replication: Option<i32>,
) -> Result<(), KafkaStartError> {
    let admin: Admin = target.admin()?;
    if partitions_of(admin.inner(), target, topic)?.is_none() {
        let config = PROGRESS_CONFIG.map(|(key, value)| (key, value.to_owned()));
        let size = (1, replication.unwrap_or(OF_CLUSTER));
        create_topic(&admin, target, topic, size, &config)?;
    }
    let unfit =
        |problem: String| KafkaStartError::ConfigTopicUnfit { topic: topic.to_owned(), problem };
    let partitions = wait_until_known(&admin, target, topic)?;
    if partitions != 1 {
        return Err(unfit(format!(
            "has {partitions} partitions, and must have one: its log is the order of all changes; \
             name another with --config-topic"
        )));
    }
    match cleanup_policy(&admin, target, topic)?.as_deref() {
        Some("compact") | None => Ok(()),
        Some(other) => Err(unfit(format!(
            "has cleanup.policy={other}, which forgets pipelines: set cleanup.policy=compact, or \
             name another with --config-topic"
        ))),
    }
}

/// The number of partitions of a topic; `None` if it does not exist.
pub(super) fn partitions_of(
    client: &Client<Context>,
    target: &KafkaTarget,
    topic: &str,
) -> Result<Option<i32>, KafkaStartError> {
    let failed = |code: Option<RDKafkaErrorCode>, reason: String| {
        request_error(&target.brokers, format!("metadata of topic `{topic}`"), code, reason)
    };
    let metadata = client.fetch_metadata(Some(topic), KAFKA_REQUEST_TIMEOUT);
    let metadata =
        metadata.map_err(|error| failed(error.rdkafka_error_code(), error.to_string()))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(None);
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None if found.partitions().is_empty() => Ok(None),
        None => Ok(i32::try_from(found.partitions().len()).ok()),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Ok(None)
        }
        Some(code) => Err(failed(Some(code), code.to_string())),
    }
}

/// A topic that was just created is known to all brokers a moment later.
fn wait_until_known(
    admin: &Admin,
    target: &KafkaTarget,
    topic: &str,
) -> Result<i32, KafkaStartError> {
    const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(50);
    let attempts = KAFKA_REQUEST_TIMEOUT.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..attempts {
        if let Some(count) = partitions_of(admin.inner(), target, topic)? {
            return Ok(count);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let reason = "it was created and did not appear".to_owned();
    let what = format!("metadata of topic `{topic}`");
    Err(request_error(&target.brokers, what, None, reason))
}

fn create_topic(
    admin: &Admin,
    target: &KafkaTarget,
    topic: &str,
    size: (i32, i32),
    config: &[(&str, String)],
) -> Result<(), KafkaStartError> {
    let refused = |code: RDKafkaErrorCode| {
        let reason = code.to_string();
        if is_denied(code) || is_passing(code) {
            let what = format!("the creation of topic `{topic}`");
            return request_error(&target.brokers, what, Some(code), reason);
        }
        KafkaStartError::TopicNotCreated { topic: topic.to_owned(), reason }
    };
    let (partitions, replication) = size;
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication));
    for (key, value) in config {
        new = new.set(key, value);
    }
    let options = AdminOptions::new()
        .operation_timeout(Some(KAFKA_REQUEST_TIMEOUT))
        .request_timeout(Some(KAFKA_REQUEST_TIMEOUT));
    let outcomes = block_on(admin.create_topics([&new], &options));
    let failed = |error: KafkaError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
    let outcomes = outcomes.map_err(|error| refused(failed(error)))?;
    match outcomes.into_iter().next() {
        Some(Ok(_)) | Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
            tracing::info!(event = "topic_created", topic, partitions);
            Ok(())
        }
        Some(Err((_, code))) => Err(refused(code)),
        None => Err(refused(RDKafkaErrorCode::OperationTimedOut)),
    }
}

fn cleanup_policy(
    admin: &Admin,
    target: &KafkaTarget,
    topic: &str,
) -> Result<Option<String>, KafkaStartError> {
    let options = AdminOptions::new().request_timeout(Some(KAFKA_REQUEST_TIMEOUT));
    let resources = [ResourceSpecifier::Topic(topic)];
    let described = block_on(admin.describe_configs(&resources, &options));
    let unreachable = |error: KafkaError| KafkaStartError::Unreachable {
        brokers: target.brokers.clone(),
        what: format!("settings of topic `{topic}`"),
        reason: error.to_string(),
    };
    let described = described.map_err(unreachable)?;
    // Without the right to read settings the policy stays unknown, and that must not stop a start.
    let settings = described.into_iter().next().and_then(Result::ok);
    Ok(settings.and_then(|settings| settings.get("cleanup.policy")?.value.clone()))
}

/// Forgets the stored positions of `shards`, or of all if the list is empty, and everything else
/// that names the pipeline's past. Returns the shards that were forgotten.
///
/// # Errors
/// If the topic cannot be reached or read.
pub fn reset_progress(
    target: &KafkaTarget,
    pipeline: &str,
    topic: &str,
    shards: &[ShardKey],
) -> Result<Vec<ShardKey>, KafkaStartError> {
    let mark = Mark::open(target, pipeline, topic)?;
    let stored: StoredProgress = mark.read("read_committed")?;
    let wanted = |shard: &&ShardKey| shards.is_empty() || shards.contains(shard);
    let forgotten: Vec<ShardKey> = stored.shards.keys().filter(wanted).cloned().collect();
    for shard in &forgotten {
        let key = ProgressKey::Shard(shard.clone()).encode(pipeline);
        mark.append(&key, None)?;
    }
    Ok(forgotten)
}

/// Admin calls are futures that librdkafka's own thread completes; no runtime is needed to wait.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
