//! From a checked plan to what the engine builds: shards, columns, blueprint, outlet.
//!
//! The numbers that batches bear are given here, once per start: shards count through all sources
//! in the order of the file, sinks likewise, and every distinct field that a sink needs is one
//! column.

use crate::decode::column::{Demand, Purpose};
use crate::decode::protobuf::ProtobufDecoder;
use crate::decode::protobuf::operator::DecodeFactory;
use crate::pipeline::gaps::{gaps_of, set_aside_of};
use crate::pipeline::guarantee::reaches;
use crate::sink::kafka::{
    AcceptChange, HeldGeneration, JsonKey, KafkaSink, KeyConfig, OutletPlan, SinkEntry,
    WrittenTopics,
};
use crate::sink::outlet::SinkPart;
use crate::sink::stdout::StdoutSink;
use crate::source::ShardSpec;
use crate::source::grpc::GrpcSource;
use crate::transform::fields::operator::FieldsFactory;
use crate::transform::filter::FilterFactory;
use crate::transform::{FieldsTransform, FilterTransform};
use headwater_engine::dataflow::build::{Blueprint, BlueprintNode, Station};
use headwater_engine::dataflow::step::StepFactory;
use headwater_engine::ids::{ShardIndex, SinkIndex};
use headwater_engine::shards::{ShardEntry, ShardTable};
use headwater_engine::spec::{Plan, PlanNode, ProgressMissing, Role};
use std::sync::Arc;

/// One shard of the pipeline.
#[derive(Clone)]
pub struct Shard {
    /// Its place in the pipeline's shard table.
    pub index: ShardIndex,
    /// The place of its source in the plan.
    pub node: usize,
    /// Its place within its source.
    pub within: usize,
    /// Its name and fingerprint.
    pub spec: ShardSpec,
}

/// What a plan comes to.
pub struct Assembly {
    /// The shards that the file names, by index; those of a list that changes join later.
    pub shards: Vec<Shard>,
    /// What an index means; it grows with the shards that join.
    pub table: ShardTable,
    /// The graph.
    pub blueprint: Blueprint,
    /// What the sinks are, by sink index.
    pub parts: Vec<SinkPart>,
    /// The Kafka outlet, if any sink is one.
    pub outlet: Option<OutletPlan>,
}

/// Who starts the pipeline.
#[derive(Clone, Debug, Default)]
pub struct Incarnation {
    /// Names this process.
    pub instance: String,
    /// The generation that it holds or held.
    pub held: HeldGeneration,
    /// What to do with the position of a shard whose source has changed; left out, a change
    /// refuses to start.
    pub accept_change: Option<AcceptChange>,
    /// Who hears of the topics that are written to, if anybody wants to.
    pub written: Option<WrittenTopics>,
}

/// Assembles `plan` for `incarnation`.
#[must_use]
pub fn assemble(plan: &Plan, incarnation: &Incarnation) -> Assembly {
    let shards = shards(plan);
    let entry = |shard: &Shard| ShardEntry {
        key: shard.spec.key.clone(),
        fingerprint: shard.spec.fingerprint.clone(),
    };
    let table = ShardTable::new(shards.iter().map(entry));
    let columns = Columns::of(plan);
    let mut parts = Vec::new();
    let mut kafka = Vec::new();
    let mut nodes = Vec::new();
    for node in plan.nodes() {
        let station = match node.role {
            Role::Source => Station::Source,
            Role::Decoder | Role::Transform => Station::Step(step(plan, node, &columns, &table)),
            Role::Sink => {
                let sink = SinkIndex(u32::try_from(parts.len()).expect("a file has few sinks"));
                parts.push(part(plan, node, &columns, &mut kafka));
                Station::Sink(sink)
            }
        };
        nodes.push(BlueprintNode { name: node.name.clone(), inputs: node.inputs.clone(), station });
    }
    let outlet = (!kafka.is_empty()).then(|| OutletPlan {
        pipeline: plan.name().to_owned(),
        instance: incarnation.instance.clone(),
        sinks: kafka,
        shards: table.clone(),
        held: incarnation.held.clone(),
        ring: plan.settings().commit.ring,
        message_bytes_max: message_bytes_max(plan),
        needs_progress: plan.settings().commit.on_progress_missing == ProgressMissing::Fail,
        accept_change: incarnation.accept_change,
        written: incarnation.written.clone(),
    });
    let blueprint = Blueprint { name: plan.name().to_owned(), nodes };
    Assembly { shards, table, blueprint, parts, outlet }
}

/// What a node between source and sink does to batches.
fn step(
    plan: &Plan,
    node: &PlanNode,
    columns: &Columns,
    table: &ShardTable,
) -> Arc<dyn StepFactory> {
    let (name, shards) = (Arc::from(node.name.as_str()), table.clone());
    match (node.role, node.kind) {
        (Role::Decoder, _) => Arc::new(DecodeFactory {
            node: name,
            decoder: node.config::<ProtobufDecoder>().clone(),
            demands: columns.demands_on(plan, node),
            shards,
        }),
        (_, "filter") => {
            Arc::new(FilterFactory { transform: node.config::<FilterTransform>().clone() })
        }
        (_, "fields") => Arc::new(FieldsFactory {
            node: name,
            transform: node.config::<FieldsTransform>().clone(),
            shards,
        }),
        (_, other) => unreachable!("transform kind `{other}` is registered and has a step"),
    }
}

fn shards(plan: &Plan) -> Vec<Shard> {
    let of_source = |node: &PlanNode| {
        let specs = node.config::<GrpcSource>().shards().to_vec();
        let place = node.index;
        specs.into_iter().enumerate().map(move |(within, spec)| (place, within, spec))
    };
    let all = plan.of_role(Role::Source).flat_map(of_source).enumerate();
    let shard = |(index, (node, within, spec)): (usize, (usize, usize, ShardSpec))| Shard {
        index: ShardIndex(u32::try_from(index).expect("shards are far below 2^32")),
        node,
        within,
        spec,
    };
    all.map(shard).collect()
}

/// The largest message that a source hands over.
fn message_bytes_max(plan: &Plan) -> usize {
    let of_source = |node: &PlanNode| node.config::<GrpcSource>().message_bytes_max();
    plan.of_role(Role::Source).map(of_source).max().unwrap_or(0)
}

fn part(plan: &Plan, node: &PlanNode, columns: &Columns, kafka: &mut Vec<SinkEntry>) -> SinkPart {
    match node.kind {
        "kafka" => {
            let sink = node.config::<KafkaSink>();
            kafka.push(SinkEntry {
                node: node.name.clone(),
                sink: sink.clone(),
                key_column: key_demand(sink).map(|demand| columns.number(&demand)),
                timestamp_column: timestamp_demand(sink).map(|demand| columns.number(&demand)),
                header_columns: header_demands(sink)
                    .map(|(header, demand)| (header.clone(), columns.number(&demand)))
                    .collect(),
                route_column: route_demand(sink).map(|demand| columns.number(&demand)),
                dead_letters_of: [dead_letters_of(plan, node, sink), set_aside_of(plan, node)]
                    .concat(),
                gaps_of: gaps_of(plan, node),
            });
            SinkPart::Kafka(kafka.len() - 1)
        }
        "stdout" => SinkPart::Stdout(node.config::<StdoutSink>().clone()),
        "discard" => SinkPart::Discard,
        other => unreachable!("sink kind `{other}` is registered and has a part"),
    }
}

/// The decoders and transforms before `node` whose dead letters no sink before it sends to the same
/// topic.
fn dead_letters_of(plan: &Plan, node: &PlanNode, sink: &KafkaSink) -> Vec<String> {
    let topic = |sink: &KafkaSink| sink.dead_letter.as_ref().map(|it| it.topic.clone());
    let is_first = |step: &&PlanNode| {
        let mut rivals = plan.of_role(Role::Sink).filter(|rival| rival.kind == "kafka");
        let writer = rivals.find(|rival| {
            reaches(plan, step, rival) && topic(rival.config::<KafkaSink>()) == topic(sink)
        });
        writer.is_some_and(|writer| writer.index == node.index)
    };
    let steps = plan.nodes().iter().filter(|it| matches!(it.role, Role::Decoder | Role::Transform));
    steps.filter(is_first).map(|step| step.name.clone()).collect()
}

/// Every distinct field that some sink needs.
struct Columns(Vec<Demand>);

impl Columns {
    fn of(plan: &Plan) -> Columns {
        let mut all: Vec<Demand> = Vec::new();
        for demand in plan.of_role(Role::Sink).flat_map(demands_of) {
            if !all.contains(&demand) {
                all.push(demand);
            }
        }
        Columns(all)
    }

    fn number(&self, demand: &Demand) -> usize {
        let place = self.0.iter().position(|known| known == demand);
        place.expect("the columns hold every sink's demands")
    }

    /// The columns that a sink behind `decoder` reads; the others stay empty.
    fn demands_on(&self, plan: &Plan, decoder: &PlanNode) -> Vec<Option<Demand>> {
        let sinks = plan.of_role(Role::Sink).filter(|node| reaches(plan, decoder, node));
        let wanted: Vec<Demand> = sinks.flat_map(demands_of).collect();
        self.0.iter().map(|demand| wanted.contains(demand).then(|| demand.clone())).collect()
    }
}

fn demands_of(node: &PlanNode) -> Vec<Demand> {
    if node.kind != "kafka" {
        return Vec::new();
    }
    let sink = node.config::<KafkaSink>();
    let of_headers = header_demands(sink).map(|(_, demand)| demand);
    let of_record = key_demand(sink).into_iter().chain(timestamp_demand(sink));
    of_record.chain(of_headers).chain(route_demand(sink)).collect()
}

fn key_demand(sink: &KafkaSink) -> Option<Demand> {
    Some(match sink.key.as_ref()? {
        KeyConfig::Field(path) => Demand { path: path.clone(), purpose: Purpose::Key },
        KeyConfig::Json(JsonKey::Json(path)) => {
            Demand { path: path.clone(), purpose: Purpose::Json }
        }
        KeyConfig::Json(JsonKey::Object(members)) => {
            let members = members.iter().map(|(name, path)| (name.clone(), path.clone()));
            Demand { path: String::new(), purpose: Purpose::Object(members.collect()) }
        }
    })
}

fn header_demands(sink: &KafkaSink) -> impl Iterator<Item = (&String, Demand)> {
    let text = |path: &String| Demand { path: path.clone(), purpose: Purpose::Text };
    sink.headers.fields.iter().map(move |(header, path)| (header, text(path)))
}

fn route_demand(sink: &KafkaSink) -> Option<Demand> {
    let path = sink.route.as_ref()?.field.clone()?;
    Some(Demand { path, purpose: Purpose::Text })
}

fn timestamp_demand(sink: &KafkaSink) -> Option<Demand> {
    let (path, unit) = sink.timestamp.clone()?;
    Some(Demand { path, purpose: Purpose::Timestamp(unit) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::spec::{Source, SystemVariables, load};
    use std::path::Path;

    const FORK: &str = "
pipeline: fork
sources:
  feed:
    kind: grpc
    endpoint: http://127.0.0.1:1
    method: bench.v1.Telemetry/Subscribe
    descriptors: { protos: [telemetry.proto] }
decoders:
  json: { kind: protobuf, from: feed, to: json, on_error: dead_letter }
transforms:
  slim: { kind: fields, from: json, steps: [{ exclude: [site] }], on_error: dead_letter }
sinks:
  first: { kind: kafka, from: json, brokers: b, topic: one, dead_letter: { topic: dead } }
  second: { kind: kafka, from: json, brokers: b, topic: two, dead_letter: { topic: dead } }
  third: { kind: kafka, from: json, brokers: b, topic: three, dead_letter: { topic: other } }
  fourth: { kind: kafka, from: slim, brokers: b, topic: four, dead_letter: { topic: dead } }
  fifth: { kind: kafka, from: slim, brokers: b, topic: five, dead_letter: { topic: fifth } }
";

    #[test]
    fn of_sinks_with_one_dead_letter_topic_one_writes() {
        let base_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/pipelines");
        let source = Source { name: "fork.yaml", text: FORK, base_dir: &base_dir };
        let loaded = load(&source, &crate::registry(), &SystemVariables);
        let (plan, _) = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let assembly = assemble(&plan, &Incarnation::default());
        let outlet = assembly.outlet.expect("Kafka sinks make an outlet");
        let writers: Vec<_> = outlet.sinks.iter().map(|it| it.dead_letters_of.join(" ")).collect();
        assert_eq!(writers, ["json", "", "json", "slim", "json slim"], "in the order of the file");
    }
}
