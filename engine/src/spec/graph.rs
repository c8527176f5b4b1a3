//! Joins the drafts by `from` and puts them in order.
//!
//! Invariants
//! 1. The order holds every draft, each after all of its inputs, sources first. The edges between
//!    drafts on cycles are left out.
//! 2. A `from` that holds a mistake leads nowhere, or where its author probably meant it to; what
//!    follows from that is not reported.
//!
//! Next: `engine/src/spec/typing.rs`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::diagnostic::{Place, Report};
use super::draft::{Draft, Lost, Reference, nearest_readable};
use super::registry::Role;

/// The edges between drafts, by their places in the list of drafts.
pub(crate) struct Graph {
    /// Drafts in topological order.
    pub(crate) order: Vec<usize>,
    /// What each draft reads, in the order of its `from`; none for what leads nowhere.
    pub(crate) inputs: Vec<Vec<Option<usize>>>,
}

/// Resolves every `from`, and reports dangling names, cycles and nodes that nobody reads.
pub(crate) fn connect(drafts: &mut [Draft<'_>], lost: &Lost, report: &mut Report) -> Graph {
    let mut links = Links::new(lost);
    for (index, draft) in drafts.iter().enumerate() {
        links.names.entry(draft.name().to_owned()).or_insert(index);
    }
    let mut inputs: Vec<Vec<Option<usize>>> =
        (0..drafts.len()).map(|draft| links.resolve(draft, drafts, report)).collect();
    for &draft in &links.broken {
        drafts[draft].is_from_whole = false;
    }
    let edges = edges(&inputs);
    report_cycles(drafts, &edges, &topological_order(&edges), report);
    links.read.extend(edges.iter().flatten());
    links.report_unread(drafts, report);
    cut_cycles(&mut inputs, &edges);
    Graph { order: topological_order(&self::edges(&inputs)), inputs }
}

fn edges(inputs: &[Vec<Option<usize>>]) -> Vec<Vec<usize>> {
    inputs.iter().map(|inputs| inputs.iter().flatten().copied().collect()).collect()
}

/// Leaves out the edges between drafts that stand on cycles, or between two of them.
fn cut_cycles(inputs: &mut [Vec<Option<usize>>], edges: &[Vec<usize>]) {
    let mut readers = vec![Vec::new(); edges.len()];
    for (draft, inputs) in edges.iter().enumerate() {
        inputs.iter().for_each(|&input| readers[input].push(draft));
    }
    let mut is_on_cycle = vec![true; edges.len()];
    for draft in topological_order(edges).into_iter().chain(topological_order(&readers)) {
        is_on_cycle[draft] = false;
    }
    for (_, inputs) in inputs.iter_mut().enumerate().filter(|(draft, _)| is_on_cycle[*draft]) {
        inputs.iter_mut().for_each(|input| *input = input.filter(|input| !is_on_cycle[*input]));
    }
}

/// What names lead to.
struct Links<'l> {
    /// The first draft of each name.
    names: HashMap<String, usize>,
    /// Drafts whose `from` leads nowhere or astray, and nobody knows where it was meant to.
    broken: HashSet<usize>,
    /// Drafts that are read, or probably meant to be.
    read: HashSet<usize>,
    lost: &'l Lost,
}

impl<'l> Links<'l> {
    fn new(lost: &'l Lost) -> Self {
        Self { names: HashMap::new(), broken: HashSet::new(), read: HashSet::new(), lost }
    }

    fn resolve(
        &mut self,
        draft: usize,
        drafts: &[Draft<'_>],
        report: &mut Report,
    ) -> Vec<Option<usize>> {
        let mut inputs = Vec::new();
        for reference in &drafts[draft].from {
            let place = Place::new(reference.span);
            inputs.push(match self.names.get(&reference.name) {
                // Which of them is meant cannot be told; that they share a name is reported.
                Some(&input) if drafts[input].is_name_shared => None,
                Some(&input) if drafts[input].role.has_output() => {
                    // What such an edge comes to is reported; another node was probably meant. A
                    // node that reads itself says nothing of any other.
                    let is_astray = !may_read(drafts[draft].role, drafts[input].role);
                    if is_astray && input != draft {
                        self.broken.insert(draft);
                    }
                    Some(input)
                }
                Some(_) => {
                    self.broken.insert(draft);
                    report
                        .error(&place, format!("\"from\" names the sink {:?}", reference.shown))
                        .hint("a sink gives no records; read the node that the sink reads");
                    None
                }
                None => self.dangling(draft, reference, drafts, report),
            });
        }
        inputs
    }

    /// Reports a name that nobody has, and gives the draft that was probably meant.
    fn dangling(
        &mut self,
        reader: usize,
        reference: &Reference,
        drafts: &[Draft<'_>],
        report: &mut Report,
    ) -> Option<usize> {
        let role = drafts[reader].role;
        // The name may be that of a node nobody can read, or that has yet to be written.
        let is_unwritten = |empty: &Role| may_read(role, *empty) || *empty == Role::Sink;
        if !self.lost.hidden.is_empty() || self.lost.empty.iter().any(is_unwritten) {
            self.broken.insert(reader);
            return None;
        }
        let Reference { name, shown, span } = reference;
        let finding = report.error(&Place::new(*span), format!("there is no node {shown:?}"));
        // A near name would tell something about a resolved one.
        let Some(near) = nearest_readable(name, drafts).filter(|_| name == shown) else {
            self.broken.insert(reader);
            finding.hint("\"from\" takes the name of a source, decoder or transform");
            return None;
        };
        finding.hint(format!("did you mean {:?}?", drafts[near].name()));
        self.read.insert(near);
        // A guess must not close a circle, so it only goes back on a record's way.
        let is_likely = drafts[near].role < role && may_read(role, drafts[near].role);
        (is_likely && !drafts[near].is_name_shared).then_some(near)
    }

    /// A node is not reported where somebody may mean to read it, of whom that cannot be told.
    fn report_unread(&self, drafts: &[Draft<'_>], report: &mut Report) {
        let broken = drafts.iter().filter(|draft| !draft.is_from_whole).map(|draft| draft.role);
        let doubtful: HashSet<Role> = broken.chain(self.lost.roles()).collect();
        for (index, draft) in drafts.iter().enumerate() {
            let is_doubtful = doubtful.iter().any(|reader| may_read(*reader, draft.role));
            let is_read = self.read.contains(&index) || is_doubtful;
            if draft.role.has_output() && !is_read && !draft.is_name_shared {
                let name = draft.name();
                report
                    .error(&draft.place(), format!("nothing reads the {} {name:?}", draft.role))
                    .hint(format!("let a node read it with `from: {name}`, or remove it"));
            }
        }
    }
}

/// Whether records may flow so at all: decoders read messages, of which a transform may have
/// dropped some, and sinks what is decoded.
fn may_read(reader: Role, read: Role) -> bool {
    match reader {
        Role::Source => false,
        Role::Decoder => matches!(read, Role::Source | Role::Transform),
        Role::Transform => read.has_output(),
        Role::Sink => matches!(read, Role::Decoder | Role::Transform),
    }
}

/// Kahn's algorithm, in the order of the file where there is a choice; drafts on or behind a
/// cycle do not appear. Sources come first, as they are drafted first and wait for nothing.
fn topological_order(inputs: &[Vec<usize>]) -> Vec<usize> {
    let mut readers = vec![Vec::new(); inputs.len()];
    for (draft, inputs) in inputs.iter().enumerate() {
        for &input in inputs {
            readers[input].push(draft);
        }
    }
    let mut missing: Vec<usize> = inputs.iter().map(Vec::len).collect();
    let waits_for_nothing = |&draft: &usize| missing[draft] == 0;
    let ready = (0..inputs.len()).filter(waits_for_nothing).map(Reverse);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.collect();
    let mut order = Vec::with_capacity(inputs.len());
    while let Some(Reverse(draft)) = ready.pop() {
        order.push(draft);
        for &reader in &readers[draft] {
            missing[reader] -= 1;
            if missing[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    order
}

/// Follows unordered inputs from every unordered draft until a walk bites its own tail.
fn report_cycles(
    drafts: &[Draft<'_>],
    inputs: &[Vec<usize>],
    order: &[usize],
    report: &mut Report,
) {
    let mut is_done = vec![false; drafts.len()];
    order.iter().for_each(|&draft| is_done[draft] = true);
    for start in 0..drafts.len() {
        let mut walk: Vec<usize> = Vec::new();
        let mut next = Some(start).filter(|&start| !is_done[start]);
        while let Some(draft) = next {
            if let Some(begin) = walk.iter().position(|&seen| seen == draft) {
                report_cycle(drafts, &walk[begin..], report);
                break;
            }
            walk.push(draft);
            next = inputs[draft].iter().copied().find(|&input| !is_done[input]);
        }
        walk.into_iter().for_each(|draft| is_done[draft] = true);
    }
}

/// Names the cycle in the direction in which records would flow, from its first node in the file.
fn report_cycle(drafts: &[Draft<'_>], walk: &[usize], report: &mut Report) {
    let mut cycle: Vec<usize> = walk.iter().rev().copied().collect();
    let first = cycle.iter().enumerate().min_by_key(|(_, draft)| **draft).map_or(0, |(at, _)| at);
    cycle.rotate_left(first);
    cycle.push(cycle[0]);
    let names: Vec<&str> = cycle.iter().map(|&draft| drafts[draft].name()).collect();
    report
        .error(&drafts[cycle[0]].place(), "these nodes read each other in a circle")
        .detail(names.join(" → "))
        .hint("records flow from sources to sinks; let one of them read another node");
}
