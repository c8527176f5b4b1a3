//! Which sink writes down what a source found: its gaps, and the messages it set aside.
//!
//! Both come to every sink behind the source, and by several ways where the graph forks and joins.
//! Of all sinks that name one topic for them, the first in the file writes.

use crate::pipeline::guarantee::reaches;
use crate::sink::kafka::KafkaSink;
use crate::source::grpc::GrpcSource;
use headwater_engine::spec::{Plan, PlanNode, Role};

/// The sources before `node` whose gaps no sink before it sends to the same topic.
pub(super) fn gaps_of(plan: &Plan, node: &PlanNode) -> Vec<String> {
    sources_of(plan, node, |sink| Some(&sink.gaps.as_ref()?.topic))
}

/// The sources that set messages aside, by the same rule.
pub(super) fn set_aside_of(plan: &Plan, node: &PlanNode) -> Vec<String> {
    let mut sources = sources_of(plan, node, |sink| Some(&sink.dead_letter.as_ref()?.topic));
    let sets_aside = |name: &str| plan.node(name).is_some_and(sets_aside);
    sources.retain(|name| sets_aside(name));
    sources
}

/// Whether `source` may set messages aside.
pub(super) fn sets_aside(source: &PlanNode) -> bool {
    source.config::<GrpcSource>().sets_aside()
}

fn sources_of(
    plan: &Plan,
    node: &PlanNode,
    topic: impl Fn(&KafkaSink) -> Option<&String>,
) -> Vec<String> {
    let wanted = topic(node.config::<KafkaSink>());
    let is_rival =
        |rival: &&PlanNode| rival.kind == "kafka" && topic(rival.config::<KafkaSink>()) == wanted;
    let is_ours = |source: &&PlanNode| {
        let mut rivals = plan.of_role(Role::Sink).filter(is_rival);
        let writer = rivals.find(|rival| reaches(plan, source, rival));
        writer.is_some_and(|writer| writer.index == node.index)
    };
    let sources = plan.of_role(Role::Source).filter(is_ours);
    sources.map(|source| source.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::spec::{Source, SystemVariables, load};
    use std::path::Path;

    const TWO_WAYS: &str = "
pipeline: two_ways
sources:
  feed:
    kind: grpc
    endpoint: http://127.0.0.1:1
    method: bench.v1.Telemetry/Subscribe
    descriptors: { protos: [telemetry.proto] }
  other:
    kind: grpc
    endpoint: http://127.0.0.1:2
    method: bench.v1.Telemetry/Subscribe
    descriptors: { protos: [telemetry.proto] }
decoders:
  json: { kind: protobuf, from: feed, to: json }
  raw: { kind: protobuf, from: [feed, other], to: raw }
sinks:
  first: { kind: kafka, from: json, brokers: b, topic: one, gaps: { topic: gaps } }
  second: { kind: kafka, from: raw, brokers: b, topic: two, gaps: { topic: gaps } }
  third: { kind: kafka, from: raw, brokers: b, topic: three }
";

    #[test]
    fn a_gap_that_reaches_one_topic_by_two_ways_is_written_once() {
        let base_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/pipelines");
        let source = Source { name: "two.yaml", text: TWO_WAYS, base_dir: &base_dir };
        let loaded = load(&source, &crate::registry(), &SystemVariables);
        let (plan, _) = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let of = |name: &str| {
            let node = plan.node(name).expect("the file names it");
            gaps_of(&plan, node).join(" ")
        };
        assert_eq!([of("first"), of("second")], ["feed", "other"]);
    }
}
