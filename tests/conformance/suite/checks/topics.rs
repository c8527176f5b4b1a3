//! Topics and their settings.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::admin::{NewPartitions, ResourceSpecifier};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, admin::NewTopic, admin::TopicReplication};
use std::sync::Mutex;

use crate::clients::{Isolation, PATIENCE, drain, eventually, options, put, put_keyed, wait};
use crate::cluster::Cluster;

pub(crate) fn topics_are_created_grown_and_deleted(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("topic", 3)?;
    ensure!(partitions(cluster, &topic)? == Some(3));
    let admin = cluster.admin()?;

    let again = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    let refused = wait(admin.create_topics(&[again], &options()))??;
    ensure!(matches!(refused[..], [Err((_, RDKafkaErrorCode::TopicAlreadyExists))]));

    let more = [NewPartitions::new(&topic, 5)];
    ensure!(wait(admin.create_partitions(&more, &options()))??[0].is_ok());
    eventually("see five partitions", || {
        Ok((partitions(cluster, &topic)? == Some(5)).then_some(()))
    })?;
    let fewer = wait(admin.create_partitions(&[NewPartitions::new(&topic, 2)], &options()))??;
    ensure!(matches!(fewer[..], [Err((_, RDKafkaErrorCode::InvalidPartitions))]));

    ensure!(wait(admin.delete_topics(&[&topic], &options()))??[0].is_ok());
    eventually("see the topic gone", || Ok(partitions(cluster, &topic)?.is_none().then_some(())))?;
    Ok(())
}

/// The partitions of a topic, if it exists.
fn partitions(cluster: &Cluster, topic: &str) -> Result<Option<usize>> {
    let admin = cluster.admin()?;
    let metadata = admin.inner().fetch_metadata(Some(topic), PATIENCE)?;
    let topic = metadata.topics().first().context("the topic is described")?;
    Ok(topic.error().is_none().then(|| topic.partitions().len()))
}

pub(crate) fn a_compacted_topic_keeps_the_newest_of_each_key(cluster: &Cluster) -> Result<()> {
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "2000"),
        ("delete.retention.ms", "100"),
    ];
    let topic = cluster.topic_with("compacted", 1, &settings)?;
    let shown =
        wait(cluster.admin()?.describe_configs(&[ResourceSpecifier::Topic(&topic)], &options()))??;
    let shown = shown.into_iter().next().context("one resource")?.map_err(anyhow::Error::from)?;
    let policy = shown.get("cleanup.policy").and_then(|it| it.value.clone());
    ensure!(policy.as_deref() == Some("compact"), "cleanup.policy is {policy:?}");

    let producer = cluster.producer(&[("enable.idempotence", "true")])?;
    for index in 0..200 {
        let (key, value) = (format!("k{}", index % 10), format!("v{index}"));
        put_keyed(&producer, &topic, 0, &key, Some(&value))?;
    }
    put_keyed(&producer, &topic, 0, "k3", None)?;
    drain(&producer)?;
    ensure!(cluster.read(&topic, 1, Isolation::Committed)?.len() == 201, "nothing may go at once");

    // Both brokers leave the newest part of a log alone; more records let the older part go.
    let left = eventually("see the topic compacted", || {
        put_keyed(&producer, &topic, 0, "roll", Some("x"))?;
        drain(&producer)?;
        std::thread::sleep(Duration::from_millis(500));
        let read = cluster.read(&topic, 1, Isolation::Committed)?;
        let old = read.iter().filter(|it| it.key.as_deref() != Some("roll")).count();
        Ok((old <= 10).then_some(read))
    })?;
    ensure!(left.windows(2).all(|pair| pair[0].offset < pair[1].offset));
    let newest: BTreeMap<_, _> = left.into_iter().map(|it| (it.key, it.value)).collect();
    for index in (0..10).filter(|it| *it != 3) {
        let value = newest.get(&Some(format!("k{index}"))).cloned().flatten();
        ensure!(value == Some(format!("v{}", 190 + index)), "k{index} is {value:?}");
    }
    ensure!(newest.get(&Some("k3".to_owned())).cloned().flatten().is_none(), "k3 was deleted");
    Ok(())
}

pub(crate) fn a_message_over_the_topics_limit_is_refused(cluster: &Cluster) -> Result<()> {
    let usual = cluster.topic("usual", 1)?;
    let large = cluster.topic_with("large", 1, &[("max.message.bytes", "80000000")])?;
    let mut config = cluster.config();
    config.set("message.max.bytes", "80000000").set("linger.ms", "0");
    let producer: BaseProducer<Outcomes> = config.create_with_context(Outcomes::default())?;
    let value = "v".repeat(64 << 20);
    for topic in [&usual, &large] {
        let record = BaseRecord::<str, str>::to(topic).payload(&value);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.flush(PATIENCE)?;
    }
    let outcomes = producer.context().0.lock().expect("no delivery panics").clone();
    let refused = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
    ensure!(outcomes == [Err(refused), Ok(())], "{outcomes:?}");
    put(&cluster.producer(&[])?, &usual, 0, "small")?;
    ensure!(cluster.values(&large, Isolation::Committed)? == [value]);
    Ok(())
}

/// What became of each message.
#[derive(Default)]
struct Outcomes(Mutex<Vec<Result<(), KafkaError>>>);

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        self.0.lock().expect("no delivery panics").push(outcome);
    }
}
