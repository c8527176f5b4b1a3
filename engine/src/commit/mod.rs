//! When an epoch becomes durable: the decision, the thread that obeys it, and what is written down.
//!
//! [`state`] decides (no I/O, no clock, no threads), [`frontier`] feeds it, [`committer`] obeys it
//! against an [`outlet::Outlet`] and tells what came of it ([`observe`]), and [`progress`] is the
//! record that makes a restart exact.

pub mod acquisition;
mod call;
pub mod committer;
pub mod frontier;
pub mod observe;
pub mod outlet;
mod positions;
pub mod progress;
pub mod state;
