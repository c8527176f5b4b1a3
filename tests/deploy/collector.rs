//! An OpenTelemetry collector that keeps what it gets.
//!
//! A faithful fake: the services are those that `opentelemetry-proto` generates from OTLP's own
//! definitions, so what it takes is OTLP by the same rules as for any collector. What it does not
//! do is go anywhere with it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use flate2::read::GzDecoder;
use headwater_test_support::tls::{Issued, TestCa};
use headwater_test_support::wait;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Attributes, as text.
pub(crate) type Attributes = BTreeMap<String, String>;

/// A running collector; it ends when it is dropped.
pub(crate) struct Collector {
    address: SocketAddr,
    shared: Shared,
    runtime: Option<Runtime>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Inner>);

#[derive(Default)]
struct Inner {
    told: Mutex<Told>,
    /// So many requests are still refused as by a collector that is starting.
    refusals: AtomicU64,
}

/// All that it got.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) metrics: Vec<ExportMetricsServiceRequest>,
    pub(crate) traces: Vec<ExportTraceServiceRequest>,
    /// `x-tenant` of each request.
    pub(crate) tenants: Vec<Option<String>>,
    /// Requests that were refused.
    pub(crate) refused: u64,
}

/// A span, with its attributes as text.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) span: Span,
    pub(crate) attributes: Attributes,
}

impl Collector {
    /// Speaks gRPC, with TLS if there is a certificate.
    pub(crate) fn grpc(tls: Option<&Issued>) -> Result<Collector> {
        let collector = Collector::new()?;
        let (metrics, traces) = (collector.shared.clone(), collector.shared.clone());
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(TestCa::serve(tls, None)?)?;
        }
        let gzip = CompressionEncoding::Gzip;
        let router = server
            .add_service(MetricsServiceServer::new(metrics).accept_compressed(gzip))
            .add_service(TraceServiceServer::new(traces).accept_compressed(gzip));
        collector.serve(|listener| async move {
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let _ = router.serve_with_incoming(incoming).await;
        })
    }

    /// Takes protobuf over HTTP.
    pub(crate) fn http() -> Result<Collector> {
        let collector = Collector::new()?;
        let router = axum::Router::new()
            .route("/v1/metrics", post(metrics))
            .route("/v1/traces", post(traces))
            .with_state(collector.shared.clone());
        collector.serve(|listener| async move {
            let _ = axum::serve(listener, router).await;
        })
    }

    /// Refuses so many requests first.
    pub(crate) fn refusing(self, requests: u64) -> Collector {
        self.shared.0.refusals.store(requests, Ordering::Release);
        self
    }

    fn new() -> Result<Collector> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Collector { address, shared: Shared::default(), runtime: Some(runtime) })
    }

    fn serve<F>(mut self, run: impl FnOnce(TcpListener) -> F) -> Result<Collector>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().expect("it is there until the drop");
        let listener = runtime.block_on(TcpListener::bind(self.address))?;
        self.address = listener.local_addr()?;
        runtime.spawn(run(listener));
        Ok(self)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it got.
    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.shared.0.told.lock().expect("nobody panics with it")
    }

    /// All spans that it got.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        let told = self.told();
        let resources = told.traces.iter().flat_map(|it| &it.resource_spans);
        let spans = resources.flat_map(|it| &it.scope_spans).flat_map(|it| &it.spans);
        spans.map(|it| Seen { attributes: attributes(&it.attributes), span: it.clone() }).collect()
    }

    /// All of these spans.
    pub(crate) fn spans_named(&self, name: &str) -> Vec<Seen> {
        self.spans().into_iter().filter(|it| it.span.name == name).collect()
    }

    /// What it was told of the sender, by every request the same.
    pub(crate) fn resource(&self) -> Attributes {
        let told = self.told();
        let of_metrics = told.metrics.iter().flat_map(|it| &it.resource_metrics);
        let of_traces = told.traces.iter().flat_map(|it| &it.resource_spans);
        let of_metrics = of_metrics.filter_map(|it| it.resource.as_ref());
        let of_traces = of_traces.filter_map(|it| it.resource.as_ref());
        let mut all = of_metrics.chain(of_traces).map(|it| attributes(&it.attributes));
        let first = all.next().unwrap_or_default();
        assert!(all.all(|it| it == first), "one sender, one resource");
        first
    }

    /// Waits for the next look at the series that begins after this call; what it showed.
    pub(crate) fn next_look(&self, patience: Duration) -> Result<Vec<Metric>> {
        // The next one may be under way.
        let enough = self.told().metrics.len() + 2;
        wait::until("metrics", patience, || self.told().metrics.len() >= enough)?;
        let told = self.told();
        let last = told.metrics[enough - 1].resource_metrics.iter();
        Ok(last.flat_map(|it| &it.scope_metrics).flat_map(|it| it.metrics.clone()).collect())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// Keeps a request, unless it is to be refused.
    fn keep(&self, tenant: Option<String>, keep: impl FnOnce(&mut Told)) -> bool {
        let mut told = self.0.told.lock().expect("nobody panics with it");
        let refuse = |left: u64| left.checked_sub(1);
        let (order, again) = (Ordering::AcqRel, Ordering::Acquire);
        if self.0.refusals.fetch_update(order, again, refuse).is_ok() {
            told.refused += 1;
            return false;
        }
        told.tenants.push(tenant);
        keep(&mut told);
        true
    }

    fn taken<T, A: Default>(
        &self,
        request: Request<T>,
        keep: impl FnOnce(&mut Told, T),
    ) -> Result<Response<A>, Status> {
        let tenant = request.metadata().get("x-tenant");
        let tenant = tenant.and_then(|it| it.to_str().ok()).map(str::to_owned);
        match self.keep(tenant, |told| keep(told, request.into_inner())) {
            true => Ok(Response::new(A::default())),
            false => Err(Status::unavailable("it is starting")),
        }
    }

    fn posted<T: Message + Default>(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        keep: impl FnOnce(&mut Told, T),
    ) -> StatusCode {
        let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
        if text("content-type") != Some("application/x-protobuf") {
            return StatusCode::UNSUPPORTED_MEDIA_TYPE;
        }
        let mut plain = Vec::new();
        let read = match text("content-encoding") {
            Some("gzip") => GzDecoder::new(body).read_to_end(&mut plain),
            _ => (&body[..]).read_to_end(&mut plain),
        };
        let Ok(request) = read.map_err(drop).and_then(|_| T::decode(&plain[..]).map_err(drop))
        else {
            return StatusCode::BAD_REQUEST;
        };
        match self.keep(text("x-tenant").map(str::to_owned), |told| keep(told, request)) {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Shared {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.taken(request, |told, request| told.metrics.push(request))
    }
}

#[tonic::async_trait]
impl TraceService for Shared {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.taken(request, |told, request| told.traces.push(request))
    }
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    shared.posted(&headers, &body, |told, request| told.metrics.push(request))
}

async fn traces(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    shared.posted(&headers, &body, |told, request| told.traces.push(request))
}

/// The samples that Prometheus would make of these metrics, by name and labels; a bucket's `le` is
/// one of them.
pub(crate) fn samples(metrics: &[Metric]) -> BTreeMap<(String, Attributes), f64> {
    let mut all = BTreeMap::new();
    for metric in metrics {
        let name = prometheus_name(metric);
        match metric.data.as_ref().expect("a metric has values") {
            Data::Gauge(it) => it.data_points.iter().for_each(|it| number(&mut all, &name, it)),
            Data::Sum(it) => it.data_points.iter().for_each(|it| number(&mut all, &name, it)),
            Data::Histogram(it) => {
                for point in &it.data_points {
                    let labels = attributes(&point.attributes);
                    let mut below = 0;
                    let bounds = point.explicit_bounds.iter().copied().chain([f64::INFINITY]);
                    for (bound, count) in bounds.zip(&point.bucket_counts) {
                        below += count;
                        let mut labels = labels.clone();
                        labels.insert("le".to_owned(), format!("{bound:?}"));
                        all.insert((format!("{name}_bucket"), labels), below as f64);
                    }
                    assert_eq!(below, point.count, "{name}");
                    let sum = point.sum.expect("a histogram has a sum");
                    all.insert((format!("{name}_sum"), labels.clone()), sum);
                    all.insert((format!("{name}_count"), labels), point.count as f64);
                }
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    all
}

fn number(all: &mut BTreeMap<(String, Attributes), f64>, name: &str, point: &NumberDataPoint) {
    let Some(number_data_point::Value::AsDouble(value)) = point.value else {
        panic!("{name}: {point:?}");
    };
    assert!(point.start_time_unix_nano <= point.time_unix_nano, "{name}: {point:?}");
    let earlier = all.insert((name.to_owned(), attributes(&point.attributes)), value);
    assert_eq!(earlier, None, "{name}: {point:?}");
}

/// The name that Prometheus gives to what it receives; names of OpenTelemetry's conventions are
/// those that Prometheus' own collector has.
fn prometheus_name(metric: &Metric) -> String {
    match metric.name.as_str() {
        "process.cpu.time" => return "process_cpu_seconds_total".to_owned(),
        "process.memory.usage" => return "process_resident_memory_bytes".to_owned(),
        "process.memory.virtual" => return "process_virtual_memory_bytes".to_owned(),
        "process.unix.file_descriptor.count" => return "process_open_fds".to_owned(),
        "process.thread.count" => return "process_threads".to_owned(),
        _ => {}
    }
    let mut name = metric.name.replace('.', "_");
    for (unit, word) in [("s", "seconds"), ("By", "bytes")] {
        if metric.unit == unit && !name.split('_').any(|it| it == word) {
            name = format!("{name}_{word}");
        }
    }
    if matches!(&metric.data, Some(Data::Sum(sum)) if sum.is_monotonic) {
        name.push_str("_total");
    }
    name
}

/// Attributes, as text.
pub(crate) fn attributes(of: &[KeyValue]) -> Attributes {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|it| it.value.as_ref()) {
        Some(Value::StringValue(it)) => it.clone(),
        Some(Value::IntValue(it)) => it.to_string(),
        Some(Value::DoubleValue(it)) => it.to_string(),
        Some(Value::BoolValue(it)) => it.to_string(),
        other => panic!("{other:?}"),
    };
    of.iter().map(|it| (it.key.clone(), text(&it.value))).collect()
}
