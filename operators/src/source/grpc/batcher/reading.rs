//! What a read came to, for the acks of its messages.

use super::super::outgoing::Reading;
use super::Batcher;
use headwater_engine::record::Batch;

impl Batcher<'_> {
    /// Messages are acknowledged.
    pub(in crate::source::grpc) fn acknowledge(&mut self) {
        self.acknowledges = true;
    }

    /// Whether messages were read that are neither dropped nor handed over.
    pub(in crate::source::grpc) fn is_holding(&self) -> bool {
        !(self.held.is_empty() && self.aside.is_empty())
    }

    /// What was read since the last reading and, with `batch`, handed over.
    pub(in crate::source::grpc) fn reading(&mut self, batch: Option<&Batch>) -> Reading {
        let (is_holding, has_dropped) = (self.is_holding(), std::mem::take(&mut self.has_dropped));
        let batch = batch.map(|batch| (batch.session, batch.end));
        Reading { batch, read: (self.session, self.next), is_holding, has_dropped }
    }

    /// Whether a message that is to be acknowledged waits for a place behind it.
    pub(in crate::source::grpc) fn owes_place(&self) -> bool {
        self.has_dropped
    }
}
