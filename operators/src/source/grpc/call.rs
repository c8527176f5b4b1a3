//! One call: a connection, a request, a stream of messages.
//!
//! There is no time limit on the server's first answer: many servers send their headers together
//! with the first message, and a quiet stream is not a broken one. HTTP/2 pings find out a dead
//! connection.
//!
//! Next: `receive.rs` reads the stream.

use super::codec::RawCodec;
use super::link::TlsEnd;
use super::source::{GrpcSource, Target};
use super::status::CallError;
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

/// An open call; dropping it closes the connection.
pub(super) struct Call {
    stream: Streaming<Bytes>,
    tls_end: TlsEnd,
    /// The connection lives as long as the call.
    _client: Grpc<Channel>,
}

impl Call {
    /// Connects and sends `request`; done when the server accepts the call. `on_asked` is called in
    /// between, because a server may take its time to accept.
    ///
    /// # Errors
    /// What went wrong, and whether calling again may heal it.
    pub(super) async fn open(
        source: &GrpcSource,
        target: &Target,
        request: Bytes,
        on_asked: impl FnOnce(),
    ) -> Result<Call, CallError> {
        let tls_end = TlsEnd::default();
        let of_connect = |error| CallError::of_connect(&error).because_of(&tls_end);
        let channel = target.dial.connect(&tls_end).await.map_err(of_connect)?;
        let mut client = Grpc::new(channel).max_decoding_message_size(source.message_bytes_max);
        client.ready().await.map_err(of_connect)?;
        let mut request = Request::new(request);
        *request.metadata_mut() = target.metadata.clone();
        on_asked();
        let response = client.server_streaming(request, source.method.clone(), RawCodec).await;
        let response =
            response.map_err(|status| CallError::of_status(&status).because_of(&tls_end))?;
        Ok(Call { stream: response.into_inner(), tls_end, _client: client })
    }

    /// The next message; `None` once the server has ended the stream with status OK.
    pub(super) fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CallError>>> {
        let polled = Pin::new(&mut self.stream).poll_next(context);
        polled.map_err(|status| CallError::of_status(&status).because_of(&self.tls_end))
    }
}
