//! Metadata of the call, from one key or from many.

use crate::connect::definition::connector::METADATA_PREFIX;
use crate::connect::mistake::Mistake;
use crate::connect::references::{converted, has_any};
use crate::connect::translate::reader::Reader;

/// Of an entry that is given twice, the one with a key of its own counts.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    const KEY: &str = "grpc.metadata";
    let mut entries: Vec<(String, String, String)> = Vec::new();
    reader.pass_over(KEY);
    let all = reader.config.get(KEY).unwrap_or_default();
    for (pair, place) in split(all).into_iter().zip(1..) {
        match pair.split_once(':') {
            Some((key, value)) => {
                let key = key.trim().to_ascii_lowercase();
                check_name(KEY, &key, &format!("of entry {place} "), reader);
                entries.push((KEY.to_owned(), key, value.trim().to_owned()));
            }
            None if pair.trim().is_empty() => {}
            None => {
                let told = Mistake::of(KEY, format!("entry {place} has no colon"));
                reader.mistake(told.hint(
                    "expected key:value,key:value; a value that has a comma is written as \
                     grpc.metadata.KEY",
                ));
            }
        }
    }
    for given in reader.keys_from(METADATA_PREFIX) {
        reader.pass_over(&given);
        let key = given[METADATA_PREFIX.len()..].trim().to_ascii_lowercase();
        let Some(value) = reader.config.get(&given) else { continue };
        let value = value.trim().to_owned();
        check_name(&given, &key, "", reader);
        entries.push((given, key, value));
    }
    let mut metadata: Vec<(String, String)> = Vec::new();
    for (given, key, value) in entries {
        note_secret(&given, &key, &value, reader);
        match converted(&value) {
            Ok(value) => {
                metadata.retain(|(other, _)| *other != key);
                metadata.push((key, value));
            }
            Err(told) => reader.mistake(Mistake { key: given, ..told }),
        }
    }
    metadata
}

/// Commas part entries, but not within a reference.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '{' if text[..at].ends_with('$') => inside = text[at..].contains('}'),
            '}' => inside = false,
            ',' if !inside => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn check_name(given: &str, key: &str, of: &str, reader: &mut Reader<'_>) {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.is_empty() || !key.chars().all(is_letter) {
        let told = Mistake::of(given, format!("the name {of}cannot be sent"));
        reader.mistake(told.hint("expected letters, digits, `-`, `_` and `.`"));
    }
}

fn note_secret(given: &str, key: &str, value: &str, reader: &mut Reader<'_>) {
    let is_secret = ["authorization", "token", "key", "secret", "password", "cookie"]
        .iter()
        .any(|word| key.contains(word));
    if is_secret && !has_any(value) {
        let told = format!(
            "the value of {key} stands in the file as it stood in the configuration; a reference \
             such as ${{env:NAME}} keeps it out"
        );
        reader.note(given, told);
    }
}
