//! A TCP proxy that knows Kafka's frames: it holds, drops, doubles and cuts by rule, and counts.
//!
//! Why: what Kafka's protocol must survive happens between client and broker. An answer that never
//! comes, a request that comes too late or twice: no signal to a process does that, and a proxy of
//! bytes cannot aim. This one reads of each request what every version has in common (API key,
//! version, correlation id, client id) and finds the request of each answer by its correlation id.
//!
//! Clients must not learn the broker's own address, or they would go around. So the broker has a
//! listener that tells them the proxy's ([`KafkaProxy::before_apache`]), and a test demands that
//! what it is about did pass ([`KafkaProxy::traffic`]).
//!
//! ```text
//!   client ──► requests ──► broker, the listener BEHIND
//!          ◄── answers  ◄──
//! ```
//!
//! Invariants
//! 1. Without a rule every byte passes, in order, and nothing is added.
//! 2. What is held holds all that comes behind it in its direction, as a slow network does.
//! 3. A request that was held is sent when it is released, even if its client has gone meanwhile.
//!
//! Plaintext only. Next: `frame.rs`, `rule.rs`, `link.rs`, in the order of a frame's way.

mod frame;
mod link;
mod rule;
mod traffic;

pub use frame::{Answer, Api, Request};
pub use rule::{Passing, Rule, Watch};
pub use traffic::Traffic;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::kafka::{ApacheOptions, Cluster};
use crate::runtime::RUNTIME;
use rule::{Action, State};
use traffic::Counts;

/// A proxy that listens and does not yet know its broker.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// A running proxy. Dropping it cuts all connections and frees the port.
pub struct KafkaProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections share.
struct Shared {
    broker: SocketAddr,
    rules: Mutex<Vec<Arc<State>>>,
    counts: Counts,
    /// Cuts the connections that are there now.
    cut: Notify,
    down: CancellationToken,
}

impl Bound {
    /// Listens on a free port of loopback.
    pub fn new() -> Result<Bound> {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).context("proxy")?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes connections and hands them on to `broker`.
    pub fn forward_to(self, broker: SocketAddr) -> KafkaProxy {
        let shared = Arc::new(Shared {
            broker,
            rules: Mutex::default(),
            counts: Counts::default(),
            cut: Notify::new(),
            down: CancellationToken::new(),
        });
        RUNTIME.spawn(accept(self.listener, Arc::clone(&shared)));
        KafkaProxy { address: self.address, shared }
    }
}

impl KafkaProxy {
    /// Apache Kafka as `options` say, and a proxy that its clients cannot go around. What goes to
    /// [`Cluster::bootstrap`] passes by the proxy: a test's own look at the broker.
    pub fn before_apache(options: ApacheOptions) -> Result<(KafkaProxy, Cluster)> {
        let bound = Bound::new()?;
        let via = Some(bound.address().port());
        let cluster = Cluster::apache_with(ApacheOptions { via, ..options })?;
        let proxy = bound.forward_to(cluster.behind()?);
        Ok((proxy, cluster))
    }

    /// What a client gives as `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// Lets `rule` act from now on; of several that would act on a frame, the oldest one does.
    pub fn add(&self, rule: Rule) -> Watch {
        let state = Arc::new(State::new(rule));
        self.shared.rules().push(Arc::clone(&state));
        Watch(state)
    }

    /// What passed of one API so far.
    pub fn traffic(&self, api: Api) -> Traffic {
        self.shared.counts.of(api)
    }

    /// Cuts all connections that are there now; new ones are taken.
    pub fn cut_all(&self) {
        self.shared.cut.notify_waiters();
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        self.shared.down.cancel();
    }
}

impl Shared {
    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Arc<State>>> {
        self.rules.lock().expect("no holder of the rules panics")
    }

    /// Every rule counts what fits it; the first one that does more than count decides.
    fn judge(&self, passing: &Passing<'_>) -> Option<Arc<State>> {
        let rules = self.rules().clone();
        let mut acting = None;
        for state in rules {
            match state.counts(passing) {
                true if state.action() == Action::Watch => state.hit(),
                true if acting.is_none() => acting = Some(state),
                _ => {}
            }
        }
        acting.inspect(|state| state.hit())
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            () = shared.down.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A connection that ended before it was taken is no failure of the proxy.
        let Ok((client, _)) = accepted else { continue };
        tokio::spawn(link::run(client, Arc::clone(&shared)));
    }
}
