//! The protobuf decoder: wire bytes become proto3 JSON, or pass untouched.
//!
//! Next: [`operator`].

mod config;
mod envelope;
pub mod operator;

pub use config::{Envelope, OnError, OutputFormat, ProtobufDecoder, entry};
