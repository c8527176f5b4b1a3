//! Sends one request to a collector: gRPC or HTTP, with or without TLS, again while that may help.
//!
//! Both protocols go over one HTTP client, which connects when there is something to send and again
//! when a connection has broken. Why not `opentelemetry-otlp`: its exporter of metrics takes what
//! the SDK's own instruments have counted and nothing else, and with the other half of it alone
//! there would be two clients with two ways to read the same variables.
//!
//! Which failures are worth another attempt is said by the specification of OTLP, "Failures". A
//! collector may name the wait itself (`Retry-After`).
//!
//! Invariants
//! 1. A request takes [`Target::timeout`] at most, all attempts and waits included.
//! 2. No error holds a header or what a collector says in words: it may repeat a credential.

use super::limits::{
    ANSWER_BYTES_MAX, BACKOFF_MAX, BACKOFF_MIN, CONNECT_MAX, IDLE_MAX, PING_AFTER, PING_TIMEOUT,
};
use super::settings::Target;
use crate::args::OtlpProtocol;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    self as metrics, metrics_service_client::MetricsServiceClient,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    self as trace, trace_service_client::TraceServiceClient,
};
use prost::Message;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

/// A client of one collector.
pub(crate) struct Sender {
    target: Target,
    client: HttpClient,
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Body>;

/// What a collector takes, and what it left out of a request that it has taken.
pub(crate) trait Exported: Message + Clone + Default {
    /// What it answers.
    type Answer: Message + Default;

    /// How many items it left out.
    fn refused(answer: &Self::Answer) -> u64;

    /// Sends it by gRPC.
    fn call(
        client: HttpClient,
        origin: Uri,
        encoding: Option<CompressionEncoding>,
        request: tonic::Request<Self>,
    ) -> impl Future<Output = Result<Self::Answer, Status>> + Send;
}

/// A request was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("{0}")]
    Connection(String),
    #[error("the collector answers {}", .0.description())]
    Grpc(Code),
    #[error("the collector answers {0}")]
    Http(StatusCode),
    #[error("the collector's answer cannot be read: {0}")]
    Answer(String),
    #[error("no answer in {} ms{}", .0.as_millis(), after(.1.as_deref()))]
    Late(Duration, Option<Box<ExportError>>),
}

/// One attempt that failed.
struct Failed {
    error: ExportError,
    /// Whether another attempt may help.
    may_heal: bool,
    /// How long the collector wants to be left alone.
    wait: Option<Duration>,
}

fn after(earlier: Option<&ExportError>) -> String {
    earlier.map_or_else(String::new, |error| format!("; before that: {error}"))
}

impl Sender {
    pub(crate) fn new(mut target: Target) -> Self {
        let agent = concat!("OTel-OTLP-Exporter-Headwater/", env!("CARGO_PKG_VERSION"));
        target.headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
        let client = client(&target);
        Sender { target, client }
    }

    /// Where it sends to, for logs.
    pub(crate) fn shown(&self) -> String {
        self.target.uri.to_string()
    }

    /// Sends `request`; how many items of it the collector left out.
    pub(crate) async fn send<E: Exported>(&self, request: E) -> Result<u64, ExportError> {
        let mut last = None;
        let sent = tokio::time::timeout(self.target.timeout, self.attempts(request, &mut last));
        match sent.await {
            Ok(sent) => sent,
            Err(_) => Err(ExportError::Late(self.target.timeout, last.map(Box::new))),
        }
    }

    async fn attempts<E: Exported>(
        &self,
        request: E,
        last: &mut Option<ExportError>,
    ) -> Result<u64, ExportError> {
        let mut backoff = BACKOFF_MIN;
        loop {
            let sent = match self.target.protocol {
                OtlpProtocol::Grpc => self.call(request.clone()).await,
                OtlpProtocol::Http => self.post(&request).await,
            };
            let failed = match sent {
                Ok(answer) => return Ok(E::refused(&answer)),
                Err(failed) if !failed.may_heal => return Err(failed.error),
                Err(failed) => failed,
            };
            *last = Some(failed.error);
            // Many processes must not come back at the same moment.
            let wait = backoff.mul_f64(rand::random_range(0.5..1.0));
            tokio::time::sleep(failed.wait.unwrap_or(wait).min(BACKOFF_MAX)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn call<E: Exported>(&self, message: E) -> Result<E::Answer, Failed> {
        let metadata = MetadataMap::from_headers(self.target.headers.clone());
        let request = tonic::Request::from_parts(metadata, tonic::Extensions::default(), message);
        let encoding = self.target.is_packed.then_some(CompressionEncoding::Gzip);
        let answer = E::call(self.client.clone(), self.target.uri.clone(), encoding, request);
        answer.await.map_err(|status| of_status(&status))
    }

    async fn post<E: Exported>(&self, message: &E) -> Result<E::Answer, Failed> {
        let mut body = message.encode_to_vec();
        let mut request = Request::builder().method(Method::POST).uri(self.target.uri.clone());
        let headers = request.headers_mut().expect("method and address are valid");
        headers.clone_from(&self.target.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if self.target.is_packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            body = packed(&body);
        }
        let request = request.body(Body::new(Full::new(Bytes::from(body))));
        let request = request.expect("its parts are valid");
        let response = self.client.request(request).await.map_err(|error| Failed {
            error: ExportError::Connection(chain(&error)),
            may_heal: true,
            wait: None,
        })?;
        if !response.status().is_success() {
            return Err(of_response(&response));
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let unreadable =
            |why: String| Failed { error: ExportError::Answer(why), may_heal: false, wait: None };
        let body = body.map_err(|error| unreadable(error.to_string()))?.to_bytes();
        E::Answer::decode(body).map_err(|error| unreadable(error.to_string()))
    }
}

/// What the definitions of OTLP generate for one signal differs in names alone.
macro_rules! exported {
    ($request:ty, $answer:ty, $client:ident, $refused:ident) => {
        impl Exported for $request {
            type Answer = $answer;

            fn refused(answer: &Self::Answer) -> u64 {
                let count = answer.partial_success.as_ref().map_or(0, |it| it.$refused);
                count.try_into().unwrap_or(0)
            }

            async fn call(
                client: HttpClient,
                origin: Uri,
                encoding: Option<CompressionEncoding>,
                request: tonic::Request<Self>,
            ) -> Result<Self::Answer, Status> {
                let mut client = $client::with_origin(client, origin);
                if let Some(encoding) = encoding {
                    client = client.send_compressed(encoding);
                }
                client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
                client.export(request).await.map(tonic::Response::into_inner)
            }
        }
    };
}

exported!(
    trace::ExportTraceServiceRequest,
    trace::ExportTraceServiceResponse,
    TraceServiceClient,
    rejected_spans
);
exported!(
    metrics::ExportMetricsServiceRequest,
    metrics::ExportMetricsServiceResponse,
    MetricsServiceClient,
    rejected_data_points
);

fn client(target: &Target) -> HttpClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_MAX));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(target.tls.clone().unwrap_or_else(nobody))
        .https_or_http();
    let is_grpc = target.protocol == OtlpProtocol::Grpc;
    let connector = match is_grpc {
        true => connector.enable_http2().wrap_connector(tcp),
        false => connector.enable_http1().wrap_connector(tcp),
    };
    Client::builder(TokioExecutor::new())
        .http2_only(is_grpc)
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(1)
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .build(connector)
}

/// Trusts nobody: for a target without TLS.
fn nobody() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("memory takes what is written")
}

fn of_status(status: &Status) -> Failed {
    let may_heal = matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    );
    match status.source() {
        // The connection says it, not the collector.
        Some(source) => {
            let error = ExportError::Connection(chain(source));
            Failed { error, may_heal: true, wait: None }
        }
        None => Failed { error: ExportError::Grpc(status.code()), may_heal, wait: None },
    }
}

fn of_response<B>(response: &Response<B>) -> Failed {
    let status = response.status();
    let may_heal = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let wait = response.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse().ok());
    Failed { error: ExportError::Http(status), may_heal, wait: wait.map(Duration::from_secs) }
}

/// An error with all that caused it; what repeats its cause is told once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
