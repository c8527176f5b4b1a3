//! The numbers that name things, as types of their own: a bare `u64` never crosses a crate.
//!
//! A record's full name is (shard, generation, session, sequence); it exists from receipt on and is
//! never reused, so a reader of the topic and a reader of the log talk of the same record.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one that follows.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The timely timestamp: the unit of commit. Epochs of a pipeline only grow, also over
    /// restarts.
    Epoch(u64)
}
number! {
    /// One opened call of a shard; grows by one with each call, also over restarts.
    Session(u32)
}
number! {
    /// A message's number within its session, given at receipt before anything may drop it.
    Sequence(u64)
}
number! {
    /// The incarnation of a pipeline: each claim of its progress topic raises it by one.
    Generation(u64)
}
number! {
    /// A shard's place in the pipeline's shard table; means nothing outside this process.
    ShardIndex(u32)
}
number! {
    /// A sink's place in the pipeline's list of sinks; means nothing outside this process.
    SinkIndex(u32)
}
number! {
    /// A producer's place in the ring of a pipeline's producers.
    Slot(u32)
}

/// A shard's lasting name, `<source>/<label>`: the key of its progress record.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ShardKey(pub String);

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
