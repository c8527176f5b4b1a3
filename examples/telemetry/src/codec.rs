//! The gRPC codec: requests are decoded by prost, events are written into tonic's own buffer.
//!
//! Why not prost both ways: an event would be built as a message, with eight allocations, only to
//! be encoded and dropped. What crosses from the stream to the encoder is two numbers.
//!
//! Next: tonic frames the bytes, hyper sends them; `link.rs` is the socket.

use std::sync::Arc;

use bytes::Bytes;
use headwater_proto::telemetry::SubscribeRequest;
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::event::Fleet;

/// An event that is to be written.
#[derive(Clone)]
pub(crate) struct Due {
    pub(crate) sequence: u64,
    pub(crate) emitted_ns: i64,
    pub(crate) payload: Bytes,
}

/// tonic's reading and writing of `Subscribe`.
#[derive(Clone)]
pub(crate) struct EventCodec {
    pub(crate) fleet: Arc<Fleet>,
}

/// One HTTP/2 write holds about this much: larger writes cost latency, smaller ones throughput.
const WRITE_BYTES: usize = 64 << 10;

impl Codec for EventCodec {
    type Encode = Due;
    type Decode = SubscribeRequest;
    type Encoder = EventCodec;
    type Decoder = EventCodec;

    fn encoder(&mut self) -> EventCodec {
        self.clone()
    }

    fn decoder(&mut self) -> EventCodec {
        self.clone()
    }
}

impl Encoder for EventCodec {
    type Item = Due;
    type Error = Status;

    fn encode(&mut self, item: Due, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.fleet.encode(item.sequence, item.emitted_ns, &item.payload, buf);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(2 * WRITE_BYTES, WRITE_BYTES)
    }
}

impl Decoder for EventCodec {
    type Item = SubscribeRequest;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<SubscribeRequest>, Status> {
        let request = SubscribeRequest::decode(buf);
        request.map(Some).map_err(|it| Status::invalid_argument(format!("request: {it}")))
    }
}
