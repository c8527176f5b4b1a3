//! Goal: kill -9 at a random moment loses nothing, repeats nothing and changes no order.
//! Method: many rounds under load; records that only an uncommitted reader sees prove that kills
//! hit open transactions.

use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_test_support::grpc::{Cursor, ScriptedServer};
use headwater_test_support::wait;
use rand::Rng;
use rand::rngs::StdRng;

use crate::world::{Bench, PATIENCE, endless, random};

/// Events a second on each shard.
const RATE: u64 = 2_000;

/// Starts the program and kills it, so many times.
pub(crate) fn kill_rounds(
    bench: &mut Bench,
    server: &ScriptedServer,
    rounds: u32,
    random: &mut StdRng,
) -> Result<()> {
    for _ in 0..rounds {
        let before = server.sent();
        let mut headwater = bench.start()?;
        // Most kills come under load; one in eight at any moment of the start.
        let pause_ms_max = if random.random_ratio(1, 8) {
            1_500
        } else {
            wait::until("events on their way", PATIENCE, || server.sent() > before)?;
            500
        };
        std::thread::sleep(Duration::from_millis(random.random_range(0..pause_ms_max)));
        ensure!(!headwater.has_ended()?, "it ended by itself:\n{}", headwater.log()?);
        headwater.kill9()?;
    }
    Ok(())
}

#[test]
fn kills_at_random_moments_neither_lose_nor_repeat_a_message() -> Result<()> {
    const ROUNDS: u32 = 24;
    let mut random = random();
    let server = ScriptedServer::start(endless(RATE))?;
    let mut bench = Bench::new("kills", server.endpoint())?.shards(4);
    kill_rounds(&mut bench, &server, ROUNDS, &mut random)?;
    let calls = server.calls().len();
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    let aborted = bench.aborted()?;
    println!("{ROUNDS} kills, {calls} calls, {total} events a shard, {aborted} aborted copies");
    assert!(aborted > 0, "no kill hit an open transaction");
    Ok(())
}

#[test]
fn kills_do_so_neither_where_the_server_repeats_the_last_message() -> Result<()> {
    const ROUNDS: u32 = 8;
    let mut random = random();
    let server = ScriptedServer::start(endless(RATE).cursor(Cursor::At))?;
    let mut bench = Bench::new("kills-at", server.endpoint())?.shards(2);
    let resume = bench.pipeline.resume.as_mut().expect("the pipeline resumes");
    (resume.position, resume.sequence) = ("at", "none");
    kill_rounds(&mut bench, &server, ROUNDS, &mut random)?;
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    let aborted = bench.aborted()?;
    println!("{ROUNDS} kills, {total} events a shard, {aborted} aborted copies");
    assert!(aborted > 0, "no kill hit an open transaction");
    Ok(())
}
