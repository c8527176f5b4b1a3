//! Requests decoded by prost, messages sent as the bytes they are: also such as are no message.

use bytes::{BufMut, Bytes};
use headwater_proto::telemetry::SubscribeRequest;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// tonic's reading and writing of a scripted call.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = SubscribeRequest;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = SubscribeRequest;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<SubscribeRequest>, Status> {
        let request = SubscribeRequest::decode(buf);
        request.map(Some).map_err(|it| Status::invalid_argument(it.to_string()))
    }
}
