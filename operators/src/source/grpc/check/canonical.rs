//! A request as text, for digests: without what `resume` changes in it, which is not the same from
//! call to call, and in an order of its own.
//!
//! Fields are left out one by one: where a restart sets `options.all.position`, the stream that
//! `options` names beside it still counts, because it is what gives a position its meaning.

use super::super::config::OverlayConfig;
use headwater_proto::MessageDescriptor;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// The path of a field, by the fields' own names.
type Path = Vec<String>;

/// The text of `request`, a message of type `input`, without the fields that `overlays` change.
pub(super) fn text<'c>(
    input: &MessageDescriptor,
    request: Option<&Map<String, Json>>,
    overlays: impl Iterator<Item = &'c OverlayConfig>,
) -> String {
    let mut changed: Vec<Path> = Vec::new();
    for overlay in overlays {
        set_paths(input, &overlay.set, &[], &mut changed);
        changed.extend(overlay.clear.iter().map(|path| named(input, path)));
    }
    let kept = request.map(|request| kept(Some(input), request, &[], &changed));
    serde_json::to_string(&kept.unwrap_or_default()).expect("JSON values are plain data")
}

/// The fields that are set; of a message that is merged into the request's, those within.
fn set_paths(
    input: &MessageDescriptor,
    set: &Map<String, Json>,
    above: &[String],
    all: &mut Vec<Path>,
) {
    for (written, value) in set {
        let name = field_name(input, written);
        let path: Path = above.iter().cloned().chain([name.clone()]).collect();
        match (message_of(Some(input), &name), value) {
            (Some(inner), Json::Object(value)) => set_paths(&inner, value, &path, all),
            _ => all.push(path),
        }
    }
}

/// A dotted path by the fields' own names.
fn named(input: &MessageDescriptor, path: &str) -> Path {
    let mut inside = Some(input.clone());
    let name = |written: &str| {
        let name = inside.as_ref().map_or_else(|| written.to_owned(), |it| field_name(it, written));
        inside = message_of(inside.as_ref(), &name);
        name
    };
    path.split('.').map(name).collect()
}

fn kept(
    input: Option<&MessageDescriptor>,
    request: &Map<String, Json>,
    above: &[String],
    changed: &[Path],
) -> BTreeMap<String, Json> {
    let mut fields = BTreeMap::new();
    for (written, value) in request {
        let name = input.map_or_else(|| written.clone(), |input| field_name(input, written));
        let path: Path = above.iter().cloned().chain([name.clone()]).collect();
        if changed.contains(&path) {
            continue;
        }
        let inner = message_of(input, &name);
        let value = match (inner, value) {
            (Some(inner), Json::Object(map)) => {
                let within = kept(Some(&inner), map, &path, changed);
                // A message of which nothing is left is as good as none.
                if within.is_empty() && !map.is_empty() {
                    continue;
                }
                Json::Object(within.into_iter().collect())
            }
            (_, value) => sorted(value),
        };
        fields.insert(name, value);
    }
    fields
}

/// The type of a single message field whose fields are written one by one.
fn message_of(message: Option<&MessageDescriptor>, field: &str) -> Option<MessageDescriptor> {
    let field = message?.get_field_by_name(field)?;
    let inner = field.kind().as_message().cloned()?;
    let is_plain = !field.is_list() && !inner.full_name().starts_with("google.protobuf.");
    (is_plain && !field.is_map()).then_some(inner)
}

/// A field's own name, where it is written by its JSON name.
fn field_name(message: &MessageDescriptor, written: &str) -> String {
    let field =
        message.get_field_by_name(written).or_else(|| message.get_field_by_json_name(written));
    field.map_or_else(|| written.to_owned(), |field| field.name().to_owned())
}

fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let entries: BTreeMap<&String, Json> =
                map.iter().map(|(key, value)| (key, sorted(value))).collect();
            Json::Object(entries.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
