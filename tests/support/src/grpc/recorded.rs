//! A server that sends messages as they are given to it, whatever they are, and ends well.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::codec::RawCodec;
use crate::runtime::RUNTIME;

/// A running server of `recorded.Recorded`, whose methods all answer alike; it ends with the
/// process.
pub struct RecordedServer {
    address: SocketAddr,
}

#[derive(Clone)]
struct Recorded(Arc<Vec<Bytes>>);

impl RecordedServer {
    /// Sends these messages to each call, on a free port of loopback.
    pub fn start(messages: Vec<Bytes>) -> Result<RecordedServer> {
        let _inside = RUNTIME.enter();
        let bound = RUNTIME.block_on(TcpListener::bind(("127.0.0.1", 0)));
        let listener = bound.context("server of recorded messages")?;
        let address = listener.local_addr()?;
        let router = Server::builder().add_service(Recorded(Arc::new(messages)));
        RUNTIME.spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(RecordedServer { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl ServerStreamingService<Bytes> for Recorded {
    type Response = Bytes;
    type ResponseStream = tokio_stream::Iter<std::vec::IntoIter<Result<Bytes, Status>>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let messages: Vec<_> = self.0.iter().cloned().map(Ok).collect();
        Box::pin(async move { Ok(Response::new(tokio_stream::iter(messages))) })
    }
}

impl NamedService for Recorded {
    const NAME: &'static str = "recorded.Recorded";
}

impl Service<http::Request<Body>> for Recorded {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let recorded = self.clone();
        Box::pin(async move { Ok(Grpc::new(RawCodec).server_streaming(recorded, request).await) })
    }
}
