//! Topics, read from start to end by a fresh reader, and what must hold for what was read.

pub mod check;
pub mod event;

mod follow;
mod identity;
mod read;

pub use check::Sequences;
pub use follow::Follower;
pub use identity::identity;
pub use read::{
    Isolation, Read, consumer, consumer_at, end_offsets, for_each, is_passing, read_all,
};
