//! What passed, by API: the proof that a test's traffic went through the proxy.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::frame::Api;

/// What passed of one API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests handed to the broker; one that was doubled counts twice.
    pub requests: u64,
    /// Answers handed to clients.
    pub answers: u64,
    /// Requests and answers that were swallowed, or died with a connection that was cut.
    pub lost: u64,
    /// Bytes of the requests and answers that were handed over.
    pub bytes: u64,
}

#[derive(Default)]
pub(super) struct Counts(Mutex<BTreeMap<Api, Traffic>>);

impl Counts {
    pub(super) fn of(&self, api: Api) -> Traffic {
        self.lock().get(&api).copied().unwrap_or_default()
    }

    pub(super) fn request(&self, api: Api, bytes: usize) {
        self.with(api, |it| {
            it.requests += 1;
            it.bytes += bytes as u64;
        });
    }

    pub(super) fn answer(&self, api: Api, bytes: usize) {
        self.with(api, |it| {
            it.answers += 1;
            it.bytes += bytes as u64;
        });
    }

    pub(super) fn lost(&self, api: Api) {
        self.with(api, |it| it.lost += 1);
    }

    fn with(&self, api: Api, change: impl FnOnce(&mut Traffic)) {
        change(self.lock().entry(api).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Api, Traffic>> {
        self.0.lock().expect("no holder of the counts panics")
    }
}
