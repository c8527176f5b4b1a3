//! What health checks, the console and logs say of a pipeline: one word, and why.

use headwater_engine::ids::ShardKey;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

/// Where a pipeline is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It takes the pipeline over and reads its progress.
    #[default]
    Starting,
    /// Records flow, or would if there were any.
    Running,
    /// It failed and is being built anew; the reason is why.
    Recovering(String),
    /// It was asked to stop and commits what it has.
    Draining,
    /// It has ended; the reason is why, if it is not by request.
    Stopped(Option<String>),
}

/// The status of one pipeline, shared by those who run it and those who watch it.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    phase: Phase,
    broken: BTreeMap<ShardKey, String>,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Starting => f.write_str("starting"),
            Phase::Running => f.write_str("running"),
            Phase::Recovering(reason) => write!(f, "recovering: {reason}"),
            Phase::Draining => f.write_str("draining"),
            Phase::Stopped(None) => f.write_str("stopped"),
            Phase::Stopped(Some(reason)) => write!(f, "stopped: {reason}"),
        }
    }
}

impl Status {
    /// Where the pipeline is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.lock().phase.clone()
    }

    /// Shards that cannot go on, and why.
    #[must_use]
    pub fn broken(&self) -> BTreeMap<ShardKey, String> {
        self.lock().broken.clone()
    }

    /// Whether records flow on every shard.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let inner = self.lock();
        inner.phase == Phase::Running && inner.broken.is_empty()
    }

    pub(super) fn set(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    pub(super) fn set_broken(&self, shard: ShardKey, reason: String) {
        self.lock().broken.insert(shard, reason);
    }

    /// A new attempt starts with all shards whole.
    pub(super) fn forget_broken(&self) {
        self.lock().broken.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no code panics while it holds a status")
    }
}
