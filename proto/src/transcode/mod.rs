//! Wire to proto3 JSON, compiled from a descriptor.
use crate::wire::WireFault;
use prost_reflect::MessageDescriptor;
use std::fmt;

/// Turns encoded messages of one type into JSON.
#[derive(Clone)]
pub struct JsonTranscoder {
    message: MessageDescriptor,
}

/// A message could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Byte offset in the message where it went wrong.
    pub offset: usize,
    /// The field it went wrong in, as a path of proto names; empty for the message itself.
    pub path: String,
    /// What is wrong; never the payload.
    pub reason: DecodeReason,
}

/// Why a message could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeReason {
    /// The bytes are not a message of the type.
    #[error(transparent)]
    Wire(#[from] WireFault),
    /// A value of a well-known type has no JSON form.
    #[error("{0}")]
    Unprintable(String),
}

impl JsonTranscoder {
    /// Compiles the table of `message` and of every type it reaches.
    pub fn compile(message: &MessageDescriptor) -> Self {
        Self {
            message: message.clone(),
        }
    }

    /// Appends the JSON of one encoded message to `out`; on error `out` is as it was.
    pub fn transcode(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let _ = (wire, out, &self.message);
        unimplemented!()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{} at byte {}", self.reason, self.offset),
            path => write!(
                f,
                "{} in field \"{path}\" at byte {}",
                self.reason, self.offset
            ),
        }
    }
}

impl std::error::Error for DecodeError {}
