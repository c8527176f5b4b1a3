//! Every key that a configuration of the connector can have: its own, and Kafka Connect's.
//!
//! Next: `connector.rs`, `framework.rs`; those of plug-ins are in `../plugins/keys.rs`.

pub(super) mod connector;
pub(super) mod framework;
