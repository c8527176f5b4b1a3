//! The shard table: which shard an index means, while shards come and go.
//!
//! Batches bear an index and not a name, so that nothing is compared or cloned on their way. The
//! table says what an index means; who needs a name asks it, per batch at most.
//!
//! Why it only grows. A shard that has left may have batches on their way, and one that comes back
//! goes on under the same name: so a name keeps its index for as long as the table lives. How many
//! names there may be is the business of whoever enters them.
//!
//! Next: `dataflow/inlet.rs`, which batches of a shard cross.

use crate::ids::{ShardIndex, ShardKey};
use std::collections::HashMap;
use std::sync::{Arc, RwLock, RwLockReadGuard};

/// What an index stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardEntry {
    /// The shard's lasting name.
    pub key: ShardKey,
    /// What gives its cursor a meaning.
    pub fingerprint: String,
}

/// The table; clones are the same table.
#[derive(Clone, Debug, Default)]
pub struct ShardTable(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Arc<ShardEntry>>,
    places: HashMap<ShardKey, ShardIndex>,
}

impl ShardTable {
    /// A table of these shards, in this order.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = ShardEntry>) -> Self {
        let table = ShardTable::default();
        for entry in entries {
            table.enter(entry);
        }
        table
    }

    /// The index of a shard: the one it had before, or the next one.
    ///
    /// # Panics
    /// Beyond 2^32 shards, which no bound of ours lets through.
    pub fn enter(&self, entry: ShardEntry) -> ShardIndex {
        let mut inner = self.0.write().expect("no code panics while it holds the table");
        if let Some(index) = inner.places.get(&entry.key).copied() {
            inner.entries[index.0 as usize] = Arc::new(entry);
            return index;
        }
        let count = u32::try_from(inner.entries.len());
        let index = ShardIndex(count.expect("shards are far below 2^32"));
        inner.places.insert(entry.key.clone(), index);
        inner.entries.push(Arc::new(entry));
        index
    }

    /// What `index` stands for.
    ///
    /// # Panics
    /// If the table never gave it.
    #[must_use]
    pub fn get(&self, index: ShardIndex) -> Arc<ShardEntry> {
        self.read().entries[index.0 as usize].clone()
    }

    /// All entries, by index.
    #[must_use]
    pub fn entries(&self) -> Vec<Arc<ShardEntry>> {
        self.read().entries.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().expect("no code panics while it holds the table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, fingerprint: &str) -> ShardEntry {
        ShardEntry { key: ShardKey(key.to_owned()), fingerprint: fingerprint.to_owned() }
    }

    #[test]
    fn a_shard_that_comes_back_has_the_index_it_had() {
        let table = ShardTable::new([entry("s/a", "1"), entry("s/b", "1")]);
        let seen = table.clone();
        assert_eq!(table.enter(entry("s/c", "1")), ShardIndex(2));
        assert_eq!(table.enter(entry("s/a", "2")), ShardIndex(0));
        assert_eq!(*seen.get(ShardIndex(0)), entry("s/a", "2"), "clones are one table");
        assert_eq!(seen.entries().len(), 3);
    }
}
