//! The commit protocol against a model of Kafka: no broker, no threads, no clock.
//!
//! Goal: whatever is delayed, repeated, lost or killed, and in whatever order, readers see each
//! message once and in order, and in the end all of them; and the model notices if a protection of
//! the protocol is taken out.
//! Method: the product's own machines (`Decision`, `Acquisition`, `Frontier`, `StoredProgress`),
//! driven as the product drives them, over a broker, a net and a client written from the protocol.
//! Runs by a seed (`seeds.rs`), every order of small worlds (`orders.rs`), and both again without
//! one protection each (`mutants.rs`).
//!
//! `HEADWATER_CASES` scales the number of seeds; `HEADWATER_MODEL_SEED` runs one and prints it.

mod check;
mod committer;
mod explore;
mod fold;
mod kafka;
mod log;
mod mutants;
mod net;
mod orders;
mod outlet;
mod plain;
mod process;
mod producer;
mod protection;
mod random;
mod scenario;
mod seeds;
mod source;
mod takeover;
mod world;

#[allow(unused_macros, unused_imports, reason = "only the number of cases is asked for")]
#[path = "../../../tests/support/property/mod.rs"]
mod property;
