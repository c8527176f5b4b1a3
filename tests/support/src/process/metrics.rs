//! Prometheus' text format, read back.

/// What `/metrics` said at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(Vec<Sample>);

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// The buckets of a histogram, summed over all its label sets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds with the count at or below them; the last bound is infinite.
    pub buckets: Vec<(f64, f64)>,
}

impl Metrics {
    /// Reads the text; comments and lines of another form are passed over.
    pub fn parse(text: &str) -> Metrics {
        Metrics(text.lines().filter_map(Sample::parse).collect())
    }

    /// The sum of a metric over all its label sets; 0 if it is not there.
    pub fn sum(&self, name: &str) -> f64 {
        self.named(name).map(|it| it.value).sum()
    }

    /// The sum over the label sets in which `label` has this value.
    pub fn sum_where(&self, name: &str, label: &str, value: &str) -> f64 {
        let found = self.named(name).filter(|it| it.label(label) == Some(value));
        found.map(|it| it.value).sum()
    }

    /// All of it: names, labels and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[(String, String)], f64)> {
        self.0.iter().map(|it| (it.name.as_str(), it.labels.as_slice(), it.value))
    }

    /// Whether there is such a metric.
    pub fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// A histogram, summed over all its label sets.
    pub fn histogram(&self, name: &str) -> Histogram {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.named(&format!("{name}_bucket")) {
            let Some(bound) = sample.label("le").and_then(|it| it.parse().ok()) else { continue };
            match buckets.iter_mut().find(|(it, _)| *it == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        Histogram { buckets }
    }

    fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |it| it.name == name)
    }
}

impl Histogram {
    /// How many values there were.
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// What was added since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let before = |bound: f64| {
            let found = earlier.buckets.iter().find(|(it, _)| *it == bound);
            found.map_or(0.0, |(_, count)| *count)
        };
        let buckets = self.buckets.iter().map(|(bound, count)| (*bound, count - before(*bound)));
        Histogram { buckets: buckets.collect() }
    }

    /// The value below which the share `quantile` lies, taken as evenly spread within its bucket,
    /// as Prometheus does. None of an empty histogram, nor of one that ends in its last bucket.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = quantile * self.count();
        let at = self.buckets.iter().position(|(_, count)| *count >= rank && *count > 0.0)?;
        let (bound, count) = self.buckets[at];
        let (lower, below) = at.checked_sub(1).map_or((0.0, 0.0), |it| self.buckets[it]);
        bound.is_finite().then(|| lower + (bound - lower) * (rank - below) / (count - below))
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Sample> {
        if line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        Some(Sample {
            name: name.to_owned(),
            labels: parse_labels(labels),
            value: value.parse().ok()?,
        })
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// `a="b",c="d"`: a value ends at the first quote that no backslash stands before.
fn parse_labels(mut text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let mut is_escaped = false;
        let end = rest.find(|it| {
            let is_end = it == '"' && !is_escaped;
            is_escaped = it == '\\' && !is_escaped;
            is_end
        });
        let Some(end) = end else { break };
        labels.push((name.trim_start_matches(',').to_owned(), rest[..end].to_owned()));
        text = &rest[end + 1..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP received_total Messages.
# TYPE received_total counter
received_total{source="a",note="say \"hi\", {x}"} 3
received_total{source="b"} 4
up 1
took_seconds_bucket{source="a",le="0.1"} 10
took_seconds_bucket{source="a",le="0.2"} 30
took_seconds_bucket{source="a",le="+Inf"} 30
took_seconds_bucket{source="b",le="0.1"} 0
took_seconds_bucket{source="b",le="0.2"} 10
took_seconds_bucket{source="b",le="+Inf"} 10
took_seconds_count{source="a"} 30
"#;

    #[test]
    fn label_sets_are_summed_or_chosen() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.sum("received_total"), 7.0);
        assert_eq!(metrics.sum_where("received_total", "source", "b"), 4.0);
        assert_eq!(metrics.sum_where("received_total", "note", r#"say \"hi\", {x}"#), 3.0);
        assert_eq!(metrics.sum("up"), 1.0);
        assert!(!metrics.has("down"));
    }

    #[test]
    fn quantiles_are_taken_within_their_bucket() {
        let histogram = Metrics::parse(TEXT).histogram("took_seconds");
        assert_eq!(histogram.count(), 40.0);
        let median = histogram.quantile(0.5).unwrap();
        assert!((median - (0.1 + 0.1 / 3.0)).abs() < 1e-9, "{median}");
        assert_eq!(histogram.since(&histogram).quantile(0.5), None);
    }
}
