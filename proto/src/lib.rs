//! Protobuf without any I/O to a network: what the other crates need to know of a message.
//!
//! Why a crate of its own: everything here is a pure function of descriptors and bytes, so it can
//! be tried under every input without a server, a broker or a runtime.
//!
//! Reading order
//! 1. [`descriptors`]: where message types come from, and which method a pipeline names.
//! 2. [`request`]: the request message, from the JSON-like value of a pipeline file.
//! 3. [`wire`]: the tags and lengths of the wire format, shared by the two readers below.
//! 4. [`path`]: one field of a message, found on the wire without decoding the message.
//! 5. [`predicate`]: questions asked of a message, answered along such paths.
//! 6. [`transcode`]: a whole message, from the wire to proto3 JSON in one pass.
//! 7. [`reflection`]: what a server says of its own types.
//! 8. [`print`], [`guess`]: types as `.proto` text, and what may be a cursor, for people.
//! 9. [`telemetry`]: the demo service's messages, for servers and tests without `protoc`.

pub mod descriptors;
pub mod guess;
pub mod nearest;
pub mod path;
pub mod predicate;
pub mod print;
pub mod reflection;
pub mod request;
pub mod telemetry;
pub mod transcode;
pub mod wire;

pub use descriptors::{DescriptorError, DescriptorInput, Descriptors, Method, MethodError};
pub use path::{FieldPath, ItemsPath, Leaf, LeafKind, PathError, SpreadPath, Timestamp};
pub use predicate::{Predicate, PredicateError};
pub use prost_reflect::{DescriptorPool, MessageDescriptor};
pub use request::{
    CursorComponent, CursorScalar, FieldWriter, Overlay, OverlayError, PathSegment, Reply,
    ReplyError, RequestError, RequestTemplate, WriterError,
};
pub use transcode::{
    DecodeError, DecodeReason, FieldError, JsonField, JsonNotation, JsonStyle, JsonTranscoder,
    print_java_double,
};
pub use wire::{WireError, WireFault};

/// The demo service's `.proto` source.
pub const TELEMETRY_PROTO: &str = include_str!("../protos/telemetry.proto");
