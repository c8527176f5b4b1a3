//! Transforms: what happens to records between receipt and sink.
//!
//! - `filter` drops records: undecoded messages by a predicate, JSON by whether there is any;
//! - `fields` changes the fields of JSON values, as Kafka Connect's single-message transforms do.
//!
//! A transform works batch by batch on the worker that owns the shard, like a decoder, and keeps
//! nothing between batches. What concerns a record's key, headers, timestamp and topic is the
//! sink's: `sink/kafka/config.rs`.
//!
//! In a stream of JSON an empty value stands for none: Kafka gets a tombstone.
//!
//! Next: `filter.rs`, `fields/mod.rs`.

pub mod fields;
pub mod filter;
pub mod java;
mod refuse;

pub use fields::FieldsTransform;
pub use filter::FilterTransform;
