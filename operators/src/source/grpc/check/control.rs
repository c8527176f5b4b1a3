//! Predicates and keys of messages that are about the stream itself: they read, and the fields they
//! name are there.
//!
//! Next: `expired.rs`.

use super::super::config::{BoundaryConfig, DedupeConfig, DedupeScope, HeartbeatsConfig};
use super::super::control::{Control, DedupeRule, Heartbeat, LossRule};
use super::resume::Check;
use headwater_engine::spec::{Report, Step};
use headwater_proto::{FieldPath, LeafKind, MessageDescriptor, Predicate};

/// The key that stands for the whole message.
const PAYLOAD: &str = "@payload";

impl Check<'_, '_> {
    /// What each message is asked for; outside `None` after an error.
    pub(super) fn control(
        &self,
        message: Option<&MessageDescriptor>,
        report: &mut Report,
    ) -> Option<Option<Control>> {
        let config = self.config;
        let boundary = match &config.boundary {
            BoundaryConfig::When(text) => {
                Some(self.predicate(text, message, &keys(&["boundary", "when"]), report))
            }
            BoundaryConfig::Message | BoundaryConfig::Change => None,
        };
        let heartbeats = self.heartbeats(message, report);
        let loss = config.loss.as_ref().map(|loss| {
            let at = keys(&["loss", "when"]);
            let when = self.predicate(&loss.when, message, &at, report);
            let messages = loss.messages.as_ref().map(|text| self.count(text, message, report));
            Some(LossRule { when: when?, messages: all(messages)?, action: loss.action })
        });
        let whens = config.expired.matches.iter().enumerate();
        let expired: Vec<Option<Predicate>> = whens
            .filter_map(|(index, it)| {
                let at = [
                    Step::Key("resume"),
                    Step::Key("expired"),
                    Step::Key("match"),
                    Step::Index(index),
                    Step::Key("when"),
                ];
                Some(self.predicate(it.when.as_ref()?, message, &at, report))
            })
            .collect();
        let control = Control {
            boundary: all(boundary)?,
            heartbeats: heartbeats?,
            loss: all(loss)?,
            expired: expired.into_iter().collect::<Option<_>>()?,
        };
        Some(Some(control).filter(Control::is_needed))
    }

    /// All of them, or none after an error.
    fn heartbeats(
        &self,
        message: Option<&MessageDescriptor>,
        report: &mut Report,
    ) -> Option<Vec<Heartbeat>> {
        let heartbeats = self.config.heartbeat.as_ref();
        let listed = heartbeats.map_or(&[][..], HeartbeatsConfig::as_slice).iter().enumerate();
        let checked: Vec<Option<Heartbeat>> = listed
            .map(|(index, heartbeat)| {
                let mut at = vec![Step::Key("resume"), Step::Key("heartbeat")];
                if matches!(heartbeats, Some(HeartbeatsConfig::Many(_))) {
                    at.push(Step::Index(index));
                }
                at.push(Step::Key("when"));
                let when = self.predicate(&heartbeat.when, message, &at, report)?;
                Some(Heartbeat { when, emit: heartbeat.emit, advance: heartbeat.advance })
            })
            .collect();
        checked.into_iter().collect()
    }

    /// What identifies a message; outside `None` after an error.
    pub(super) fn dedupe(
        &self,
        message: Option<&MessageDescriptor>,
        report: &mut Report,
    ) -> Option<Option<DedupeRule>> {
        let Some(DedupeConfig { key, window, scope }) = &self.config.dedupe else {
            return Some(None);
        };
        let (window, is_shared) = (*window, *scope == DedupeScope::Upstreams);
        let texts = key.as_slice();
        if texts == [PAYLOAD] {
            return Some(Some(DedupeRule { key: Vec::new(), window, is_shared }));
        }
        let paths: Vec<Option<FieldPath>> = (texts.iter().enumerate())
            .map(|(index, text)| {
                let mut at = keys(&["dedupe", "key"]);
                at.push(Step::Index(index));
                if text == PAYLOAD {
                    let message = format!("`{PAYLOAD}` is the whole message");
                    report
                        .error(&self.view.at(&at), message)
                        .hint("leave the other keys out, or this one");
                    return None;
                }
                self.path(text, message?, &at, report)
            })
            .collect();
        let key = paths.into_iter().collect::<Option<_>>()?;
        Some(Some(DedupeRule { key, window, is_shared }))
    }

    /// A predicate; without a message type only its language is checked.
    fn predicate(
        &self,
        text: &str,
        message: Option<&MessageDescriptor>,
        at: &[Step<'_>],
        report: &mut Report,
    ) -> Option<Predicate> {
        let compiled = match message {
            Some(message) => Predicate::compile(text, message).map(Some),
            None => Predicate::check_syntax(text).map(|()| None),
        };
        match compiled {
            Ok(predicate) => predicate,
            Err(error) => {
                let letters = text[..error.column].chars().count();
                let finding = report.error(&self.view.at(at), error.message);
                finding.detail(format!("at character {} of the predicate", letters + 1));
                if let Some(hint) = error.hint {
                    finding.hint(hint);
                }
                None
            }
        }
    }

    fn count(
        &self,
        text: &str,
        message: Option<&MessageDescriptor>,
        report: &mut Report,
    ) -> Option<FieldPath> {
        let at = keys(&["loss", "messages"]);
        let path = self.path(text, message?, &at, report)?;
        if matches!(path.kind(), LeafKind::Int | LeafKind::Uint) {
            return Some(path);
        }
        let found = format!("field {path} is a {}, which counts nothing", path.kind());
        report.error(&self.view.at(&at), found).detail("expected: an integer");
        None
    }
}

fn keys<'p>(place: &[&'p str; 2]) -> Vec<Step<'p>> {
    vec![Step::Key("resume"), Step::Key(place[0]), Step::Key(place[1])]
}

/// What is given is there; outside `None` after an error.
fn all<T>(given: Option<Option<T>>) -> Option<Option<T>> {
    match given {
        None => Some(None),
        Some(found) => found.map(Some),
    }
}
