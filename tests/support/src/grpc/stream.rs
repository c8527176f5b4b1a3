//! One call of a scripted server: its steps, played one after the other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use headwater_proto::telemetry::Event;
use headwater_telemetry::link::LinkHandle;
use headwater_telemetry::pace::{Pace, unix_ns};
use headwater_telemetry::{Fleet, event};
use prost::Message;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_stream::Stream;
use tonic::{Code, Status};

use super::ledger::Ledger;
use super::script::{Odd, OddOf, Step};

/// What was sent before a cut leaves within this time on loopback, unless the client does not read.
const LEAVE: Duration = Duration::from_millis(50);

/// No field has number 0, so no decoder takes this.
const GARBAGE: &[u8] = &[0x00, 0xff, 0xff, 0xff, 0xff];

/// The stream of one call.
pub(super) struct ScriptedStream {
    pub(super) context: CallContext,
    pub(super) steps: VecDeque<Step>,
    pub(super) doing: Doing,
    /// The next event in order, and the last of the stream.
    pub(super) next: u64,
    pub(super) total: u64,
    pub(super) broken_every: Option<u64>,
    pub(super) odd_of: OddOf,
    pub(super) pace: Option<Pace>,
}

/// What a call knows of its server.
pub(super) struct CallContext {
    pub(super) number: usize,
    pub(super) ledger: Arc<Ledger>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) gate: Arc<Semaphore>,
    pub(super) link: LinkHandle,
}

type Permit = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// What takes longer than one look.
pub(super) enum Doing {
    NextStep,
    Sending { left: u64 },
    Stalling(Permit),
    Cutting(Pin<Box<Sleep>>),
    Over,
}

impl Stream for ScriptedStream {
    type Item = Result<Bytes, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.doing {
                Doing::Over => return Poll::Ready(None),
                Doing::Sending { left: 0 } => this.doing = Doing::NextStep,
                Doing::Sending { .. } if this.next > this.total => this.doing = Doing::NextStep,
                Doing::Sending { left } => {
                    let emitted_ns = ready!(poll_time(&mut this.pace, context));
                    *left -= 1;
                    return Poll::Ready(Some(Ok(this.send_next(emitted_ns, &[]))));
                }
                Doing::Stalling(permit) => {
                    let passed = ready!(permit.as_mut().poll(context));
                    passed.expect("the gate is never closed").forget();
                    this.context.ledger.stalled(this.context.number, false);
                    this.doing = Doing::NextStep;
                }
                Doing::Cutting(sleep) => {
                    ready!(sleep.as_mut().poll(context));
                    this.context.link.cut();
                    return Poll::Pending;
                }
                Doing::NextStep => {
                    if let Some(message) = this.step() {
                        return Poll::Ready(Some(message));
                    }
                }
            }
        }
    }
}

impl ScriptedStream {
    /// Begins the next step; one that is a single message returns it.
    fn step(&mut self) -> Option<Result<Bytes, Status>> {
        let Some(step) = self.steps.pop_front() else {
            self.doing = Doing::Over;
            return None;
        };
        match step {
            Step::Send(count) => self.doing = Doing::Sending { left: count },
            Step::SendAll => self.doing = Doing::Sending { left: u64::MAX },
            Step::Pace(rate) => self.pace = Some(Pace::new(rate)),
            Step::Stall => self.stall(),
            Step::Back(count) => self.next = self.next.saturating_sub(count).max(1),
            Step::Skip(count) => self.next += count,
            Step::Swap => return Some(Ok(self.swap())),
            Step::Garbage => {
                self.next += 1;
                return Some(Ok(Bytes::from_static(GARBAGE)));
            }
            Step::Huge(payload_bytes) => {
                let payload = event::payload(payload_bytes as u32);
                return Some(Ok(self.send_next(unix_ns(), &payload)));
            }
            Step::Cut => self.doing = Doing::Cutting(Box::pin(tokio::time::sleep(LEAVE))),
            Step::End(code, message) => {
                self.doing = Doing::Over;
                return (code != Code::Ok).then(|| Err(Status::new(code, message)));
            }
        }
        None
    }

    fn stall(&mut self) {
        self.context.ledger.stalled(self.context.number, true);
        let permit = Arc::clone(&self.context.gate).acquire_owned();
        self.doing = Doing::Stalling(Box::pin(permit));
    }

    /// Sends the one after the next; the next follows, and then all goes on behind both.
    fn swap(&mut self) -> Bytes {
        self.steps.push_front(Step::Skip(1));
        self.steps.push_front(Step::Send(1));
        self.steps.push_front(Step::Back(2));
        self.next += 1;
        self.send_next(unix_ns(), &[])
    }

    fn send_next(&mut self, emitted_ns: i64, payload: &[u8]) -> Bytes {
        let mut bytes = Vec::with_capacity(256 + payload.len());
        if self.broken_every.is_some_and(|nth| self.next.is_multiple_of(nth)) {
            bytes = broken_event(self.next);
        } else {
            self.encode(emitted_ns, payload, &mut bytes);
        }
        self.context.ledger.sent(self.context.number, self.next);
        self.next += 1;
        bytes.into()
    }

    fn encode(&self, emitted_ns: i64, payload: &[u8], out: &mut Vec<u8>) {
        let (fleet, next) = (&self.context.fleet, self.next);
        match (self.odd_of)(next) {
            None => fleet.encode(next, emitted_ns, payload, out),
            Some(Odd::Large(size)) => {
                fleet.encode(next, emitted_ns, &event::payload(size as u32), out);
            }
            Some(Odd::Moment(emitted_ns)) => fleet.encode(next, emitted_ns, payload, out),
            Some(Odd::Bare) => {
                let event = Event { sequence: next, emitted_ns, ..Event::default() };
                out.extend(event.encode_to_vec());
            }
        }
    }
}

impl Drop for ScriptedStream {
    fn drop(&mut self) {
        self.context.ledger.over(self.context.number);
    }
}

/// An event of that number which is no message all the same: its device's name is not UTF-8. It
/// has a cursor, unlike [`Step::Garbage`].
pub fn broken_event(sequence: u64) -> Vec<u8> {
    let mut bytes = Event { sequence, ..Event::default() }.encode_to_vec();
    bytes.extend([3 << 3 | 2, 2, 0xff, 0xfe]);
    bytes
}

fn poll_time(pace: &mut Option<Pace>, context: &mut Context<'_>) -> Poll<i64> {
    match pace {
        Some(pace) => pace.poll_due(context),
        None => Poll::Ready(unix_ns()),
    }
}
