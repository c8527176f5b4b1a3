//! A map whose end has not been seen: keys once, `<<` merged, explicit keys first.

use std::collections::HashMap;

use super::super::diagnostic::{Place, Report, Span};
use super::super::tree::{Entry, Node, Value};

#[derive(Default)]
pub(super) struct OpenMap {
    entries: Vec<Entry>,
    first: HashMap<String, Span>,
    /// What `<<` brings in; keys of the map itself win.
    merged: Vec<Entry>,
    pub(super) key: Option<Key>,
}

pub(super) struct Key {
    text: String,
    span: Span,
    /// A plain `<<`.
    is_merge: bool,
}

impl OpenMap {
    pub(super) fn insert(&mut self, key: Key, value: Node, report: &mut Report) {
        if key.is_merge {
            self.merge(&key, value, report);
            return;
        }
        if let Some(first) = self.first.get(&key.text) {
            report
                .error(&Place::new(key.span), format!("key {:?} stands twice", key.text))
                .detail(format!("the first one is in line {}", first.line));
            return;
        }
        self.first.insert(key.text.clone(), key.span);
        self.entries.push(Entry { key: key.text, key_span: key.span, value });
    }

    fn merge(&mut self, key: &Key, value: Node, report: &mut Report) {
        let maps = match value.value {
            Value::List(items) => items,
            _ => vec![value],
        };
        for map in maps {
            match map.value {
                Value::Map(entries) => self.merged.extend(entries),
                _ => {
                    report
                        .error(&Place::new(key.span), "`<<` merges something that is not a map")
                        .hint("write `<<: *name` with the anchor of a map");
                }
            }
        }
    }

    pub(super) fn into_entries(mut self) -> Vec<Entry> {
        for entry in self.merged {
            if !self.first.contains_key(&entry.key) {
                self.first.insert(entry.key.clone(), entry.key_span);
                self.entries.push(entry);
            }
        }
        self.entries
    }
}

pub(super) fn key_of(node: &Node, span: Span, is_merge: bool, report: &mut Report) -> Key {
    let text = match &node.value {
        Value::Scalar(scalar) => scalar.text.clone(),
        Value::List(_) | Value::Map(_) | Value::StandIn(_) => {
            report
                .error(&Place::new(span), "a list or map cannot be a key")
                .hint("in a { } map, put text that holds `${…}` or braces in quotes");
            String::new()
        }
    };
    Key { text, span, is_merge }
}
