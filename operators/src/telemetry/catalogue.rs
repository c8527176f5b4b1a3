//! Makes the series and remembers what each is, so that the list people read is the list there is.
//!
//! Invariant: a series of this crate is made here and nowhere else.
//!
//! Next: `src/metrics.rs` prints the list.

use prometheus::core::Collector;
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::fmt;

/// What all names begin with.
pub const PREFIX: &str = "headwater";

/// The series of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its whole name; of a histogram without `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// What kind of numbers they are.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// What it means.
    pub help: String,
}

/// What kind of numbers a series has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of values by upper bound.
    Histogram,
}

/// Makes series.
pub(super) struct Catalogue {
    registry: Registry,
    families: Vec<Family>,
}

/// From 0.5 ms to 19 s, each half as large again as the one before: fine enough for percentiles.
const LATENCY_BUCKET_FIRST_SECONDS: f64 = 0.0005;
const LATENCY_BUCKET_GROWTH: f64 = 1.5;
const LATENCY_BUCKETS: usize = 27;

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        })
    }
}

impl Catalogue {
    pub(super) fn new() -> Self {
        let registry = Registry::new_custom(Some(PREFIX.to_owned()), None);
        let registry = registry.expect("the prefix is a valid name");
        Catalogue { registry, families: Vec::new() }
    }

    pub(super) fn finish(self) -> (Registry, Vec<Family>) {
        (self.registry, self.families)
    }

    /// A counter of things.
    pub(super) fn counter(&mut self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let vec = IntCounterVec::new(Opts::new(name, help), labels);
        self.enter(Kind::Counter, labels, vec.expect("names are constants"))
    }

    /// A counter of an amount that is no whole number.
    pub(super) fn amount(&mut self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        let vec = CounterVec::new(Opts::new(name, help), labels);
        self.enter(Kind::Counter, labels, vec.expect("names are constants"))
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let vec = IntGaugeVec::new(Opts::new(name, help), labels);
        self.enter(Kind::Gauge, labels, vec.expect("names are constants"))
    }

    /// A gauge of a moment or a duration in seconds.
    pub(super) fn seconds(&mut self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        let vec = GaugeVec::new(Opts::new(name, help), labels);
        self.enter(Kind::Gauge, labels, vec.expect("names are constants"))
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let buckets = prometheus::exponential_buckets(
            LATENCY_BUCKET_FIRST_SECONDS,
            LATENCY_BUCKET_GROWTH,
            LATENCY_BUCKETS,
        );
        let buckets = buckets.expect("the bounds are constants");
        let vec = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels);
        self.enter(Kind::Histogram, labels, vec.expect("names are constants"))
    }

    /// The same for a whole list.
    pub(super) fn counters(
        &mut self,
        list: &[(&str, &str)],
        labels: &[&str],
    ) -> Vec<IntCounterVec> {
        list.iter().map(|(name, help)| self.counter(name, help, labels)).collect()
    }

    /// The same for a whole list.
    pub(super) fn gauges(&mut self, list: &[(&str, &str)], labels: &[&str]) -> Vec<IntGaugeVec> {
        list.iter().map(|(name, help)| self.gauge(name, help, labels)).collect()
    }

    fn enter<C: Collector + Clone + 'static>(
        &mut self,
        kind: Kind,
        labels: &[&str],
        series: C,
    ) -> C {
        let desc = series.desc();
        let one = desc.first().expect("a collector describes itself");
        self.families.push(Family {
            name: format!("{PREFIX}_{}", one.fq_name),
            kind,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            help: one.help.clone(),
        });
        self.registry.register(Box::new(series.clone())).expect("each name is registered once");
        series
    }
}
