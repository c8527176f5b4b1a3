//! Reads keys one by one, remembers which were read, and collects what is wrong.
//!
//! Texts come out as a pipeline file wants them: blanks at the ends gone, as Kafka Connect takes
//! them, and references in Headwater's form.
//!
//! Next: `../references.rs` for the forms, `source/` for the first keys.

use super::Note;
use crate::connect::config::Config;
use crate::connect::definition::{connector, framework};
use crate::connect::kind::{list, trim};
use crate::connect::mistake::Mistake;
use crate::connect::references::{self, has_any};
use crate::connect::worker::Worker;
use headwater_proto::nearest::nearest_few;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// A number that is known, or where it will come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Known(i64),
    Reference(String),
}

impl Number {
    /// As it stands in the file: a reference is typed when it is resolved.
    pub(super) fn written(&self) -> String {
        match self {
            Number::Known(number) => number.to_string(),
            Number::Reference(text) => text.clone(),
        }
    }
}

/// Whether a text is one reference, and can stand in a file without quotes.
fn is_alone(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    let inner = text.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
    inner.is_some_and(|inner| inner.chars().all(is_letter))
}

/// The name that a key is about, and the list that it is missing from.
fn listed(key: &str) -> Option<(&str, &'static str)> {
    let lists = [
        ("transforms.", "transforms"),
        ("predicates.", "predicates"),
        ("topic.creation.", "topic.creation.groups"),
    ];
    let (rest, list) =
        lists.into_iter().find_map(|(prefix, list)| Some((key.strip_prefix(prefix)?, list)))?;
    Some((rest.split_once('.')?.0, list))
}

/// A configuration while it is read.
pub(super) struct Reader<'a> {
    pub(super) config: &'a Config,
    pub(super) worker: &'a Worker,
    read: RefCell<BTreeSet<String>>,
    mistakes: Vec<Mistake>,
    notes: Vec<Note>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(config: &'a Config, worker: &'a Worker) -> Self {
        Reader { config, worker, read: RefCell::default(), mistakes: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn mistake(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    pub(super) fn note(&mut self, key: &str, text: String) {
        self.notes.push(Note { key: key.to_owned(), text });
    }

    /// Counts a key as read that has nothing to say.
    pub(super) fn pass_over(&self, key: &str) {
        self.read.borrow_mut().insert(key.to_owned());
    }

    /// The text of a key, with its references as they are written here.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let text = trim(self.raw(key)?);
        match references::converted(text) {
            Ok(text) => Some(text),
            Err(told) => {
                self.mistake(Mistake { key: key.to_owned(), ..told });
                None
            }
        }
    }

    /// The same, if it says anything.
    pub(super) fn filled(&mut self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A text that must be known to write the file, and so be no reference.
    pub(super) fn known(&mut self, key: &str) -> Option<String> {
        let text = trim(self.raw(key)?).to_owned();
        if has_any(&text) {
            let told = Mistake::of(key, "the file looks different for each value of it");
            self.mistake(told.hint("write the value itself instead of a reference"));
            return None;
        }
        Some(text)
    }

    /// A list that must be known.
    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        self.known(key).map(|text| list(&text)).unwrap_or_default()
    }

    /// True or false, which must be known.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        self.known(key).map_or(default, |text| text.eq_ignore_ascii_case("true"))
    }

    /// A number; one that is none was told as a mistake of the value already.
    pub(super) fn number(&mut self, key: &str) -> Option<Number> {
        let text = trim(self.raw(key)?).to_owned();
        if has_any(&text) {
            let reference = self.text(key)?;
            if is_alone(&reference) {
                return Some(Number::Reference(reference));
            }
            let told = Mistake::of(key, "a number is one reference, with nothing around it");
            self.mistake(told.hint("write ${env:NAME} or ${file:/path:key} alone"));
            return None;
        }
        text.parse().ok().map(Number::Known)
    }

    /// A number within the bounds that it has here; one beyond them becomes the bound, with a note.
    pub(super) fn bounded(&mut self, key: &str, default: i64, bounds: (i64, i64)) -> Number {
        let number = self.number(key).unwrap_or(Number::Known(default));
        let Number::Known(asked) = number else { return number };
        let taken = asked.clamp(bounds.0, bounds.1);
        if taken != asked {
            self.note(key, format!("is {asked}; the nearest value that is possible is {taken}"));
        }
        Number::Known(taken)
    }

    /// All keys that begin so and that nobody has read.
    pub(super) fn keys_from(&self, prefix: &str) -> Vec<String> {
        let read = self.read.borrow();
        let keys = self.config.keys().filter(|key| key.starts_with(prefix));
        keys.filter(|key| !read.contains(*key)).map(str::to_owned).collect()
    }

    /// The names that a list has.
    fn names(&self, list_key: &str) -> Vec<String> {
        list(self.config.get(list_key).unwrap_or_default())
    }

    fn raw(&self, key: &str) -> Option<&'a str> {
        self.pass_over(key);
        self.config.get(key)
    }

    /// What was found, unknown keys included.
    pub(super) fn finish(mut self) -> (Vec<Mistake>, Vec<Note>) {
        let unread = self.keys_from("");
        let known: Vec<String> = [connector::keys(), framework::keys(self.worker, true)]
            .concat()
            .iter()
            .map(|key| key.name.to_string())
            .collect();
        for key in unread {
            let told = Mistake::of(&key, "is not a key of the connector or of Kafka Connect");
            self.mistakes.push(told.hint(match listed(&key) {
                Some((name, list)) if self.names(list).contains(&name.to_owned()) => {
                    format!("the class of {name} has no such key: leave it out")
                }
                Some((name, list)) => format!("name {name} in `{list}`, or leave it out"),
                None => match nearest_few(&key, known.iter().map(String::as_str), 1).first() {
                    Some(near) => format!("did you mean {near}? else leave it out"),
                    None => "leave it out, or look for it in docs/MIGRATION.md".to_owned(),
                },
            }));
        }
        (self.mistakes, self.notes)
    }
}
