//! Which event is next, and when: the stream of one call.
//!
//! Invariant: between two waits nothing is awaited. An unpaced stream is always ready, so tonic
//! fills whole writes from it; HTTP/2 flow control is the only brake.
//!
//! Next: `codec.rs` writes the event.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headwater_proto::telemetry::SubscribeRequest;
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use crate::codec::Due;
use crate::event::{self, Fleet, PAYLOAD_BYTES_MAX, SITES};
use crate::pace::{Pace, unix_ns};

/// The `filter` of a stream that stays open and sends nothing.
pub const IDLE: &str = "idle";

/// So many events share one look at the clock and at the shutdown, when nobody waits.
const BURST: u64 = 64;

/// The events of one call.
pub(crate) struct EventStream {
    fleet: Arc<Fleet>,
    /// The next sequence, and the last one of the stream.
    next: u64,
    last: u64,
    choice: Choice,
    payload: Bytes,
    timing: Timing,
    sent: Arc<AtomicU64>,
    closing: Closing,
}

/// Which events a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    All,
    Site(usize),
    None,
}

enum Timing {
    Paced(Box<Pace>),
    /// The time of the last look at the clock, and how many events it still serves.
    Unpaced {
        now_ns: i64,
        left: u64,
    },
}

struct Closing {
    token: CancellationToken,
    wake: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What all calls of a server share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) sent: Arc<AtomicU64>,
    pub(crate) closing: CancellationToken,
    /// For requests that name no rate; 0 for unpaced.
    pub(crate) rate_default: u64,
}

impl EventStream {
    /// Checks a request and opens its stream.
    pub(crate) fn open(shared: &Shared, request: &SubscribeRequest) -> Result<Self, Status> {
        let choice = choice(&request.filter)?;
        if request.payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(too_large(request.payload_bytes));
        }
        let rate = if request.rate == 0 { shared.rate_default } else { request.rate };
        Ok(EventStream {
            fleet: Arc::clone(&shared.fleet),
            next: request.from_sequence.max(1),
            last: if request.count == 0 { u64::MAX } else { request.count },
            choice,
            payload: event::payload(request.payload_bytes),
            timing: Timing::new(rate),
            sent: Arc::clone(&shared.sent),
            closing: Closing::new(&shared.closing),
        })
    }

    /// Steps over the events the client does not want.
    fn seek(&mut self) {
        if let Choice::Site(site) = self.choice {
            while self.next <= self.last && self.fleet.site(self.next) != site {
                self.next += 1;
            }
        }
    }
}

impl Stream for EventStream {
    type Item = Result<Due, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.choice == Choice::None {
            ready!(this.closing.wake.as_mut().poll(context));
            return Poll::Ready(Some(Err(shutting_down())));
        }
        this.seek();
        if this.next > this.last || this.next == u64::MAX {
            return Poll::Ready(None);
        }
        let emitted_ns = match this.timing.poll(&mut this.closing, context) {
            Poll::Ready(Ok(emitted_ns)) => emitted_ns,
            Poll::Ready(Err(closed)) => return Poll::Ready(Some(Err(closed))),
            Poll::Pending => return Poll::Pending,
        };
        let due = Due { sequence: this.next, emitted_ns, payload: this.payload.clone() };
        this.next += 1;
        this.sent.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(due)))
    }
}

impl Timing {
    fn new(rate: u64) -> Timing {
        match rate {
            0 => Timing::Unpaced { now_ns: 0, left: 0 },
            rate => Timing::Paced(Box::new(Pace::new(rate))),
        }
    }

    fn poll(
        &mut self,
        closing: &mut Closing,
        context: &mut Context<'_>,
    ) -> Poll<Result<i64, Status>> {
        match self {
            Timing::Paced(_) if closing.token.is_cancelled() => Poll::Ready(Err(shutting_down())),
            Timing::Paced(pace) => match pace.poll_due(context) {
                Poll::Ready(due_ns) => Poll::Ready(Ok(due_ns)),
                Poll::Pending => closing.wake.as_mut().poll(context).map(|()| Err(shutting_down())),
            },
            Timing::Unpaced { now_ns, left } => {
                if *left == 0 {
                    if closing.token.is_cancelled() {
                        return Poll::Ready(Err(shutting_down()));
                    }
                    (*now_ns, *left) = (unix_ns(), BURST);
                }
                *left -= 1;
                Poll::Ready(Ok(*now_ns))
            }
        }
    }
}

impl Closing {
    fn new(token: &CancellationToken) -> Closing {
        Closing { token: token.clone(), wake: Box::pin(token.clone().cancelled_owned()) }
    }
}

fn choice(filter: &str) -> Result<Choice, Status> {
    match filter {
        "" => Ok(Choice::All),
        IDLE => Ok(Choice::None),
        site => SITES.iter().position(|it| *it == site).map(Choice::Site).ok_or_else(|| {
            let known = SITES.join(", ");
            Status::invalid_argument(format!(
                "filter \"{site}\" is no site; expected one of {known}, or {IDLE}"
            ))
        }),
    }
}

fn too_large(payload_bytes: u32) -> Status {
    Status::invalid_argument(format!(
        "payload_bytes {payload_bytes} is over the limit of {PAYLOAD_BYTES_MAX}"
    ))
}

fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}
