//! The Kafka sink: records and the positions behind them in one transaction.
//!
//! ```text
//!   batches ──► record.rs ──► producer.rs ──┬──► data topics        ┐ one transaction
//!                                           ├──► dead-letter topics │ (exactly_once), or
//!   positions ─► outlet.rs ─────────────────┴──► progress topic     ┘ acknowledged in this order
//! ```
//!
//! - [`config`] what the pipeline file says, [`check`] what it must mean;
//! - `client` how librdkafka is set up, and which of its properties are ours alone;
//! - `context` what librdkafka reports out of band, and when a producer must be replaced for it;
//! - `log_limit` how often librdkafka may say the same;
//! - `topics` what must exist before the first record;
//! - `double` topics like those of a pipeline, for a bench;
//! - [`plan`] what an outlet is made of;
//! - `progress` reading the progress topic to a mark of our own;
//! - `acquire` claim → fence → read: how a pipeline is taken over;
//! - `transactions` the open ones, for who looks from outside;
//! - `alive` signs of life, and waiting for their end;
//! - `rules` what a topic demands of a record;
//! - `route`, `moment` a topic for each record, named by its timestamp or a field;
//! - `refusals` which records Kafka refused, found out over several attempts;
//! - `staging` a transaction as records are put into it;
//! - `producer` one producer of the ring: its transaction, step by step;
//! - `reports` waiting for what a client reports of its deliveries;
//! - `table` a compacted topic that one instance writes: what `headwater serve` remembers;
//! - `error` what each error means;
//! - [`outlet`] what the committer drives.
//!
//! Why one progress topic per pipeline and no `send_offsets_to_transaction`: two round trips less
//! per commit, no expiry after seven idle days, room for more than a number, and no other
//! pipeline's open transaction can hold up our start.

mod acquire;
mod alive;
mod check;
mod client;
mod config;
mod context;
mod double;
mod error;
mod gap;
mod log_limit;
mod moment;
mod murmur2;
mod outlet;
mod plan;
mod producer;
mod progress;
mod record;
mod refusals;
mod reports;
mod route;
mod rules;
mod sealed;
mod staging;
mod table;
mod topics;
mod transactions;
mod written;

pub use alive::{Beat, Place, Pulse, wait_for_silence};
pub use check::{KafkaSink, entry};
pub use client::{KafkaTarget, cluster_id, instance_name};
pub use config::{
    CreateTopic, Delivery, JsonKey, KafkaConfig, KeyConfig, PartitionBy, Property, TimestampUnit,
};
pub use double::{Undeleted, delete_topics, like_topic};
pub use error::KafkaStartError;
pub(crate) use log_limit::LogLimit;
pub use outlet::KafkaOutlet;
pub use plan::{AcceptChange, HeldGeneration, OutletPlan, ShardEntry, SinkEntry};
pub use progress::read_progress;
pub use route::Route;
pub use table::{
    Lead, Leader, Table, TableOptions, TableReader, TableRecord, Write, WriteError, table_target,
};
pub use topics::reset_progress;
pub use transactions::{HeldBack, abort_transaction, held_back, transactional_ids};
pub use written::WrittenTopics;
