//! `headwater bench`: how fast a pipeline goes here, and how late its records are.
//!
//! What runs is the pipeline of the file, through the same checks and the same code as with `run`;
//! only its name, its topics and, if asked for, its servers and its broker are others. Generator
//! and embedded broker are processes of their own, so that CPU and memory of this one are the
//! pipeline's alone.
//!
//! | file | what |
//! |---|---|
//! | `command` | the order of things: check, prepare, measure, clean up, report |
//! | `double` | the plan of the pipeline's double, and the topics it writes |
//! | `change` | what is another in the double's file |
//! | `measure` | warm-up, window, end |
//! | `meter` | what commits are counted into |
//! | `usage` | CPU and memory of this process |
//! | `report`, `hgrm` | the report as text and JSON, the latencies as percentile text |
//! | `child` | generator and broker as processes |
//! | `generator` | a gRPC server that plays the part of the pipeline's own |
//! | `part`, `sample`, `draw` | the messages it sends |
//!
//! Invariants
//! 1. Nothing is written under a name of the real pipeline: neither topic nor transactional id.
//! 2. Without `--keep` what was created is deleted, however the pipeline ends; only a second
//!    signal leaves it.
//! 3. Nothing is paid per record that `run` would not pay.
//!
//! Next: `src/bench/command.rs`.

mod change;
mod child;
mod command;
mod double;
mod draw;
mod generator;
mod hgrm;
mod limits;
mod measure;
mod meter;
mod part;
mod report;
mod sample;
mod usage;

pub(crate) use child::{child, is_child};
pub(crate) use command::bench;
