//! `headwater graph`: the pipeline's nodes and edges, for Mermaid or Graphviz.
//!
//! Nodes are numbered, so that no name can break the language it is drawn in.

use crate::args::{Graph, GraphFormat};
use crate::exit::{Exit, Outcome};
use crate::{learn, output};
use headwater_engine::spec::{Plan, PlanNode, Role};
use headwater_operators::sink::kafka::KafkaSink;
use headwater_operators::source::grpc::GrpcSource;
use std::fmt::Write as _;

/// Draws one file.
pub(crate) fn graph(options: &Graph) -> Outcome {
    let (plan, _) = learn::plan(&options.file, options.online.is_asked)?;
    let drawing = match options.format {
        GraphFormat::Mermaid => mermaid(&plan),
        GraphFormat::Dot => dot(&plan),
    };
    output::print(&drawing);
    Ok(Exit::Done)
}

pub(crate) fn mermaid(plan: &Plan) -> String {
    let mut out = format!("---\ntitle: {}\n---\nflowchart LR\n", plan.name());
    for node in plan.nodes() {
        let label = label(node).join("<br>").replace('"', "#quot;");
        let (open, close) = match node.role {
            Role::Source => ("([", "])"),
            Role::Decoder | Role::Transform => ("[", "]"),
            Role::Sink => ("[(", ")]"),
        };
        let _ = writeln!(out, "  n{}{open}\"{label}\"{close}", node.index);
    }
    for (from, to) in edges(plan) {
        let _ = writeln!(out, "  n{} -->|{}| n{}", from.index, carried(from), to.index);
    }
    out
}

pub(crate) fn dot(plan: &Plan) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out = format!("digraph \"{}\" {{\n  rankdir=LR;\n", quoted(plan.name()));
    for node in plan.nodes() {
        let lines: Vec<String> = label(node).iter().map(|line| quoted(line)).collect();
        let shape = match node.role {
            Role::Source => "ellipse",
            Role::Decoder | Role::Transform => "box",
            Role::Sink => "cylinder",
        };
        let label = lines.join("\\n");
        let _ = writeln!(out, "  n{} [shape={shape}, label=\"{label}\"];", node.index);
    }
    for (from, to) in edges(plan) {
        let carried = carried(from);
        let _ = writeln!(out, "  n{} -> n{} [label=\"{carried}\"];", from.index, to.index);
    }
    out.push_str("}\n");
    out
}

/// Name and kind, and the one thing a reader looks for: how many shards, or which topic.
fn label(node: &PlanNode) -> Vec<String> {
    let mut lines = vec![node.name.clone(), format!("{} {}", node.kind, node.role)];
    match (node.role, node.kind) {
        (Role::Source, _) => {
            let shards = node.config::<GrpcSource>().shard_count();
            lines.push(crate::words::plural(shards, "shard"));
        }
        (Role::Sink, "kafka") => {
            let sink = node.config::<KafkaSink>();
            lines.push(match &sink.route {
                None => format!("topic {}", sink.topic),
                Some(route) => format!("topics {}", route.name.replace("{topic}", &sink.topic)),
            });
        }
        _ => {}
    }
    lines
}

pub(crate) fn edges(plan: &Plan) -> impl Iterator<Item = (&PlanNode, &PlanNode)> {
    plan.nodes().iter().flat_map(|from| plan.outputs(from).map(move |to| (from, to)))
}

/// What flows on a node's edges.
pub(crate) fn carried(from: &PlanNode) -> String {
    let name = |output: &headwater_engine::spec::StreamType| match from.role {
        Role::Source => output.name.clone(),
        _ => output.encoding.to_string(),
    };
    from.output.as_ref().map(name).unwrap_or_default()
}
