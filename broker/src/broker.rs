//! The broker as its user holds it: started, asked for its address, stopped.
//!
//! Next: `server.rs` serves the connections.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{BrokerConfig, StartError};
use crate::core::{Clock, Core};
use crate::server;
use crate::state::{Node, State};

/// A running broker. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    server: JoinHandle<()>,
    core_ended: oneshot::Receiver<()>,
}

impl Broker {
    /// Starts a broker on the caller's tokio runtime.
    ///
    /// # Errors
    /// The address is not loopback or is taken, or the journal cannot be used.
    pub async fn start(config: BrokerConfig) -> Result<Broker, StartError> {
        let listen = config.listen;
        if !listen.ip().is_loopback() {
            return Err(StartError::NotLoopback { listen });
        }
        let listening = |source| StartError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let node = Node { host: address.ip().to_string(), port: address.port() };
        let clock = Clock::start();
        let now_ms = clock.now_ms();
        // Replaying a long journal takes a while, and blocks.
        let opening = tokio::task::spawn_blocking(move || {
            State::open(node, &config.journal, config.fsync, now_ms)
        });
        let opened = opening.await.map_err(|error| StartError::Journal(error.to_string()))?;
        let state = opened.map_err(|error| StartError::Journal(error.to_string()))?;
        let (core, core_ended) = Core::start(state, clock).map_err(StartError::Thread)?;
        let server = tokio::spawn(server::run(listener, core));
        tracing::info!(event = "broker_started", %address, note = "for development only");
        Ok(Broker { address, server, core_ended })
    }

    /// What a client gives as `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// Where the broker listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and waits until the journal is closed.
    pub async fn shutdown(mut self) {
        self.server.abort();
        // Either way the thread has let go of the journal.
        (&mut self.core_ended).await.ok();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.server.abort();
    }
}
