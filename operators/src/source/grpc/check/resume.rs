//! The cursor mapping: paths that exist, values that can do what is asked of them, and requests
//! that take them.
//!
//! Invariant: without the method, or without a component, all is checked that needs neither.

use super::super::config::{
    Boundary, ComponentConfig, ComponentType, Config, OnCursorLost, OnGap, OnOutOfOrder,
    OverlayConfig, PositionKind, ResumeConfig, SequenceKind,
};
use super::super::cursor::{Component, CursorPaths};
use super::super::loss::LossPlan;
use super::super::resume::Rules;
use super::super::source::ResumePlan;
use headwater_engine::spec::{NodeView, Report, Step};
use headwater_proto::{
    CursorComponent, FieldPath, LeafKind, MessageDescriptor, Method, Overlay, PathSegment,
    RequestError,
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

/// A checked `resume` block: the plan, and how its restarts change a request.
pub(super) struct CheckedResume {
    pub(super) plan: ResumePlan,
    pub(super) restart: Overlay,
    pub(super) position: PositionKind,
}

/// What a check of the block needs.
struct Check<'c, 'v> {
    config: &'c ResumeConfig,
    view: &'c NodeView<'v>,
}

/// Outside `None` after an error, inside `None` without a `resume` block.
pub(super) fn check(
    config: &Config,
    method: Option<&Method>,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Option<CheckedResume>> {
    let Some(resume) = &config.resume else { return Some(None) };
    Check { config: resume, view }.run(method, report).map(Some)
}

impl Check<'_, '_> {
    fn run(&self, method: Option<&Method>, report: &mut Report) -> Option<CheckedResume> {
        let components = self.components(method, report);
        let rules = self.rules(&components, report);
        let latest = self.latest(method.map(Method::input).as_ref(), report);
        // Without the method nothing can be said of paths and fields.
        let (output, input) = (method?.output(), method?.input());
        let id = self.id(&output, report);
        let start = self.overlay("start", &self.config.start, &input, &[Vec::new()], report);
        let known: Vec<CursorComponent> = (components.iter().flatten())
            .map(|component| CursorComponent::of_path(&component.name, &component.paths[0]))
            .collect();
        let cursors = self.possible(&known);
        let restart = self.overlay("restart", &self.config.restart, &input, &cursors, report);
        let components: Vec<Component> = components.into_iter().collect::<Option<_>>()?;
        let (rules, restart, id) = (rules?, restart?, id?);
        start?;
        latest?;
        self.warn_unused(&components, &restart, report);
        let restart_words = words(&self.config.restart);
        let cursor = CursorPaths { components, id: id.filter(|_| rules.has_ids) };
        let loss = LossPlan::new(self.config);
        let ResumeConfig { on_gap, on_out_of_order, .. } = *self.config;
        let plan = ResumePlan { cursor, rules, on_gap, on_out_of_order, loss, restart_words };
        let is_known = self.view.knows(&["resume"]);
        let checked = CheckedResume { plan, restart, position: self.config.position };
        Some(checked).filter(|_| is_known)
    }

    /// As many as the file names; none in the place of one that holds a mistake.
    fn components(&self, method: Option<&Method>, report: &mut Report) -> Vec<Option<Component>> {
        if self.config.cursor.is_empty() {
            report
                .error(&self.view.at(&["resume", "cursor"]), "the cursor has no component")
                .hint("name one, for example `seq: { from: sequence }`");
        }
        let output = method.map(Method::output);
        self.config
            .cursor
            .iter()
            .map(|(name, component)| {
                self.check_component_name(name, report);
                self.component(name, component, output.as_ref()?, report)
            })
            .collect()
    }

    fn check_component_name(&self, name: &str, report: &mut Report) {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if name.is_empty() || !name.chars().all(is_word) {
            report
                .error(
                    &self.view.at_key(&["resume", "cursor", name]),
                    format!("{name:?} cannot name a cursor component"),
                )
                .detail("expected: letters, digits and `_`, for use as ${cursor.NAME}");
        }
    }

    fn component(
        &self,
        name: &str,
        config: &ComponentConfig,
        message: &MessageDescriptor,
        report: &mut Report,
    ) -> Option<Component> {
        let place = ["resume", "cursor", name];
        let from = config.from.as_slice();
        let paths: Vec<Option<FieldPath>> = (from.iter().enumerate())
            .map(|(index, text)| {
                let at = path_steps(&place, index);
                self.path(text, message, &at, report)
            })
            .collect();
        let paths: Vec<FieldPath> = paths.into_iter().collect::<Option<_>>()?;
        let kind = self.kind(name, config, &paths, report)?;
        self.view.knows(&place).then_some(())?;
        Some(Component { name: name.to_owned(), paths, kind })
    }

    fn path(
        &self,
        text: &str,
        message: &MessageDescriptor,
        at: &[Step<'_>],
        report: &mut Report,
    ) -> Option<FieldPath> {
        match FieldPath::compile(message, text) {
            Ok(path) => Some(path),
            Err(error) => {
                let finding = report.error(&self.view.at(at), error.message);
                finding.detail(format!("at character {} of the path", error.column + 1));
                if let Some(hint) = error.hint {
                    finding.hint(hint);
                }
                None
            }
        }
    }

    /// What the component's values mean: as declared, if the field can mean that.
    fn kind(
        &self,
        name: &str,
        config: &ComponentConfig,
        paths: &[FieldPath],
        report: &mut Report,
    ) -> Option<ComponentType> {
        let place = self.view.at(&["resume", "cursor", name, "from"]);
        let Some(first) = paths.first() else {
            report.error(&place, format!("cursor component {name:?} has no path"));
            return None;
        };
        let same = |path: &&FieldPath| {
            path.kind() == first.kind()
                && path.message().map(|m| m.full_name().to_owned())
                    == first.message().map(|m| m.full_name().to_owned())
        };
        if let Some(other) = paths.iter().find(|path| !same(path)) {
            report
                .error(&place, format!("the paths of cursor component {name:?} differ in type"))
                .detail(format!("{first} is a {}, {other} is a {}", first.kind(), other.kind()));
            return None;
        }
        let able = able_types(first);
        let Some(default) = able.first() else {
            report
                .error(&place, format!("field {first} is a {}, which cannot resume", first.kind()))
                .detail("expected: an integer, a timestamp, a text, bytes or a message");
            return None;
        };
        match config.kind {
            None => Some(*default),
            Some(kind) if able.contains(&kind) => Some(kind),
            Some(_) => {
                let expected: Vec<&str> = able.iter().map(|kind| type_name(*kind)).collect();
                report
                    .error(
                        &self.view.at(&["resume", "cursor", name, "type"]),
                        format!("field {first} is a {} and has no such meaning", first.kind()),
                    )
                    .detail(format!("expected: {}", expected.join(" or ")));
                None
            }
        }
    }

    /// Outside `None` after an error.
    fn id(&self, message: &MessageDescriptor, report: &mut Report) -> Option<Option<FieldPath>> {
        let Some(text) = &self.config.id else { return Some(None) };
        let at = [Step::Key("resume"), Step::Key("id")];
        let path = self.path(text, message, &at, report)?;
        let is_known = ["position", "boundary"].map(|key| self.view.knows(&["resume", key]));
        let is_idle =
            self.config.position != PositionKind::At || self.config.boundary == Boundary::Change;
        if is_known == [true; 2] && is_idle {
            report
                .warning(&self.view.at(&at), "`id` has no effect here")
                .detail("it tells messages apart with `position: at` and `boundary: message` only");
        }
        Some(Some(path))
    }

    /// How many components there are is known before what they are.
    fn rules(&self, components: &[Option<Component>], report: &mut Report) -> Option<Rules> {
        if components.is_empty() {
            return None;
        }
        let ResumeConfig { position, boundary, sequence, id, on_gap, on_out_of_order, .. } =
            self.config;
        let is_only = components.len() == 1;
        let may_be =
            |wanted: fn(&Component) -> bool| is_only && components[0].as_ref().is_none_or(wanted);
        let is_ordered = may_be(Component::is_ordered);
        let mut fine = true;
        let mut demand = |key: &str, met: bool, message: &str, report: &mut Report| {
            if !met {
                report.error(&self.view.at(&["resume", key]), message.to_owned());
                fine = false;
            }
        };
        let at = *position != PositionKind::At || is_only;
        demand("position", at, "`position: at` needs a cursor of exactly one component", report);
        let next = *position != PositionKind::Next || is_ordered;
        demand(
            "position",
            next,
            "`position: next` needs a cursor of exactly one component, a number or a timestamp",
            report,
        );
        let is_int = may_be(|only| only.kind == ComponentType::Int);
        let sequence_fits = match sequence {
            SequenceKind::Contiguous => is_int,
            SequenceKind::Monotone => is_ordered,
            SequenceKind::None => true,
        };
        let needs = match sequence {
            SequenceKind::Contiguous => "a number",
            _ => "a number or a timestamp",
        };
        let message = format!(
            "`sequence: {sequence}` needs a cursor of exactly one component that is {needs}"
        );
        demand("sequence", sequence_fits, &message, report);
        let is_sequence_known = self.view.knows(&["resume", "sequence"]);
        let is_idle = *on_gap == OnGap::Stop && *sequence != SequenceKind::Contiguous;
        if is_sequence_known && is_idle {
            report
                .warning(&self.view.at(&["resume", "on_gap"]), "`on_gap: stop` has no effect here")
                .detail("only `sequence: contiguous` can show that messages are missing");
        }
        let is_idle = *on_out_of_order != OnOutOfOrder::Drop && *sequence == SequenceKind::None;
        if is_sequence_known && is_idle {
            report
                .warning(
                    &self.view.at(&["resume", "on_out_of_order"]),
                    "`on_out_of_order` has no effect here",
                )
                .detail("with `sequence: none` values have no order that could be broken");
        }
        let has_ids =
            id.is_some() && *position == PositionKind::At && *boundary == Boundary::Message;
        fine.then_some(Rules {
            position: *position,
            boundary: *boundary,
            sequence: *sequence,
            is_ordered,
            has_ids,
        })
    }

    /// The overlay of a call at the newest message fits, and is there if it is needed.
    fn latest(&self, input: Option<&MessageDescriptor>, report: &mut Report) -> Option<()> {
        let is_wanted = self.config.on_cursor_lost == OnCursorLost::Latest;
        let place = self.view.at(&["resume", "on_cursor_lost"]);
        match &self.config.latest {
            None if is_wanted => {
                report
                    .error(
                        &place,
                        "`on_cursor_lost: latest` needs a request for the newest message",
                    )
                    .hint("say what changes in the request, `latest: { set: { FIELD: VALUE } }`");
                None
            }
            None => Some(()),
            Some(latest) => {
                if !is_wanted && self.view.knows(&["resume", "on_cursor_lost"]) {
                    report
                        .warning(&self.view.at_key(&["resume", "latest"]), "`latest` has no effect")
                        .detail("it is the request of `on_cursor_lost: latest` only");
                }
                self.overlay("latest", latest, input?, &[Vec::new()], report).map(drop)
            }
        }
    }

    /// Checks an overlay with each of the cursors there may be; reports what none of them mends.
    fn overlay(
        &self,
        key: &'static str,
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
            let at = [Step::Key("resume"), Step::Key(key), Step::Key(list)];
            report_request(error, &at, self.view, report);
        }
        overlay.filter(|_| errors.is_empty())
    }

    /// What the components of the cursor may be. Of one that holds a mistake the type is hidden, so
    /// it is tried with each: only what is wrong with all of them is wrong for certain.
    fn possible(&self, known: &[CursorComponent]) -> Vec<Vec<CursorComponent>> {
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

    fn warn_unused(&self, components: &[Component], restart: &Overlay, report: &mut Report) {
        let used = restart.cursors();
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

/// The place of a path; a lone one that is no list has no index, and the place is the same.
fn path_steps<'p>(place: &[&'p str; 3], index: usize) -> Vec<Step<'p>> {
    let keys = place.iter().map(|key| Step::Key(key));
    keys.chain([Step::Key("from"), Step::Index(index)]).collect()
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

/// What a field's values can mean, the usual meaning first.
fn able_types(path: &FieldPath) -> &'static [ComponentType] {
    use ComponentType::{Int, Message, Opaque, Timestamp};
    match path.kind() {
        LeafKind::Int | LeafKind::Uint | LeafKind::Enum => &[Int, Opaque],
        LeafKind::Text | LeafKind::Bytes => &[Opaque],
        LeafKind::Message if path.is_timestamp() => &[Timestamp, Opaque],
        LeafKind::Message => &[Message, Opaque],
        LeafKind::Bool | LeafKind::Float => &[],
    }
}

fn type_name(kind: ComponentType) -> &'static str {
    match kind {
        ComponentType::Int => "int",
        ComponentType::Timestamp => "timestamp",
        ComponentType::Opaque => "opaque",
        ComponentType::Message => "message",
    }
}

/// What a restart changes; only names and placeholders, as values may be secret.
fn words(restart: &OverlayConfig) -> String {
    let set = restart.set.iter().map(|(field, value)| match value {
        Json::String(text) if text.starts_with("${cursor.") => format!("sets {field} to {text}"),
        _ => format!("sets {field}"),
    });
    let cleared = restart.clear.iter().map(|field| format!("clears {field}"));
    let all: Vec<String> = cleared.chain(set).collect();
    if all.is_empty() {
        return "a new call's request is the same".to_owned();
    }
    format!("a new call's request {}", all.join(", "))
}
