//! Compares a tree with a schema and reports every difference where it stands.
//!
//! Why not a JSON Schema library: those speak of pointers and keywords; a person needs the
//! line, the expected value in plain words and the key that was probably meant. The schemas are
//! our own (schemars makes them from our types), so their few keywords suffice.
//!
//! What is reported is mended as well, so that all else can still be read.
//!
//! Next: `engine/src/spec/shape/walk.rs`.

mod choice;
mod fill;
mod flatten;
mod hint;
mod keys;
mod rows;
mod spot;
mod walk;
mod words;

pub(crate) use flatten::flatten;
pub(crate) use rows::{Row, rows};
pub(crate) use spot::Spot;
pub(crate) use walk::Walker;
pub(crate) use words::{named_values, one_of, options_of, types_of};
