//! Traces and metrics for an OpenTelemetry collector, by OTLP.
//!
//! ```text
//!   pipelines ──spans──► spans.rs: a bounded queue ──► tasks.rs ──┐
//!       │                                                         ├─► send.rs ─► collector
//!       └──count──► series ──gathered as for /metrics──► metrics.rs ─► tasks.rs
//!                                    names.rs: what they are called there
//! ```
//!
//! Off unless somebody names a collector: then there is no tracer, no queue and no task.
//!
//! Invariants
//! 1. Nothing waits for a collector: what cannot be sent is dropped and counted, but for the
//!    [`FLUSH_MAX`] at the end of the process.
//! 2. What is sent is what `/metrics` serves, under names that follow from its names.
//! 3. Everything that waits has a bound in [`limits`].
//!
//! Next: `settings.rs`. The reasons are in `docs/design/0019-…`.

pub(crate) mod limits;
mod metrics;
pub(crate) mod names;
mod send;
mod settings;
mod spans;
mod tasks;

use crate::args;
use crate::exit::{Exit, Failed};
use crate::http::Shown;
use headwater_operators::telemetry::{DroppedSpans, Telemetry, Tracing};
use limits::FLUSH_MAX;
use metrics::Conversion;
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use send::Sender;
use settings::{Settings, Signal, Target};
use spans::Queue;
use std::sync::Arc;
use std::time::Duration;
use tasks::{Exporter, MetricsTask, SpanTask, unix_ns};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What was asked for, and is sound.
#[derive(Debug)]
pub(crate) struct Asked(Settings);

/// What is ready to be sent, before there is anything.
pub(crate) struct Prepared {
    telemetry: Telemetry,
    resource: Resource,
    start_ns: u64,
    metrics: Option<(Target, Duration)>,
    traces: Option<Traces>,
}

struct Traces {
    target: Target,
    delay: Duration,
    queue: mpsc::Receiver<SpanData>,
    dropped: DroppedSpans,
    provider: SdkTracerProvider,
}

/// The tasks that send; none where nobody asked.
#[derive(Default)]
pub(crate) struct Otlp {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    /// It ends its processors when it is dropped.
    _provider: Option<SdkTracerProvider>,
}

impl Asked {
    /// Reads the command line and OpenTelemetry's variables.
    pub(crate) fn read(options: &args::Otlp) -> Result<Self, Failed> {
        let told = |mistakes: Vec<String>| Exit::Mistake.saying(mistakes.join("\nerror: "));
        Settings::read(options).map(Asked).map_err(told)
    }

    /// Where the process named `instance` counts, and makes its spans.
    pub(crate) fn prepare(self, instance: &str) -> Prepared {
        let Settings { traces, metrics, .. } = self.0;
        let telemetry = Telemetry::default();
        let resource = resource(instance);
        let (queued, delay) = (self.0.spans_queued, self.0.spans_delay);
        let traces =
            traces.map(|target| Traces::new(target, (queued, delay), &telemetry, &resource));
        let telemetry = match &traces {
            Some(traces) => telemetry.traced(traces.tracing()),
            None => telemetry,
        };
        let interval = self.0.metrics_interval;
        let metrics = metrics.map(|target| (target, interval));
        Prepared { telemetry, resource, start_ns: unix_ns(), metrics, traces }
    }
}

impl Prepared {
    /// Where pipelines count and make their spans.
    pub(crate) fn telemetry(&self) -> Telemetry {
        self.telemetry.clone()
    }

    /// Starts to send: spans, and what is `shown`.
    pub(crate) fn start(self, shown: &Arc<Shown>) -> Otlp {
        let Prepared { telemetry, resource, start_ns, metrics, traces } = self;
        let mut otlp = Otlp::default();
        let resource = ResourceAttributesWithSchema::from(&resource);
        if let Some((target, interval)) = metrics {
            let of_metrics = opentelemetry_proto::tonic::resource::v1::Resource {
                attributes: resource.attributes.0.clone(),
                ..Default::default()
            };
            let scope = (&scope(), None).into();
            let task = MetricsTask {
                exporter: exporter(Signal::Metrics, target, &telemetry),
                shown: shown.clone(),
                conversion: Conversion::new(of_metrics, scope, start_ns),
                interval,
            };
            otlp.tasks.spawn(task.run(otlp.stop.clone()));
        }
        if let Some(Traces { target, delay, queue, dropped, provider }) = traces {
            let exporter = exporter(Signal::Traces, target, &telemetry);
            let task = SpanTask { exporter, queue, resource, dropped, delay };
            otlp.tasks.spawn(task.run(otlp.stop.clone()));
            otlp._provider = Some(provider);
        }
        otlp
    }
}

impl Traces {
    fn new(
        target: Target,
        (queued, delay): (usize, Duration),
        telemetry: &Telemetry,
        resource: &Resource,
    ) -> Self {
        let dropped = telemetry.dropped_spans();
        let (spans, queue) = Queue::new(queued, dropped.clone());
        // Sampler and limits of spans are what OpenTelemetry's variables say.
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_span_processor(spans)
            .build();
        Traces { target, delay, queue, dropped, provider }
    }

    fn tracing(&self) -> Tracing {
        Tracing::new(BoxedTracer::new(Box::new(self.provider.tracer_with_scope(scope()))))
    }
}

impl Otlp {
    /// Sends what is left, for [`FLUSH_MAX`] at most.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FLUSH_MAX, all).await.is_err() {
            tracing::warn!(
                event = "otlp_not_flushed",
                "the collector did not take everything in time; what is left is dropped"
            );
        }
    }
}

fn exporter(signal: Signal, target: Target, telemetry: &Telemetry) -> Exporter {
    let counts = telemetry.export(signal.word());
    let sender = Sender::new(target);
    let endpoint = sender.shown();
    tracing::info!(event = "otlp_export", signal = signal.word(), endpoint);
    Exporter::new(signal, sender, counts)
}

fn scope() -> InstrumentationScope {
    let scope = InstrumentationScope::builder("headwater");
    scope.with_version(env!("CARGO_PKG_VERSION")).build()
}

/// Who sends; OpenTelemetry's variables may say it otherwise.
fn resource(instance: &str) -> Resource {
    let ours = [
        KeyValue::new("service.name", "headwater"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_owned()),
    ];
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|it| !it.is_empty());
    let name = name.map(|name| KeyValue::new("service.name", name));
    Resource::builder_empty()
        .with_attributes(ours)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_attributes(name)
        .build()
}
