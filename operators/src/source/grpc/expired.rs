//! A cursor that is gone: the server says that it no longer has what follows it.
//!
//! Only the server can know this. It says so with the status that ends a call, with a trailer, or
//! with a message of the stream; which of these mean it is declared (`expired.match`), because
//! servers differ. A status counts only for a call that was given a cursor and brought nothing new.
//! Then the declared action decides: stop and leave it to a person, or call anew elsewhere, behind
//! a gap that is reported.
//!
//! A server that refuses every cursor it gives would be read from its start again and again. So
//! cursors that are gone in a row are counted; a call that goes on from a cursor, or that lasts,
//! ends the row. The wait between two calls grows as after any other failure.
//!
//! Next: `shard.rs` asks after each call.

use super::config::{ExpiredConfig, ExpiredMatch, StatusCode};
use super::cursor::{Component, Value};
use super::status::Said;
use crate::limits::CURSOR_LOSS_CALM;
use bytes::Bytes;
use http::uri::PathAndQuery;
use std::time::Duration;
use tonic::Code;

/// What the pipeline file says of cursors that are gone.
#[derive(Clone, Debug)]
pub(super) struct ExpiredPlan {
    /// Where to go on.
    pub(super) action: Reentry,
    /// How a status or a trailer says it; messages are asked by `control.rs`.
    statuses: Vec<StatusMatch>,
    max_attempts: u32,
}

/// Where the stream goes on behind a cursor that is gone.
#[derive(Clone, Debug)]
pub(super) enum Reentry {
    /// Nowhere.
    Fail,
    /// As at the very first start.
    Earliest,
    /// Where a declared request begins.
    Latest,
    /// At a value of the message that says it.
    From(Component),
    /// At a value that another method gives.
    Unary(UnaryPlan),
}

/// A call that says where to go on.
#[derive(Clone, Debug)]
pub(super) struct UnaryPlan {
    /// The method.
    pub(super) method: PathAndQuery,
    /// Its encoded request.
    pub(super) request: Bytes,
    /// Where its answer holds the value.
    pub(super) value: Component,
}

/// How a status says that the cursor is gone; what is given must all be so.
#[derive(Clone, Debug)]
struct StatusMatch {
    code: Option<Code>,
    trailer: Option<String>,
    like: Option<String>,
}

/// One call, as far as it tells whether cursors still work.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallFacts {
    /// Whether its request held a cursor.
    pub(super) had_cursor: bool,
    /// Whether a message came that was not taken before.
    pub(super) has_news: bool,
    /// From the request to its end.
    pub(super) lasted: Duration,
}

/// Who says that a cursor is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    /// The status that ended the call.
    Status,
    /// A message of the stream.
    Message,
}

/// The cursors of one shard that were gone in a row.
#[derive(Debug, Default)]
pub(super) struct Losses {
    in_a_row: u32,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The status says nothing of the cursor.
    None,
    /// The call had brought messages, so the newest cursor is still to be tried.
    TryNewest,
    /// It is gone, and a person must decide.
    Stop,
    /// It is gone, and the next call begins elsewhere.
    GoOn,
    /// It is gone, like all before it: going on would not help.
    TooOften,
}

impl ExpiredPlan {
    /// As declared; `action` is the config's, compiled.
    pub(super) fn new(config: &ExpiredConfig, action: Reentry) -> Self {
        let statuses = config.matches.iter().filter(|it| it.when.is_none());
        ExpiredPlan {
            action,
            statuses: statuses.map(StatusMatch::new).collect(),
            max_attempts: config.max_attempts,
        }
    }

    /// Whether the end of a call says that its cursor is gone.
    pub(super) fn says(&self, code: Code, said: &Said) -> bool {
        self.statuses.iter().any(|it| it.holds(code, said))
    }

    /// How many cursors in a row may be gone.
    pub(super) fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    fn goes_on(&self) -> bool {
        !matches!(self.action, Reentry::Fail)
    }
}

impl StatusMatch {
    fn new(config: &ExpiredMatch) -> Self {
        let ExpiredMatch { code, trailer, like, when: _ } = config.clone();
        StatusMatch { code: code.map(StatusCode::code), trailer, like }
    }

    fn holds(&self, code: Code, said: &Said) -> bool {
        if self.code.is_some_and(|wanted| wanted != code) {
            return false;
        }
        let text = match &self.trailer {
            None => Some(said.message.as_str()),
            Some(key) => said.trailers.get(key).and_then(|value| value.to_str().ok()),
        };
        text.is_some_and(|text| self.like.as_ref().is_none_or(|like| is_like(text, like)))
    }
}

/// Whether a text is like a pattern in which `*` stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let (last, middle) = parts.split_last().expect("a split has a part");
    for part in middle {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

impl Reentry {
    /// For logs.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Reentry::Fail => "nowhere",
            Reentry::Earliest => "at the server's oldest message",
            Reentry::Latest => "at the server's newest message",
            Reentry::From(_) => "where the server's message says",
            Reentry::Unary(_) => "where the server says when asked",
        }
    }

    /// The value that a message or an answer gives.
    pub(super) fn value(&self, wire: &Bytes) -> Option<Value> {
        match self {
            Reentry::From(component) => component.find(wire).ok()?,
            Reentry::Unary(unary) => unary.value.find(wire).ok()?,
            Reentry::Fail | Reentry::Earliest | Reentry::Latest => None,
        }
    }
}

impl Losses {
    /// A call is over, however it ended.
    pub(super) fn note(&mut self, call: CallFacts) {
        if (call.had_cursor && call.has_news) || call.lasted >= CURSOR_LOSS_CALM {
            self.in_a_row = 0;
        }
    }

    /// What it means that the server said in `call` that the cursor is gone.
    pub(super) fn judge(&mut self, plan: &ExpiredPlan, teller: Teller, call: CallFacts) -> Loss {
        let is_status = teller == Teller::Status;
        if call.has_news && (plan.goes_on() || !is_status) {
            return Loss::TryNewest;
        }
        if is_status && (!call.had_cursor || call.has_news) {
            return Loss::None;
        }
        if !plan.goes_on() {
            return Loss::Stop;
        }
        if self.in_a_row >= plan.max_attempts {
            return Loss::TooOften;
        }
        self.in_a_row += 1;
        Loss::GoOn
    }
}

impl StatusCode {
    /// The code as the library has it.
    pub(super) fn code(self) -> Code {
        match self {
            StatusCode::Unknown => Code::Unknown,
            StatusCode::InvalidArgument => Code::InvalidArgument,
            StatusCode::NotFound => Code::NotFound,
            StatusCode::FailedPrecondition => Code::FailedPrecondition,
            StatusCode::Aborted => Code::Aborted,
            StatusCode::OutOfRange => Code::OutOfRange,
            StatusCode::Internal => Code::Internal,
            StatusCode::DataLoss => Code::DataLoss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: CallFacts =
        CallFacts { had_cursor: true, has_news: false, lasted: Duration::ZERO };

    fn plan(action: Reentry) -> ExpiredPlan {
        ExpiredPlan::new(&ExpiredConfig::default(), action)
    }

    fn said(message: &str, trailers: &[(&'static str, &str)]) -> Said {
        let pair = |(key, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(key), value.parse().expect("a header's value"))
        };
        Said { message: message.to_owned(), trailers: trailers.iter().map(pair).collect() }
    }

    #[test]
    fn a_status_says_it_by_code_text_and_trailer_as_declared() {
        let matches = vec![
            ExpiredMatch { code: Some(StatusCode::OutOfRange), ..ExpiredMatch::default() },
            ExpiredMatch {
                code: Some(StatusCode::Unknown),
                like: Some("*purged*".to_owned()),
                ..ExpiredMatch::default()
            },
            ExpiredMatch {
                trailer: Some("error-code".to_owned()),
                like: Some("*replayid*".to_owned()),
                ..ExpiredMatch::default()
            },
        ];
        let config = ExpiredConfig { matches, ..ExpiredConfig::default() };
        let plan = ExpiredPlan::new(&config, Reentry::Fail);
        let says = |code, message, trailers: &[_]| plan.says(code, &said(message, trailers));
        assert!(says(Code::OutOfRange, "", &[]));
        assert!(says(Code::Unknown, "binlog was purged already", &[]));
        assert!(!says(Code::Unknown, "lost connection", &[]));
        assert!(!says(Code::Internal, "binlog was purged already", &[]));
        let code = "sfdc.platform.eventbus.grpc.subscription.fetch.replayid.corrupted";
        assert!(says(Code::InvalidArgument, "", &[("error-code", code)]));
        assert!(!says(Code::InvalidArgument, "", &[("error-code", "other")]));
        assert!(!says(Code::InvalidArgument, "replayid", &[]));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("abc", "ab", false),
            ("abc", "*", true),
            ("", "*", true),
            ("abc", "a*c", true),
            ("abc", "a*b", false),
            ("abcbd", "a*b*d", true),
            ("ab", "ab*b", false),
            ("aXbXc", "*X*X*", true),
            ("aXb", "*X*X*", false),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn a_status_counts_for_a_call_with_a_cursor_that_brought_nothing_a_message_for_any() {
        use Teller::{Message, Status};
        let judge = |action, teller, call| Losses::default().judge(&plan(action), teller, call);
        assert_eq!(judge(Reentry::Earliest, Status, REFUSED), Loss::GoOn);
        assert_eq!(judge(Reentry::Fail, Status, REFUSED), Loss::Stop);
        let first = CallFacts { had_cursor: false, ..REFUSED };
        assert_eq!(judge(Reentry::Earliest, Status, first), Loss::None);
        assert_eq!(judge(Reentry::Earliest, Message, first), Loss::GoOn);
        assert_eq!(judge(Reentry::Fail, Message, first), Loss::Stop);
        let fell_behind = CallFacts { has_news: true, ..REFUSED };
        assert_eq!(judge(Reentry::Earliest, Status, fell_behind), Loss::TryNewest);
        assert_eq!(judge(Reentry::Fail, Status, fell_behind), Loss::None);
        assert_eq!(judge(Reentry::Fail, Message, fell_behind), Loss::TryNewest);
    }

    #[test]
    fn losses_in_a_row_are_bounded_and_a_working_cursor_or_a_long_call_ends_the_row() {
        let plan = plan(Reentry::Latest);
        for ends_the_row in [
            CallFacts { has_news: true, ..REFUSED },
            CallFacts { had_cursor: false, has_news: true, lasted: CURSOR_LOSS_CALM },
        ] {
            let mut losses = Losses::default();
            for _ in 0..plan.max_attempts {
                assert_eq!(losses.judge(&plan, Teller::Status, REFUSED), Loss::GoOn);
                losses.note(REFUSED);
                let from_start = CallFacts { had_cursor: false, has_news: true, ..REFUSED };
                losses.note(from_start);
            }
            assert_eq!(losses.judge(&plan, Teller::Status, REFUSED), Loss::TooOften);
            losses.note(ends_the_row);
            assert_eq!(losses.judge(&plan, Teller::Status, REFUSED), Loss::GoOn);
        }
    }
}
