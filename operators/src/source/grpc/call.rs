//! One call: credentials, a connection, a request, a stream of messages.
//!
//! There is no time limit on the server's first answer but those of the pipeline file: many servers
//! send their headers together with the first message, and a quiet stream is not a broken one.
//! HTTP/2 pings find out a dead connection.
//!
//! Next: `receive.rs` reads the stream.

use super::approach::Approach;
use super::auth::Grant;
use super::codec::RawCodec;
use super::config::{CompressionConfig, Packing, RequestPacking};
use super::expired::UnaryPlan;
use super::link::LinkEnd;
use super::outgoing::RequestStream;
use super::receive::CallEnd;
use super::request::Outgoing;
use super::source::{GrpcSource, Target};
use super::status::CallError;
use super::watch::Watch;
use bytes::Bytes;
use http::uri::PathAndQuery;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

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
    end: LinkEnd,
    watch: Watch,
    may_move: bool,
    /// The connection lives as long as the call.
    _client: Grpc<Channel>,
}

/// A connection, and what is shown to the server on it.
struct Connected {
    client: Grpc<Channel>,
    end: LinkEnd,
    grant: Grant,
}

impl Call {
    /// Connects and sends what is asked; done when the server accepts the call. `on_asked` is
    /// called in between, because a server may take its time to accept.
    ///
    /// # Errors
    /// What went wrong, and whether calling again may heal it; or that it takes too long.
    pub(super) async fn open(
        source: &GrpcSource,
        target: &Target,
        approach: &mut Approach,
        (ask, metadata): (Ask, &MetadataMap),
        on_asked: impl FnOnce(),
    ) -> Result<Call, CallEnd> {
        let Connected { mut client, end, grant } = connect(source, target, approach).await?;
        let mut request = with_metadata(ask, grant.metadata, metadata);
        if let Some(deadline) = source.life.deadline {
            request.set_timeout(deadline);
        }
        on_asked();
        let watch =
            Watch::start(source.life, grant.reopen_at, Instant::now(), rand::random::<f64>());
        let response = tokio::select! {
            biased;
            due = watch.due(true) => return Err(CallEnd::Due(due)),
            response = send(&mut client, request, source.method.clone()) => response,
        };
        let response = response.map_err(|status| CallError::of_status(&status).because_of(&end))?;
        let (headers, stream, _) = response.into_parts();
        let may_move = source.may_move();
        Ok(Call { stream, headers, end, watch, may_move, _client: client })
    }

    /// Asks another method of the same server, which answers with one message.
    ///
    /// # Errors
    /// What went wrong, and whether asking again may heal it.
    pub(super) async fn ask(
        source: &GrpcSource,
        target: &Target,
        approach: &mut Approach,
        plan: &UnaryPlan,
    ) -> Result<Bytes, CallError> {
        let Connected { mut client, end, grant } = connect(source, target, approach).await?;
        let request = with_metadata(plan.request.clone(), grant.metadata, &MetadataMap::new());
        let response = client.unary(request, plan.method.clone(), RawCodec).await;
        let of_status = |status| CallError::of_status(&status).because_of(&end);
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

    /// What the server says about the end of the connection.
    pub(super) fn end(&self) -> &LinkEnd {
        &self.end
    }

    /// How long the call may last and be silent.
    pub(super) fn watch(&self) -> Watch {
        self.watch
    }

    /// Whether it may go on over another connection before the server ends it.
    pub(super) fn may_move(&self) -> bool {
        self.may_move
    }

    /// The next message; `None` once the server has ended the stream with status OK.
    pub(super) fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CallError>>> {
        let polled = Pin::new(&mut self.stream).poll_next(context);
        polled.map_err(|status| CallError::of_status(&status).because_of(&self.end))
    }
}

impl From<CallError> for CallEnd {
    fn from(error: CallError) -> Self {
        CallEnd::Failed(error)
    }
}

/// A connection for one call after the other.
pub(super) struct Client<'a> {
    source: &'a GrpcSource,
    target: &'a Target,
    client: Grpc<Channel>,
    end: LinkEnd,
}

impl<'a> Client<'a> {
    /// Connects.
    ///
    /// # Errors
    /// What went wrong, and whether connecting again may heal it.
    pub(super) async fn connect(
        source: &'a GrpcSource,
        target: &'a Target,
        approach: &mut Approach,
    ) -> Result<Self, CallError> {
        let Connected { client, end, .. } = connect(source, target, approach).await?;
        Ok(Client { source, target, client, end })
    }

    /// Sends `request`, with credentials of its own, and waits for its one answer, for `timeout` at
    /// most.
    ///
    /// # Errors
    /// What went wrong, and whether asking again may heal it; with `DEADLINE_EXCEEDED` where the
    /// answer did not come in time, whoever noticed.
    pub(super) async fn ask(
        &mut self,
        approach: &mut Approach,
        request: &Outgoing,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let grant = self.target.credentials.grant(&self.target.metadata).await?;
        approach.token = grant.token;
        let of_status = |status| CallError::of_status(&status).because_of(&self.end);
        self.client
            .ready()
            .await
            .map_err(|error| CallError::of_connect(&error).because_of(&self.end))?;
        let mut request = with_metadata(request.message.clone(), grant.metadata, &request.metadata);
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
    approach: &mut Approach,
) -> Result<Connected, CallError> {
    let grant = target.credentials.grant(&target.metadata).await?;
    approach.token = grant.token;
    let (channel, end) = target.dial.connect(approach, &grant.metadata).await?;
    approach.connected(end.clone());
    let client = Grpc::new(channel).max_decoding_message_size(source.message_bytes_max);
    let mut client = packed(client, &source.compression);
    let ready = client.ready().await;
    ready.map_err(|error| CallError::of_connect(&error).because_of(&end))?;
    Ok(Connected { client, end, grant })
}

/// Sends what opens the call; done when the server accepts it.
async fn send(
    client: &mut Grpc<Channel>,
    request: Request<Ask>,
    method: PathAndQuery,
) -> Result<Response<Streaming<Bytes>>, Status> {
    let (metadata, extensions, ask) = request.into_parts();
    match ask {
        Ask::Once(message) => {
            let request = Request::from_parts(metadata, extensions, message);
            client.server_streaming(request, method, RawCodec).await
        }
        Ask::Stream(requests) => {
            let request = Request::from_parts(metadata, extensions, requests);
            client.streaming(request, method, RawCodec).await
        }
    }
}

fn packed(client: Grpc<Channel>, config: &CompressionConfig) -> Grpc<Channel> {
    let encoding = |packing: &Packing| match packing {
        Packing::Gzip => CompressionEncoding::Gzip,
        Packing::Zstd => CompressionEncoding::Zstd,
    };
    let accepted = config.accept.iter().map(encoding);
    let client = accepted.fold(client, Grpc::accept_compressed);
    match config.request {
        RequestPacking::None => client,
        RequestPacking::Gzip => client.send_compressed(CompressionEncoding::Gzip),
        RequestPacking::Zstd => client.send_compressed(CompressionEncoding::Zstd),
    }
}

/// The message with what is known of its sender, and what replaces or joins it.
fn with_metadata<T>(message: T, known: MetadataMap, more: &MetadataMap) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    *metadata = known;
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
