//! Goal: transforms do what Kafka Connect's of the same name do, and keep every record they do not
//! drop.
//! Method: `cases/` hold what Connect's own classes made of each input (`scripts/connect-oracle`
//! asks them again); random JSON goes through random steps beside a plain model.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/support/property/mod.rs"]
mod property;

mod model;
mod oracle;
mod rig;
