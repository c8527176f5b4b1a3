//! The dataflow as a whole: inlets, sources, steps, stages and the committer on real timely
//! workers.
//!
//! Goal: whatever fails on the way, what the outlet made visible is every record once, in order per
//! shard, and nothing outlives a failure.
//! Method: an outlet that stands for the outside world keeps a log of what it committed and injects
//! faults by a seed; threads stand for the I/O tasks.

mod rig;
mod world;

use headwater_engine::commit::outlet::Repair;
use headwater_engine::failure::Recovery;
use rig::{Graph, Rig};
use world::Faults;

#[test]
fn every_record_is_committed_once_and_in_order_per_shard() {
    let rig = Rig::start(2, Graph::Plain, Faults::none());
    let end = rig.feed(8, 200, 3);
    end.assert_exact(8, 600);
    assert_eq!(end.failure, None);
}

#[test]
fn both_branches_of_a_fork_are_in_the_same_epochs() {
    let rig = Rig::start(2, Graph::Fork, Faults::none());
    let end = rig.feed(4, 100, 2);
    end.assert_exact(4, 200);
    assert!(!end.epochs.is_empty());
    for epoch in &end.epochs {
        // How shards of two workers mix is another matter on each branch.
        let [one, other] = [0, 1].map(|sink| {
            let mut records = epoch.records[sink].clone();
            records.sort_unstable();
            records
        });
        assert_eq!(one, other, "both sinks hold the same of each epoch");
    }
}

#[test]
fn two_sources_join_in_one_sink() {
    let rig = Rig::start(2, Graph::Join, Faults::none());
    rig.feed(6, 50, 2).assert_exact(6, 100);
}

#[test]
fn aborted_and_unknown_commits_are_repaired_from_memory() {
    for repair in [Repair::Abort, Repair::Acquire, Repair::Again, Repair::Renew] {
        let mut faults = 0;
        for seed in 1..=6 {
            let ring = 1 + seed as u32 % 3;
            println!("repair {repair:?}, seed {seed}, ring {ring}");
            let all = Faults::seeded(seed, 3, &[repair]).with_ring(ring);
            let rig = Rig::start(2, Graph::Plain, all);
            // Little credit makes many small epochs.
            let rig = rig.with_credit(8 * 1024);
            let end = rig.feed(4, 100, 1);
            end.assert_exact(4, 100);
            faults += end.faults;
        }
        assert!(faults > 5, "{repair:?} hit {faults} times in six runs");
    }
}

#[test]
fn the_next_epoch_is_staged_beside_a_commit_only_if_a_producer_is_free() {
    for (ring, open_peak) in [(1, 1), (2, 2), (3, 2)] {
        let faults = Faults::slow_commits(5).with_ring(ring);
        let end = Rig::start(2, Graph::Plain, faults).with_credit(64 * 1024).feed(4, 200, 4);
        end.assert_exact(4, 800);
        assert_eq!(end.open_peak, open_peak, "ring {ring}");
    }
}

#[test]
fn a_slow_outlet_holds_the_readers_back_and_memory_within_the_credit() {
    let rig = Rig::start(2, Graph::Plain, Faults::slow_commits(5)).with_credit(64 * 1024);
    let end = rig.feed(4, 300, 8);
    end.assert_exact(4, 2_400);
    assert!(end.credit_waits > 0, "nobody had to wait, so nothing was tested");
    let batch_max = 8 * 64 + 256;
    assert!(end.credit_peak <= 64 * 1024 + batch_max, "peak {}", end.credit_peak);
    assert_eq!(end.credit_left, 0, "all credit comes back");
}

#[test]
fn what_a_step_adds_is_charged_and_comes_back() {
    let (shards, batches, batch_bytes) = (4, 100, 64 + 256);
    let received = u64::from(shards) * batches * batch_bytes;
    // Behind the first slow commit all the rest is in flight at once.
    let end =
        Rig::start(2, Graph::Grows(2_000), Faults::slow_commits(200)).feed(shards, batches, 1);
    end.assert_exact(shards, batches);
    assert!(end.credit_peak > received, "peak {} of {received} received", end.credit_peak);
    assert_eq!(end.credit_left, 0, "all credit comes back");
}

#[test]
fn a_panic_in_a_step_fails_the_pipeline_and_commits_nothing_after_it() {
    let rig = Rig::start(2, Graph::PanicsAt(120), Faults::none());
    let end = rig.feed(2, 100, 1);
    let failure = end.failure.as_ref().expect("the step panicked");
    assert_eq!((failure.place.as_str(), failure.recovery), ("step", Recovery::Restart));
    assert!(failure.message.contains("panicked: injected"), "{failure}");
    end.assert_prefix(2);
    assert!(end.committed() < 200, "what came behind the panic must not be committed");
}

#[test]
fn a_failed_pipeline_leaves_workers_that_run_the_next_one() {
    let rig = Rig::start(2, Graph::PanicsAt(10), Faults::none());
    let workers = rig.workers();
    assert!(rig.feed(2, 50, 1).failure.is_some());
    Rig::start_on(workers, Graph::Plain, Faults::none()).feed(2, 50, 1).assert_exact(2, 50);
}

#[test]
fn a_superseded_outlet_stops_the_pipeline_for_good() {
    let rig = Rig::start(1, Graph::Plain, Faults::always(Repair::Superseded));
    let end = rig.feed(1, 50, 1);
    assert_eq!(end.failure.as_ref().map(|failure| failure.recovery), Some(Recovery::Superseded));
    assert_eq!(end.committed(), 0);
}

#[test]
fn the_tail_of_an_ended_shard_is_committed_while_its_neighbours_are_silent() {
    for graph in [Graph::Plain, Graph::Join] {
        let rig = Rig::start(2, graph, Faults::none());
        let end = rig.feed_one_beside_silence(5);
        assert_eq!(end.committed(), 5);
    }
}

#[test]
fn an_idle_pipeline_begins_no_transaction() {
    let rig = Rig::start(2, Graph::Plain, Faults::none());
    let end = rig.feed(2, 0, 1);
    assert_eq!((end.begun, end.committed()), (0, 0));
}
