//! The one way from the text of a pipeline file to a [`Plan`].
//!
//! The steps stand here in order; each reports all it finds and hands on what is still sound,
//! so that a file with a mistake in every corner gets one complete list.
//!
//! Invariants
//! 1. No plan is made while the report holds an error.
//! 2. A kind's check runs only for a node whose shape is sound and whose inputs have passed
//!    their own checks; it never sees a half-understood file.
//!
//! Next: `engine/src/spec/yaml/build.rs`, then `engine/src/spec/plan.rs`.

use std::path::Path;

use super::diagnostic::{Diagnostic, Place, Report, Span};
use super::document::{self, Document};
use super::draft::Draft;
use super::graph::{self, Graph};
use super::interpolate::Resolver;
use super::limits::FILE_BYTES_MAX;
use super::plan::{Plan, PlanNode};
use super::registry::{PlanProblem, Registry};
use super::render::Diagnostics;
use super::secrets::Secrets;
use super::tree::Node;
use super::typing::Typing;
use super::variables::Variables;
use super::yaml;

/// A pipeline file's text and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What diagnostics call the file, in `file:line:column`.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
    /// The folder that relative paths in the file are relative to.
    pub base_dir: &'a Path,
}

/// Checks a pipeline file and makes its plan; the diagnostics beside a plan are warnings.
///
/// # Errors
/// All mistakes of the file.
pub fn load(
    source: &Source<'_>,
    registry: &Registry,
    variables: &dyn Variables,
) -> Result<(Plan, Vec<Diagnostic>), Diagnostics> {
    let mut report = Report::new();
    let plan = read(source, variables, &mut report)
        .and_then(|read| plan(source, registry, read, &mut report));
    let failed = report.has_errors();
    match plan {
        Some(plan) if !failed => Ok((plan, report.into_findings())),
        _ => {
            assert!(failed, "a file without a plan has an error that says why");
            Err(Diagnostics::new(source, report.into_findings()))
        }
    }
}

/// A file's resolved tree, and what must not be shown of it.
struct Read {
    root: Node,
    secrets: Secrets,
}

fn read(source: &Source<'_>, variables: &dyn Variables, report: &mut Report) -> Option<Read> {
    if source.text.len() > FILE_BYTES_MAX {
        let start = Span { line: 1, column: 1, ..Span::default() };
        report
            .error(&Place::new(start), "the file is too large")
            .detail(format!("found: {} bytes", source.text.len()))
            .detail(format!("expected: at most {FILE_BYTES_MAX} bytes"));
        return None;
    }
    let mut root = yaml::parse(source.text, report)?;
    let mut resolver = Resolver::new(source, variables, report);
    resolver.resolve(&mut root);
    Some(Read { root, secrets: resolver.into_secrets() })
}

fn plan(source: &Source<'_>, registry: &Registry, read: Read, report: &mut Report) -> Option<Plan> {
    let Read { root, secrets } = read;
    let Document { name, settings, mut drafts } = document::read(root, registry, report)?;
    let Graph { order, inputs } = graph::connect(&mut drafts, report);
    let typing = Typing { drafts: &drafts, inputs: &inputs, base_dir: source.base_dir };
    let checked = typing.check(&order, &secrets, report);
    if report.has_errors() {
        return None;
    }
    // Nodes are numbered by their place in the order; `from` still speaks in drafts.
    let mut position = vec![usize::MAX; drafts.len()];
    for (index, &draft) in order.iter().enumerate() {
        position[draft] = index;
    }
    let nodes = order.iter().zip(checked).map(|(&draft, checked)| {
        let checked = checked.expect("without an error every node has passed its check");
        let kind = drafts[draft].kind.expect("without an error every kind is known");
        PlanNode {
            index: position[draft],
            name: drafts[draft].name().to_owned(),
            role: drafts[draft].role,
            kind: kind.name,
            inputs: inputs[draft].iter().map(|&input| position[input]).collect(),
            config: checked.config,
            output: checked.output,
        }
    });
    let nodes = nodes.collect();
    let plan = Plan::new(name?, settings?, nodes);
    check_plan(&plan, registry, &drafts, &secrets, report);
    Some(plan)
}

/// Reports what no node could know of the others, each problem at the node it names.
fn check_plan(
    plan: &Plan,
    registry: &Registry,
    drafts: &[Draft<'_>],
    secrets: &Secrets,
    report: &mut Report,
) {
    let mut found = Report::new();
    for PlanProblem { node, message, hint } in registry.plan_problems(plan) {
        let draft = drafts.iter().find(|draft| draft.name() == node);
        let place = draft.expect("a problem names a node of its plan").place();
        found.error(&place, message).hint(hint);
    }
    report.absorb(found, secrets);
}
