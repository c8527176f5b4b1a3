//! Server reflection without the server: the messages of the protocol, and the files that a server
//! gives, gathered until they are complete.
//!
//! `grpc.reflection.v1` and `v1alpha` have the same messages on the wire, so one set serves both.
//! The messages are written by hand for prost, as far as a client needs them.
//!
//! Next: `collect.rs`.

mod collect;

pub use collect::{Bounds, CollectError, Collected, Collector, stubs};

use bytes::Bytes;

/// The methods of the protocol's versions, the newer one first.
pub const METHODS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// `ServerReflectionRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReflectionRequest {
    /// What is asked for.
    #[prost(oneof = "Ask", tags = "3, 4, 7")]
    pub ask: Option<Ask>,
}

/// What a client may ask for.
#[derive(Clone, PartialEq, Eq, Hash, prost::Oneof)]
pub enum Ask {
    /// The file of this name.
    #[prost(string, tag = "3")]
    File(String),
    /// The file that defines this symbol, a full name.
    #[prost(string, tag = "4")]
    FileOfSymbol(String),
    /// The names of all services; the text has no meaning.
    #[prost(string, tag = "7")]
    Services(String),
}

/// `ServerReflectionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReflectionResponse {
    /// What the server says.
    #[prost(oneof = "Answer", tags = "4, 6, 7")]
    pub answer: Option<Answer>,
}

/// What a server may answer.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Answer {
    /// Files.
    #[prost(message, tag = "4")]
    Files(FilesAnswer),
    /// The names of services.
    #[prost(message, tag = "6")]
    Services(ServicesAnswer),
    /// It cannot.
    #[prost(message, tag = "7")]
    Error(ErrorAnswer),
}

/// `FileDescriptorResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilesAnswer {
    /// Encoded `FileDescriptorProto` messages: the file asked for, and of those it imports as many
    /// as the server likes.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub files: Vec<Bytes>,
}

/// `ListServiceResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServicesAnswer {
    /// All services.
    #[prost(message, repeated, tag = "1")]
    pub services: Vec<ServiceName>,
}

/// `ServiceResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServiceName {
    /// The full name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `ErrorResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ErrorAnswer {
    /// A gRPC status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// The server's words.
    #[prost(string, tag = "2")]
    pub message: String,
}
