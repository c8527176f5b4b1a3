//! A client as small as can be: opens one call, hands out events.

#![allow(dead_code, unreachable_pub, reason = "the tests and the bench each use their part")]

use bytes::{Buf, Bytes};
use headwater_proto::telemetry::{Event, SubscribeRequest};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// One open call.
pub struct Client(Streaming<Bytes>);

/// Requests are encoded by prost, messages stay bytes.
struct RawCodec;

const STREAM_WINDOW_BYTES: u32 = 8 << 20;

impl Client {
    pub async fn open(endpoint: String, request: SubscribeRequest) -> Result<Client, Status> {
        let endpoint = Endpoint::from_shared(endpoint).expect("an address is an endpoint");
        Client::over(endpoint, request).await
    }

    /// As [`Client::open`], with settings of the caller's.
    pub async fn over(endpoint: Endpoint, request: SubscribeRequest) -> Result<Client, Status> {
        let channel = endpoint
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(2 * STREAM_WINDOW_BYTES)
            .connect()
            .await
            .map_err(|it| Status::unavailable(it.to_string()))?;
        let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(128 << 20);
        grpc.ready().await.map_err(|it| Status::unavailable(it.to_string()))?;
        let path = PathAndQuery::from_static("/bench.v1.Telemetry/Subscribe");
        let answer = grpc.server_streaming(Request::new(request), path, RawCodec).await?;
        Ok(Client(answer.into_inner()))
    }

    /// The next message, `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        self.0.message().await
    }

    /// Everything up to the end of the stream.
    pub async fn events(endpoint: String, request: SubscribeRequest) -> Result<Vec<Event>, Status> {
        let mut client = Client::open(endpoint, request).await?;
        let mut events = Vec::new();
        while let Some(bytes) = client.next().await? {
            events.push(Event::decode(bytes).expect("the server sends events"));
        }
        Ok(events)
    }
}

impl Codec for RawCodec {
    type Encode = SubscribeRequest;
    type Decode = Bytes;
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
    type Item = SubscribeRequest;
    type Error = Status;

    fn encode(&mut self, item: SubscribeRequest, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buf).map_err(|it| Status::internal(it.to_string()))
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}
