//! The live line of each pipeline: once a second, on a terminal only.

use crate::pipelines::Watched;
use crate::screen::Screen;
use crate::words::{age, bytes, count};
use headwater_operators::pipeline::status::Phase;
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
        age(one.metrics.last_commit_unix_ms.get()),
        one.metrics.epoch.get(),
        state(one),
    )
}

/// The phase, and how many shards are not whole.
fn state(one: &Watched) -> String {
    let phase = one.status.phase();
    let broken = one.status.broken().len();
    let open = one.shards.iter().filter(|shard| shard.connected.get() > 0).count();
    match phase {
        Phase::Running if broken > 0 => format!("running, {broken} of {} broken", one.shards.len()),
        Phase::Running if open < one.shards.len() => {
            format!("running, {open} of {} connected", one.shards.len())
        }
        phase => phase.to_string(),
    }
}
