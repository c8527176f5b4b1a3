//! One call: a connection, a request, a stream of messages.
//!
//! There is no time limit on the server's first answer: many servers send their headers together
//! with the first message, and a quiet stream is not a broken one. HTTP/2 pings find out a dead
//! connection.
//!
//! Next: `receive.rs` reads the stream.

use super::codec::RawCodec;
use super::expired::UnaryPlan;
use super::link::TlsEnd;
use super::outgoing::RequestStream;
use super::source::{GrpcSource, Target};
use super::status::CallError;
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_stream::Stream;
use tonic::client::Grpc;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::Channel;
use tonic::{Request, Streaming};

/// What is sent when a call opens.
pub(super) enum Ask {
    /// One request, and no more.
    Once(Bytes),
    /// A stream of requests; it may be open as long as the call.
    Stream(RequestStream),
}

/// An open call; dropping it closes the connection.
pub(super) struct Call {
    stream: Streaming<Bytes>,
    headers: MetadataMap,
    tls_end: TlsEnd,
    /// The connection lives as long as the call.
    _client: Grpc<Channel>,
}

impl Call {
    /// Connects and sends what is asked; done when the server accepts the call. `on_asked` is called
    /// in between, because a server may take its time to accept.
    ///
    /// # Errors
    /// What went wrong, and whether calling again may heal it.
    pub(super) async fn open(
        source: &GrpcSource,
        target: &Target,
        ask: Ask,
        metadata: &MetadataMap,
        on_asked: impl FnOnce(),
    ) -> Result<Call, CallError> {
        let tls_end = TlsEnd::default();
        let mut client = connect(source, target, &tls_end).await?;
        on_asked();
        let method = source.method.clone();
        let response = match ask {
            Ask::Once(request) => {
                let request = with_metadata(request, target, metadata);
                client.server_streaming(request, method, RawCodec).await
            }
            Ask::Stream(requests) => {
                let requests = with_metadata(requests, target, metadata);
                client.streaming(requests, method, RawCodec).await
            }
        };
        let response =
            response.map_err(|status| CallError::of_status(&status).because_of(&tls_end))?;
        let (headers, stream, _) = response.into_parts();
        Ok(Call { stream, headers, tls_end, _client: client })
    }

    /// Asks another method of the same server, which answers with one message.
    ///
    /// # Errors
    /// What went wrong, and whether asking again may heal it.
    pub(super) async fn ask(
        source: &GrpcSource,
        target: &Target,
        plan: &UnaryPlan,
    ) -> Result<Bytes, CallError> {
        let tls_end = TlsEnd::default();
        let mut client = connect(source, target, &tls_end).await?;
        let request = with_metadata(plan.request.clone(), target, &MetadataMap::new());
        let response = client.unary(request, plan.method.clone(), RawCodec).await;
        let of_status = |status| CallError::of_status(&status).because_of(&tls_end);
        response.map(tonic::Response::into_inner).map_err(of_status)
    }

    /// The response headers.
    pub(super) fn headers(&self) -> &MetadataMap {
        &self.headers
    }

    /// The trailers, once the server has ended the stream with status OK.
    pub(super) async fn trailers(&mut self) -> Option<MetadataMap> {
        self.stream.trailers().await.ok().flatten()
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

/// A connection for one call after the other.
pub(super) struct Client<'a> {
    source: &'a GrpcSource,
    target: &'a Target,
    client: Grpc<Channel>,
    tls_end: TlsEnd,
}

impl<'a> Client<'a> {
    /// Connects.
    ///
    /// # Errors
    /// What went wrong, and whether connecting again may heal it.
    pub(super) async fn connect(
        source: &'a GrpcSource,
        target: &'a Target,
    ) -> Result<Self, CallError> {
        let tls_end = TlsEnd::default();
        let client = connect(source, target, &tls_end).await?;
        Ok(Client { source, target, client, tls_end })
    }

    /// Sends `request` and waits for its one answer, for `timeout` at most.
    ///
    /// # Errors
    /// What went wrong, and whether asking again may heal it; with `DEADLINE_EXCEEDED` where the
    /// answer did not come in time, whoever noticed.
    pub(super) async fn ask(
        &mut self,
        request: &Outgoing,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let of_status = |status| CallError::of_status(&status).because_of(&self.tls_end);
        self.client
            .ready()
            .await
            .map_err(|error| CallError::of_connect(&error).because_of(&self.tls_end))?;
        let mut request = with_metadata(request.message.clone(), self.target, &request.metadata);
        request.set_timeout(timeout);
        let asked = self.client.unary(request, self.source.method.clone(), RawCodec);
        match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => Ok(answer.map_err(of_status)?.into_inner()),
            Err(_) => Err(CallError::late(timeout)),
        }
    }
}

async fn connect(
    source: &GrpcSource,
    target: &Target,
    tls_end: &TlsEnd,
) -> Result<Grpc<Channel>, CallError> {
    let of_connect = |error| CallError::of_connect(&error).because_of(tls_end);
    let channel = target.dial.connect(tls_end).await.map_err(of_connect)?;
    let mut client = Grpc::new(channel).max_decoding_message_size(source.message_bytes_max);
    client.ready().await.map_err(of_connect)?;
    Ok(client)
}

/// The message with the target's metadata and what replaces or joins it.
fn with_metadata<T>(message: T, target: &Target, more: &MetadataMap) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    *metadata = target.metadata.clone();
    for entry in more.iter() {
        match entry {
            KeyAndValueRef::Ascii(key, value) => drop(metadata.insert(key.clone(), value.clone())),
            KeyAndValueRef::Binary(key, value) => {
                metadata.insert_bin(key.clone(), value.clone());
            }
        }
    }
    request
}
