//! What a whole plan must satisfy beyond its nodes.
//!
//! [`registry()`](crate::registry()) hands this to the loader, so that such problems stand in the
//! same list as all others, each with its place in the file.
//!
//! - All Kafka sinks of a pipeline are one transaction, so they must name one cluster, in one way.
//! - Records, dead letters and progress have different readers: each has topics of its own.
//! - A node that sets something aside needs a place for it behind it, and one way to that.
//! - An epoch must end well before the broker gives up on its transaction.
//! - A silence after which an instance takes over is longer than a few heartbeats.
//! - `require: exactly_once` must be reachable by every stream.
//!
//! Invariant: what follows from a value that was reported is not reported, so each rule asks
//! whether the keys it reads are known.

use crate::decode::protobuf::{OnError, ProtobufDecoder};
use crate::pipeline::gaps::sets_aside;
use crate::pipeline::guarantee::{
    Guarantee, StreamGuarantee, reaches, sink_part, source_part, streams, ways,
};
use crate::sink::kafka::KafkaSink;
use crate::transform::FieldsTransform;
use headwater_engine::spec::{Plan, PlanNode, PlanProblem, Requirement, Role};

/// How many heartbeats fit into a silence after which another instance takes over.
const HEARTBEATS_IN_A_SILENCE: u64 = 3;

/// All problems of `plan`.
#[must_use]
pub fn check(plan: &Plan) -> Vec<PlanProblem> {
    let mut problems = one_cluster(plan);
    problems.extend(topics_apart(plan));
    problems.extend(room_for_dead_letters(plan));
    problems.extend(one_way_for_dead_letters(plan));
    problems.extend(room_for_messages_out_of_order(plan));
    problems.extend(time_for_an_epoch(plan));
    problems.extend(time_for_a_heartbeat(plan));
    problems.extend(required_guarantee(plan));
    problems
}

fn one_cluster(plan: &Plan) -> Vec<PlanProblem> {
    let sinks: Vec<&PlanNode> = kafka_sinks(plan).collect();
    let problem = |node: &PlanNode, other: &PlanNode| PlanProblem {
        node: node.name.clone(),
        message: format!(
            "its cluster, delivery, properties or progress differ from sink `{}`",
            other.name
        ),
        hint: "all Kafka sinks of a pipeline share one transaction: give them the same `brokers`, \
               `delivery`, `properties`, `transactional_id_prefix`, `transaction_timeout_ms` and \
               `progress`, or move one into a pipeline file of its own"
            .to_owned(),
    };
    let mut problems = Vec::new();
    for (index, node) in sinks.iter().enumerate() {
        // The first one decides, or the first of which enough is known.
        let mut judged = sinks[..index].iter().map(|other| (other, is_elsewhere(node, other)));
        if let Some((other, Some(true))) = judged.find(|(_, judgement)| judgement.is_some()) {
            problems.push(problem(node, other));
        }
    }
    problems
}

/// The keys of a Kafka sink that say which cluster it writes to, and how.
const CLUSTER_KEYS: [&str; 6] = [
    "brokers",
    "delivery",
    "properties",
    "transactional_id_prefix",
    "transaction_timeout_ms",
    "progress",
];

/// Whether two sinks differ in a key that is known of both; none if a key that is not decides it.
fn is_elsewhere(one: &PlanNode, other: &PlanNode) -> Option<bool> {
    let (a, b) = (one.config::<KafkaSink>(), other.config::<KafkaSink>());
    let differs = |key: &str| match key {
        "brokers" => a.target.brokers != b.target.brokers,
        "delivery" => a.target.delivery != b.target.delivery,
        "properties" => a.target.properties != b.target.properties,
        "transactional_id_prefix" => {
            a.target.transactional_id_prefix != b.target.transactional_id_prefix
        }
        "transaction_timeout_ms" => {
            a.target.transaction_timeout_ms != b.target.transaction_timeout_ms
        }
        _ => a.progress != b.progress,
    };
    let is_known = |key: &str| one.knows(&[key]) && other.knows(&[key]);
    if CLUSTER_KEYS.into_iter().any(|key| is_known(key) && differs(key)) {
        return Some(true);
    }
    CLUSTER_KEYS.into_iter().all(is_known).then_some(false)
}

fn kafka_sinks(plan: &Plan) -> impl Iterator<Item = &PlanNode> {
    plan.of_role(Role::Sink).filter(|node| node.kind == "kafka")
}

fn topics_apart(plan: &Plan) -> Vec<PlanProblem> {
    kafka_sinks(plan).flat_map(|node| clashes(plan, node)).collect()
}

/// The topics of a sink that are used for two things. What goes to the records' own topic was
/// reported where it is named.
fn clashes(plan: &Plan, node: &PlanNode) -> Vec<PlanProblem> {
    let topic = known_topic(node);
    let progress = known_progress(plan, node);
    let is_default = node.config::<KafkaSink>().progress.topic.is_none();
    let is_data = |topic: &str| kafka_sinks(plan).any(|it| known_topic(it) == Some(topic));
    let is_dead = |topic: &str| kafka_sinks(plan).any(|it| dead_letters(it) == Some(topic));
    let is_progress = |topic: &str| progress.as_deref() == Some(topic);
    let mut problems = Vec::new();
    let mut clash = |topic: Option<&str>, uses: &str| {
        problems.extend(topic.map(|topic| PlanProblem {
            node: node.name.clone(),
            message: format!("topic `{topic}` is used for {uses}"),
            hint: "give each a topic of its own: their readers differ".to_owned(),
        }));
    };
    let own = topic.filter(|topic| is_default && is_progress(topic));
    clash(own, "records and for the pipeline's progress");
    for (besides, what) in [(dead_letters(node), "dead letters"), (gaps(node), "gaps")] {
        let besides = besides.filter(|besides| topic != Some(*besides));
        let of_progress = besides.filter(|topic| is_progress(topic));
        clash(of_progress, &format!("{what} and for the pipeline's progress"));
        let of_another = besides.filter(|topic| is_data(topic));
        clash(of_another, &format!("{what} and for another sink's records"));
    }
    let of_dead = gaps(node).filter(|gaps| topic != Some(*gaps) && is_dead(gaps));
    clash(of_dead, "gaps and for dead letters");
    problems
}

fn known_progress(plan: &Plan, node: &PlanNode) -> Option<String> {
    let sink = node.config::<KafkaSink>();
    let is_name_known = sink.progress.topic.is_some() || plan.knows(&["pipeline"]);
    let is_known = is_name_known && node.knows(&["progress", "topic"]);
    is_known.then(|| sink.progress_topic(plan.name()))
}

fn dead_letters(node: &PlanNode) -> Option<&str> {
    let dead_letter = node.config::<KafkaSink>().dead_letter.as_ref()?;
    Some(dead_letter.topic.as_str()).filter(|_| node.knows(&["dead_letter", "topic"]))
}

fn gaps(node: &PlanNode) -> Option<&str> {
    let gaps = node.config::<KafkaSink>().gaps.as_ref()?;
    Some(gaps.topic.as_str()).filter(|_| node.knows(&["gaps", "topic"]))
}

fn known_topic(node: &PlanNode) -> Option<&str> {
    Some(node.config::<KafkaSink>().topic.as_str()).filter(|_| node.knows(&["topic"]))
}

fn room_for_dead_letters(plan: &Plan) -> Vec<PlanProblem> {
    let mut problems = Vec::new();
    for (node, what) in setting_aside(plan) {
        for sink in kafka_sinks(plan).filter(|sink| reaches(plan, node, sink)) {
            if sink.config::<KafkaSink>().dead_letter.is_none() {
                problems.push(PlanProblem {
                    node: sink.name.clone(),
                    message: format!(
                        "{} `{}` sets {what} aside, and this sink has no place for them",
                        node.role, node.name
                    ),
                    hint: "add `dead_letter: { topic: … }`".to_owned(),
                });
            }
        }
    }
    problems
}

/// The nodes between source and sink that set something aside, and what.
fn setting_aside(plan: &Plan) -> impl Iterator<Item = (&PlanNode, &'static str)> {
    let sets_aside = |node: &PlanNode| match (node.role, node.kind) {
        (Role::Decoder, _) => Some((node.config::<ProtobufDecoder>().on_error, "messages")),
        (Role::Transform, "fields") => Some((node.config::<FieldsTransform>().on_error, "records")),
        _ => None,
    };
    plan.nodes().iter().filter_map(move |node| {
        let (on_error, what) = sets_aside(node)?;
        let is_it = node.knows(&["on_error"]) && on_error == OnError::DeadLetter;
        is_it.then_some((node, what))
    })
}

/// What is set aside once must not be written twice by one sink.
fn one_way_for_dead_letters(plan: &Plan) -> Vec<PlanProblem> {
    let mut problems = Vec::new();
    for (node, _) in setting_aside(plan) {
        for sink in kafka_sinks(plan).filter(|sink| ways(plan, node, sink) > 1) {
            problems.push(PlanProblem {
                node: sink.name.clone(),
                message: format!(
                    "what {} `{}` sets aside comes to this sink by several ways",
                    node.role, node.name
                ),
                hint: "give each way a sink of its own, with the same `dead_letter.topic`: one of \
                       them writes"
                    .to_owned(),
            });
        }
    }
    problems
}

/// What a source sets aside comes to every sink behind it.
fn room_for_messages_out_of_order(plan: &Plan) -> Vec<PlanProblem> {
    let mut problems = Vec::new();
    let is_known = |source: &&PlanNode| source.knows(&["resume", "on_out_of_order"]);
    let sources = plan.of_role(Role::Source).filter(is_known);
    for source in sources.filter(|source| sets_aside(source)) {
        let is_behind = |sink: &&PlanNode| sink.kind == "kafka" && reaches(plan, source, sink);
        for sink in plan.of_role(Role::Sink).filter(is_behind) {
            if sink.config::<KafkaSink>().dead_letter.is_none() {
                problems.push(PlanProblem {
                    node: sink.name.clone(),
                    message: format!(
                        "source `{}` sets messages aside (`on_out_of_order`), and this sink has no \
                         place for them",
                        source.name
                    ),
                    hint: "add `dead_letter: { topic: … }`".to_owned(),
                });
            }
        }
    }
    problems
}

/// A transaction is open for the whole interval and for its commit; half the timeout leaves the
/// commit as much time as the epoch.
fn time_for_an_epoch(plan: &Plan) -> Vec<PlanProblem> {
    let interval_ms = plan.settings().commit.interval_ms;
    let is_tight = |node: &&PlanNode| {
        let sink = node.config::<KafkaSink>();
        let timeout_ms = u64::from(sink.target.transaction_timeout_ms);
        let is_known = ["delivery", "transaction_timeout_ms"].map(|key| node.knows(&[key]));
        is_known == [true; 2] && sink.is_transactional() && interval_ms > timeout_ms / 2
    };
    let problem = |node: &PlanNode| PlanProblem {
        node: node.name.clone(),
        message: format!(
            "`commit.interval_ms` is {interval_ms}, more than half of `transaction_timeout_ms`: the \
             broker may abort a transaction before its epoch ends"
        ),
        hint: "shorten the interval, or lengthen the timeout".to_owned(),
    };
    let is_known = plan.knows(&["commit", "interval_ms"]);
    kafka_sinks(plan).filter(|_| is_known).filter(is_tight).map(problem).collect()
}

/// A heartbeat that is lost or late must not look like a silence.
fn time_for_a_heartbeat(plan: &Plan) -> Vec<PlanProblem> {
    let takeover = &plan.settings().takeover;
    let sink = plan.of_role(Role::Sink).find(|node| node.kind == "kafka");
    let is_tight = takeover.after_ms / HEARTBEATS_IN_A_SILENCE < takeover.heartbeat_ms;
    let problem = |node: &PlanNode| PlanProblem {
        node: node.name.clone(),
        message: format!(
            "`takeover.after_ms` is {}, less than {HEARTBEATS_IN_A_SILENCE} times \
             `takeover.heartbeat_ms`: an instance that stands by would take over from one that \
             lives",
            takeover.after_ms
        ),
        hint: "lengthen `after_ms`, or shorten `heartbeat_ms`".to_owned(),
    };
    let is_known = plan.knows(&["takeover"]);
    sink.filter(|_| is_known && is_tight).map(problem).into_iter().collect()
}

fn required_guarantee(plan: &Plan) -> Vec<PlanProblem> {
    let is_required = plan.settings().require == Some(Requirement::ExactlyOnce);
    if !is_required || !plan.knows(&["require"]) {
        return Vec::new();
    }
    streams(plan).iter().filter_map(|stream| too_weak(plan, stream)).collect()
}

/// Judges a stream by those of its two ends that are known.
fn too_weak(plan: &Plan, stream: &StreamGuarantee) -> Option<PlanProblem> {
    let source = plan.node(&stream.source).filter(|node| node.knows(&["resume"]));
    let sink = plan.node(&stream.sink).filter(|node| node.knows(&["delivery"]));
    let parts = [source.map(source_part), sink.map(sink_part)];
    let reached = parts.iter().flatten().map(|(guarantee, _)| *guarantee).min()?;
    if reached >= Guarantee::ExactlyOnce {
        return None;
    }
    let bound = if parts.iter().all(Option::is_some) { "" } else { "at most " };
    let weakened_by = parts.into_iter().flatten().filter_map(|(_, weakness)| weakness);
    Some(PlanProblem {
        node: stream.source.clone(),
        message: format!(
            "`require: exactly_once`, but the stream to sink `{}` reaches {bound}{reached}",
            stream.sink
        ),
        hint: weakened_by.map(|weakness| weakness.to_string()).collect::<Vec<_>>().join("; "),
    })
}
