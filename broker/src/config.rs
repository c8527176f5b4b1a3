//! How a broker is started, and why it may refuse to.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// How a broker is started.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where clients connect: a loopback address; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Where data is kept.
    pub journal: Journal,
    /// Whether each request is on disk before it is answered. Without it, what was answered
    /// outlives the process but perhaps not the machine's power, as Kafka does by default.
    pub fsync: bool,
}

/// Where data is kept.
#[derive(Debug, Clone)]
pub enum Journal {
    /// In memory, until the broker stops.
    Memory,
    /// In this file, which is made if it is missing and may be rewritten in its place.
    File(PathBuf),
}

/// The broker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can be reached from other machines.
    #[error(
        "the development broker listens on loopback only, not on {listen}; use 127.0.0.1 or [::1]"
    )]
    NotLoopback {
        /// The address asked for.
        listen: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {source}; choose another port, or 0 for a free one")]
    Listen {
        /// The address asked for.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The journal cannot be used.
    #[error("{0}")]
    Journal(String),
    /// The system gives no thread.
    #[error("cannot start the broker's thread: {0}")]
    Thread(io::Error),
}

impl BrokerConfig {
    /// A broker on a free port that keeps its data in memory.
    #[must_use]
    pub fn in_memory() -> BrokerConfig {
        BrokerConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            journal: Journal::Memory,
            fsync: false,
        }
    }
}
