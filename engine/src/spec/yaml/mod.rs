//! YAML as a tree with spans.
//!
//! Next: `engine/src/spec/yaml/build.rs`.

mod build;
mod hint;
mod index;
mod map;

pub(crate) use build::parse;
pub(crate) use index::line_starts;
