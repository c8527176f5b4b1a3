//! The connector class `io.conduktor.connect.grpc.GrpcSourceConnector`: its configuration, checked
//! as Kafka Connect checks it, and translated into a pipeline file.
//!
//! Pure: texts in, texts out. The only files that are read are descriptor sets, by the loader that
//! pipeline files use.
//!
//! | file | what |
//! |---|---|
//! | `config` | a configuration, however it is written |
//! | `references` | values that providers give |
//! | `worker` | what it leaves to the worker |
//! | `kind`, `rule`, `key` | types, rules and keys, as `ConfigDef` has them |
//! | `definition/`, `plugins/` | all keys |
//! | `list` | what can be used, and its keys |
//! | `validate` | the answers to a validation, for all keys |
//! | `translate/` | the pipeline file that does the same |
//!
//! Invariant: a validation says what Kafka Connect says, a translation what Headwater can do. What
//! passes the first may be refused by the second, by the key's name and with a hint; never the
//! other way round.

mod config;
mod definition;
mod key;
mod kind;
mod list;
mod mistake;
mod plugins;
mod references;
mod rule;
mod translate;
mod validate;
mod worker;

pub use config::Config;
pub use key::{Importance, KeyInfo, Width};
pub use kind::Kind;
pub use list::{PluginInfo, connector_class, definitions, plugins};
pub use mistake::Mistake;
pub use plugins::Role;
pub use references::{Reference, resolved};
pub use translate::{Note, Translation, translate};
pub use validate::{ConfigInfo, ConfigInfos, ValueInfo, validate};
pub use worker::Worker;
