//! The rounds as one table: a row for each subject under each load, and how they compare.
//!
//! Figures are means over the rounds, the memory is the most of all rounds, and counts are sums.

use crate::arrived::Arrived;
use crate::measure::Outcome;
use crate::support::table::{markdown, mib, thousands};

/// All rounds of one subject under one load.
struct Summary {
    subject: &'static str,
    load: String,
    messages_per_second: Option<f64>,
    cpu_us_per_message: Option<f64>,
    core_percent: Option<f64>,
    rss_bytes_max: u64,
    arrived: Arrived,
}

const HEAD: [&str; 9] = [
    "load: subject",
    "messages/s",
    "CPU µs/message",
    "% of a core",
    "peak MiB",
    "sent",
    "missing",
    "twice",
    "out of order",
];
const NONE: &str = "–";

/// The table.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut loads: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !loads.contains(&outcome.load.as_str()) {
            loads.push(&outcome.load);
        }
    }
    let rows: Vec<_> = loads.into_iter().flat_map(|load| rows(load, outcomes)).collect();
    markdown(&HEAD, &rows)
}

fn rows(load: &str, outcomes: &[Outcome]) -> Vec<Vec<String>> {
    let mut summaries: Vec<Summary> = Vec::new();
    for outcome in outcomes.iter().filter(|it| it.load == load) {
        if !summaries.iter().any(|it| it.subject == outcome.subject) {
            summaries.push(Summary::of(load, outcome.subject, outcomes));
        }
    }
    let mut rows: Vec<_> = summaries.iter().map(Summary::row).collect();
    if let [one, other] = &summaries[..] {
        rows.push(other.over(one));
    }
    rows
}

impl Summary {
    fn of(load: &str, subject: &'static str, outcomes: &[Outcome]) -> Summary {
        let rounds: Vec<&Outcome> =
            outcomes.iter().filter(|it| it.load == load && it.subject == subject).collect();
        let over = |figure: fn(&Outcome) -> Option<f64>| mean(rounds.iter().map(|it| figure(it)));
        Summary {
            subject,
            load: load.to_owned(),
            messages_per_second: over(|it| it.messages_per_second),
            cpu_us_per_message: over(|it| it.cpu_us_per_message),
            core_percent: over(|it| it.core_percent),
            rss_bytes_max: rounds.iter().map(|it| it.rss_bytes_max).max().unwrap_or(0),
            arrived: rounds.iter().map(|it| it.arrived).fold(Arrived::default(), Arrived::plus),
        }
    }

    fn row(&self) -> Vec<String> {
        let Arrived { sent, missing, duplicated, reordered, .. } = self.arrived;
        let share = 100.0 * missing as f64 / sent.max(1) as f64;
        let count = |it: u64| thousands(it as f64);
        vec![
            format!("{}: {}", self.load, self.subject),
            self.messages_per_second.map_or(NONE.to_owned(), thousands),
            self.cpu_us_per_message.map_or(NONE.to_owned(), |it| format!("{it:.2}")),
            self.core_percent.map_or(NONE.to_owned(), |it| format!("{it:.2}")),
            mib(self.rss_bytes_max),
            count(sent),
            format!("{} ({share:.1} %)", count(missing)),
            count(duplicated),
            count(reordered),
        ]
    }

    /// This one's figures over the other's; what is counted has no ratio.
    fn over(&self, other: &Summary) -> Vec<String> {
        let rss = |it: &Summary| Some(it.rss_bytes_max as f64);
        let mut cells = vec![
            format!("{}: {} ÷ {}", self.load, self.subject, other.subject),
            ratio(self.messages_per_second, other.messages_per_second),
            ratio(self.cpu_us_per_message, other.cpu_us_per_message),
            ratio(self.core_percent, other.core_percent),
            ratio(rss(self), rss(other)),
        ];
        cells.resize(HEAD.len(), String::new());
        cells
    }
}

/// None where there is none of some round: a mean of the others would be of other work.
fn mean(figures: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let figures = figures.collect::<Option<Vec<f64>>>()?;
    let count = figures.len().max(1) as f64;
    Some(figures.into_iter().sum::<f64>() / count)
}

/// Two digits that mean something, also far below one.
fn ratio(one: Option<f64>, other: Option<f64>) -> String {
    match (one, other) {
        (Some(one), Some(other)) if other > 0.0 => match one / other {
            it if it >= 10.0 => format!("{it:.0}"),
            it if it >= 0.1 => format!("{it:.2}"),
            it => format!("{it:.4}"),
        },
        _ => NONE.to_owned(),
    }
}
