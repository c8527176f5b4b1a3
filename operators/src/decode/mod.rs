//! Decoders: messages become records.
//!
//! A decoder also takes out the fields that sinks behind it ask for (keys, timestamps): it is the
//! last to see the message itself. [`column`] says what is asked for.
//!
//! Next: `protobuf/operator.rs`.

pub mod column;
pub mod protobuf;
