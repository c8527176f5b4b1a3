//! Removing records from a batch: those that a filter drops, and those that a step sets aside.
//!
//! Invariants
//! 1. What was received stays covered: `first..end`, position, gaps and dead letters are untouched,
//!    and the records that stay keep their sequence.
//! 2. Values and columns keep one entry a record. A column that nobody reads stays empty.

use super::{Batch, Column, Packed, Values};
use std::sync::Arc;

impl Batch {
    /// Removes the records at these places, which ascend.
    pub fn remove(&mut self, places: &[usize]) {
        if !places.is_empty() {
            let values = self.values.without(places);
            self.replace(values, places);
        }
    }

    /// Gives the batch new values. The records at `removed`, places in the old values that ascend,
    /// have none and are gone.
    ///
    /// # Panics
    /// If a batch held 2^32 messages, which none does.
    pub fn replace(&mut self, values: Values, removed: &[usize]) {
        let before = self.len();
        debug_assert_eq!(values.len() + removed.len(), before, "each record stays or goes");
        debug_assert!(removed.is_sorted(), "places ascend");
        if !removed.is_empty() {
            let offset = |place: usize| {
                let offset = self.sequence(place).0 - self.first.0;
                u32::try_from(offset).expect("a batch is far below 2^32 messages")
            };
            self.kept = Some(staying(before, removed).map(offset).collect());
            self.columns.iter_mut().for_each(|column| column.remove(removed));
        }
        self.values = values;
    }
}

impl Values {
    /// The values at all other places.
    fn without(&self, removed: &[usize]) -> Values {
        let stay = || staying(self.len(), removed);
        match self {
            Values::Received(slices) => {
                Values::Received(Arc::new(stay().map(|place| slices[place].clone()).collect()))
            }
            Values::Packed(packed) => {
                let bytes = stay().map(|place| packed.get(place).len()).sum();
                let mut rest = Packed::with_capacity(self.len() - removed.len(), bytes);
                for place in stay() {
                    rest.push(packed.get(place));
                }
                Values::Packed(Arc::new(rest))
            }
        }
    }
}

impl Packed {
    /// Appends a value.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }
}

impl Column {
    /// The bytes of values that are gone stay in their buffer: nobody refers to them.
    fn remove(&mut self, removed: &[usize]) {
        match self {
            Column::Bytes(ranges, _) => drop_places(Arc::make_mut(ranges), removed),
            Column::UnixMs(moments) => drop_places(Arc::make_mut(moments), removed),
        }
    }
}

/// The places below `count` that are not removed.
fn staying(count: usize, removed: &[usize]) -> impl Iterator<Item = usize> {
    let mut removed = removed.iter().copied().peekable();
    (0..count).filter(move |place| removed.next_if_eq(place).is_none())
}

fn drop_places<T>(column: &mut Vec<T>, removed: &[usize]) {
    let (mut removed, mut place) = (removed.iter().copied().peekable(), 0);
    column.retain(|_| {
        place += 1;
        removed.next_if_eq(&(place - 1)).is_none()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Sequence, Session, ShardIndex};
    use crate::record::ReceivedAt;
    use bytes::Bytes;

    fn batch(values: Values, columns: Vec<Column>) -> Batch {
        Batch {
            shard: ShardIndex(0),
            session: Session(1),
            first: Sequence(10),
            end: Sequence(15),
            received: ReceivedAt::default(),
            kept: Some(Arc::from([0, 2, 3, 4])),
            values,
            columns,
            dead: Vec::new(),
            gaps: Vec::new(),
            position: None,
            credit_bytes: 0,
        }
    }

    fn packed(texts: &[&str]) -> Values {
        let mut packed = Packed::default();
        texts.iter().for_each(|text| packed.push(text.as_bytes()));
        Values::Packed(Arc::new(packed))
    }

    fn left(batch: &Batch) -> Vec<(u64, String)> {
        let of = |place| {
            let text = String::from_utf8_lossy(batch.values.get(place)).into_owned();
            (batch.sequence(place).0, text)
        };
        (0..batch.len()).map(of).collect()
    }

    #[test]
    fn what_stays_keeps_its_sequence_its_value_and_its_columns() {
        let received = ["a", "b", "c", "d"].map(|text| Bytes::from_static(text.as_bytes()));
        for values in [packed(&["a", "b", "c", "d"]), Values::Received(Arc::new(received.into()))] {
            let ranges = vec![Some(0..1), None, Some(1..2), Some(2..3)];
            let keys = Column::Bytes(Arc::new(ranges), Arc::new(b"xyz".to_vec()));
            let moments = Column::UnixMs(Arc::new(vec![Some(1), Some(2), None, Some(4)]));
            let mut batch = batch(values, vec![keys, Column::absent(), moments]);
            let before = batch.clone();
            batch.remove(&[0, 2]);
            assert_eq!(left(&batch), [(12, "b".to_owned()), (14, "d".to_owned())]);
            let keys = &batch.columns[0];
            assert_eq!((keys.bytes(0), keys.bytes(1)), (None, Some(&b"z"[..])));
            assert_eq!(batch.columns[2].unix_ms(1), Some(4));
            assert_eq!((batch.first, batch.end), (Sequence(10), Sequence(15)));
            assert_eq!(left(&before).len(), 4, "another reader's batch is as it was");
            batch.remove(&[0, 1]);
            assert!(batch.is_empty() && batch.kept.as_deref() == Some(&[][..]));
        }
    }

    #[test]
    fn new_values_take_the_places_of_those_that_stay() {
        let mut batch = batch(packed(&["a", "b", "c", "d"]), Vec::new());
        batch.replace(packed(&["A", "D"]), &[1, 2]);
        assert_eq!(left(&batch), [(10, "A".to_owned()), (14, "D".to_owned())]);
        batch.replace(packed(&["1", "2"]), &[]);
        assert_eq!(left(&batch), [(10, "1".to_owned()), (14, "2".to_owned())]);
    }
}
