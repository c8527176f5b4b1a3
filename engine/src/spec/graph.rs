//! Joins the drafts by `from` and puts them in order.
//!
//! Invariants
//! 1. The order holds every draft that stands on no cycle and behind none, each after all of
//!    its inputs, sources first.
//! 2. A draft whose `from` holds a mistake is marked unsound.
//!
//! Next: `engine/src/spec/typing.rs`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::diagnostic::{Place, Report};
use super::draft::{Draft, Reference, nearest_readable};

/// The edges between drafts, by their places in the list of drafts.
pub(crate) struct Graph {
    /// Drafts in topological order.
    pub(crate) order: Vec<usize>,
    /// What each draft reads.
    pub(crate) inputs: Vec<Vec<usize>>,
}

/// Resolves every `from`, and reports dangling names, cycles and nodes that nobody reads.
pub(crate) fn connect(drafts: &mut [Draft<'_>], report: &mut Report) -> Graph {
    let mut links = Links::default();
    let inputs: Vec<Vec<usize>> =
        (0..drafts.len()).map(|draft| links.resolve(draft, drafts, report)).collect();
    for draft in links.broken {
        drafts[draft].is_sound = false;
    }
    let order = topological_order(&inputs);
    report_cycles(drafts, &inputs, &order, report);
    report_unread(drafts, &inputs, &links.meant, report);
    Graph { order, inputs }
}

/// What came out of resolving names, beside the edges.
#[derive(Default)]
struct Links {
    /// The first draft of each name.
    names: HashMap<String, usize>,
    /// Drafts whose `from` holds a mistake.
    broken: Vec<usize>,
    /// Names that a dangling `from` probably meant.
    meant: HashSet<String>,
}

impl Links {
    fn resolve(&mut self, draft: usize, drafts: &[Draft<'_>], report: &mut Report) -> Vec<usize> {
        if self.names.is_empty() {
            for (index, draft) in drafts.iter().enumerate() {
                self.names.entry(draft.name().to_owned()).or_insert(index);
            }
        }
        let mut inputs = Vec::new();
        for reference in &drafts[draft].from {
            let place = Place::new(reference.span);
            match self.names.get(&reference.name) {
                // Which of them is meant cannot be told; that they share a name is reported.
                Some(&input) if drafts[input].is_name_shared => {
                    self.broken.push(draft);
                    inputs.push(input);
                }
                Some(&input) if drafts[input].role.has_output() => inputs.push(input),
                Some(_) => {
                    self.broken.push(draft);
                    report
                        .error(&place, format!("\"from\" names the sink {:?}", reference.shown))
                        .hint("a sink gives no records; read the node that the sink reads");
                }
                None => {
                    self.broken.push(draft);
                    self.dangling(reference, drafts, report);
                }
            }
        }
        inputs
    }

    fn dangling(&mut self, reference: &Reference, drafts: &[Draft<'_>], report: &mut Report) {
        let Reference { name, shown, span } = reference;
        let finding = report.error(&Place::new(*span), format!("there is no node {shown:?}"));
        // A near name would tell something about a resolved one.
        let near = nearest_readable(name, drafts).filter(|_| name == shown);
        match near {
            Some(near) => {
                self.meant.insert(near.to_owned());
                finding.hint(format!("did you mean {near:?}?"));
            }
            None => {
                finding.hint("\"from\" takes the name of a source, decoder or transform");
            }
        }
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

fn report_unread(
    drafts: &[Draft<'_>],
    inputs: &[Vec<usize>],
    meant: &HashSet<String>,
    report: &mut Report,
) {
    let read: HashSet<usize> = inputs.iter().flatten().copied().collect();
    for (index, draft) in drafts.iter().enumerate() {
        let is_read = read.contains(&index) || meant.contains(draft.name());
        if draft.role.has_output() && !is_read && !draft.is_name_shared {
            let name = draft.name();
            report
                .error(&draft.place(), format!("nothing reads the {} {name:?}", draft.role))
                .hint(format!("let a node read it with `from: {name}`, or remove it"));
        }
    }
}
