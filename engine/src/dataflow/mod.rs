//! The timely side: how batches enter, flow and reach the committer.
//!
//! In the order a batch meets them: [`credit`] and [`inlet`] (from an I/O task to a worker),
//! [`epochs`] (when an epoch closes), [`source`], [`step`] and [`stage`] (the operators), [`build`]
//! (the same graph on every worker) and [`workers`] (the threads that run it). `guard` keeps a
//! panic from reaching timely.

pub mod build;
pub mod credit;
pub mod epochs;
pub mod guard;
pub mod inlet;
pub mod source;
pub mod stage;
pub mod step;
pub mod workers;
