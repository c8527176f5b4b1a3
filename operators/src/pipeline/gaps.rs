//! Which sink writes which source's gaps.
//!
//! A gap comes to every sink behind its source, and by several ways where the graph forks and
//! joins. Of all that name one topic, the first in the file writes.

use crate::pipeline::guarantee::reaches;
use crate::sink::kafka::KafkaSink;
use headwater_engine::spec::{Plan, PlanNode, Role};

/// The sources before `node` whose gaps no sink before it sends to the same topic.
pub(super) fn gaps_of(plan: &Plan, node: &PlanNode, sink: &KafkaSink) -> Vec<String> {
    let topic = |sink: &KafkaSink| sink.gaps.as_ref().map(|it| it.topic.clone());
    let is_rival = |rival: &&PlanNode| {
        rival.kind == "kafka" && topic(rival.config::<KafkaSink>()) == topic(sink)
    };
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
            gaps_of(&plan, node, node.config::<KafkaSink>()).join(" ")
        };
        assert_eq!([of("first"), of("second")], ["feed", "other"]);
    }
}
