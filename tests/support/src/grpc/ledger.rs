//! What a scripted server did: the truth a test compares the topic with.

use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard};

use headwater_proto::telemetry::SubscribeRequest;
use tonic::metadata::MetadataMap;

/// One call, as the server saw it.
#[derive(Debug, Clone)]
pub struct Call {
    /// What was asked for.
    pub request: SubscribeRequest,
    /// The metadata of the call.
    pub metadata: MetadataMap,
    /// The events handed to the transport, as runs of rising sequences, in the order they left.
    /// After a cut the last of them may not have arrived.
    pub sent: Vec<RangeInclusive<u64>>,
    /// Whether the call stands at a [`super::Step::Stall`].
    pub is_stalled: bool,
    /// Whether the call is over, by whichever side.
    pub is_over: bool,
}

/// All calls so far.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Vec<Call>>);

impl Ledger {
    /// Enters a call; its number is how the stream finds its entry.
    pub(super) fn open(&self, request: SubscribeRequest, metadata: MetadataMap) -> usize {
        let mut calls = self.lock();
        calls.push(Call { request, metadata, sent: Vec::new(), is_stalled: false, is_over: false });
        calls.len() - 1
    }

    pub(super) fn sent(&self, call: usize, sequence: u64) {
        let mut calls = self.lock();
        let runs = &mut calls[call].sent;
        match runs.last_mut() {
            Some(run) if *run.end() + 1 == sequence => *run = *run.start()..=sequence,
            _ => runs.push(sequence..=sequence),
        }
    }

    pub(super) fn stalled(&self, call: usize, is_stalled: bool) {
        self.lock()[call].is_stalled = is_stalled;
    }

    pub(super) fn over(&self, call: usize) {
        self.lock()[call].is_over = true;
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.lock().clone()
    }

    pub(super) fn sent_total(&self) -> u64 {
        self.lock().iter().map(Call::sent_count).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().expect("no holder of the ledger panics")
    }
}

impl Call {
    /// How many events the call was sent.
    pub fn sent_count(&self) -> u64 {
        self.sent.iter().map(|run| run.end() - run.start() + 1).sum()
    }

    /// The last event the call was sent.
    pub fn last_sent(&self) -> Option<u64> {
        self.sent.last().map(|run| *run.end())
    }
}
