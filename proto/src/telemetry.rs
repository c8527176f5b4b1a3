//! The demo service's messages, written by hand for prost so that nobody needs `protoc`.
//!
//! Invariant: they say the same as `protos/telemetry.proto`; a test compiles that file and
//! compares every name, number and type.

use std::collections::HashMap;

use protox::file::{File, FileResolver, GoogleFileResolver};

use crate::TELEMETRY_PROTO;

/// What the service's file is called in its descriptor set.
const FILE: &str = "telemetry.proto";

/// The service's types as an encoded `FileDescriptorSet` with all imports, for a server that tells
/// them to its clients.
///
/// # Panics
/// If the embedded source does not compile, which any run of a test shows.
pub fn descriptor_set() -> Vec<u8> {
    let mut compiler = protox::Compiler::with_file_resolver(Embedded);
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(FILE).expect("the embedded source compiles");
    compiler.encode_file_descriptor_set()
}

/// Finds the embedded source, and what it imports of Google's.
struct Embedded;

impl FileResolver for Embedded {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            FILE => File::from_source(name, TELEMETRY_PROTO),
            _ => GoogleFileResolver::new().open_file(name),
        }
    }
}

/// What a subscriber asks for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubscribeRequest {
    /// Only events of this site; empty for all.
    #[prost(string, tag = "1")]
    pub filter: String,
    /// How many events to send before the stream ends; 0 for no end.
    #[prost(uint64, tag = "2")]
    pub count: u64,
    /// Size of `Event.payload`.
    #[prost(uint32, tag = "3")]
    pub payload_bytes: u32,
    /// Events per second; 0 for as fast as the client reads.
    #[prost(uint64, tag = "4")]
    pub rate: u64,
    /// The first sequence to send; where a client resumes.
    #[prost(uint64, tag = "5")]
    pub from_sequence: u64,
}

/// One measurement of one device.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// Rises by one from event to event: the resume cursor.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// When the server emitted the event, in nanoseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub emitted_ns: i64,
    /// The device that measured.
    #[prost(string, tag = "3")]
    pub device_id: String,
    /// The site the device stands at.
    #[prost(string, tag = "4")]
    pub site: String,
    /// Degrees Celsius.
    #[prost(double, tag = "5")]
    pub temperature: f64,
    /// Relative humidity in percent.
    #[prost(double, tag = "6")]
    pub humidity: f64,
    /// Whether the device raised an alarm.
    #[prost(bool, tag = "7")]
    pub alarm: bool,
    /// The device's own judgement.
    #[prost(enumeration = "Status", tag = "8")]
    pub status: i32,
    /// Free labels.
    #[prost(map = "string, string", tag = "9")]
    pub labels: HashMap<String, String>,
    /// Raw samples behind the measurement.
    #[prost(int32, repeated, tag = "10")]
    pub samples: Vec<i32>,
    /// Where the device stands.
    #[prost(message, optional, tag = "11")]
    pub location: Option<Location>,
    /// Padding, to measure larger messages.
    #[prost(bytes = "vec", tag = "12")]
    pub payload: Vec<u8>,
}

/// A device's judgement of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Status {
    /// Not said.
    Unspecified = 0,
    /// All is well.
    Ok = 1,
    /// Something wants a look.
    Warn = 2,
}

/// A place on earth.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Location {
    /// Latitude in degrees.
    #[prost(double, tag = "1")]
    pub lat: f64,
    /// Longitude in degrees.
    #[prost(double, tag = "2")]
    pub lon: f64,
}
