//! What follows a cursor that is gone: how it is told, and a request that can be made then.

use super::super::config::{ExpiredAction, ExpiredConfig, ExpiredMatch, UnaryConfig};
use super::super::cursor::Component;
use super::super::expired::{Reentry, UnaryPlan};
use super::super::origin::Origin;
use super::change::{Change, report_request};
use super::cursor::is_same;
use super::resume::Check;
use headwater_engine::spec::{Report, Step};
use headwater_proto::{CursorComponent, Descriptors, MessageDescriptor, Method, RequestTemplate};
use serde_json::Value as Json;

/// Where the block stands.
const PLACE: [&str; 2] = ["resume", "expired"];

impl Check<'_, '_> {
    /// Where the stream goes on.
    pub(super) fn expired(
        &self,
        method: Option<&Method>,
        components: &[Option<Component>],
        report: &mut Report,
    ) -> Option<Reentry> {
        let config = &self.config.expired;
        let is_told = self.check_matches(config, report);
        let is_whole = self.check_restart(config, report);
        let action = match &config.action {
            ExpiredAction::Fail => Some(Reentry::Fail),
            ExpiredAction::Earliest => Some(Reentry::Earliest),
            ExpiredAction::Latest => Some(Reentry::Latest),
            ExpiredAction::From(path) => self.from(path, method, components, report),
            ExpiredAction::Unary(unary) => self.unary(unary, method?, components, report),
        };
        action.filter(|_| is_told && is_whole)
    }

    /// The changes to the request of the call that goes on; outside `None` after an error.
    pub(super) fn reentry(
        &self,
        input: &MessageDescriptor,
        cursors: &[Vec<CursorComponent>],
        report: &mut Report,
    ) -> Option<Option<Change>> {
        let ExpiredConfig { action, restart, .. } = &self.config.expired;
        let Some(restart) = restart else { return Some(None) };
        let has_cursor = matches!(action, ExpiredAction::From(_) | ExpiredAction::Unary(_));
        let none = [Vec::new()];
        let cursors = if has_cursor { cursors } else { &none };
        self.change(&["expired", "restart"], restart, input, cursors, report).map(Some)
    }

    /// Whether there are changes to the request where the action needs them.
    fn check_restart(&self, config: &ExpiredConfig, report: &mut Report) -> bool {
        if !self.view.knows(&["resume", "expired", "action"]) {
            return true;
        }
        match (&config.action, &config.restart) {
            (ExpiredAction::Latest, None) => {
                report
                    .error(
                        &self.view.at(&["resume", "expired", "action"]),
                        "`action: latest` needs a request for the newest message",
                    )
                    .hint("say what changes in the request, `restart: { set: { FIELD: VALUE } }`");
                false
            }
            (ExpiredAction::Fail, Some(_)) => {
                report
                    .warning(
                        &self.view.at_key(&["resume", "expired", "restart"]),
                        "`expired.restart` has no effect",
                    )
                    .detail("with `action: fail` no call follows");
                true
            }
            _ => true,
        }
    }

    fn check_matches(&self, config: &ExpiredConfig, report: &mut Report) -> bool {
        let mut is_fine = true;
        for (index, it) in config.matches.iter().enumerate() {
            let ExpiredMatch { code, trailer, like, when } = it;
            let of_status = code.is_some() || trailer.is_some() || like.is_some();
            let message = match (of_status, when.is_some()) {
                (true, false) | (false, true) => continue,
                (false, false) => "it matches nothing",
                (true, true) => "a status and a message are two ways to say it",
            };
            let at =
                [Step::Key("resume"), Step::Key("expired"), Step::Key("match"), Step::Index(index)];
            report
                .error(&self.view.at(&at), message)
                .detail("expected: either `when`, or `code`, `trailer` and `like`");
            is_fine = false;
        }
        is_fine
    }

    /// At a value of the message that says it.
    fn from(
        &self,
        path: &str,
        method: Option<&Method>,
        components: &[Option<Component>],
        report: &mut Report,
    ) -> Option<Reentry> {
        let at = action_steps(&["from"]);
        if self.config.expired.matches.iter().all(|it| it.when.is_none()) {
            report
                .error(&self.view.at(&at), "`from` needs a message that says it")
                .hint("add `when` to `expired.match`");
            return None;
        }
        let component = self.value(path, &method?.output(), components, &at, report)?;
        Some(Reentry::From(component))
    }

    fn unary(
        &self,
        config: &UnaryConfig,
        method: &Method,
        components: &[Option<Component>],
        report: &mut Report,
    ) -> Option<Reentry> {
        let at = action_steps(&["unary", "method"]);
        let descriptors = Descriptors::from(method.input().parent_pool().clone());
        let asked = match descriptors.method(&config.method) {
            Ok(asked) => asked,
            Err(error) => {
                report.error(&self.view.at(&at), error.to_string());
                return None;
            }
        };
        if asked.client_streaming() || asked.server_streaming() {
            report
                .error(&self.view.at(&at), format!("method {:?} streams", config.method))
                .detail("expected: a unary method, `rpc …(Request) returns (Message)`");
            return None;
        }
        let json = Json::Object(config.request.clone());
        let request = RequestTemplate::compile(&asked.input(), &json).map_err(|errors| {
            for error in errors {
                report_request(&error, &action_steps(&["unary", "request"]), self.view, report);
            }
        });
        let at = action_steps(&["unary", "path"]);
        let value = self.value(&config.path, &asked.output(), components, &at, report);
        let method = asked.path().parse().expect("a method's name is a valid URL path");
        Some(Reentry::Unary(UnaryPlan { method, request: request.ok()?.encode(), value: value? }))
    }

    /// A value that takes the cursor's place.
    fn value(
        &self,
        path: &str,
        message: &MessageDescriptor,
        components: &[Option<Component>],
        at: &[Step<'_>],
        report: &mut Report,
    ) -> Option<Component> {
        let [component] = components else {
            report.error(
                &self.view.at(at),
                "one value can take the place of a cursor of exactly one component",
            );
            return None;
        };
        let origin = Origin::Field(self.path(path, message, at, report)?);
        let component = component.as_ref()?;
        let own = component.origins.first()?;
        if !is_same(&origin, own) {
            let found = format!("field {origin} is of type {}", origin.leaf_kind());
            report
                .error(&self.view.at(at), found)
                .detail(format!("expected: type {}, as {own} has", own.leaf_kind()));
            return None;
        }
        Some(Component { origins: vec![origin], is_max: false, ..component.clone() })
    }
}

fn action_steps<'p>(keys: &[&'p str]) -> Vec<Step<'p>> {
    let place = PLACE.into_iter().chain(["action"]).chain(keys.iter().copied());
    place.map(Step::Key).collect()
}
