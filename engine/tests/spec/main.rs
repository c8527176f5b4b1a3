//! Pipeline files as a user writes them, right and wrong, through the public API.
//!
//! Goal: every check speaks at its place, all of them in one run, and nothing secret is shown.
//! Method: `tests/cases/spec/*.yaml` against `.expected` files with kinds that only these tests
//! know (`kinds`), variables from a table, and random text for what nobody thought of.

mod golden;
mod hostile;
mod interpolation;
mod kinds;
mod plan;
#[path = "../../../tests/support/property/mod.rs"]
mod property;
mod random;
mod schema;
mod secrets;
