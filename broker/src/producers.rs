//! What one partition knows of each producer: the newest epoch and the last batches.
//!
//! From it come the three promises of an idempotent producer (KIP-98): a repeated batch is
//! answered with the offset it already has, a gap in the sequence is refused, and an older epoch
//! is refused for good.
//!
//! Next: `log.rs` keeps one of these for each producer.

use std::collections::VecDeque;

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};

use crate::batch::Header;
use crate::limits::SEQUENCES_KEPT;

/// One producer's standing in one partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProducerState {
    epoch: i16,
    recent: VecDeque<Sequenced>,
    /// The time of the last write, by which an idle producer is forgotten.
    pub(crate) last_ms: i64,
}

/// One batch that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sequenced {
    first: i32,
    last: i32,
    base_offset: i64,
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is new.
    Append,
    /// It was taken before, at this offset.
    Duplicate(i64),
}

impl ProducerState {
    /// Judges a batch of this producer, without changing anything.
    pub(crate) fn judge(&self, header: &Header) -> Result<Verdict, ResponseError> {
        if header.producer_epoch < self.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if header.producer_epoch > self.epoch {
            return in_order(header.base_sequence == 0);
        }
        let same = |taken: &&Sequenced| {
            taken.first == header.base_sequence && taken.last == header.last_sequence()
        };
        if let Some(taken) = self.recent.iter().find(same) {
            return Ok(Verdict::Duplicate(taken.base_offset));
        }
        // After a marker with a newer epoch nothing of that epoch has been written yet.
        self.recent.back().map_or(Ok(Verdict::Append), |newest| {
            in_order(newest.last.wrapping_add(1) & i32::MAX == header.base_sequence)
        })
    }

    /// Remembers a batch that was appended.
    pub(crate) fn append(&mut self, header: &Header) {
        self.advance(header.producer_epoch, header.max_timestamp);
        self.recent.push_back(Sequenced {
            first: header.base_sequence,
            last: header.last_sequence(),
            base_offset: header.base_offset,
        });
        if self.recent.len() > SEQUENCES_KEPT {
            self.recent.pop_front();
        }
    }

    /// Follows a marker or a batch to its epoch; a new epoch starts its sequence anew.
    pub(crate) fn advance(&mut self, epoch: i16, now_ms: i64) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.recent.clear();
        }
        self.last_ms = self.last_ms.max(now_ms);
    }

    /// A producer first met with this batch or marker.
    pub(crate) fn new(epoch: i16) -> ProducerState {
        ProducerState { epoch, ..ProducerState::default() }
    }
}

fn in_order(fits: bool) -> Result<Verdict, ResponseError> {
    fits.then_some(Verdict::Append).ok_or(ResponseError::OutOfOrderSequenceNumber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::plain;

    fn batch(epoch: i16, sequence: i32, count: i32, base_offset: i64) -> Header {
        Header {
            producer_id: 1,
            producer_epoch: epoch,
            base_sequence: sequence,
            last_offset_delta: count - 1,
            count,
            base_offset,
            ..plain()
        }
    }

    #[test]
    fn a_repeated_batch_is_answered_with_its_first_offset() {
        let mut state = ProducerState::new(0);
        for index in 0..SEQUENCES_KEPT {
            let index = i32::try_from(index).unwrap();
            state.append(&batch(0, index * 10, 10, i64::from(index) * 10));
        }
        assert_eq!(state.judge(&batch(0, 20, 10, -1)), Ok(Verdict::Duplicate(20)));
        assert_eq!(state.judge(&batch(0, 50, 10, -1)), Ok(Verdict::Append));
    }

    #[test]
    fn a_gap_an_old_epoch_and_a_new_epoch_not_at_zero_are_refused() {
        let mut state = ProducerState::new(2);
        state.append(&batch(2, 0, 3, 0));
        let gap = state.judge(&batch(2, 4, 1, -1));
        assert_eq!(gap, Err(ResponseError::OutOfOrderSequenceNumber));
        let zombie = state.judge(&batch(1, 3, 1, -1));
        assert_eq!(zombie, Err(ResponseError::InvalidProducerEpoch));
        let late = state.judge(&batch(3, 5, 1, -1));
        assert_eq!(late, Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(state.judge(&batch(3, 0, 1, -1)), Ok(Verdict::Append));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut state = ProducerState::new(0);
        state.append(&batch(0, i32::MAX - 1, 2, 0));
        assert_eq!(state.judge(&batch(0, 0, 1, -1)), Ok(Verdict::Append));
        state.append(&batch(0, 0, 1, 2));
        assert_eq!(state.judge(&batch(0, 1, 1, -1)), Ok(Verdict::Append));
    }
}
