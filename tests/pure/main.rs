//! Tests of the program that need no broker and no network beyond this machine.
//!
//! They drive the real binary. What is expected stands in files where there are many cases;
//! `UPDATE_EXPECT=1 cargo test --test pure` writes them anew: read the difference before
//! committing.
//!
//! | file | goal |
//! |---|---|
//! | `check` | every mistake in a pipeline file is told as `tests/cases/check` says |
//! | `mistakes` | of two mistakes in a file both are told, and nothing else |
//! | `convert` | a configuration of the Java connector becomes a pipeline file |
//! | `cli` | every command prints and exits as `tests/cases/cli` says |
//! | `convert_random` | no configuration is too odd to be refused in words |
//! | `examples` | every file under `examples/pipelines` is sound; those without Kafka run |
//! | `generated` | the checked-in schema and reference are current |
//! | `reflection` | types that a server tells: run, look, describe, init |
//! | `secrets` | what came from `${…}` is in no output |
//! | `stopping` | signals, health and exit codes of `headwater run` |
//! | `health` | how a pipeline stands, in `/readyz`, metrics and the log |
//! | `bench` | `headwater bench` counts what arrives, and leaves the real pipeline alone |
//! | `kept` | `headwater offsets` and `headwater demo`, on the built-in broker |
//! | `validation` | a validation answers what a worker of Kafka Connect answers |
//! | `tidy` | the tree itself: direction of crates, headers, line length |

mod bench;
mod check;
mod cli;
mod convert;
mod convert_random;
mod examples;
mod expect;
mod generated;
mod health;
mod kept;
mod mistakes;
mod program;
#[path = "../support/property/mod.rs"]
mod property;
mod reflection;
mod secrets;
mod stopping;
mod tidy;
mod validation;
