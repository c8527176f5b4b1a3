//! What a scripted server does, call by call.

use std::collections::VecDeque;

use tonic::Code;

/// One thing a call does. "The next event" is the one after the last sent in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Sends the next events, so many; past the end of the stream there are none.
    Send(u64),
    /// Sends all that is left of the stream.
    SendAll,
    /// From here on events are paced, so many per second, and carry the time they were due.
    Pace(u64),
    /// Sends nothing until [`super::ScriptedServer::release`]; the call stays open.
    Stall,
    /// Goes back so many events, which are then sent again.
    Back(u64),
    /// Leaves out the next events, so many: a gap.
    Skip(u64),
    /// Sends the next two events the wrong way round.
    Swap,
    /// Sends a message that no protobuf decoder takes, in the place of the next event.
    Garbage,
    /// Sends the next event with a payload of so many bytes.
    Huge(usize),
    /// Resets the connection, a moment after what was sent before had time to leave.
    Cut,
    /// Ends the call with this status; with [`Code::Ok`] it ends well, as at the end of the steps.
    End(Code, String),
}

/// Which event a request's `from_sequence` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// The first one to send (an inclusive cursor, or one that asks for the next).
    At,
    /// The one before the first to send: the last one the client has.
    After,
}

/// What is odd about an event, so that not every topic takes its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// It has a payload of so many bytes.
    Large(usize),
    /// It was emitted at this moment, in nanoseconds since the Unix epoch.
    Moment(i64),
    /// It has nothing but its number and its moment.
    Bare,
}

/// Tells by an event's number what is odd about it.
pub type OddOf = fn(u64) -> Option<Odd>;

/// A stream of `total` events, and what happens on the way.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) total: u64,
    pub(super) cursor: Cursor,
    pub(super) calls: VecDeque<Vec<Step>>,
    pub(super) rest: Vec<Step>,
    pub(super) broken_every: Option<u64>,
    pub(super) odd_of: OddOf,
}

impl Script {
    /// A stream of events 1 to `total` that plays no trick: each call gets the rest and a good end.
    pub fn new(total: u64) -> Script {
        Script {
            total,
            cursor: Cursor::At,
            calls: VecDeque::new(),
            rest: vec![Step::SendAll],
            broken_every: None,
            odd_of: |_| None,
        }
    }

    /// What the next call that has no steps yet does.
    #[must_use]
    pub fn call(mut self, steps: impl Into<Vec<Step>>) -> Script {
        self.calls.push_back(steps.into());
        self
    }

    /// What every call does that has no steps of its own.
    #[must_use]
    pub fn rest(mut self, steps: impl Into<Vec<Step>>) -> Script {
        self.rest = steps.into();
        self
    }

    /// How `from_sequence` is meant; [`Cursor::At`] unless told otherwise.
    #[must_use]
    pub fn cursor(mut self, cursor: Cursor) -> Script {
        self.cursor = cursor;
        self
    }

    /// Every event whose number `nth` divides is sent as a [`super::broken_event`], on each call.
    #[must_use]
    pub fn broken_every(mut self, nth: u64) -> Script {
        self.broken_every = Some(nth);
        self
    }

    /// Events may be odd, on each call.
    #[must_use]
    pub fn odd(mut self, odd_of: OddOf) -> Script {
        self.odd_of = odd_of;
        self
    }

    /// Takes the steps of the call that starts now.
    pub(super) fn take_call(&mut self) -> Vec<Step> {
        self.calls.pop_front().unwrap_or_else(|| self.rest.clone())
    }

    /// The first event of a call that asks for `from_sequence`.
    pub(super) fn first(&self, from_sequence: u64) -> u64 {
        match self.cursor {
            Cursor::At => from_sequence.max(1),
            Cursor::After => from_sequence + 1,
        }
    }
}

impl Step {
    /// Ends the call with a status that says it may be tried again.
    pub fn unavailable() -> Step {
        Step::End(Code::Unavailable, "scripted: try again".to_owned())
    }
}
