//! Fleets: targets that join, leave and come back while a whole pipeline runs.
//!
//! The sink forgets its records, so what is exact is shown by numbers that the progress would hold:
//! a shard whose cursor is contiguous and at n, without a gap, with n records committed, has each
//! of them once.

use crate::server::{Server, Step, events};
use crate::world::until;
use headwater_engine::clock::SystemClock;
use headwater_engine::commit::observe::Committed;
use headwater_engine::dataflow::workers::Workers;
use headwater_engine::ids::ShardIndex;
use headwater_engine::position::{Counters, CursorValue};
use headwater_engine::spec::{Diagnostics, Plan, Source, SystemVariables, load};
use headwater_operators::pipeline::status::{Report, Status};
use headwater_operators::pipeline::{RunContext, RunEnd, run};
use headwater_operators::telemetry::Telemetry;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Events of one call: those from the one that is asked for, then silence.
const EVENTS: u64 = 500;

/// A server of such events.
async fn server() -> Server {
    Server::start(|_, request| {
        let first = request.from_sequence.max(1);
        let mut steps = events(first, first + EVENTS - 1);
        steps.push(Step::Hang);
        steps
    })
    .await
}

/// What became durable of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Durable {
    records: u64,
    cursor: u64,
    counters: Counters,
}

/// A running pipeline whose targets stand in a file.
pub struct Fleet {
    folder: TempDir,
    status: Status,
    telemetry: Telemetry,
    durable: Arc<Mutex<BTreeMap<ShardIndex, Durable>>>,
    stop: CancellationToken,
    task: JoinHandle<RunEnd>,
}

fn plan(folder: &Path, targets: &str) -> Result<Plan, Diagnostics> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/protos/telemetry.proto");
    let text = format!(
        "pipeline: fleet\ncommit: {{ interval_ms: 5 }}\nsources:\n  s:\n    kind: grpc\n    \
         targets: {targets}\n    method: bench.v1.Telemetry/Subscribe\n    \
         descriptors: {{ protos: [\"{}\"] }}\n    \
         reconnect: {{ backoff_min_ms: 10, backoff_max_ms: 50 }}\n    {}\n\
         decoders:\n  d: {{ kind: protobuf, from: s, to: raw }}\n\
         sinks:\n  out: {{ kind: discard, from: d }}\n",
        proto.display(),
        crate::world::RESUME
    );
    let source = Source { name: "fleet.yaml", text: &text, base_dir: folder };
    let loaded = load(&source, &headwater_operators::registry(), &SystemVariables);
    loaded.map(|(plan, _)| plan)
}

impl Fleet {
    /// Runs with the targets that the file says.
    fn run(list: &str) -> Fleet {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("targets.yaml"), list).expect("a file");
        Fleet::run_in(folder, "{ file: targets.yaml, interval_ms: 100 }")
    }

    pub fn run_in(folder: TempDir, targets: &str) -> Fleet {
        let plan = match plan(folder.path(), targets) {
            Ok(plan) => Arc::new(plan),
            Err(diagnostics) => panic!("{diagnostics}"),
        };
        let telemetry = Telemetry::default();
        let clock = Arc::new(SystemClock::default());
        let status = Status::new(&plan, &telemetry, clock.clone());
        let durable: Arc<Mutex<BTreeMap<ShardIndex, Durable>>> = Arc::default();
        let seen = durable.clone();
        let on_commit = move |committed: &Committed<'_>| {
            let mut seen = seen.lock().expect("no panic while locked");
            for moved in committed.positions {
                let cursor = moved.position.cursor.as_ref().expect("declared");
                let shard = seen.entry(moved.shard).or_default();
                shard.records += moved.records;
                shard.counters = moved.position.counters;
                shard.cursor = match cursor.values["seq"] {
                    CursorValue::Uint(value) => value,
                    ref other => panic!("not a number: {other}"),
                };
            }
        };
        let stop = CancellationToken::new();
        let context = RunContext {
            workers: Arc::new(Workers::start(2).expect("threads")),
            telemetry: telemetry.clone(),
            status: status.clone(),
            stop: stop.clone(),
            clock,
            instance: "test".to_owned(),
            accept_change: None,
            on_commit: Some(Arc::new(on_commit)),
            written: None,
            tap: None,
            starts: None,
        };
        let task = tokio::spawn(run(plan, context));
        Fleet { folder, status, telemetry, durable, stop, task }
    }

    /// Replaces the file.
    fn write(&self, list: &str) {
        let path = self.folder.path().join("targets.yaml");
        let new = self.folder.path().join("targets.new");
        std::fs::write(&new, list).expect("a file");
        std::fs::rename(new, path).expect("a file");
    }

    pub fn report(&self) -> Report {
        self.status.report()
    }

    fn durable(&self) -> Vec<Durable> {
        self.durable.lock().expect("no panic while locked").values().cloned().collect()
    }

    fn records(&self) -> u64 {
        self.durable().iter().map(|shard| shard.records).sum()
    }

    pub async fn committed(&self, records: u64) {
        until("records are committed", || self.records() >= records).await;
        assert_eq!(self.records(), records, "no record comes twice: {:?}", self.durable());
    }

    async fn shards(&self, count: usize) {
        until("shards join and leave", || self.report().shards == count).await;
    }

    fn reason(&self) -> String {
        self.report().state.reason.unwrap_or_default()
    }

    fn refused(&self) -> i64 {
        self.telemetry.targets("fleet", "s").refused.get()
    }

    /// Stops, and demands that each shard has each of its events once.
    pub async fn stop_exact(self) -> Vec<u64> {
        self.stop.cancel();
        assert_eq!(self.task.await.expect("no panic"), RunEnd::Stopped);
        let durable = self.durable.lock().expect("no panic while locked").clone();
        for shard in durable.values() {
            assert_eq!(shard.records, shard.cursor, "{shard:?}");
            assert_eq!((shard.counters.gaps, shard.counters.gap_messages), (0, 0), "{shard:?}");
        }
        durable.into_values().map(|shard| shard.cursor).collect()
    }
}

fn urls(servers: &[&Server]) -> String {
    servers.iter().map(|server| format!("- {}\n", server.address)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_joins_leaves_and_comes_back_goes_on_where_it_stood() {
    let (a, b, c) = (server().await, server().await, server().await);
    let fleet = Fleet::run(&urls(&[&a, &b]));
    fleet.committed(2 * EVENTS).await;
    fleet.write(&urls(&[&a, &c]));
    fleet.committed(3 * EVENTS).await;
    fleet.shards(2).await;
    fleet.write(&urls(&[&a, &b, &c]));
    fleet.committed(4 * EVENTS).await;
    fleet.shards(3).await;
    let asked: Vec<u64> = b.requests().iter().map(|request| request.from_sequence).collect();
    assert_eq!(asked, [0, EVENTS + 1], "it goes on behind what it had");
    assert_eq!((a.calls(), c.calls()), (1, 1), "the others are not disturbed");
    assert_eq!(fleet.telemetry.received("fleet").0, 4 * EVENTS, "what left still counts");
    assert_eq!(fleet.stop_exact().await, [EVENTS, 2 * EVENTS, EVENTS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_cannot_be_used_leaves_the_targets_as_they_are_and_says_why() {
    let (a, b) = (server().await, server().await);
    let good = urls(&[&a, &b]);
    let fleet = Fleet::run(&good);
    fleet.committed(2 * EVENTS).await;
    let twice = format!("- {}\n- {}\n", a.address, a.address);
    let many: String = (0..4_097).map(|port| format!("- a:{}\n", port + 1)).collect();
    let cases = [
        (many.as_str(), "too many targets"),
        ("- [unclosed\n", "targets.yaml:"),
        ("a: 1\n", "the file is not a list"),
        (&twice, "two shards have the same name"),
        ("- { urll: x }\n", "urll"),
        ("- ftp://host:1\n", "neither http nor https"),
        ("", "names no target"),
        ("[]\n", "names no target"),
    ];
    for (list, words) in cases {
        fleet.write(list);
        until(words, || fleet.reason().contains(words)).await;
        let reason = fleet.reason();
        assert!(reason.starts_with("targets of `s` stay as they were: "), "{reason}");
        assert_eq!((fleet.report().shards, fleet.refused()), (2, 1));
        assert!(fleet.report().state.is_ready(), "it works on");
    }
    std::fs::remove_file(fleet.folder.path().join("targets.yaml")).expect("it was there");
    until("its absence is told", || fleet.reason().contains("cannot read")).await;
    fleet.write(&good);
    until("the list is as it was", || fleet.reason().is_empty()).await;
    assert_eq!(fleet.refused(), 0);
    assert_eq!((a.calls(), b.calls()), (1, 1), "no call was disturbed");
    fleet.stop_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_leave_where_the_file_says_that_an_empty_list_counts_and_the_pipeline_goes_on() {
    let a = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("targets.yaml"), urls(&[&a])).expect("a file");
    let targets = "{ file: targets.yaml, interval_ms: 100, on_empty: remove }";
    let fleet = Fleet::run_in(folder, targets);
    fleet.committed(EVENTS).await;
    fleet.write("[]\n");
    fleet.shards(0).await;
    fleet.write(&urls(&[&a]));
    fleet.committed(2 * EVENTS).await;
    assert_eq!(fleet.stop_exact().await, [2 * EVENTS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_moves_to_another_server_goes_on_there() {
    let (a, b) = (server().await, server().await);
    let entry = |server: &Server| format!("- {{ name: one, url: \"{}\" }}\n", server.url());
    let fleet = Fleet::run(&entry(&a));
    fleet.committed(EVENTS).await;
    fleet.write(&entry(&b));
    fleet.committed(2 * EVENTS).await;
    assert_eq!(b.requests()[0].from_sequence, EVENTS + 1);
    assert_eq!(fleet.stop_exact().await, [2 * EVENTS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_comes_back_as_another_one_is_refused_alone() {
    let (a, b) = (server().await, server().await);
    let entry = |filter: &str| {
        let url = a.url();
        format!("- {{ name: one, url: \"{url}\", request: {{ filter: {filter} }} }}\n")
    };
    let fleet = Fleet::run(&format!("{}{}", entry("x"), urls(&[&b])));
    fleet.committed(2 * EVENTS).await;
    fleet.write(&urls(&[&b]));
    fleet.shards(1).await;
    fleet.write(&format!("{}{}", entry("other"), urls(&[&b])));
    fleet.shards(2).await;
    let words = "belongs to another source";
    until("it is refused", || fleet.reason().contains(words)).await;
    assert!(!fleet.report().state.is_ready(), "a person must decide");
    fleet.write(&format!("{}{}", entry("x"), urls(&[&b])));
    fleet.committed(3 * EVENTS).await;
    until("nothing is wrong any more", || fleet.reason().is_empty()).await;
    assert_eq!((a.calls(), b.calls()), (2, 1));
    fleet.stop_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_targets_run_in_one_process_and_half_of_them_change() {
    const TARGETS: u64 = 500;
    const EACH: u64 = 20;
    let script = |_: usize, request: &headwater_proto::telemetry::SubscribeRequest| {
        let first = request.from_sequence.max(1);
        let mut steps = events(first, first + EACH - 1);
        steps.push(Step::Hang);
        steps
    };
    let server = Server::start(script).await;
    let url = server.url();
    let list = |names: std::ops::Range<u64>| {
        names.map(|name| format!("- {{ name: t{name}, url: \"{url}\" }}\n")).collect::<String>()
    };
    let fleet = Fleet::run(&list(0..TARGETS));
    fleet.committed(TARGETS * EACH).await;
    assert_eq!(fleet.report().shards as u64, TARGETS);
    fleet.write(&list(250..750));
    fleet.committed(750 * EACH).await;
    fleet.shards(500).await;
    assert_eq!(server.calls(), 750, "those that stayed were not called again");
    fleet.write(&list(0..500));
    fleet.committed(1_000 * EACH).await;
    fleet.shards(500).await;
    let cursors = fleet.stop_exact().await;
    let twice = cursors.iter().filter(|cursor| **cursor == 2 * EACH).count();
    assert_eq!((cursors.len(), twice), (750, 250));
}

#[test]
fn what_is_wrong_with_a_list_stands_in_the_report_of_the_pipeline_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = "- http://a:1\n- { url: \"http://b:1\", request: { no_field: 1 } }\n";
    std::fs::write(folder.path().join("t.yaml"), list).expect("a file");
    let told = |targets: &str| match plan(folder.path(), targets) {
        Ok(_) => panic!("it is wrong"),
        Err(diagnostics) => diagnostics.to_string(),
    };
    let text = told("{ file: t.yaml }");
    assert!(text.contains("fleet.yaml:6:22: error: the targets cannot be used"), "{text}");
    assert!(text.contains("t.yaml:2:") && text.contains("no_field"), "{text}");
    let cases = [
        ("{ file: missing.txt }", "cannot read"),
        ("{ interval_ms: 500 }", "it is not said where the targets are found"),
        ("{ file: t.yaml, dns_srv: a }", "the targets are named twice"),
        ("{ dns_srv: a, dns_server: here }", "the DNS server is not an address"),
        ("{ file: t.yaml, dns_server: \"1.1.1.1:53\" }", "`dns_server` is for `dns_srv`"),
        ("[]", "targets"),
    ];
    for (targets, words) in cases {
        let text = told(targets);
        assert!(text.contains(words), "{targets}: {text}");
    }
    let both = told("[\"a:1\"]\n    endpoint: http://b:1");
    assert!(both.contains("one of `endpoint`, `endpoints` and `targets`"), "{both}");
}

#[test]
fn targets_that_are_listed_are_endpoints_and_may_be_written_short() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), "[\"a:1\", { url: \"b:2\", name: x }]");
    let plan = plan.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let source = plan.nodes()[0].config::<headwater_operators::source::grpc::GrpcSource>();
    let keys: Vec<&str> = source.shards().iter().map(|shard| shard.key.0.as_str()).collect();
    assert_eq!(keys, ["s/a:1", "s/x"]);
    assert!(source.watch().is_none(), "they stay");
}
