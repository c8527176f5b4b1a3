//! A pipeline from its plan to its end: assemble, run, watch, build anew.
//!
//! - [`assemble`] turns a plan into shards, columns and the engine's blueprint;
//! - [`guarantee`] derives what each stream is promised, and which field weakens it;
//! - [`check`] is what a whole plan must satisfy beyond its nodes;
//! - [`run()`] starts a pipeline, watches it and builds it anew from committed progress;
//! - [`state`] derives one word, and why, from how calls and sinks stand;
//! - [`status`] is what health checks, metrics, the log and the console show of it.

pub mod assemble;
mod attempt;
pub mod check;
mod commits;
mod epoch_spans;
mod gaps;
pub mod guarantee;
mod measured;
mod members;
mod roster;
mod run;
mod sink_counts;
mod sink_state;
mod standby;
pub mod state;
pub mod status;

pub use run::{OnCommit, RunContext, RunEnd, run};
