//! The one way from the text of a pipeline file to a [`Plan`].
//!
//! The steps stand here in order; each reports all it finds and hands on what is still sound,
//! so that a file with a mistake in every corner gets one complete list.
//!
//! A file may leave something to be asked of a server ([`Checked::asking`]). It then comes to an
//! [`Outline`]: what can be said of it without asking, and the questions. Their answers are put
//! into the file's values, and it is loaded again.
//!
//! Invariants
//! 1. No plan is handed out while the report holds an error, or a question is open.
//! 2. A step never ends at a mistake: what it cannot read is unknown to the next one, and all else
//!    is checked.
//!
//! Next: `engine/src/spec/yaml/build.rs`, then `engine/src/spec/plan.rs`.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::change::Values;
use super::diagnostic::{Diagnostic, Place, Report, Span};
use super::document::{self, Document};
use super::draft::Draft;
use super::graph::{self, Graph};
use super::interpolate::Resolver;
use super::limits::FILE_BYTES_MAX;
use super::plan::{Plan, PlanNode};
use super::preset::{self, AppliedPreset};
use super::registry::{Checked, PlanProblem, Registry};
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

/// What a file without a mistake comes to.
#[derive(Debug)]
pub enum Loaded {
    /// Its plan.
    Plan(Plan),
    /// What is known of it before something outside was asked.
    Outline(Outline),
}

/// A file without a mistake, as far as that can be known without asking.
#[derive(Debug)]
pub struct Outline {
    sketch: Plan,
    questions: Vec<Question>,
}

/// What must be asked before a node can be checked in full.
#[derive(Clone)]
pub struct Question {
    /// The node's name.
    pub node: String,
    /// What to ask, as the check of the node's kind gave it.
    pub about: Arc<dyn Any + Send + Sync>,
}

/// Checks a pipeline file and makes its plan; the diagnostics beside a plan are warnings.
///
/// # Errors
/// All mistakes of the file; also what it leaves to be asked of a server.
pub fn load(
    source: &Source<'_>,
    registry: &Registry,
    variables: &dyn Variables,
) -> Result<(Plan, Vec<Diagnostic>), Diagnostics> {
    load_changed(source, registry, variables, &|_| {})
}

/// The same, with changes to the file's values: they are made before anything is checked, so the
/// plan has passed every check with them.
///
/// # Errors
/// All mistakes of the file as it was changed; also what it leaves to be asked of a server.
pub fn load_changed(
    source: &Source<'_>,
    registry: &Registry,
    variables: &dyn Variables,
    change: &dyn Fn(&mut Values<'_>),
) -> Result<(Plan, Vec<Diagnostic>), Diagnostics> {
    let mut report = Report::new();
    match load_into(source, registry, variables, change, &mut report) {
        Some(Loaded::Plan(plan)) => Ok((plan, report.into_findings())),
        Some(Loaded::Outline(outline)) => {
            outline.questions.iter().for_each(|question| question.refuse(&mut report));
            Err(Diagnostics::new(source, report.into_findings()))
        }
        None => Err(Diagnostics::new(source, report.into_findings())),
    }
}

/// The same for those who can ask: a file that leaves something to be asked is no mistake.
///
/// # Errors
/// All mistakes of the file as it was changed.
pub fn load_or_outline(
    source: &Source<'_>,
    registry: &Registry,
    variables: &dyn Variables,
    change: &dyn Fn(&mut Values<'_>),
) -> Result<(Loaded, Vec<Diagnostic>), Diagnostics> {
    let mut report = Report::new();
    match load_into(source, registry, variables, change, &mut report) {
        Some(loaded) => Ok((loaded, report.into_findings())),
        None => Err(Diagnostics::new(source, report.into_findings())),
    }
}

fn load_into(
    source: &Source<'_>,
    registry: &Registry,
    variables: &dyn Variables,
    change: &dyn Fn(&mut Values<'_>),
    report: &mut Report,
) -> Option<Loaded> {
    let loaded = read(source, variables, report).and_then(|mut read| {
        change(&mut Values::new(&mut read.root));
        let presets = preset::apply(&mut read.root, registry, report);
        plan(source, registry, read, presets, report)
    });
    let failed = report.has_errors();
    assert!(failed || loaded.is_some(), "a file without a plan has an error that says why");
    loaded.filter(|_| !failed)
}

impl Loaded {
    /// What is known: the plan, or the sketch of one.
    pub fn sketch(&self) -> &Plan {
        match self {
            Loaded::Plan(plan) => plan,
            Loaded::Outline(outline) => &outline.sketch,
        }
    }
}

impl Outline {
    /// The pipeline as far as it is known: its name, its settings, its nodes, and of their configs
    /// what does not depend on an answer. It cannot be run.
    pub fn sketch(&self) -> &Plan {
        &self.sketch
    }

    /// The same, for those who need no more.
    pub fn into_sketch(self) -> Plan {
        self.sketch
    }

    /// What must be asked, in the order of the file; at least one.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }
}

impl Question {
    fn refuse(&self, report: &mut Report) {
        let start = Span { line: 1, column: 1, ..Span::default() };
        report
            .error(
                &Place::new(start),
                format!("the types of {:?} are known to its server only", self.node),
            )
            .hint("this needs a file that holds them: see `descriptors.file` and `protos`");
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What presets gave, by node.
type Presets = BTreeMap<String, AppliedPreset>;

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

fn plan(
    source: &Source<'_>,
    registry: &Registry,
    read: Read,
    presets: Presets,
    report: &mut Report,
) -> Option<Loaded> {
    let Read { root, secrets } = read;
    let Document { head, mut drafts, lost } = document::read(root, registry, report)?;
    let graph = graph::connect(&mut drafts, &lost, report);
    let typing = Typing { drafts: &drafts, inputs: &graph.inputs, base_dir: source.base_dir };
    let checked = typing.check(&graph.order, &secrets, report);
    let plan = Plan::new(head, plan_nodes(&drafts, &graph, &checked, presets));
    let is_whole = plan.nodes().len() == drafts.len();
    assert!(is_whole || report.has_errors(), "without an error every node has a config");
    check_plan(&plan, registry, &drafts, &secrets, report);
    let questions = questions(&drafts, &checked);
    Some(match questions.is_empty() {
        true => Loaded::Plan(plan),
        false => Loaded::Outline(Outline { sketch: plan, questions }),
    })
}

fn questions(drafts: &[Draft<'_>], checked: &[Option<Checked>]) -> Vec<Question> {
    let of = |(draft, checked): (&Draft<'_>, &Option<Checked>)| {
        let about = checked.as_ref()?.question()?.clone();
        Some(Question { node: draft.name().to_owned(), about })
    };
    drafts.iter().zip(checked).filter_map(of).collect()
}

/// The nodes of which a config is known: all of them in a file without a mistake.
fn plan_nodes(
    drafts: &[Draft<'_>],
    graph: &Graph,
    checked: &[Option<Checked>],
    mut presets: Presets,
) -> Vec<PlanNode> {
    let mut nodes: Vec<PlanNode> = Vec::new();
    // Nodes are numbered by their place in the order; the edges still speak in drafts.
    let mut position: HashMap<usize, usize> = HashMap::new();
    for &index in &graph.order {
        let draft = &drafts[index];
        let (Some(kind), Some(checked)) = (draft.kind, &checked[index]) else { continue };
        let Some(config) = checked.config().filter(|_| !draft.is_name_shared) else { continue };
        let inputs = graph.inputs[index].iter().flatten();
        let mut unknown = draft.unknown.clone();
        checked.refused_keys().for_each(|key| unknown.add(key));
        nodes.push(PlanNode {
            index: nodes.len(),
            name: draft.name().to_owned(),
            role: draft.role,
            kind: kind.name,
            inputs: inputs.filter_map(|input| position.get(input).copied()).collect(),
            config: config.clone(),
            output: checked.output().to_type(),
            preset: presets.remove(draft.name()).map(Arc::new),
            unknown,
        });
        position.insert(index, nodes.len() - 1);
    }
    nodes
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
