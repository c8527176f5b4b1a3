//! A pipeline from its plan to its end: assemble, run, watch, build anew.
//!
//! - [`assemble`] turns a plan into shards, columns and the engine's blueprint;
//! - [`guarantee`] derives what each stream is promised, and which field weakens it;
//! - [`check`] is what a whole plan must satisfy beyond its nodes;
//! - [`run()`] starts a pipeline, watches it and builds it anew from committed progress;
//! - [`status`] is what health checks and the console read.

pub mod assemble;
mod attempt;
pub mod check;
pub mod guarantee;
mod run;
pub mod status;

pub use run::{RunContext, RunEnd, run};
