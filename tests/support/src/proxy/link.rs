//! One connection of a client, and the one to the broker that belongs to it.
//!
//! Two pumps, one for each direction. The connection ends when either side ends it, when a rule
//! cuts it, or with the proxy; only one that held a request outlives its client, until the broker
//! has answered.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::frame::{self, Answer, Request};
use super::rule::{Action, Passing, State};
use super::{Shared, traffic};

/// How long a connection whose client has gone waits for the broker's answer to what was held.
const LATE_ANSWER_MAX: Duration = Duration::from_secs(30);

/// Requests of one connection that the broker has and has not answered.
#[derive(Default)]
struct InFlight {
    requests: Mutex<HashMap<i32, Sent>>,
    changed: Notify,
}

/// A request on its way.
struct Sent {
    request: Request,
    /// Two for one that was doubled, of which the client gets the first.
    answers_due: u32,
    is_answered: bool,
    /// The rule that acted on it.
    state: Option<Arc<State>>,
}

struct Requests {
    client: OwnedReadHalf,
    broker: OwnedWriteHalf,
    in_flight: Arc<InFlight>,
    shared: Arc<Shared>,
    has_held: bool,
}

struct Answers {
    broker: OwnedReadHalf,
    client: OwnedWriteHalf,
    in_flight: Arc<InFlight>,
    shared: Arc<Shared>,
}

/// Whether a pump goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Cut,
}

/// Serves one connection to its end. Both sockets close when this returns.
pub(super) async fn run(client: TcpStream, shared: Arc<Shared>) {
    let Ok(broker) = TcpStream::connect(shared.broker).await else { return };
    for socket in [&client, &broker] {
        // Without it small frames wait for each other; a refusal costs time and nothing else.
        let _ = socket.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let in_flight = Arc::new(InFlight::default());
    let mut requests = Requests {
        client: from_client,
        broker: to_broker,
        in_flight: Arc::clone(&in_flight),
        shared: Arc::clone(&shared),
        has_held: false,
    };
    let mut answers =
        Answers { broker: from_broker, client: to_client, in_flight, shared: Arc::clone(&shared) };
    // How a connection broke is of no interest: either side learns of it by its own socket.
    tokio::select! {
        _ = requests.pump() => {}
        _ = answers.pump() => {}
        () = shared.cut.notified() => {}
        () = shared.down.cancelled() => {}
    }
}

impl Requests {
    async fn pump(&mut self) -> io::Result<()> {
        // A client that is killed resets its connection: the end, as a proper one is.
        while let Ok(Some(frame)) = frame::read(&mut self.client).await {
            let Some(request) = Request::new(frame) else { return Ok(()) };
            if self.pass(request).await? == Flow::Cut {
                return Ok(());
            }
        }
        if self.has_held {
            let _ = tokio::time::timeout(LATE_ANSWER_MAX, self.in_flight.empty()).await;
        }
        Ok(())
    }

    async fn pass(&mut self, request: Request) -> io::Result<Flow> {
        let state = self.shared.judge(&Passing { request: &request, answer: None });
        let mut copies = 1;
        match state.as_ref().map(|state| state.action()) {
            None | Some(Action::Watch) => {}
            Some(Action::Duplicate) => copies = 2,
            Some(Action::Hold) => {
                self.has_held = true;
                let released = state.as_ref().expect("a rule acted").released.clone();
                released.cancelled().await;
            }
            Some(Action::Drop) => {
                self.shared.counts.lost(request.api());
                return Ok(Flow::On);
            }
            Some(Action::Cut) => {
                self.shared.counts.lost(request.api());
                return Ok(Flow::Cut);
            }
            Some(Action::Refuse(_)) => unreachable!("only answers are refused"),
        }
        let (api, frame) = (request.api(), request.clone());
        self.in_flight.insert(Sent { request, answers_due: copies, is_answered: false, state });
        for _ in 0..copies {
            self.shared.counts.request(api, frame.frame().len());
            self.broker.write_all(frame.frame()).await?;
        }
        Ok(Flow::On)
    }
}

impl Answers {
    async fn pump(&mut self) -> io::Result<()> {
        while let Some(frame) = frame::read(&mut self.broker).await? {
            let Some(answer) = Answer::new(frame) else { return Ok(()) };
            if self.pass(&answer).await == Flow::Cut {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn pass(&mut self, answer: &Answer) -> Flow {
        let Some((request, state, is_first)) = self.in_flight.answered(answer) else {
            self.write(answer).await;
            return Flow::On;
        };
        if let Some(state) = state {
            state.answered(answer);
        }
        if !is_first {
            return Flow::On;
        }
        let counts: &traffic::Counts = &self.shared.counts;
        let state = self.shared.judge(&Passing { request: &request, answer: Some(answer) });
        match state.as_ref().map(|state| state.action()) {
            None | Some(Action::Watch | Action::Duplicate) => {}
            Some(Action::Hold) => state.expect("a rule acted").released.cancelled().await,
            Some(Action::Drop) => {
                counts.lost(request.api());
                return Flow::On;
            }
            Some(Action::Cut) => {
                counts.lost(request.api());
                return Flow::Cut;
            }
            Some(Action::Refuse(code)) => {
                state.expect("a rule acted").answered(answer);
                counts.answer(request.api(), answer.frame().len());
                self.write(&answer.with_end_txn_code(&request, code)).await;
                return Flow::On;
            }
        }
        counts.answer(request.api(), answer.frame().len());
        self.write(answer).await;
        Flow::On
    }

    /// A client that has gone is told nothing more; what the broker still says is seen nonetheless.
    async fn write(&mut self, answer: &Answer) {
        let _ = self.client.write_all(answer.frame()).await;
    }
}

impl InFlight {
    fn insert(&self, sent: Sent) {
        self.lock().insert(sent.request.correlation(), sent);
    }

    /// The request of an answer, the rule that acted on it, and whether this is its first answer.
    fn answered(&self, answer: &Answer) -> Option<(Request, Option<Arc<State>>, bool)> {
        let mut requests = self.lock();
        let sent = requests.get_mut(&answer.correlation())?;
        let is_first = !std::mem::replace(&mut sent.is_answered, true);
        sent.answers_due -= 1;
        let found = (sent.request.clone(), sent.state.clone(), is_first);
        if sent.answers_due == 0 {
            requests.remove(&answer.correlation());
        }
        drop(requests);
        self.changed.notify_waiters();
        Some(found)
    }

    /// Waits until every request is answered.
    async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Sent>> {
        self.requests.lock().expect("no holder of the requests panics")
    }
}
