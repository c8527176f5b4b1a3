//! Latencies as HdrHistogram's percentile text: what its plotter and most tools read.
//!
//! The format is that of the Java class's `outputPercentileDistribution`: a heading, a row for each
//! step (each halving of the distance to 100 % has the same number of steps), three lines of
//! summary.

use hdrhistogram::Histogram;
use std::fmt::Write as _;

/// Rows for each halving of the distance to 100 %.
const STEPS_PER_HALF: u32 = 5;

/// Values are counted in microseconds and written in milliseconds.
const US_PER_MS: f64 = 1_000.0;

/// The text of a histogram of microseconds.
pub(super) fn text(histogram: &Histogram<u64>) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(STEPS_PER_HALF) {
        total += step.count_since_last_iteration();
        let ms = step.value_iterated_to() as f64 / US_PER_MS;
        let quantile = step.quantile_iterated_to();
        let _ = write!(out, "{ms:12.3} {quantile:2.12} {total:10}");
        // The last row has no distance to 100 % that could be divided by.
        let _ = match quantile < 1.0 {
            true => writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(out),
        };
    }
    summary(histogram, &mut out);
    out
}

fn summary(histogram: &Histogram<u64>, out: &mut String) {
    let mean = histogram.mean() / US_PER_MS;
    let deviation = histogram.stdev() / US_PER_MS;
    let max = histogram.max() as f64 / US_PER_MS;
    let (count, buckets) = (histogram.len(), histogram.buckets());
    let sub_buckets = sub_buckets(histogram.sigfig());
    let _ = writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    let _ = writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]");
}

/// Twice the digits' power of ten, rounded up to a power of two.
fn sub_buckets(digits: u8) -> u64 {
    (2 * 10_u64.pow(digits.into())).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_ascend_to_all_of_it() {
        let mut histogram = Histogram::new_with_max(1_000_000, 3).expect("sound bounds");
        for (us, count) in [(1_000, 90), (2_000, 9), (50_000, 1)] {
            histogram.record_n(us, count).expect("within bounds");
        }
        let text = text(&histogram);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|it| it.parse().expect("a number")).collect())
            .collect();
        assert!(rows.is_sorted_by(|one, next| one[0] <= next[0] && one[1] <= next[1]), "{text}");
        let last = rows.last().expect("rows");
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, 100.0), "{text}");
        assert!((last[0] - 50.0).abs() < 0.1, "{text}");
        assert!(text.ends_with("SubBuckets     =         2048]\n"), "{text}");
    }
}
