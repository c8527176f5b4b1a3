//! The batch so far: values, and which of the received messages they are.

use bytes::Bytes;
use headwater_engine::ids::Sequence;
use headwater_engine::record::ReceivedAt;

/// The batch so far.
#[derive(Default)]
pub(super) struct Open {
    pub(super) first: Sequence,
    pub(super) received: Option<ReceivedAt>,
    pub(super) values: Vec<Bytes>,
    pub(super) value_bytes: usize,
    /// The places of the values in `first..`, once one of them is not where a dense run has it.
    pub(super) kept: Option<Vec<u32>>,
}

impl Open {
    /// The sequence of the first value.
    pub(super) fn first_kept(&self) -> Sequence {
        let offset = self.kept.as_ref().and_then(|kept| kept.first()).copied().unwrap_or(0);
        Sequence(self.first.0 + u64::from(offset))
    }

    pub(super) fn keep(&mut self, sequence: Sequence, message: Bytes) {
        debug_assert!(sequence >= self.first, "a batch begins at its first message");
        let offset = sequence.0 - self.first.0;
        let place = self.values.len();
        if self.kept.is_none() && offset != place as u64 {
            self.kept = Some((0..).take(place).collect());
        }
        if let Some(kept) = &mut self.kept {
            let offset = u32::try_from(offset);
            kept.push(offset.expect("a batch is handed over long before 2^32 messages"));
        }
        self.value_bytes += message.len();
        self.values.push(message);
    }
}
