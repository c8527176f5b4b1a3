//! Changes to a request and its metadata: fields that are there, and placeholders that stand for
//! components of the cursor.
//!
//! Invariant: of a component that holds a mistake, only what is wrong with every type it could have
//! is told.

use super::super::config::OverlayConfig;
use super::super::cursor::Component;
use super::super::template::MetadataTemplate;
use super::resume::Check;
use headwater_engine::spec::{NodeView, Report, Step};
use headwater_proto::{
    CursorComponent, LeafKind, MessageDescriptor, Overlay, PathSegment, RequestError,
};
use serde_json::Value as Json;

/// What a cursor's component can be.
const CURSOR_KINDS: [LeafKind; 6] = [
    LeafKind::Int,
    LeafKind::Uint,
    LeafKind::Enum,
    LeafKind::Text,
    LeafKind::Bytes,
    LeafKind::Message,
];

/// Changes to a request and its metadata.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) overlay: Overlay,
    pub(super) metadata: MetadataTemplate,
}

impl Check<'_, '_> {
    /// The changes to a request and its metadata that stand at a place of the block.
    pub(super) fn change(
        &self,
        place: &[&'static str],
        config: &OverlayConfig,
        message: &MessageDescriptor,
        cursors: &[Vec<CursorComponent>],
        report: &mut Report,
    ) -> Option<Change> {
        let overlay = self.overlay(place, config, message, cursors, report);
        let metadata = self.metadata(place, config, &cursors[0], report);
        Some(Change { overlay: overlay?, metadata: metadata? })
    }

    fn metadata(
        &self,
        place: &[&'static str],
        config: &OverlayConfig,
        cursor: &[CursorComponent],
        report: &mut Report,
    ) -> Option<MetadataTemplate> {
        let problems = match MetadataTemplate::compile(&config.metadata, cursor) {
            Ok(template) => return Some(template),
            Err(problems) => problems,
        };
        for problem in problems {
            let mut at = steps(place);
            at.extend([Step::Key("metadata"), Step::Key(problem.key())]);
            report.error(&self.view.at_key(&at), problem.to_string());
        }
        None
    }

    /// Checks an overlay with each of the cursors there may be; reports what none of them mends.
    fn overlay(
        &self,
        place: &[&'static str],
        config: &OverlayConfig,
        message: &MessageDescriptor,
        cursors: &[Vec<CursorComponent>],
        report: &mut Report,
    ) -> Option<Overlay> {
        let set = Json::Object(config.set.clone());
        let mut errors: Option<Vec<RequestError>> = None;
        let mut overlay = None;
        for cursor in cursors {
            let found = match Overlay::compile_with(message, &set, &config.clear, cursor) {
                Ok(compiled) => {
                    overlay = Some(compiled);
                    Vec::new()
                }
                Err(found) => found,
            };
            let earlier = errors.get_or_insert_with(|| found.clone());
            earlier.retain(|error| found.contains(error));
        }
        let errors = errors.unwrap_or_default();
        for error in &errors {
            let list = match error.path.first() {
                Some(PathSegment::Index(_)) => "clear",
                _ => "set",
            };
            let mut at = steps(place);
            at.push(Step::Key(list));
            report_request(error, &at, self.view, report);
        }
        overlay.filter(|_| errors.is_empty())
    }

    /// What the components of the cursor may be. Of one that holds a mistake the type is hidden, so
    /// it is tried with each: only what is wrong with all of them is wrong for certain.
    pub(super) fn possible(&self, known: &[CursorComponent]) -> Vec<Vec<CursorComponent>> {
        let mut names: Vec<&str> = self.config.cursor.keys().map(String::as_str).collect();
        if names.is_empty() {
            self.config.restart.set.values().for_each(|value| placeholders(value, &mut names));
        }
        names.retain(|name| known.iter().all(|known| known.name != *name));
        if names.is_empty() {
            return vec![known.to_vec()];
        }
        let with = |kind: LeafKind| {
            let hidden =
                |name: &&str| CursorComponent { name: (*name).to_owned(), kind, message: None };
            known.iter().cloned().chain(names.iter().map(hidden)).collect()
        };
        CURSOR_KINDS.into_iter().map(with).collect()
    }

    pub(super) fn warn_unused(
        &self,
        components: &[Component],
        restart: &Change,
        report: &mut Report,
    ) {
        let mut used = restart.overlay.cursors();
        used.extend(restart.metadata.cursors());
        let unused: Vec<&str> = components
            .iter()
            .map(|component| component.name.as_str())
            .filter(|name| !used.contains(name))
            .collect();
        if unused.is_empty() || !self.view.knows(&["resume", "restart"]) {
            return;
        }
        let first = unused[0];
        report
            .warning(
                &self.view.at_key(&["resume", "restart"]),
                format!("a new call is not given the cursor: {} unused", unused.join(", ")),
            )
            .detail(
                "the server then begins where the request says, as if nothing had been received",
            )
            .hint(format!(
                "set the field it resumes from, `set: {{ FIELD: \"${{cursor.{first}}}\" }}`"
            ));
    }
}

/// Reports a mistake in a request's value that stands at `at`.
pub(super) fn report_request(
    error: &RequestError,
    at: &[Step<'_>],
    view: &NodeView<'_>,
    report: &mut Report,
) {
    let inner = error.path.iter().map(|segment| match segment {
        PathSegment::Key(key) => Step::Key(key),
        PathSegment::Index(index) => Step::Index(*index),
    });
    let path: Vec<Step<'_>> = at.iter().copied().chain(inner).collect();
    // A field may lack a value that was reported before; its name cannot be told from its value.
    if view.at(&path).is_reported() {
        return;
    }
    let finding = report.error(&view.at_key(&path), error.message.clone());
    if let Some(hint) = &error.hint {
        finding.hint(hint.clone());
    }
}
/// A place of the block, from the node's own.
fn steps<'p>(place: &[&'p str]) -> Vec<Step<'p>> {
    std::iter::once("resume").chain(place.iter().copied()).map(Step::Key).collect()
}

/// The names of components that a value asks for.
fn placeholders<'v>(value: &'v Json, names: &mut Vec<&'v str>) {
    match value {
        Json::String(text) => {
            names.extend(text.strip_prefix("${cursor.").and_then(|rest| rest.strip_suffix('}')));
        }
        Json::Array(items) => items.iter().for_each(|item| placeholders(item, names)),
        Json::Object(map) => map.values().for_each(|value| placeholders(value, names)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// What a restart changes; only names and placeholders, as values may be secret.
pub(super) fn words(restart: &OverlayConfig) -> String {
    let set = restart.set.iter().map(|(field, value)| match value {
        Json::String(text) if text.starts_with("${cursor.") => format!("sets {field} to {text}"),
        _ => format!("sets {field}"),
    });
    let sent = restart.metadata.keys().map(|key| format!("sends metadata {key}"));
    let cleared = restart.clear.iter().map(|field| format!("clears {field}"));
    let all: Vec<String> = cleared.chain(set).chain(sent).collect();
    if all.is_empty() {
        return "a new call's request is the same".to_owned();
    }
    format!("a new call's request {}", all.join(", "))
}
