//! The `resume` block as a whole: modes, rules that fit the cursor, and requests that take it.
//! Components are checked in `cursor.rs`, predicates in `control.rs`, what follows a cursor that is
//! gone in `expired.rs`.
//!
//! Invariant: without the method, or without a component, all is checked that needs neither.

use super::super::config::{
    Boundary, ComponentType, Config, Mode, OnGap, OnOutOfOrder, OverlayConfig, PositionKind,
    ResumeConfig, SequenceKind,
};
use super::super::cursor::{Component, CursorPaths};
use super::super::expired::{ExpiredPlan, Reentry};
use super::super::resume::Rules;
use super::super::source::ResumePlan;
use super::super::template::MetadataTemplate;
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

/// Keys that only a cursor gives a meaning.
const OF_CURSOR: [&str; 10] = [
    "cursor",
    "position",
    "id",
    "restart",
    "expired",
    "verify",
    "boundary",
    "sequence",
    "on_gap",
    "on_out_of_order",
];

/// A checked `resume` block: the plan, and how its restarts change a request.
pub(super) struct CheckedResume {
    pub(super) plan: ResumePlan,
    /// Metadata of a call without a cursor.
    pub(super) start: MetadataTemplate,
    /// Of a call with one; none where the mode has no cursor.
    pub(super) restart: Option<Change>,
    /// Of a call behind a cursor that is gone, where that is declared.
    pub(super) reentry: Option<Change>,
    pub(super) position: PositionKind,
}

/// Changes to a request and its metadata.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) overlay: Overlay,
    pub(super) metadata: MetadataTemplate,
}

/// What a check of the block needs.
pub(super) struct Check<'c, 'v> {
    pub(super) config: &'c ResumeConfig,
    pub(super) view: &'c NodeView<'v>,
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
        if self.config.mode != Mode::Cursor {
            return self.without_cursor(method, report);
        }
        let components = self.components(method, report);
        let rules = self.rules(&components, report);
        let output = method.map(Method::output);
        let control = self.control(output.as_ref(), report);
        let dedupe = self.dedupe(output.as_ref(), report);
        let action = self.expired(method, &components, report);
        // Without the method nothing can be said of paths and fields.
        let (output, input) = (method?.output(), method?.input());
        let id = self.id(&output, report);
        let known: Vec<CursorComponent> =
            components.iter().flatten().map(Component::placeholder).collect();
        let cursors = self.possible(&known);
        let start = self.change(&["start"], &self.config.start, &input, &[Vec::new()], report);
        let restart = self.change(&["restart"], &self.config.restart, &input, &cursors, report);
        let reentry = self.reentry(&input, &cursors, report);
        let components: Vec<Component> = components.into_iter().collect::<Option<_>>()?;
        let (rules, restart, id) = (rules?, restart?, id?);
        self.warn_unused(&components, &restart, report);
        let cursor = CursorPaths { components, id: id.filter(|_| rules.has_ids) };
        let ResumeConfig { on_gap, on_out_of_order, mode, .. } = *self.config;
        let plan = ResumePlan {
            mode,
            cursor,
            rules,
            on_gap,
            on_out_of_order,
            expired: ExpiredPlan::new(&self.config.expired, action?),
            control: control?,
            dedupe: dedupe?,
            restart_words: words(&self.config.restart),
        };
        let (start, position) = (start?.metadata, self.config.position);
        let checked =
            CheckedResume { plan, start, restart: Some(restart), reentry: reentry?, position };
        Some(checked).filter(|_| self.view.knows(&["resume"]))
    }

    /// A mode that goes by no value of the messages.
    fn without_cursor(
        &self,
        method: Option<&Method>,
        report: &mut Report,
    ) -> Option<CheckedResume> {
        let mode = self.config.mode;
        let is_able = self.check_mode(report);
        let output = method.map(Method::output);
        let control = self.control(output.as_ref(), report);
        let dedupe = self.dedupe(output.as_ref(), report);
        let start =
            self.change(&["start"], &self.config.start, &method?.input(), &[Vec::new()], report);
        let ResumeConfig { on_gap, on_out_of_order, position, .. } = *self.config;
        let plan = ResumePlan {
            mode,
            cursor: CursorPaths { components: Vec::new(), id: None },
            rules: Rules { is_counted: mode == Mode::ReplayAll, ..Rules::PLAIN },
            on_gap,
            on_out_of_order,
            expired: ExpiredPlan::new(&self.config.expired, Reentry::Fail),
            control: control?,
            dedupe: dedupe?,
            restart_words: String::new(),
        };
        let start = start?.metadata;
        let checked = CheckedResume { plan, start, restart: None, reentry: None, position };
        Some(checked).filter(|_| is_able && self.view.knows(&["resume"]))
    }

    /// Whether the mode is possible, and no key is given that it gives no meaning.
    fn check_mode(&self, report: &mut Report) -> bool {
        let name = match self.config.mode {
            Mode::Ack => {
                report
                    .error(
                        &self.view.at(&["resume", "mode"]),
                        "`mode: ack` needs a bidirectional method",
                    )
                    .detail(
                        "acknowledgements travel on the request stream, and this method has none",
                    )
                    .hint(
                        "declare the cursor of its messages with `mode: cursor`, or `mode: none`",
                    );
                return false;
            }
            Mode::ReplayAll => "replay_all",
            Mode::None | Mode::Cursor => "none",
        };
        let block = self.view.value.get("resume");
        let given = |key: &&&str| block.is_some_and(|block| block.get(**key).is_some());
        let mut is_able = true;
        for key in OF_CURSOR.iter().filter(given) {
            report
                .error(
                    &self.view.at_key(&["resume", key]),
                    format!("`{key}` means nothing with `mode: {name}`"),
                )
                .hint("leave it out, or declare `mode: cursor`");
            is_able = false;
        }
        is_able
    }

    /// Outside `None` after an error.
    fn id(&self, message: &MessageDescriptor, report: &mut Report) -> Option<Option<FieldPath>> {
        let Some(text) = &self.config.id else { return Some(None) };
        let at = [Step::Key("resume"), Step::Key("id")];
        let path = self.path(text, message, &at, report)?;
        let is_known = ["position", "boundary"].map(|key| self.view.knows(&["resume", key]));
        let is_idle = self.config.position != PositionKind::At
            || self.config.boundary.kind() != Boundary::Message;
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
        let ResumeConfig { position, sequence, id, on_gap, on_out_of_order, verify, .. } =
            self.config;
        let boundary = self.config.boundary.kind();
        let is_only = components.len() == 1;
        let may_be =
            |wanted: fn(&Component) -> bool| is_only && components[0].as_ref().is_none_or(wanted);
        let is_ordered = may_be(Component::is_ordered);
        let is_counted =
            components.iter().all(|it| it.as_ref().is_some_and(|it| !it.is_of_messages()));
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
        demand(
            "boundary",
            boundary == Boundary::Message || !is_counted,
            "a group needs a cursor that its messages bear: this one comes from the call",
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
            id.is_some() && *position == PositionKind::At && boundary == Boundary::Message;
        let is_max = |(index, it): (usize, &Option<Component>)| {
            u32::from(it.as_ref().is_some_and(|it| it.is_max)) << index
        };
        fine.then(|| Rules {
            position: *position,
            boundary,
            sequence: *sequence,
            is_ordered,
            has_ids,
            verify: *verify,
            is_counted,
            max: components.iter().enumerate().map(is_max).sum(),
        })
    }

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

    fn warn_unused(&self, components: &[Component], restart: &Change, report: &mut Report) {
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
fn words(restart: &OverlayConfig) -> String {
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
