//! What the keys of a `fields` transform must mean: the steps as a program, every name one that the
//! JSON can have there. Nothing is contacted.
//!
//! A name that can never be there is an error and not a step without effect: whoever misspells a
//! field that is to be masked would otherwise publish it.

use super::change::Mask;
use super::config::{FieldsConfig, InsertConfig, InsertFrom, StepConfig};
use super::names::{Known, Unknown};
use super::path;
use super::program::{Constant, Inserted, Op, Program};
use crate::decode::protobuf::OnError;
use headwater_engine::spec::{
    Checked, Encoding, KindEntry, NodeView, Report, Role, Step, StreamFacts,
};
use headwater_proto::MessageDescriptor;
use schemars::JsonSchema;

/// A checked transform.
#[derive(Clone, Debug)]
pub struct FieldsTransform {
    pub(super) program: Program,
    /// What happens to a value that a step cannot change.
    pub on_error: OnError,
    /// The steps in words, for people.
    pub words: Vec<String>,
}

/// The kind's entry.
#[must_use]
pub fn entry() -> KindEntry {
    KindEntry {
        role: Role::Transform,
        name: "fields",
        summary: "Changes the fields of JSON values: include, exclude, rename, insert, mask, cast, \
                  hoist, extract.",
        schema: |generator| FieldsConfig::json_schema(generator),
        check,
    }
}

fn check(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let config: FieldsConfig = view.parse(report)?;
    check_inputs(view, report);
    let facts = view.inputs.first().map(|(_, facts)| facts.clone()).unwrap_or_default();
    let schema = facts.schema.as_ref();
    let message = schema.and_then(|schema| schema.downcast_ref::<MessageDescriptor>());
    let mut compiler = Compiler {
        view,
        report,
        program: Program::default(),
        known: message.map_or(Known::Anything, Known::of_message),
    };
    for (place, step) in config.steps.iter().enumerate() {
        compiler.step(place, step);
        // A step that holds a mistake leaves fields that nobody can know.
        if !view.knows(&[Step::Key("steps"), Step::Index(place)]) {
            compiler.known = Known::Anything;
        }
    }
    let transform = FieldsTransform {
        program: compiler.program,
        on_error: config.on_error,
        words: config.steps.iter().map(words).collect(),
    };
    let is_json = facts.encoding == Some(Encoding::Json);
    let output = StreamFacts { encoding: facts.encoding.filter(|_| is_json), ..facts };
    Some(Checked::new(transform, output))
}

fn check_inputs(view: &NodeView<'_>, report: &mut Report) {
    for (name, facts) in view.inputs {
        let hint = match facts.encoding {
            Some(Encoding::Messages) => {
                format!("put a decoder between: `kind: protobuf`, `from: {name}`, and `to: json`")
            }
            Some(Encoding::Raw) => "let the decoder give `to: json`".to_owned(),
            Some(Encoding::Json) | None => continue,
        };
        let given = facts.encoding.map(|encoding| encoding.to_string()).unwrap_or_default();
        report
            .error(&view.place(), format!("transform {:?} changes JSON values", view.name))
            .detail(format!("{name:?} gives {given}"))
            .hint(hint);
    }
}

/// Compiles steps, and follows what they make of the JSON's fields.
struct Compiler<'a, 'v> {
    view: &'a NodeView<'v>,
    report: &'a mut Report,
    program: Program,
    known: Known,
}

impl Compiler<'_, '_> {
    fn step(&mut self, place: usize, step: &StepConfig) {
        let at = |key: &'static str| vec![Step::Key("steps"), Step::Index(place), Step::Key(key)];
        let op = match step {
            StepConfig::Include(fields) => {
                let names = self.fields(&at("include"), fields);
                self.known.retain(|name| fields.iter().any(|field| field == name));
                Op::Include(names)
            }
            StepConfig::Exclude(fields) => {
                let names = self.fields(&at("exclude"), fields);
                self.known.retain(|name| !fields.iter().any(|field| field == name));
                Op::Exclude(names)
            }
            StepConfig::Rename(names) => self.rename(&at("rename"), names),
            StepConfig::Insert(insert) => self.insert(&at("insert"), place, insert),
            StepConfig::Mask(mask) => {
                let at = [at("mask"), vec![Step::Key("fields")]].concat();
                let names = self.fields(&at, &mask.fields);
                Op::Mask(names, Mask::new(mask.replacement.as_deref(), &mut self.program))
            }
            StepConfig::Cast(casts) => {
                let at = at("cast");
                let cast =
                    |(field, to): (&String, &_)| (self.field(&keyed(&at, field), field), *to);
                let casts = casts.iter().map(cast).collect();
                self.at_least_one(&at, step);
                Op::Cast(casts)
            }
            StepConfig::CastValue(to) => {
                self.known = Known::Anything;
                Op::CastValue(*to)
            }
            StepConfig::Hoist(field) => {
                self.known = std::mem::take(&mut self.known).hoisted(field);
                Op::Hoist(self.program.name(field))
            }
            StepConfig::Extract(text) => self.extract(&at("extract"), text),
        };
        self.program.steps.push(op);
    }

    fn at_least_one(&mut self, at: &[Step<'_>], step: &StepConfig) {
        let is_empty = match step {
            StepConfig::Cast(casts) => casts.is_empty(),
            StepConfig::Rename(names) => names.is_empty(),
            _ => false,
        };
        if is_empty {
            self.report.error(&self.view.at(at), "the step names no field");
        }
    }

    /// The fields of a list.
    fn fields(&mut self, at: &[Step<'_>], fields: &[String]) -> Vec<Constant> {
        let field = |(place, field): (usize, &String)| {
            let at = [at, &[Step::Index(place)]].concat();
            self.field(&at, field)
        };
        fields.iter().enumerate().map(field).collect()
    }

    /// A field that should be there.
    fn field(&mut self, at: &[Step<'_>], field: &str) -> Constant {
        if let Err(unknown) = self.known.check(field) {
            self.unknown(at, &unknown);
        }
        self.program.name(field)
    }

    fn unknown(&mut self, at: &[Step<'_>], unknown: &Unknown) {
        let finding = self.report.error(&self.view.at(at), unknown.message.clone());
        if let Some(hint) = &unknown.hint {
            finding.hint(hint.clone());
        }
    }

    fn rename(
        &mut self,
        at: &[Step<'_>],
        names: &std::collections::BTreeMap<String, String>,
    ) -> Op {
        let mut pairs = Vec::new();
        let mut taken: Vec<&str> = Vec::new();
        for (old, new) in names {
            let at = keyed(at, old);
            let pair = (self.field(&at, old), self.program.name(new));
            if taken.contains(&new.as_str()) {
                let message = format!("two fields get the name `{new}`");
                self.report.error(&self.view.at(&at), message);
            } else if self.known.holds(new) && !names.contains_key(new) {
                self.report
                    .error(&self.view.at(&at), format!("there is a field `{new}` already"))
                    .hint(format!("exclude it in a step before: `- exclude: [{new}]`"));
            }
            taken.push(new);
            pairs.push(pair);
        }
        if names.is_empty() {
            self.report.error(&self.view.at(at), "the step names no field");
        }
        self.known.rename(names);
        Op::Rename(pairs)
    }

    fn insert(&mut self, at: &[Step<'_>], place: usize, insert: &InsertConfig) -> Op {
        let InsertConfig { field, value, from } = insert;
        // That a key is given is known, whatever is wrong with its value.
        let given = &self.view.value["steps"][place]["insert"];
        let finding = match (given.get("value").is_some(), given.get("from").is_some()) {
            (false, false) => {
                Some(("there is nothing to insert", "give `value` a text, or `from: received`"))
            }
            (true, true) => Some(("both `value` and `from` are given", "leave one of them out")),
            _ => None,
        };
        if let Some((message, hint)) = finding {
            self.report.error(&self.view.at(at), message).hint(hint);
        }
        let value = match (value, from) {
            (Some(text), _) => Inserted::Value(self.program.text(text)),
            (None, Some(InsertFrom::Shard)) => Inserted::Shard,
            (None, Some(InsertFrom::Session)) => Inserted::Session,
            (None, Some(InsertFrom::Sequence)) => Inserted::Sequence,
            (None, Some(InsertFrom::Received) | None) => Inserted::Received,
        };
        self.known.insert(field);
        Op::Insert(self.program.name(field), value)
    }

    fn extract(&mut self, at: &[Step<'_>], text: &str) -> Op {
        let names = match path::parse(text) {
            Ok(names) if !names.is_empty() => names,
            Ok(_) => {
                self.report.error(&self.view.at(at), "the step names no field");
                Vec::new()
            }
            Err(error) => {
                self.report
                    .error(&self.view.at(at), "the path does not read")
                    .detail(error.to_string());
                Vec::new()
            }
        };
        match self.known.extract(&names) {
            Ok(()) => {}
            Err(unknown) => self.unknown(at, &unknown),
        }
        Op::Extract(names.iter().map(|name| self.program.name(name)).collect())
    }
}

fn keyed<'s>(at: &[Step<'s>], key: &'s str) -> Vec<Step<'s>> {
    [at, &[Step::Key(key)]].concat()
}

/// A step for people; a value that is inserted may be a secret.
fn words(step: &StepConfig) -> String {
    let list = |fields: &[String]| fields.join(", ");
    match step {
        StepConfig::Include(fields) => format!("include {}", list(fields)),
        StepConfig::Exclude(fields) => format!("exclude {}", list(fields)),
        StepConfig::Rename(names) => {
            let pair = |(old, new): (&String, &String)| format!("{old} to {new}");
            format!("rename {}", list(&names.iter().map(pair).collect::<Vec<_>>()))
        }
        StepConfig::Insert(InsertConfig { field, from, .. }) => match from {
            None => format!("insert {field} (value not shown)"),
            Some(InsertFrom::Received) => format!("insert {field}: when it was received"),
            Some(InsertFrom::Shard) => format!("insert {field}: its shard"),
            Some(InsertFrom::Session) => format!("insert {field}: its session"),
            Some(InsertFrom::Sequence) => format!("insert {field}: its sequence"),
        },
        StepConfig::Mask(mask) => format!("mask {}", list(&mask.fields)),
        StepConfig::Cast(casts) => {
            let pair = |(field, to): (&String, &super::CastType)| {
                format!("{field} to {}", to.words().trim_start_matches("cast to "))
            };
            format!("cast {}", list(&casts.iter().map(pair).collect::<Vec<_>>()))
        }
        StepConfig::CastValue(to) => {
            format!("cast the value to {}", to.words().trim_start_matches("cast to "))
        }
        StepConfig::Hoist(field) => format!("hoist into {field}"),
        StepConfig::Extract(path) => format!("extract {path}"),
    }
}
