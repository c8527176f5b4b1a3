//! Metadata of a call whose values may hold the cursor: `last-id: "${cursor.id}"`.
//!
//! Invariants
//! 1. A template that compiles renders for every value its components can have, but for bytes that
//!    are no printable text in a key that takes only such.
//! 2. No error names a value; every value is marked sensitive, as in `metadata.rs`.
//!
//! Next: `request.rs` renders it beside the request.

use super::metadata::{self, MetadataError};
use headwater_proto::{CursorComponent, CursorScalar, LeafKind};
use std::collections::BTreeMap;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, BinaryMetadataKey};
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

/// How a placeholder begins and ends.
const OPENING: &str = "${cursor.";
const CLOSING: char = '}';

/// Metadata of a call, beside the source's own.
#[derive(Clone, Debug, Default)]
pub(super) struct MetadataTemplate {
    fixed: MetadataMap,
    entries: Vec<Entry>,
}

/// A key whose value holds the cursor.
#[derive(Clone, Debug)]
struct Entry {
    key: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Component(String),
}

/// An entry of a template cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateProblem {
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("metadata key {key:?} names cursor component {name:?}, which is not declared")]
    Unknown { key: String, name: String },
    #[error(
        "metadata key {key:?} cannot bear cursor component {name:?}; expected a number, a text or \
         bytes"
    )]
    Unable { key: String, name: String },
    #[error("metadata key {key:?} ends in -bin, so `${{cursor.NAME}}` must be its whole value")]
    Mixed { key: String },
}

/// A cursor's value does not fit its metadata key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cursor component {name:?} is not printable ASCII, as metadata key {key:?} demands; use a key \
     that ends in -bin"
)]
pub(super) struct UnfitMetadata {
    key: String,
    name: String,
}

impl TemplateProblem {
    /// The key it is about.
    pub(super) fn key(&self) -> &str {
        match self {
            TemplateProblem::Metadata(error) => &error.key,
            TemplateProblem::Unknown { key, .. }
            | TemplateProblem::Unable { key, .. }
            | TemplateProblem::Mixed { key } => key,
        }
    }
}

impl MetadataTemplate {
    /// The metadata of a call that has these components of a cursor.
    ///
    /// # Errors
    /// Every entry that cannot be sent.
    pub(super) fn compile(
        entries: &BTreeMap<String, String>,
        components: &[CursorComponent],
    ) -> Result<Self, Vec<TemplateProblem>> {
        let (mut problems, mut templates) = (Vec::new(), Vec::new());
        let mut fixed = BTreeMap::new();
        for (key, value) in entries {
            let pieces = pieces(value);
            if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) {
                fixed.insert(key.clone(), value.clone());
                continue;
            }
            // The key is checked as if its value were empty.
            fixed.insert(key.clone(), String::new());
            problems.extend(check(key, &pieces, components));
            templates.push(Entry { key: key.to_ascii_lowercase(), pieces });
        }
        match metadata::compile(&fixed) {
            Ok(fixed) if problems.is_empty() => Ok(MetadataTemplate { fixed, entries: templates }),
            Ok(_) => Err(problems),
            Err(errors) => {
                problems.extend(errors.into_iter().map(TemplateProblem::from));
                Err(problems)
            }
        }
    }

    /// The names of the components it needs.
    pub(super) fn cursors(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().flat_map(|entry| &entry.pieces).filter_map(|piece| match piece {
            Piece::Component(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The metadata with these values.
    ///
    /// # Errors
    /// [`UnfitMetadata`] for a value that its key cannot bear.
    pub(super) fn render(
        &self,
        values: &BTreeMap<&str, CursorScalar>,
    ) -> Result<MetadataMap, UnfitMetadata> {
        let mut map = self.fixed.clone();
        for entry in &self.entries {
            entry.render(values, &mut map)?;
        }
        Ok(map)
    }
}

impl Entry {
    fn render(
        &self,
        values: &BTreeMap<&str, CursorScalar>,
        map: &mut MetadataMap,
    ) -> Result<(), UnfitMetadata> {
        let mut bytes = Vec::new();
        let mut last = "";
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Piece::Component(name) => {
                    last = name;
                    add(values.get(name.as_str()), &mut bytes);
                }
            }
        }
        if self.key.ends_with("-bin") {
            let key = BinaryMetadataKey::from_bytes(self.key.as_bytes());
            let mut value = BinaryMetadataValue::from_bytes(&bytes);
            value.set_sensitive(true);
            map.insert_bin(key.expect("the key was checked"), value);
            return Ok(());
        }
        let key = AsciiMetadataKey::from_bytes(self.key.as_bytes()).expect("the key was checked");
        let mut value = AsciiMetadataValue::try_from(bytes.as_slice())
            .map_err(|_| UnfitMetadata { key: self.key.clone(), name: last.to_owned() })?;
        value.set_sensitive(true);
        map.insert(key, value);
        Ok(())
    }
}

fn add(value: Option<&CursorScalar>, out: &mut Vec<u8>) {
    match value {
        Some(CursorScalar::Int(value)) => out.extend_from_slice(value.to_string().as_bytes()),
        Some(CursorScalar::Uint(value)) => out.extend_from_slice(value.to_string().as_bytes()),
        Some(CursorScalar::Text(text)) => out.extend_from_slice(text.as_bytes()),
        Some(CursorScalar::Bytes(bytes)) => out.extend_from_slice(bytes),
        // Refused when the template is compiled.
        Some(CursorScalar::Timestamp { .. } | CursorScalar::Message(_)) | None => {}
    }
}

fn check(key: &str, pieces: &[Piece], components: &[CursorComponent]) -> Vec<TemplateProblem> {
    let key = key.to_owned();
    let mut problems = Vec::new();
    for piece in pieces {
        let Piece::Component(name) = piece else { continue };
        let (key, name) = (key.clone(), name.clone());
        match components.iter().find(|component| component.name == name) {
            None => problems.push(TemplateProblem::Unknown { key, name }),
            Some(component) if component.kind == LeafKind::Message => {
                problems.push(TemplateProblem::Unable { key, name });
            }
            Some(_) => {}
        }
    }
    if key.ends_with("-bin") && pieces.len() > 1 {
        problems.push(TemplateProblem::Mixed { key });
    }
    problems
}

/// A value, cut at its placeholders.
fn pieces(value: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once(OPENING) {
        let Some((name, behind)) = after.split_once(CLOSING) else { break };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Component(name.to_owned()));
        rest = behind;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, kind: LeafKind) -> CursorComponent {
        CursorComponent { name: name.to_owned(), kind, message: None }
    }

    fn compiled(entries: &[(&str, &str)]) -> Result<MetadataTemplate, Vec<TemplateProblem>> {
        let components = [
            component("seq", LeafKind::Uint),
            component("id", LeafKind::Bytes),
            component("at", LeafKind::Message),
        ];
        let entries = entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        MetadataTemplate::compile(&entries, &components)
    }

    #[test]
    fn values_are_put_where_placeholders_stand() {
        let template = compiled(&[
            ("X-Seq", "after=${cursor.seq};"),
            ("last-id-bin", "${cursor.id}"),
            ("plain", "as it is"),
        ]);
        let template = template.expect("all can be sent");
        assert_eq!(template.cursors().collect::<Vec<_>>(), ["seq", "id"]);
        let values = BTreeMap::from([
            ("seq", CursorScalar::Uint(7)),
            ("id", CursorScalar::Bytes(vec![0, 255].into())),
        ]);
        let map = template.render(&values).expect("they fit");
        assert_eq!(map.get("x-seq").expect("set"), "after=7;");
        assert_eq!(map.get("plain").expect("set"), "as it is");
        let bytes = map.get_bin("last-id-bin").expect("set").to_bytes().expect("base64");
        assert_eq!(&bytes[..], [0, 255]);
        assert!(!format!("{map:?}").contains("after=7"), "values are marked sensitive");
    }

    #[test]
    fn bytes_that_are_no_text_need_a_binary_key() {
        let template = compiled(&[("last-id", "${cursor.id}")]).expect("it may be a text");
        let value =
            |bytes: &'static [u8]| BTreeMap::from([("id", CursorScalar::Bytes(bytes.into()))]);
        let map = template.render(&value(b"abc")).expect("a text");
        assert_eq!(map.get("last-id").expect("set"), "abc");
        let error = template.render(&value(b"\0\xff")).expect_err("no text");
        assert!(error.to_string().contains("-bin"), "{error}");
    }

    #[test]
    fn what_cannot_be_sent_is_told_for_each_key() {
        let problems = compiled(&[
            ("a", "${cursor.sequ}"),
            ("b", "${cursor.at}"),
            ("c-bin", "x${cursor.id}"),
            ("te", "${cursor.seq}"),
        ])
        .expect_err("all are wrong");
        let keys: Vec<&str> = problems.iter().map(TemplateProblem::key).collect();
        assert_eq!(keys, ["a", "b", "c-bin", "te"]);
    }
}
