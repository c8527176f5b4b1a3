//! Whether a server is well: gRPC's own question,
//! [grpc.health.v1](https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
//!
//! It is asked on the connection that the call is going to use, before the call. A server that does
//! not know the question is taken to be well, as gRPC's clients do.
//!
//! Next: `channel.rs` tries another address if it is not.

use super::codec::RawCodec;
use super::config::HealthConfig;
use super::status::{CallError, escaped, name};
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use std::time::Duration;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

const METHOD: &str = "/grpc.health.v1.Health/Check";

/// How a server is asked.
#[derive(Clone)]
pub(super) struct Health {
    request: Bytes,
    timeout: Duration,
}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl Health {
    /// As declared.
    pub(super) fn new(config: &HealthConfig) -> Self {
        let request = HealthCheckRequest { service: config.service.clone() };
        Health {
            request: request.encode_to_vec().into(),
            timeout: Duration::from_millis(config.timeout_ms),
        }
    }

    /// Asks the server behind `channel`.
    ///
    /// # Errors
    /// It is not well, or does not say so in time.
    pub(super) async fn ask(
        &self,
        channel: Channel,
        metadata: &MetadataMap,
    ) -> Result<(), CallError> {
        let answer = match timeout(self.timeout, self.call(channel, metadata)).await {
            Ok(answer) => answer,
            Err(_) => return Err(unwell("it does not answer in time (`health.timeout_ms`)")),
        };
        let bytes = match answer {
            Ok(bytes) => bytes,
            Err(status) if status.code() == Code::Unimplemented => return Ok(()),
            Err(status) => {
                let text = escaped(status.message());
                return Err(unwell(&format!("{}: {text}", name(status.code()))));
            }
        };
        let status = HealthCheckResponse::decode(bytes).map(|answer| answer.status());
        match status {
            Ok(ServingStatus::Serving) => Ok(()),
            Ok(other) => Err(unwell(words(other))),
            Err(_) => Err(unwell("its answer cannot be read")),
        }
    }

    async fn call(&self, channel: Channel, metadata: &MetadataMap) -> Result<Bytes, Status> {
        let mut client = Grpc::new(channel);
        let ready = client.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(self.request.clone());
        *request.metadata_mut() = metadata.clone();
        let method = PathAndQuery::from_static(METHOD);
        Ok(client.unary(request, method, RawCodec).await?.into_inner())
    }
}

fn unwell(text: &str) -> CallError {
    CallError::of_health(format!("the server's health: {text}"))
}

fn words(status: ServingStatus) -> &'static str {
    match status {
        ServingStatus::Serving => "SERVING",
        ServingStatus::NotServing => "NOT_SERVING",
        ServingStatus::ServiceUnknown => "SERVICE_UNKNOWN",
        ServingStatus::Unknown => "UNKNOWN",
    }
}
