//! Runs the kinds' own checks along the graph and lets record types flow down its edges.
//!
//! Invariants
//! 1. Nodes are visited in topological order, so a check sees what is known of its inputs.
//! 2. Every node of a known kind is checked. What a mistake before it hides is unknown to it, and
//!    an edge is judged only by what is known.
//!
//! Next: `engine/src/spec/plan.rs`.

use std::path::Path;

use super::diagnostic::{Place, Report};
use super::draft::Draft;
use super::registry::{Checked, Encoding, KindEntry, Role, StreamFacts};
use super::secrets::Secrets;
use super::view::NodeView;

/// The graph whose nodes are checked.
pub(crate) struct Typing<'a, 'r> {
    pub(crate) drafts: &'a [Draft<'r>],
    pub(crate) inputs: &'a [Vec<Option<usize>>],
    pub(crate) base_dir: &'a Path,
}

/// A node's inputs by name, with what is known of their records.
type Inputs = Vec<(String, StreamFacts)>;

impl Typing<'_, '_> {
    /// Checks the drafts in the given order. The results stand in the order of the drafts; none
    /// where nothing is known.
    pub(crate) fn check(
        &self,
        order: &[usize],
        secrets: &Secrets,
        report: &mut Report,
    ) -> Vec<Option<Checked>> {
        let mut results: Vec<Option<Checked>> = vec![None; self.drafts.len()];
        for &draft in order {
            let Some(kind) = self.drafts[draft].kind else { continue };
            let inputs = self.inputs_of(draft, &results);
            let mut own = Report::new();
            results[draft] = self.check_draft(&self.drafts[draft], kind, &inputs, &mut own);
            report.absorb(own, secrets);
        }
        results
    }

    fn inputs_of(&self, draft: usize, results: &[Option<Checked>]) -> Inputs {
        let known = |input: &Option<usize>| {
            let checked = input.and_then(|input| results[input].as_ref());
            checked.map(|checked| checked.output().clone()).unwrap_or_default()
        };
        let names = self.drafts[draft].from.iter().map(|reference| reference.name.clone());
        names.zip(self.inputs[draft].iter().map(known)).collect()
    }

    fn check_draft(
        &self,
        draft: &Draft<'_>,
        kind: &KindEntry,
        inputs: &Inputs,
        report: &mut Report,
    ) -> Option<Checked> {
        check_edges(draft, inputs, report);
        let value = draft.config.to_json();
        let view = NodeView {
            name: draft.name(),
            role: draft.role,
            kind: kind.name,
            inputs,
            value: &value,
            key: &draft.key,
            tree: &draft.config,
            unknown: &draft.unknown,
            base_dir: self.base_dir,
        };
        let checked = (kind.check)(&view, report);
        let is_input_known = |(_, facts): &(String, StreamFacts)| facts.to_type().is_some();
        let is_known = draft.unknown.is_empty() && draft.is_from_whole;
        if is_known && inputs.iter().all(is_input_known) && !report.has_errors() {
            let is_whole = |it: &Checked| it.is_whole(draft.role) || it.question().is_some();
            let is_whole = checked.as_ref().is_some_and(is_whole);
            assert!(is_whole, "the check of {kind:?} refuses with a reason, gives all, or asks");
        }
        checked
    }
}

fn check_edges(draft: &Draft<'_>, inputs: &Inputs, report: &mut Report) {
    for ((name, stream), reference) in inputs.iter().zip(&draft.from) {
        let place = Place::new(reference.span);
        match (draft.role, stream.encoding) {
            (Role::Decoder, Some(encoding @ (Encoding::Json | Encoding::Raw))) => {
                let message = format!("decoder {:?} reads decoded records", draft.name());
                report
                    .error(&place, message)
                    .detail(format!("{name:?} gives {encoding}"))
                    .hint("let it read a source");
            }
            (Role::Sink, Some(Encoding::Messages)) => {
                let message = format!("sink {:?} reads undecoded messages", draft.name());
                let finding = report.error(&place, message);
                if let Some(of) = &stream.name {
                    finding.detail(format!("{name:?} gives messages of type {of}"));
                }
                finding.hint(format!(
                    "put a decoder between: `kind: protobuf`, `from: {name}`, and `to: json`, or \
                     `to: raw` for the bytes as they are"
                ));
            }
            _ => {}
        }
    }
    if !report.has_errors() {
        check_agreement(draft, inputs, report);
    }
}

/// A node treats all its records alike, so its inputs must agree with the first one.
fn check_agreement(draft: &Draft<'_>, inputs: &Inputs, report: &mut Report) {
    let known = inputs.iter().zip(&draft.from);
    let known = known.filter_map(|((name, facts), from)| Some((name, facts.to_type()?, from)));
    let known: Vec<_> = known.collect();
    let Some(((first_name, first, _), rest)) = known.split_first() else {
        return;
    };
    for (name, stream, reference) in rest {
        let is_other_type = draft.role != Role::Sink && stream.name != first.name;
        if stream.encoding == first.encoding && !is_other_type {
            continue;
        }
        let message = format!("the inputs of {} {:?} differ", draft.role, draft.name());
        let place = Place::new(reference.span);
        report
            .error(&place, message)
            .detail(format!("{first_name:?} gives {} of {}", first.encoding, first.name))
            .detail(format!("{name:?} gives {} of {}", stream.encoding, stream.name))
            .hint(format!("give {name:?} a {} of its own", draft.role));
    }
}
