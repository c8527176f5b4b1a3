//! Goal: whatever the gRPC server does, the topic holds what it said, once and in order.
//! Method: one script a case; the ledger shows what was asked for and sent.

use anyhow::Result;
use headwater_test_support::grpc::{Script, ScriptedServer, Step};
use headwater_test_support::pipeline::OnEnd;
use headwater_test_support::process::{Headwater, Metrics};
use headwater_test_support::topic::Isolation;
use tonic::Code;

use crate::world::{Bench, PATIENCE, asked, demand_line, wait_committed};

const DROPPED: &str = "headwater_source_duplicates_dropped_total";

#[test]
fn a_stream_that_is_cut_goes_on_behind_its_cursor() -> Result<()> {
    let script = Script::new(2_000)
        .call([Step::Send(500), Step::Cut])
        .call([Step::Send(700), Step::Cut])
        .call([Step::unavailable()]);
    let server = ScriptedServer::start(script)?;
    let mut bench = Bench::new("cut", server.endpoint())?;
    bench.run_to_the_end()?;
    bench.demand_exact(2_000)?;
    let calls = server.stop();
    let asked: Vec<u64> = calls.iter().map(|it| it.request.from_sequence).collect();
    assert_eq!(asked, [0, 501, 1_201, 1_201]);
    Ok(())
}

#[test]
fn a_stream_that_ends_well_ends_the_pipeline_with_all_of_it_committed() -> Result<()> {
    let server = ScriptedServer::start(Script::new(3_000))?;
    let mut bench = Bench::new("ended", server.endpoint())?.shards(3);
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(0), "{log}");
    demand_line(&log, &["event=pipeline_finished", "pipeline=ended"]);
    assert_eq!(server.calls().len(), 3, "nobody called again");
    bench.demand_exact(3_000)
}

#[test]
fn a_stream_without_a_real_end_is_called_again() -> Result<()> {
    let script = Script::new(900).call([Step::Send(300)]).call([Step::Send(300)]);
    let server = ScriptedServer::start(script.rest([Step::SendAll, Step::Stall]))?;
    let mut bench = Bench::new("called-again", server.endpoint())?;
    bench.pipeline.on_end = OnEnd::Reconnect;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 900.0)?;
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0));
    assert_eq!(asked(&server.calls()), [0, 301, 601].into());
    bench.demand_exact(900)
}

#[test]
fn a_status_that_cannot_heal_ends_the_pipeline_behind_what_came_before() -> Result<()> {
    let denied = Step::End(Code::PermissionDenied, "the contract has ended".to_owned());
    let server = ScriptedServer::start(Script::new(900).call([Step::Send(300), denied]))?;
    let mut bench = Bench::new("denied", server.endpoint())?;
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(69), "{log}");
    demand_line(&log, &["event=shard_broken", "PERMISSION_DENIED", "the contract has ended"]);
    assert_eq!(server.calls().len(), 1, "it is not called again");
    bench.demand_exact(300)
}

#[test]
fn the_overlap_of_an_inclusive_cursor_is_dropped_exactly() -> Result<()> {
    let script = Script::new(2_000)
        .call([Step::Send(500), Step::Cut])
        .call([Step::Send(100), Step::Cut])
        .call([Step::Back(50), Step::Send(200), Step::Cut])
        .rest([Step::SendAll, Step::Stall]);
    let server = ScriptedServer::start(script)?;
    let mut bench = Bench::new("overlap", server.endpoint())?;
    let resume = bench.pipeline.resume.as_mut().expect("the pipeline resumes");
    (resume.position, resume.sequence) = ("at", "none");
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 2_000.0)?;
    // One for each of three new calls, and the 50 that the third one went back.
    assert_eq!(headwater.metrics()?.sum(DROPPED), 53.0);
    demand_line(&headwater.log()?, &["event=overlap_dropped", "count=51"]);
    end_well(headwater, &server)?;
    bench.demand_exact(2_000)
}

/// Also without a cursor that repeats: a server may go back further than it was asked to.
#[test]
fn a_server_that_begins_one_early_repeats_nothing() -> Result<()> {
    let script = Script::new(600).call([Step::Send(200), Step::Cut]).rest([
        Step::Back(1),
        Step::SendAll,
        Step::Stall,
    ]);
    let server = ScriptedServer::start(script)?;
    let mut bench = Bench::new("one-early", server.endpoint())?;
    bench.pipeline.resume.as_mut().expect("the pipeline resumes").sequence = "none";
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 600.0)?;
    assert_eq!(headwater.metrics()?.sum(DROPPED), 1.0);
    end_well(headwater, &server)?;
    bench.demand_exact(600)
}

#[test]
fn a_gap_is_counted_and_logged_and_passed() -> Result<()> {
    let script =
        Script::new(500).rest([Step::Send(100), Step::Skip(7), Step::SendAll, Step::Stall]);
    let server = ScriptedServer::start(script)?;
    let mut bench = Bench::new("gap", server.endpoint())?;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 493.0)?;
    let gaps = |it: &Metrics| {
        (it.sum("headwater_source_gaps_total"), it.sum("headwater_source_gap_messages_total"))
    };
    assert_eq!(gaps(&headwater.metrics()?), (1.0, 7.0));
    demand_line(
        &headwater.log()?,
        &["event=sequence_gap_detected", "from=101", "to=107", "size=7"],
    );
    end_well(headwater, &server)?;
    let expected: Vec<u64> = (1..=100).chain(108..=500).collect();
    assert_eq!(bench.numbers(Isolation::Committed)?, expected);
    Ok(())
}

#[test]
fn a_gap_that_is_to_stop_ends_the_shard_behind_what_came_before() -> Result<()> {
    let script = Script::new(500).rest([Step::Send(100), Step::Skip(7), Step::SendAll]);
    let server = ScriptedServer::start(script)?;
    let mut bench = Bench::new("gap-stops", server.endpoint())?;
    bench.pipeline.resume.as_mut().expect("the pipeline resumes").on_gap = "stop";
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(69), "{log}");
    demand_line(&log, &["event=shard_broken", "101 to 107", "on_gap"]);
    bench.demand_exact(100)
}

/// Lets a stream end that stands at its last step.
fn end_well(mut headwater: Headwater, server: &ScriptedServer) -> Result<()> {
    server.release();
    let status = headwater.wait_exit(PATIENCE)?;
    assert_eq!(status.code(), Some(0), "{}", headwater.log()?);
    Ok(())
}
