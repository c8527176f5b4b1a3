//! The transform `filter`: drops records.
//!
//! Of undecoded messages it drops those of which a predicate says so. That is why it stands before
//! the decoder: the question is answered on the wire, and what is dropped costs no decoding. Behind
//! a decoder it drops records without a value (tombstones), which `extract` can make.
//!
//! Dropping is no failure: the position moves on over what is dropped. It is the difference between
//! what the node receives and what it emits, both of which are counted.
//!
//! Invariants
//! 1. A message that is broken, so that the predicate cannot be answered, is passed on: the decoder
//!    behind knows what to do with it. So nothing is dropped that nobody judged.
//! 2. The records that stay keep their sequence, columns and order.
//!
//! Next: `decode/protobuf/operator.rs`, or `sink/outlet.rs`.

use headwater_engine::dataflow::step::{Step, StepError, StepFactory};
use headwater_engine::record::Batch;
use headwater_engine::spec::{Checked, Encoding, KindEntry, NodeView, Report, Role, StreamFacts};
use headwater_proto::{JsonTranscoder, MessageDescriptor, Predicate};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// Drops records.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FilterConfig {
    /// A predicate, in a subset of CEL, about undecoded messages: those of which it holds are kept,
    /// all others dropped. The filter then reads a source.
    #[serde(default)]
    keep: Option<String>,
    /// The same, the other way round: those of which it holds are dropped.
    #[serde(default)]
    drop: Option<String>,
    /// What becomes of JSON records without a value, as the step `extract` can make them. The
    /// filter then reads a decoder or a transform behind one.
    #[serde(default)]
    tombstones: Option<Tombstones>,
}

/// What becomes of records without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Tombstones {
    /// They are dropped.
    Drop,
    /// All others are dropped.
    KeepOnly,
}

/// A checked filter.
#[derive(Clone, Debug)]
pub struct FilterTransform {
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    /// Keeps messages of which the predicate's answer is this one.
    Messages { predicate: Arc<Predicate>, kept: bool, message: MessageDescriptor },
    /// The same of a type that is not known yet: a server is to be asked for it, or a mistake hides
    /// it. No such plan is run.
    Unjudged { text: String, kept: bool },
    /// Keeps records that are tombstones, or those that are not.
    Tombstones { kept: bool },
}

/// The kind's entry.
#[must_use]
pub fn entry() -> KindEntry {
    KindEntry {
        role: Role::Transform,
        name: "filter",
        summary: "Drops undecoded messages by a predicate, or records that have no value.",
        schema: |generator| FilterConfig::json_schema(generator),
        check,
    }
}

fn check(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let config: FilterConfig = view.parse(report)?;
    let facts = view.inputs.first().map(|(_, facts)| facts.clone()).unwrap_or_default();
    check_one_rule(view, report);
    let rule = match (&config.keep, &config.drop, config.tombstones) {
        (Some(text), ..) => Some(check_predicate(view, "keep", text, &facts, report)),
        (None, Some(text), _) => Some(check_predicate(view, "drop", text, &facts, report)),
        (None, None, Some(tombstones)) => {
            check_json(view, report);
            Some(Rule::Tombstones { kept: tombstones == Tombstones::KeepOnly })
        }
        (None, None, None) => None,
    };
    let Some(rule) = rule else { return Some(Checked::refused(facts)) };
    Some(Checked::new(FilterTransform { rule }, facts))
}

fn check_one_rule(view: &NodeView<'_>, report: &mut Report) {
    // That a key is given is known, whatever is wrong with its value.
    let is_given = |key: &&str| view.value.get(key).is_some();
    match ["keep", "drop", "tombstones"].iter().filter(|key| is_given(key)).count() {
        1 => {}
        0 => drop(
            report
                .error(&view.place(), "the filter has nothing to go by")
                .hint("give it `keep` or `drop` with a predicate, or `tombstones: drop`"),
        ),
        _ => drop(
            report
                .error(&view.place(), "the filter goes by more than one rule")
                .hint("join predicates with `&&` and `||`, or put a filter behind the filter"),
        ),
    }
}

/// The predicate of the key, and the answer with which a message is kept.
fn check_predicate(
    view: &NodeView<'_>,
    key: &'static str,
    text: &str,
    facts: &StreamFacts,
    report: &mut Report,
) -> Rule {
    let kept = key == "keep";
    for (name, facts) in view.inputs {
        let Some(encoding @ (Encoding::Json | Encoding::Raw)) = facts.encoding else { continue };
        report
            .error(&view.at_key(&[key]), "predicates are about undecoded messages")
            .detail(format!("{name:?} gives {encoding}"))
            .hint(
                "let the filter read the source, and the decoder read the filter: what is dropped \
                 is then never decoded",
            );
    }
    let schema = facts.schema.as_ref();
    let message = schema.and_then(|schema| schema.downcast_ref::<MessageDescriptor>());
    let mistake = match message {
        Some(message) => match Predicate::compile(text, message) {
            Ok(predicate) => {
                let (predicate, message) = (Arc::new(predicate), message.clone());
                return Rule::Messages { predicate, kept, message };
            }
            Err(error) => Some(error),
        },
        None => Predicate::check_syntax(text).err(),
    };
    if let Some(error) = mistake {
        let letters = text[..error.column].chars().count();
        let finding = report.error(&view.at(&[key]), error.message);
        finding.detail(format!("at character {} of the predicate", letters + 1));
        if let Some(hint) = error.hint {
            finding.hint(hint);
        }
    }
    Rule::Unjudged { text: text.to_owned(), kept }
}

fn check_json(view: &NodeView<'_>, report: &mut Report) {
    for (name, facts) in view.inputs {
        let Some(encoding @ (Encoding::Messages | Encoding::Raw)) = facts.encoding else {
            continue;
        };
        report
            .error(&view.at_key(&["tombstones"]), "only JSON records can be without a value")
            .detail(format!("{name:?} gives {encoding}"))
            .hint("let the filter read a transform that extracts a field, or use `keep` or `drop`");
    }
}

impl FilterTransform {
    /// What it does, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.rule {
            Rule::Messages { predicate, kept: true, .. } => format!("keep: {predicate}"),
            Rule::Messages { predicate, kept: false, .. } => format!("drop: {predicate}"),
            Rule::Unjudged { text, kept: true } => format!("keep: {text}"),
            Rule::Unjudged { text, kept: false } => format!("drop: {text}"),
            Rule::Tombstones { kept: true } => "keeps tombstones only".to_owned(),
            Rule::Tombstones { kept: false } => "drops tombstones".to_owned(),
        }
    }
}

/// Makes filters for each worker.
pub struct FilterFactory {
    /// The checked configuration.
    pub transform: FilterTransform,
}

struct Filter {
    rule: Rule,
    /// Tells broken messages, where a predicate has no answer.
    transcoder: Option<JsonTranscoder>,
    scratch: Vec<u8>,
    removed: Vec<usize>,
}

impl StepFactory for FilterFactory {
    fn make(&self) -> Box<dyn Step> {
        let rule = self.transform.rule.clone();
        let transcoder = match &rule {
            Rule::Messages { message, .. } => Some(JsonTranscoder::compile(message)),
            Rule::Tombstones { .. } => None,
            Rule::Unjudged { .. } => unreachable!("a plan that is run knows its types"),
        };
        Box::new(Filter { rule, transcoder, scratch: Vec::new(), removed: Vec::new() })
    }
}

impl Step for Filter {
    fn apply(&mut self, batch: &mut Batch) -> Result<(), StepError> {
        let mut removed = std::mem::take(&mut self.removed);
        removed.clear();
        for (place, value) in batch.values.iter().enumerate() {
            if !self.stays(value) {
                removed.push(place);
            }
        }
        batch.remove(&removed);
        self.removed = removed;
        Ok(())
    }
}

impl Filter {
    fn stays(&mut self, value: &[u8]) -> bool {
        let Rule::Messages { predicate, kept, .. } = &self.rule else {
            return value.is_empty() == matches!(self.rule, Rule::Tombstones { kept: true });
        };
        match predicate.answer(value) {
            Some(answer) => answer == *kept,
            // As everywhere, what has no answer does not hold; but a broken message is another's.
            None => !*kept || self.is_broken(value),
        }
    }

    #[cold]
    fn is_broken(&mut self, wire: &[u8]) -> bool {
        self.scratch.clear();
        let transcoder = self.transcoder.as_ref();
        transcoder.is_some_and(|it| it.transcode(wire, &mut self.scratch).is_err())
    }
}

#[cfg(test)]
mod tests;
