//! What a whole plan must satisfy beyond its nodes.
//!
//! [`registry()`](crate::registry()) hands this to the loader, so that such problems stand in the
//! same list as all others, each with its place in the file.
//!
//! - All Kafka sinks of a pipeline are one transaction, so they must name one cluster, in one way.
//! - Records, dead letters and progress have different readers: each has topics of its own.
//! - A decoder that sets messages aside needs a place for them behind it.
//! - An epoch must end well before the broker gives up on its transaction.
//! - A silence after which an instance takes over is longer than a few heartbeats.
//! - `require: exactly_once` must be reachable by every stream.

use crate::decode::protobuf::{OnError, ProtobufDecoder};
use crate::pipeline::guarantee::{Guarantee, StreamGuarantee, streams};
use crate::sink::kafka::KafkaSink;
use headwater_engine::spec::{Plan, PlanNode, PlanProblem, Requirement, Role};

/// How many heartbeats fit into a silence after which another instance takes over.
const HEARTBEATS_IN_A_SILENCE: u64 = 3;

/// All problems of `plan`.
#[must_use]
pub fn check(plan: &Plan) -> Vec<PlanProblem> {
    let mut problems = one_cluster(plan);
    problems.extend(topics_apart(plan));
    problems.extend(room_for_dead_letters(plan));
    problems.extend(time_for_an_epoch(plan));
    problems.extend(time_for_a_heartbeat(plan));
    problems.extend(required_guarantee(plan));
    problems
}

fn one_cluster(plan: &Plan) -> Vec<PlanProblem> {
    let mut sinks = plan.of_role(Role::Sink).filter(|node| node.kind == "kafka");
    let Some(first) = sinks.next() else { return Vec::new() };
    let leader = first.config::<KafkaSink>();
    let differs = |node: &&PlanNode| {
        let sink = node.config::<KafkaSink>();
        sink.target != leader.target || sink.progress != leader.progress
    };
    let problem = |node: &PlanNode| PlanProblem {
        node: node.name.clone(),
        message: format!(
            "its cluster, delivery, properties or progress differ from sink `{}`",
            first.name
        ),
        hint: "all Kafka sinks of a pipeline share one transaction: give them the same `brokers`, \
               `delivery`, `properties`, `transactional_id_prefix`, `transaction_timeout_ms` and \
               `progress`, or move one into a pipeline file of its own"
            .to_owned(),
    };
    sinks.filter(differs).map(problem).collect()
}

fn topics_apart(plan: &Plan) -> Vec<PlanProblem> {
    let of_kafka = |node: &&PlanNode| node.kind == "kafka";
    let sinks: Vec<&PlanNode> = plan.of_role(Role::Sink).filter(of_kafka).collect();
    let is_data = |topic: &str| sinks.iter().any(|it| it.config::<KafkaSink>().topic == topic);
    let is_dead_letters = |topic: &str| {
        let mut all = sinks.iter().filter_map(|it| it.config::<KafkaSink>().dead_letter.as_ref());
        all.any(|dead_letter| dead_letter.topic == topic)
    };
    let mut problems = Vec::new();
    for node in &sinks {
        let sink = node.config::<KafkaSink>();
        let progress = sink.progress_topic(plan.name());
        let dead_letters = sink.dead_letter.as_ref().map(|dead_letter| &dead_letter.topic);
        let mut clash = |topic: &str, uses: &str| {
            problems.push(PlanProblem {
                node: node.name.clone(),
                message: format!("topic `{topic}` is used for {uses}"),
                hint: "give each a topic of its own: their readers differ".to_owned(),
            });
        };
        if sink.progress.topic.is_none() && sink.topic == progress {
            clash(&progress, "records and for the pipeline's progress");
        }
        if dead_letters == Some(&progress) {
            clash(&progress, "dead letters and for the pipeline's progress");
        }
        let gaps = sink.gaps.as_ref().map(|gaps| &gaps.topic);
        if gaps == Some(&progress) {
            clash(&progress, "gaps and for the pipeline's progress");
        }
        if let Some(topic) = gaps.filter(|topic| **topic != sink.topic && is_data(topic)) {
            clash(topic, "gaps and for another sink's records");
        }
        if let Some(topic) = gaps.filter(|topic| is_dead_letters(topic)) {
            clash(topic, "gaps and for dead letters");
        }
        if let Some(topic) = dead_letters.filter(|topic| **topic != sink.topic && is_data(topic)) {
            clash(topic, "dead letters and for another sink's records");
        }
    }
    problems
}

fn room_for_dead_letters(plan: &Plan) -> Vec<PlanProblem> {
    let mut problems = Vec::new();
    for decoder in plan.of_role(Role::Decoder) {
        if decoder.config::<ProtobufDecoder>().on_error != OnError::DeadLetter {
            continue;
        }
        for sink in plan.outputs(decoder).filter(|node| node.kind == "kafka") {
            if sink.config::<KafkaSink>().dead_letter.is_none() {
                problems.push(PlanProblem {
                    node: sink.name.clone(),
                    message: format!(
                        "decoder `{}` sets messages aside, and this sink has no place for them",
                        decoder.name
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
        sink.is_transactional() && interval_ms > timeout_ms / 2
    };
    let problem = |node: &PlanNode| PlanProblem {
        node: node.name.clone(),
        message: format!(
            "`commit.interval_ms` is {interval_ms}, more than half of `transaction_timeout_ms`: the \
             broker may abort a transaction before its epoch ends"
        ),
        hint: "shorten the interval, or lengthen the timeout".to_owned(),
    };
    let sinks = plan.of_role(Role::Sink).filter(|node| node.kind == "kafka");
    sinks.filter(is_tight).map(problem).collect()
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
    sink.filter(|_| is_tight).map(problem).into_iter().collect()
}

fn required_guarantee(plan: &Plan) -> Vec<PlanProblem> {
    if plan.settings().require != Some(Requirement::ExactlyOnce) {
        return Vec::new();
    }
    let weak = streams(plan).into_iter().filter(|stream| stream.guarantee < Guarantee::ExactlyOnce);
    let problem = |stream: StreamGuarantee| PlanProblem {
        node: stream.source.clone(),
        message: format!(
            "`require: exactly_once`, but the stream to sink `{}` reaches {}",
            stream.sink, stream.guarantee
        ),
        hint: stream.weakened_by.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    };
    weak.map(problem).collect()
}
