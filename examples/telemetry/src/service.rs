//! The service `bench.v1.Telemetry`, wired to tonic by hand: no generated code, no `protoc`.
//!
//! Next: `stream.rs` is the answer to a call.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use headwater_proto::telemetry::SubscribeRequest;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Request, Response, Status};

use crate::codec::{Due, EventCodec};
use crate::stream::{EventStream, Shared};

/// The service, as tonic routes to it.
#[derive(Clone)]
pub(crate) struct Telemetry(pub(crate) Shared);

struct Subscribe(Shared);

impl NamedService for Telemetry {
    const NAME: &'static str = "bench.v1.Telemetry";
}

impl Service<http::Request<Body>> for Telemetry {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            if request.uri().path() != "/bench.v1.Telemetry/Subscribe" {
                return Ok(Status::unimplemented("the only method is Subscribe").into_http());
            }
            let codec = EventCodec { fleet: shared.fleet.clone() };
            Ok(Grpc::new(codec).server_streaming(Subscribe(shared), request).await)
        })
    }
}

impl ServerStreamingService<SubscribeRequest> for Subscribe {
    type Response = Due;
    type ResponseStream = EventStream;
    type Future = Ready<Result<Response<EventStream>, Status>>;

    fn call(&mut self, request: Request<SubscribeRequest>) -> Self::Future {
        ready(EventStream::open(&self.0, request.get_ref()).map(Response::new))
    }
}
