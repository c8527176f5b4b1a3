//! The live line of each pipeline: once a second, on a terminal only.

use crate::pipelines::Watched;
use crate::screen::Screen;
use crate::words::{age, bytes, count};
use headwater_operators::pipeline::state::StateName;
use std::time::{Duration, Instant};

/// How often the live lines are drawn.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// Draws until it is dropped.
pub(crate) async fn draw(watched: Vec<Watched>, screen: Screen) {
    if !screen.is_live() {
        return;
    }
    let mut last: Vec<u64> = watched.iter().map(committed).collect();
    let mut at = Instant::now();
    let mut ticks = tokio::time::interval(DRAW_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let seconds = at.elapsed().as_secs_f64();
        at = Instant::now();
        let line = |(one, last): (&Watched, &mut u64)| {
            let now = committed(one);
            let rate = (now - std::mem::replace(last, now)) as f64 / seconds;
            live_line(one, rate as u64)
        };
        screen.set(watched.iter().zip(&mut last).map(line).collect());
    }
}

fn committed(one: &Watched) -> u64 {
    one.metrics.committed_records.get()
}

fn live_line(one: &Watched, rate: u64) -> String {
    let lag = u64::try_from(one.metrics.credit_used_bytes.get()).unwrap_or(0);
    format!(
        "{}  {}/s  total {}  lag {}  commit {}  epoch {}  {}",
        one.name,
        count(rate),
        count(committed(one)),
        bytes(lag),
        age(last_commit_unix_ms(one)),
        one.metrics.epoch.get(),
        state(one),
    )
}

fn last_commit_unix_ms(one: &Watched) -> i64 {
    (one.metrics.last_commit_unix_seconds.get() * 1_000.0) as i64
}

/// The state, and how many calls are open if not all are.
fn state(one: &Watched) -> String {
    let report = one.status.report();
    let open = report.shards - report.not_open.len();
    match report.state.name {
        // Not for long enough to be a state of its own.
        StateName::Running if open < report.shards => {
            format!("running, {open} of {} calls open", report.shards)
        }
        _ => report.state.to_string(),
    }
}
