//! The protobuf decoder: wire bytes become proto3 JSON, or pass untouched.
//!
//! Next: [`operator`].

mod config;
pub mod operator;

pub use config::{OnError, OutputFormat, ProtobufDecoder, entry};
