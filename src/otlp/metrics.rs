//! Series as Prometheus has them → OTLP's messages.
//!
//! What is sent is what `/metrics` serves at that moment: the same families, gathered by the same
//! call. The SDK's own instruments would count a second time what is counted already, on the hot
//! path, and could differ.
//!
//! Values are cumulative. Each series says since when it counts: a pipeline that was deleted and
//! made anew begins at 0, and whoever adds up must know. Prometheus' library does not keep that
//! moment, but it lies between the last look at which the series was not there and this one.
//!
//! Invariants
//! 1. What is remembered are the series of the last look.
//! 2. No request holds more than [`POINTS_PER_REQUEST_MAX`] values.

use super::limits::POINTS_PER_REQUEST_MAX;
use super::names::{Named, named};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{Metric as Series, MetricFamily, MetricType};
use std::collections::HashMap;

/// Makes requests of series.
pub(crate) struct Conversion {
    resource: Resource,
    scope: InstrumentationScope,
    /// When the last look was, Unix time; first the process's start.
    last_look_ns: u64,
    /// Since when each series counts.
    since_ns: HashMap<String, u64>,
}

/// The moments of one look.
struct Look {
    last_ns: u64,
    now_ns: u64,
    /// Of the series that are there.
    since_ns: HashMap<String, u64>,
}

impl Conversion {
    /// `start_ns` is when this process began to count, Unix time.
    pub(crate) fn new(resource: Resource, scope: InstrumentationScope, start_ns: u64) -> Self {
        Conversion { resource, scope, last_look_ns: start_ns, since_ns: HashMap::new() }
    }

    /// The requests that tell all of `families` at `now_ns`, Unix time.
    pub(crate) fn requests(
        &mut self,
        families: &[MetricFamily],
        now_ns: u64,
    ) -> Vec<ExportMetricsServiceRequest> {
        let mut look = Look { last_ns: self.last_look_ns, now_ns, since_ns: HashMap::new() };
        let mut requests = Vec::new();
        let (mut metrics, mut room) = (Vec::new(), POINTS_PER_REQUEST_MAX);
        for family in families {
            let mut left = family.get_metric();
            while !left.is_empty() {
                let (now, later) = left.split_at(left.len().min(room));
                metrics.push(self.metric(family, now, &mut look));
                (left, room) = (later, room - now.len());
                if room == 0 {
                    requests.push(self.request(std::mem::take(&mut metrics)));
                    room = POINTS_PER_REQUEST_MAX;
                }
            }
        }
        if !metrics.is_empty() {
            requests.push(self.request(metrics));
        }
        (self.last_look_ns, self.since_ns) = (now_ns, look.since_ns);
        requests
    }

    fn request(&self, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let scope = Some(self.scope.clone());
        let scope_metrics = vec![ScopeMetrics { scope, metrics, schema_url: String::new() }];
        let resource = Some(self.resource.clone());
        let resource = ResourceMetrics { resource, scope_metrics, schema_url: String::new() };
        ExportMetricsServiceRequest { resource_metrics: vec![resource] }
    }

    fn metric(&self, family: &MetricFamily, series: &[Series], look: &mut Look) -> Metric {
        let Named { name, unit, is_sum } = named(family.name());
        let kind = family.get_field_type();
        let mut number = |series: &Series, value: f64| {
            let since = self.since(family.name(), series, look);
            number_point(series, value, (since, look.now_ns))
        };
        let cumulative = AggregationTemporality::Cumulative.into();
        let data = match kind {
            MetricType::HISTOGRAM => {
                let point = |series: &Series| {
                    let since = self.since(family.name(), series, look);
                    histogram_point(series, (since, look.now_ns))
                };
                let data_points = series.iter().map(point).collect();
                Data::Histogram(Histogram { data_points, aggregation_temporality: cumulative })
            }
            MetricType::COUNTER => {
                let value = |it: &Series| it.get_counter().get_value();
                let data_points = series.iter().map(|it| number(it, value(it))).collect();
                Data::Sum(Sum {
                    data_points,
                    aggregation_temporality: cumulative,
                    is_monotonic: true,
                })
            }
            _ => {
                let value = |it: &Series| it.get_gauge().get_value();
                let data_points = series.iter().map(|it| number(it, value(it))).collect();
                match is_sum {
                    true => Data::Sum(Sum {
                        data_points,
                        aggregation_temporality: cumulative,
                        is_monotonic: false,
                    }),
                    false => Data::Gauge(Gauge { data_points }),
                }
            }
        };
        Metric {
            name: name.into_owned(),
            description: family.help().trim_end_matches('.').to_owned(),
            unit: unit.to_owned(),
            metadata: Vec::new(),
            data: Some(data),
        }
    }

    /// Since when a series counts.
    fn since(&self, family: &str, series: &Series, look: &mut Look) -> u64 {
        let mut key = family.to_owned();
        for label in series.get_label() {
            // A byte that stands in no name.
            key.extend(["\0", label.name(), "\0", label.value()]);
        }
        let since = self.since_ns.get(&key).copied().unwrap_or(look.last_ns);
        look.since_ns.insert(key, since);
        since
    }
}

fn number_point(series: &Series, value: f64, (since, now): (u64, u64)) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: since,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Prometheus counts what is at or below each bound, OTLP what is in each bucket.
fn histogram_point(series: &Series, (since, now): (u64, u64)) -> HistogramDataPoint {
    let histogram = series.get_histogram();
    let count = histogram.get_sample_count();
    let buckets = histogram.get_bucket().iter();
    let finite = buckets.filter(|it| it.upper_bound().is_finite());
    let (bounds, below): (Vec<f64>, Vec<u64>) =
        finite.map(|it| (it.upper_bound(), it.cumulative_count())).unzip();
    let lower = std::iter::once(0).chain(below.iter().copied());
    let upper = below.iter().copied().chain([count]);
    HistogramDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: since,
        time_unix_nano: now,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: lower.zip(upper).map(|(low, high)| high.saturating_sub(low)).collect(),
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn attributes(series: &Series) -> Vec<KeyValue> {
    let attribute = |label: &prometheus::proto::LabelPair| KeyValue {
        key: label.name().to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(label.value().to_owned())) }),
        ..KeyValue::default()
    };
    series.get_label().iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_operators::telemetry::Telemetry;
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

    fn conversion(start_ns: u64) -> Conversion {
        Conversion::new(Resource::default(), InstrumentationScope::default(), start_ns)
    }

    fn all(requests: Vec<ExportMetricsServiceRequest>) -> Vec<Metric> {
        let resources = requests.into_iter().flat_map(|it| it.resource_metrics);
        resources.flat_map(|it| it.scope_metrics).flat_map(|it| it.metrics).collect()
    }

    fn starts(metrics: &[Metric]) -> Vec<u64> {
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        sum.data_points.iter().map(|it| it.start_time_unix_nano).collect()
    }

    #[test]
    fn a_series_that_begins_anew_says_so() {
        let registry = Registry::new();
        let made = IntCounterVec::new(Opts::new("headwater_commits_total", "Help."), &["pipeline"]);
        let made = made.unwrap();
        registry.register(Box::new(made.clone())).unwrap();
        let mut conversion = conversion(5);
        made.with_label_values(&["a"]).inc();
        assert_eq!(starts(&all(conversion.requests(&registry.gather(), 10))), [5]);
        made.with_label_values(&["b"]).inc();
        let two = all(conversion.requests(&registry.gather(), 20));
        assert_eq!(starts(&two), [5, 10], "b was not there at 10");
        made.remove_label_values(&["a"]).unwrap();
        assert_eq!(starts(&all(conversion.requests(&registry.gather(), 30))), [10]);
        made.with_label_values(&["a"]).inc();
        assert_eq!(starts(&all(conversion.requests(&registry.gather(), 40))), [30, 10]);
        assert_eq!(conversion.since_ns.len(), 2);
    }

    #[test]
    fn buckets_hold_what_lies_between_their_bounds() {
        let options = HistogramOpts::new("headwater_commit_seconds", "h").buckets(vec![1.0, 2.0]);
        let made = HistogramVec::new(options, &[]).unwrap();
        for value in [0.5, 1.0, 1.5, 7.0, 8.0, 9.0] {
            made.with_label_values::<&str>(&[]).observe(value);
        }
        let registry = Registry::new();
        registry.register(Box::new(made)).unwrap();
        let metrics = all(conversion(0).requests(&registry.gather(), 1));
        assert_eq!((metrics[0].name.as_str(), metrics[0].unit.as_str()), ("headwater.commit", "s"));
        let Some(Data::Histogram(histogram)) = &metrics[0].data else { panic!("{metrics:?}") };
        let point = &histogram.data_points[0];
        assert_eq!(point.explicit_bounds, [1.0, 2.0]);
        assert_eq!(point.bucket_counts, [2, 1, 3]);
        assert_eq!((point.count, point.sum), (6, Some(27.0)));
    }

    #[test]
    fn many_series_go_in_several_requests_and_none_is_lost() {
        let telemetry = Telemetry::default();
        let shards = POINTS_PER_REQUEST_MAX / 5;
        for shard in 0..shards {
            let _ = telemetry.shard("p", "s", &format!("s/{shard}"));
        }
        let families = telemetry.registry().gather();
        let expected: usize = families.iter().map(|it| it.get_metric().len()).sum();
        let requests = conversion(0).requests(&families, 1);
        let points = |metric: &Metric| match &metric.data {
            Some(Data::Sum(it)) => it.data_points.len(),
            Some(Data::Gauge(it)) => it.data_points.len(),
            Some(Data::Histogram(it)) => it.data_points.len(),
            other => panic!("{other:?}"),
        };
        let sizes = requests.into_iter().map(|it| all(vec![it]).iter().map(points).sum::<usize>());
        let sizes: Vec<usize> = sizes.collect();
        assert!(sizes.len() > 2 && sizes.iter().all(|it| *it <= POINTS_PER_REQUEST_MAX));
        assert_eq!(sizes.iter().sum::<usize>(), expected);
    }
}
