//! Remembers what interpolations resolved to, so that none of it is ever shown.
//!
//! Why: the checks of this module quote the file, never a resolved value. A kind's own check,
//! serde, or a library below it may still put a value into its message; before such a message
//! enters the report, every resolved text in it is replaced by the `${…}` it came from.
//!
//! Invariant: this type has no `Debug` output of its values.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// A resolved text shorter than this is replaced only where it stands as a word of its own,
/// else a variable that holds `1` would garble every number.
const WORD_CHARS_MAX: usize = 4;

/// Resolved texts and what stands in the file for them.
#[derive(Default)]
pub(crate) struct Secrets {
    /// By length, longest first, so that a value that contains another one is replaced as a
    /// whole; of one length they are looked up and not gone through.
    known: BTreeMap<Reverse<usize>, HashMap<String, String>>,
}

impl Secrets {
    /// Remembers a resolved value, its lines, and both as `{:?}` would print them.
    pub(crate) fn remember(&mut self, resolved: &str, written: &str) {
        if self.is_known(resolved.trim()) {
            return;
        }
        for text in std::iter::once(resolved).chain(resolved.lines()) {
            let escaped = format!("{:?}", text.trim());
            self.insert(text.trim(), written);
            self.insert(&escaped[1..escaped.len() - 1], written);
        }
    }

    fn insert(&mut self, resolved: &str, written: &str) {
        if !resolved.is_empty() {
            let same_length = self.known.entry(Reverse(resolved.len())).or_default();
            same_length.entry(resolved.to_owned()).or_insert_with(|| written.to_owned());
        }
    }

    fn is_known(&self, resolved: &str) -> bool {
        let same_length = self.known.get(&Reverse(resolved.len()));
        same_length.is_some_and(|known| known.contains_key(resolved))
    }

    /// The longest known value that a text begins with, and what stands in the file for it.
    fn begins(&self, text: &str, before: Option<char>) -> Option<(&str, &str)> {
        let found = self
            .known
            .iter()
            .filter_map(|(Reverse(length), known)| known.get_key_value(text.get(..*length)?));
        let mut found = found.map(|(resolved, written)| (resolved.as_str(), written.as_str()));
        found.find(|(resolved, _)| starts(text, resolved, before))
    }

    /// The text with every resolved value replaced by what stands in the file for it.
    ///
    /// One pass from left to right: what has been put in is not searched again.
    pub(crate) fn conceal(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let before = shown.chars().next_back();
            match self.begins(rest, before) {
                Some((resolved, written)) => {
                    shown.push_str(written);
                    rest = &rest[resolved.len()..];
                }
                None => {
                    shown.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        shown
    }
}

fn starts(text: &str, resolved: &str, before: Option<char>) -> bool {
    let Some(after) = text.strip_prefix(resolved) else {
        return false;
    };
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let is_long = resolved.chars().count() >= WORD_CHARS_MAX;
    is_long || !(joins(before) || joins(after.chars().next()))
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("known", &self.known.values().map(HashMap::len).sum::<usize>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolved_value_is_replaced_wherever_it_stands() {
        let mut secrets = Secrets::default();
        secrets.remember("hunter2", "${env:PW}");
        secrets.remember("hunter2-and-more", "${env:LONG}");
        let text = secrets.conceal("login hunter2/hunter2-and-more failed");
        assert_eq!(text, "login ${env:PW}/${env:LONG} failed");
    }

    #[test]
    fn a_short_value_is_replaced_only_as_a_word() {
        let mut secrets = Secrets::default();
        secrets.remember("1", "${env:N}");
        assert_eq!(secrets.conceal("value 1 is below 1000"), "value ${env:N} is below 1000");
    }

    #[test]
    fn escaped_and_single_lines_of_a_value_are_concealed_too() {
        let mut secrets = Secrets::default();
        secrets.remember("first\"line\nsecond line", "${file:/key}");
        assert_eq!(secrets.conceal("bad \"second line\""), "bad \"${file:/key}\"");
        assert_eq!(secrets.conceal(&format!("{:?}", "first\"line")), "\"${file:/key}\"");
        assert_eq!(
            secrets.conceal(&format!("{:?}", "first\"line\nsecond line")),
            "\"${file:/key}\""
        );
    }
}
