//! Changes to a file's values before anything checks them, for a command that runs a pipeline in
//! another way than its file says: under another name, against another server.
//!
//! Why here and not on the plan: what is changed passes every check that a file's own values pass,
//! so whoever holds a plan may still rely on all of them. The file itself stays as it is.
//!
//! Invariant: a value that was put in stands where the one before it stood, or at its parent, so
//! that a mistake in it is told with a place.
//!
//! Next: `engine/src/spec/load.rs` has them made.

use serde_json::Value as Json;

use super::diagnostic::Span;
use super::tree::{Entry, Node, Scalar, Value};

/// The values of one file, `${…}` resolved, open to changes.
pub struct Values<'a> {
    root: &'a mut Node,
}

impl<'a> Values<'a> {
    pub(crate) fn new(root: &'a mut Node) -> Self {
        Self { root }
    }

    /// The value at a path of keys, if there is one.
    pub fn get(&self, path: &[&str]) -> Option<Json> {
        let mut node = &*self.root;
        for key in path {
            node = &node.get(key)?.value;
        }
        Some(node.to_json())
    }

    /// Sets the value at a path of keys. Maps on the way that are missing are made.
    pub fn set(&mut self, path: &[&str], value: &Json) {
        let mut node = &mut *self.root;
        for key in path {
            node = child(node, key);
        }
        *node = of_json(value, node.span);
    }

    /// Takes the key at the end of a path away, if it is there.
    pub fn remove(&mut self, path: &[&str]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut node = &mut *self.root;
        for key in parents {
            let entries = node.entries_mut().iter_mut();
            let Some(entry) = entries.into_iter().find(|entry| entry.key == *key) else { return };
            node = &mut entry.value;
        }
        if let Value::Map(entries) = &mut node.value {
            entries.retain(|entry| entry.key != *last);
        }
    }
}

/// The value of a key, made if it is missing. What is no map becomes one.
fn child<'n>(node: &'n mut Node, key: &str) -> &'n mut Node {
    let span = node.span;
    if !node.is_map() {
        node.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut node.value else { unreachable!("it is a map now") };
    let place = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
        let value = of_json(&Json::Null, span);
        entries.push(Entry { key: key.to_owned(), key_span: span, value });
        entries.len() - 1
    });
    &mut entries[place].value
}

fn of_json(value: &Json, span: Span) -> Node {
    let value = match value {
        Json::String(text) => Value::Scalar(Scalar::quoted(text.clone())),
        Json::Null | Json::Bool(_) | Json::Number(_) => {
            Value::Scalar(Scalar::plain(value.to_string()))
        }
        Json::Array(items) => Value::List(items.iter().map(|item| of_json(item, span)).collect()),
        Json::Object(pairs) => {
            let entry = |(key, value): (&String, &Json)| Entry {
                key: key.clone(),
                key_span: span,
                value: of_json(value, span),
            };
            Value::Map(pairs.iter().map(entry).collect())
        }
    };
    Node { span, value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changed(before: &Json, change: impl Fn(&mut Values<'_>)) -> Json {
        let mut root = of_json(before, Span::default());
        assert_eq!(root.to_json(), *before, "what is put in is what is read");
        change(&mut Values::new(&mut root));
        root.to_json()
    }

    #[test]
    fn values_are_read_set_and_taken_away_by_their_path() {
        let before = json!({ "a": { "b": 1, "c": [true, null, "x"] }, "d": "text" });
        let after = changed(&before, |values| {
            assert_eq!(values.get(&["a", "c"]), Some(json!([true, null, "x"])));
            assert_eq!(values.get(&["a", "z"]), None);
            values.set(&["a", "b"], &json!({ "deep": 1.5 }));
            values.set(&["new", "way"], &json!("here"));
            values.remove(&["d"]);
            values.remove(&["a", "no", "such"]);
        });
        let expected = json!({
            "a": { "b": { "deep": 1.5 }, "c": [true, null, "x"] }, "new": { "way": "here" }
        });
        assert_eq!(after, expected);
    }
}
