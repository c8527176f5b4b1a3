//! Goal: a feed that two servers deliver is in the topic once, whatever dies: the program, a
//! server, or both.
//! Method: two servers of the same numbers, kills and stops at random, a reader that counts copies.

use anyhow::{Result, ensure};
use headwater_test_support::grpc::{Call, Script, ScriptedServer, Step};
use headwater_test_support::pipeline::OnEnd;
use headwater_test_support::topic::Isolation;
use headwater_test_support::wait;
use rand::Rng;

use crate::world::{Bench, PATIENCE, count, endless, random, server_at};

/// Events a second of each server.
const RATE: u64 = 1_000;

fn bench(name: &str, servers: &[&ScriptedServer]) -> Result<Bench> {
    let mut bench = Bench::new(name, "none")?;
    let urls: Vec<String> = servers.iter().map(|it| format!("\"{}\"", it.endpoint())).collect();
    bench.pipeline.targets = Some(format!("[{}]", urls.join(", ")));
    bench.pipeline.on_end = OnEnd::Reconnect;
    let resume = bench.pipeline.resume.as_mut().expect("the pipeline resumes");
    resume.sequence = "monotone";
    bench
        .pipeline
        .source_extra
        .insert(0, "  dedupe: { key: sequence, window: 20000, scope: upstreams }".to_owned());
    Ok(bench)
}

#[test]
fn kills_and_servers_that_go_away_leave_one_copy_of_each_message() -> Result<()> {
    const ROUNDS: u32 = 10;
    let mut random = random();
    let mut servers =
        [ScriptedServer::start(endless(RATE))?, ScriptedServer::start(endless(RATE))?];
    let mut bench = bench("upstreams", &[&servers[0], &servers[1]])?;
    let mut last = 0;
    for round in 0..ROUNDS {
        let sent =
            |servers: &[ScriptedServer; 2]| servers.iter().map(ScriptedServer::sent).sum::<u64>();
        let before = sent(&servers);
        let mut headwater = bench.start()?;
        wait::until("events on their way", PATIENCE, || sent(&servers) > before + 100)?;
        if round % 3 == 1 {
            // One server restarts meanwhile; the other carries the feed.
            let one = random.random_range(0..2);
            let address = servers[one].address();
            let restarted =
                std::mem::replace(&mut servers[one], ScriptedServer::start(endless(1))?);
            last = restarted.stop().iter().filter_map(Call::last_sent).max().unwrap_or(0).max(last);
            servers[one] = server_at(address, endless(RATE))?;
        }
        std::thread::sleep(std::time::Duration::from_millis(random.random_range(0..600)));
        headwater.kill9()?;
    }
    let aborted = bench.aborted()?;
    ensure!(aborted > 0, "no kill hit an open transaction");
    let addresses = [servers[0].address(), servers[1].address()];
    let calls = servers.into_iter().flat_map(ScriptedServer::stop);
    let total = calls.filter_map(|call| call.last_sent()).max().unwrap_or(0).max(last) + 500;
    let script = || Script::new(total).rest([Step::SendAll, Step::Stall]);
    let _servers = [server_at(addresses[0], script())?, server_at(addresses[1], script())?];
    let mut headwater = bench.start()?;
    // Of the last messages one upstream may only drop copies, so its place says nothing.
    let brokers = bench.pipeline.brokers.clone();
    let seen = || count(&brokers, "upstreams", Isolation::Committed);
    wait::until_ok("all of the feed", PATIENCE, || Ok(seen()? >= total))?;
    ensure!(headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", headwater.log()?);
    let mut numbers = bench.numbers(Isolation::Committed)?;
    numbers.sort_unstable();
    let found = numbers.len();
    ensure!(numbers == (1..=total).collect::<Vec<_>>(), "{found} records of {total}");
    println!("{ROUNDS} kills, {total} events, {aborted} aborted copies");
    Ok(())
}
