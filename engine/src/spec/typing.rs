//! Runs the kinds' own checks along the graph and lets record types flow down its edges.
//!
//! Invariants
//! 1. Nodes are visited in topological order, so a check sees the types of its inputs.
//! 2. A node behind one that failed is skipped in silence: its own mistakes, if it has any,
//!    could not be told from those of its input.
//!
//! Next: `engine/src/spec/plan.rs`.

use std::path::Path;

use super::diagnostic::{Place, Report};
use super::draft::Draft;
use super::registry::{Checked, Encoding, Role, StreamType};
use super::secrets::Secrets;
use super::view::NodeView;

/// The graph whose nodes are checked.
pub(crate) struct Typing<'a, 'r> {
    pub(crate) drafts: &'a [Draft<'r>],
    pub(crate) inputs: &'a [Vec<usize>],
    pub(crate) base_dir: &'a Path,
}

/// A node's inputs by name, with the types of their records.
type Inputs = Vec<(String, StreamType)>;

impl Typing<'_, '_> {
    /// Checks the drafts in the given order; the results stand in that order.
    pub(crate) fn check(
        &self,
        order: &[usize],
        secrets: &Secrets,
        report: &mut Report,
    ) -> Vec<Option<Checked>> {
        let mut outputs: Vec<Option<StreamType>> = vec![None; self.drafts.len()];
        let mut results = Vec::with_capacity(order.len());
        for &draft in order {
            let checked = self.inputs_of(draft, &outputs).and_then(|inputs| {
                let mut own = Report::new();
                let checked = self.check_draft(&self.drafts[draft], &inputs, &mut own);
                let is_sound = !own.has_errors();
                report.absorb(own, secrets);
                checked.filter(|_| is_sound)
            });
            outputs[draft] = checked.as_ref().and_then(|checked| checked.output.clone());
            results.push(checked);
        }
        results
    }

    /// None if the draft is unsound or one of its inputs is.
    fn inputs_of(&self, draft: usize, outputs: &[Option<StreamType>]) -> Option<Inputs> {
        if !self.drafts[draft].is_sound {
            return None;
        }
        let named = |&input: &usize| {
            outputs[input].clone().map(|output| (self.drafts[input].name().to_owned(), output))
        };
        self.inputs[draft].iter().map(named).collect()
    }

    fn check_draft(
        &self,
        draft: &Draft<'_>,
        inputs: &[(String, StreamType)],
        report: &mut Report,
    ) -> Option<Checked> {
        check_edges(draft, inputs, report);
        if report.has_errors() {
            return None;
        }
        let kind = draft.kind.expect("a sound draft has a known kind");
        let value = draft.config.to_json();
        let view = NodeView {
            name: draft.name(),
            role: draft.role,
            kind: kind.name,
            inputs,
            value: &value,
            key: &draft.key,
            tree: &draft.config,
            base_dir: self.base_dir,
        };
        let checked = (kind.check)(&view, report);
        if let Some(checked) = &checked {
            let is_right = checked.output.is_some() == draft.role.has_output();
            assert!(is_right, "the check of {kind:?} gives an output type unless it is a sink");
        } else {
            assert!(report.has_errors(), "the check of {kind:?} says why it refuses");
        }
        checked
    }
}

fn check_edges(draft: &Draft<'_>, inputs: &[(String, StreamType)], report: &mut Report) {
    for ((name, stream), reference) in inputs.iter().zip(&draft.from) {
        let place = Place::new(reference.span);
        match (draft.role, stream.encoding) {
            (Role::Decoder, Encoding::Json | Encoding::Raw) => {
                let message = format!("decoder {:?} reads decoded records", draft.name());
                report
                    .error(&place, message)
                    .detail(format!("{name:?} gives {}", stream.encoding))
                    .hint("let it read a source");
            }
            (Role::Sink, Encoding::Messages) => {
                let message = format!("sink {:?} reads undecoded messages", draft.name());
                report
                    .error(&place, message)
                    .detail(format!("{name:?} gives messages of type {}", stream.name))
                    .hint(format!(
                        "put a decoder between: `kind: protobuf`, `from: {name}`, and `to: json`, \
                         or `to: raw` for the bytes as they are"
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
fn check_agreement(draft: &Draft<'_>, inputs: &[(String, StreamType)], report: &mut Report) {
    let Some(((first_name, first), rest)) = inputs.split_first() else {
        return;
    };
    for ((name, stream), reference) in rest.iter().zip(&draft.from[1..]) {
        let is_other_type = draft.role == Role::Decoder && stream.name != first.name;
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
