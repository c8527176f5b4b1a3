//! The double of a pipeline: what runs in its place, and the topics it writes.
//!
//! Invariant: no topic of the double is a topic of the real pipeline; this is compared once more
//! before anything runs, however the names came about.
//!
//! Next: `src/bench/measure.rs` runs it.

use crate::args::{Bench, BenchBroker};
use crate::bench::change::{Change, kafka_sinks};
use crate::bench::child::{self, Running};
use crate::bench::generator::{Order, Served};
use crate::bench::limits::PARTITIONS_DEFAULT;
use crate::bench::part;
use crate::exit::{Exit, Failed};
use crate::load::Text;
use crate::subject;
use headwater_engine::spec::{Plan, Role};
use headwater_operators::sink::kafka::{
    CreateTopic, KafkaSink, KafkaTarget, Undeleted, delete_topics, like_topic,
};
use headwater_operators::source::grpc::GrpcSource;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What runs, and what runs beside it.
pub(super) struct Double {
    pub(super) plan: Arc<Plan>,
    /// The embedded broker's address, if that is used.
    pub(super) embedded: Option<String>,
    /// What is generated for each source, if anything is.
    pub(super) served: Option<BTreeMap<String, Served>>,
    /// They end with the double.
    _children: Vec<Running>,
}

impl Double {
    /// Starts what runs beside the double, and checks its plan. Nothing is written yet.
    pub(super) fn prepare(options: &Bench, text: &Text, real: &Plan) -> Result<Self, Failed> {
        refuse_routes(options, real)?;
        let order = order(options, text, real)?;
        let mut children = Vec::new();
        let embedded = match options.broker {
            BenchBroker::File => None,
            BenchBroker::Embedded => {
                let (broker, address) = child::start_broker()?;
                children.push(broker);
                Some(address)
            }
        };
        let creations = creations(real, embedded.is_some())?;
        let served = match order {
            None => None,
            Some(order) => {
                let (generator, served) = child::start_generator(order)?;
                children.push(generator);
                Some(served)
            }
        };
        let change = Change {
            suffix: format!("-bench-{:08x}", rand::random::<u32>()),
            creations,
            brokers: embedded.clone(),
            served: served.clone(),
            is_finite: options.generator.messages.is_some(),
        };
        let plan = text.check_changed(&|values| change.apply(real, values));
        let plan = plan.map_err(|mistakes| Exit::Mistake.saying(mistakes))?;
        refuse_shared(&topics(real), &topics(&plan))?;
        Ok(Double { plan: Arc::new(plan), embedded, served, _children: children })
    }

    /// The topics it writes.
    pub(super) fn topics(&self) -> BTreeSet<String> {
        topics(&self.plan)
    }

    /// How the cluster is reached; none if the double writes to none.
    pub(super) fn target(&self) -> Option<&KafkaTarget> {
        kafka_sinks(&self.plan).next().map(|sink| &sink.target)
    }

    /// Deletes its topics; returns those that stay, with the reason. What is in an embedded broker
    /// ends with it.
    pub(super) fn clean_up(&self) -> Vec<Undeleted> {
        let Some(target) = self.target().filter(|_| self.embedded.is_none()) else {
            return Vec::new();
        };
        let topics: Vec<String> = self.topics().into_iter().collect();
        delete_topics(target, &topics).unwrap_or_else(|error| {
            let reason = error.to_string();
            topics.into_iter().map(|topic| Undeleted { topic, reason: reason.clone() }).collect()
        })
    }
}

/// Topics that records are routed to are known only when they are met, so they would stay.
fn refuse_routes(options: &Bench, real: &Plan) -> Result<(), Failed> {
    let is_embedded = matches!(options.broker, BenchBroker::Embedded);
    if is_embedded || kafka_sinks(real).all(|sink| sink.route.is_none()) {
        return Ok(());
    }
    Err(Exit::Mistake.saying(
        "a sink routes records to topics of their own (`route`), which could not be deleted \
         afterwards; use --broker embedded",
    ))
}

/// What a generator is to do, if there is to be one; refused where it could not.
fn order(options: &Bench, text: &Text, real: &Plan) -> Result<Option<Order>, Failed> {
    if !options.generate {
        return Ok(None);
    }
    if let Some(objection) = part::objection(real) {
        return Err(Exit::Mistake.saying(objection));
    }
    let generator = &options.generator;
    let message_bytes = generator.message_bytes.map_or(0, |bytes| bytes as usize);
    for node in real.of_role(Role::Source) {
        let max = node.config::<GrpcSource>().message_bytes_max();
        if message_bytes > max {
            return Err(Exit::Mistake.saying(format!(
                "--message-bytes {message_bytes}: source `{}` takes messages of at most {max} \
                 bytes; see its `message_bytes_max`",
                node.name
            )));
        }
    }
    Ok(Some(Order {
        text: text.clone(),
        rate: generator.rate,
        messages: generator.messages,
        message_bytes,
        seed: generator.seed.unwrap_or(1),
    }))
}

/// How the double of each topic is created.
fn creations(real: &Plan, is_embedded: bool) -> Result<BTreeMap<String, CreateTopic>, Failed> {
    let mut all = BTreeMap::new();
    for sink in kafka_sinks(real) {
        for (topic, create) in topics_of(sink) {
            let create = if is_embedded { embedded(create) } else { like(sink, topic, create)? };
            all.insert(topic.to_owned(), create);
        }
    }
    Ok(all)
}

/// Like the topic itself, or as the file would create it.
fn like(
    sink: &KafkaSink,
    topic: &str,
    create: Option<&CreateTopic>,
) -> Result<CreateTopic, Failed> {
    let like = like_topic(&sink.target, topic).map_err(|error| subject::failed(&error))?;
    like.or_else(|| create.cloned()).ok_or_else(|| {
        Exit::Failed.saying(format!(
            "topic `{topic}` does not exist, so it is not known how many partitions its double \
             shall have: create it, or give the sink a `create`"
        ))
    })
}

/// The embedded broker is one node, and knows few settings of topics.
fn embedded(create: Option<&CreateTopic>) -> CreateTopic {
    let partitions = create.and_then(|create| create.partitions).unwrap_or(PARTITIONS_DEFAULT);
    let (partitions, replication) = (Some(partitions), Some(1));
    CreateTopic { partitions, replication, config: BTreeMap::new() }
}

/// The topics of a sink, and how the file would create them.
fn topics_of(sink: &KafkaSink) -> Vec<(&str, Option<&CreateTopic>)> {
    let dead_letter = sink.dead_letter.iter().map(|it| (it.topic.as_str(), it.create.as_ref()));
    let gaps = sink.gaps.iter().map(|it| (it.topic.as_str(), it.create.as_ref()));
    let records = std::iter::once((sink.topic.as_str(), sink.create.as_ref()));
    records.chain(dead_letter).chain(gaps).collect()
}

/// All topics that a plan writes.
fn topics(plan: &Plan) -> BTreeSet<String> {
    let of_sink = |sink: &KafkaSink| {
        let of_records = topics_of(sink).into_iter().map(|(topic, _)| topic.to_owned());
        of_records.chain([sink.progress_topic(plan.name())]).collect::<Vec<String>>()
    };
    kafka_sinks(plan).flat_map(of_sink).collect()
}

fn refuse_shared(real: &BTreeSet<String>, double: &BTreeSet<String>) -> Result<(), Failed> {
    match real.intersection(double).next() {
        None => Ok(()),
        Some(topic) => Err(Exit::Internal.saying(format!("the double would write to `{topic}`"))),
    }
}
