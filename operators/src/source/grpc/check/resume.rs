//! The `resume` block as a whole: modes, rules that fit the cursor, and requests that take it.
//! Components are checked in `cursor.rs`, predicates in `control.rs`, what follows a cursor that is
//! gone in `expired.rs`.
//!
//! Invariant: without the method, or without a component, all is checked that needs neither.

use super::super::config::{
    Boundary, ComponentType, Config, Mode, OnGap, OnOutOfOrder, PositionKind, ResumeConfig,
    SequenceKind,
};
use super::super::cursor::{Component, CursorPaths};
use super::super::expired::{ExpiredPlan, Reentry};
use super::super::resume::Rules;
use super::super::source::ResumePlan;
use super::super::template::MetadataTemplate;
use super::change::{Change, words};
use headwater_engine::spec::{NodeView, Report, Step};
use headwater_proto::{CursorComponent, FieldPath, MessageDescriptor, Method};

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

/// What a check of the block needs.
pub(super) struct Check<'c, 'v> {
    pub(super) config: &'c ResumeConfig,
    pub(super) view: &'c NodeView<'v>,
    /// Whether messages are acknowledged.
    acks: bool,
}

/// Outside `None` after an error, inside `None` without a `resume` block.
pub(super) fn check(
    config: &Config,
    method: Option<&Method>,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Option<CheckedResume>> {
    let Some(resume) = &config.resume else { return Some(None) };
    let acks = config.stream.as_ref().is_some_and(|stream| stream.ack.is_some());
    Check { config: resume, view, acks }.run(method, report).map(Some)
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
            Mode::Ack if !self.acks => {
                report
                    .error(
                        &self.view.at(&["resume", "mode"]),
                        "`mode: ack` needs `stream.ack`, which says how messages are acknowledged",
                    )
                    .detail(
                        "acknowledgements travel on the request stream of a bidirectional method",
                    )
                    .hint(
                        "say how, or declare the cursor of its messages with `mode: cursor`, or \
                         `mode: none`",
                    );
                return false;
            }
            Mode::Ack => "ack",
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
        let ResumeConfig { position, sequence, id, verify, .. } = self.config;
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
        self.warn_idle_rules(report);
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

    /// What the order of values gives no meaning.
    fn warn_idle_rules(&self, report: &mut Report) {
        let ResumeConfig { sequence, on_gap, on_out_of_order, .. } = self.config;
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
    }
}
