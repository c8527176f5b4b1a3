//! The transform `fields`: steps on the top-level fields of JSON values.
//!
//! - [`config`] what the pipeline file says, [`check`] what it must mean;
//! - `names` which fields the JSON can have, step by step;
//! - `path` Kafka Connect's syntax of a field's path;
//! - `scan` finds fields in JSON without building a tree;
//! - `program` the compiled steps;
//! - `change` values made of others;
//! - [`operator`] runs batches through the steps.

mod change;
mod check;
mod config;
mod names;
pub mod operator;
mod path;
mod program;
mod scan;

pub use change::CastType;
pub use check::{FieldsTransform, entry};
pub use path::literal;
