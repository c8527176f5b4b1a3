//! Goal: a cluster that loses nodes costs time and nothing else, whatever they were to a pipeline.
//! Method: an Apache Kafka of three brokers of the test's own, three copies of everything. Brokers
//! that coordinate a transactional id or lead a partition are killed and frozen one after the
//! other, and then two at once, so that too few copies are in sync. What a broker was, and that
//! others took over, is asked of the cluster before and after.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::nodes::{IN_SYNC_MIN, Nodes};
use headwater_test_support::pipeline::Delivery;
use headwater_test_support::process::Headwater;
use headwater_test_support::topic::{Isolation, read_all};
use headwater_test_support::wait;

use crate::world::{Bench, COMMITTED, demand_line, endless, is_in, is_long, is_real_kafka, metric};

/// So long may anything take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(180);

/// The shortest there is: a frozen broker is told from a slow one when a transaction's time is up.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A message that has waited so long has not merely met a slow moment.
const OLD: Duration = Duration::from_secs(5);

/// How long the oldest message waits that is received and not durable.
const AGE: &str = "headwater_open_transaction_age_seconds";

const PARTITIONS: i32 = 4;
const STATE_TOPIC: &str = "__transaction_state";

/// How a broker goes away, and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Freeze,
}

/// What a broker is to a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// It coordinates the transactions of the producer in this slot.
    Coordinator(u32),
    /// It leads this partition of the topic.
    Leader(i32),
    /// It leads the topic of positions.
    Progress,
}

/// A cluster and the pipeline that writes to it.
struct World {
    kafka: Nodes,
    bench: Bench,
    server: ScriptedServer,
}

#[test]
fn a_coordinator_or_leader_that_is_killed_costs_time_only() -> Result<()> {
    let roles = |written| vec![Role::Coordinator(0), Role::Leader(written), Role::Progress];
    costs_time_only("cluster-killed", Fault::Kill, roles, "Connection refused")
}

/// Its connections stay, and nothing comes back on them: time alone tells.
#[test]
fn a_coordinator_or_leader_that_is_frozen_costs_time_only() -> Result<()> {
    let roles = |written| vec![Role::Coordinator(1), Role::Leader(written)];
    costs_time_only("cluster-frozen", Fault::Freeze, roles, "facility=REQTMOUT")
}

/// The broker of each role is away in turn; `roles` are named with a partition that is written,
/// and the client's log has `said`.
fn costs_time_only(
    name: &str,
    fault: Fault,
    roles: impl Fn(i32) -> Vec<Role>,
    said: &str,
) -> Result<()> {
    let Some(mut world) = World::new(name)? else { return Ok(()) };
    let mut headwater = world.start()?;
    for role in roles(world.written()?) {
        world.move_away(&mut headwater, fault, role)?;
    }
    demand_line(&headwater.log()?, &["event=kafka_client", said]);
    world.demand_no_new_call(&headwater)?;
    world.finish(headwater)
}

#[test]
fn too_few_copies_in_sync_degrade_a_pipeline_until_they_are_back() -> Result<()> {
    let Some(mut world) = World::new("cluster-short")? else { return Ok(()) };
    let mut headwater = world.start()?;
    for fault in [Fault::Freeze, Fault::Kill] {
        more_committed(&mut headwater)?;
        headwater.wait_for("running", PATIENCE, |it| is_in(it, "running", 200))?;
        let gone = world.leave_one(fault)?;
        headwater.wait_for("degraded", PATIENCE, |it| is_in(it, "degraded", 200))?;
        let body = headwater.get("/readyz")?.body;
        ensure!(body.contains("\"reason\":\"sink: "), "the sink is to blame: {body}");
        let committed = metric(&headwater, COMMITTED);
        let is_old = |it: &Headwater| metric(it, AGE) > outage().as_secs_f64();
        headwater.wait_for("an old transaction", PATIENCE, is_old)?;
        assert_eq!(metric(&headwater, COMMITTED), committed, "nothing can be committed");
        let body = headwater.get("/readyz")?.body;
        ensure!(is_in(&headwater, "degraded", 200), "still degraded: {body}");
        let healed = world.heal(&mut headwater)?;
        println!("{fault:?} {gone:?} of three: {body}; running {healed:?} after");
    }
    let log = headwater.log()?;
    for words in [["state=degraded", "was=running"], ["state=running", "was=degraded"]] {
        demand_line(&log, &["event=pipeline_state", words[0], words[1]]);
    }
    world.demand_no_new_call(&headwater)?;
    world.finish(headwater)
}

/// Positions and taking over do their work all the while: an epoch is sent again and again, and a
/// pipeline that were built anew for it would throw away what it has received. Without
/// transactions, because an open one keeps others from taking over until its partitions take its
/// end.
#[test]
fn a_topic_that_takes_nothing_is_waited_for_with_all_that_was_received() -> Result<()> {
    let Some(mut world) = World::with_topic("cluster-unwilling", IN_SYNC_MIN + 1)? else {
        return Ok(());
    };
    world.bench.pipeline.delivery = Delivery::AtLeastOnce;
    let mut headwater = world.start()?;
    let gone = world.kafka.ids().into_iter().max().context("a cluster has brokers")?;
    world.hurt(Fault::Kill, gone)?;
    let topic = world.bench.pipeline.name.clone();
    world.wait_copies("too few copies of records", &[topic], |in_sync| in_sync <= IN_SYNC_MIN)?;
    // From now on the topic takes nothing. How much of it can be seen stays, too: a leader of too
    // few copies moves no high watermark. What it took before may become durable yet, because its
    // positions wait for partitions that move; so the age of a message tells that nothing does.
    headwater.wait_for("an old message", PATIENCE, |it| metric(it, AGE) > OLD.as_secs_f64())?;
    let taken = world.taken()?;
    if is_long() {
        // A question is repeated for 40 s before its epoch is sent again.
        headwater.wait_for("taking over", PATIENCE, |it| it.log().is_ok_and(is_taken_over))?;
    }
    headwater
        .wait_for("one of an outage", PATIENCE, |it| metric(it, AGE) > outage().as_secs_f64())?;
    assert_eq!(world.taken()?, taken, "nothing is taken");
    let body = headwater.get("/readyz")?.body;
    ensure!(is_in(&headwater, "degraded", 200), "still degraded: {body}");
    let healed = world.heal(&mut headwater)?;
    println!("{gone} away for {:?}: {body}; running {healed:?} after", outage());
    world.demand_no_new_call(&headwater)?;
    let again = metric(&headwater, "headwater_resends_total");
    ensure!(!is_long() || again > 0.0, "no epoch was sent again: {}", headwater.log()?);
    world.finish_at_least_once(headwater)
}

#[test]
fn a_program_that_starts_while_too_few_copies_are_in_sync_waits_for_them() -> Result<()> {
    let Some(mut world) = World::new("cluster-short-start")? else { return Ok(()) };
    let mut headwater = world.start()?;
    world.leave_one(Fault::Kill)?;
    headwater.kill9()?;
    let mut headwater = world.bench.start()?;
    headwater.wait_for("an attempt that failed", PATIENCE, |it| is_in(it, "recovering", 503))?;
    assert_eq!(metric(&headwater, COMMITTED), 0.0, "nothing can be committed");
    world.kafka.heal()?;
    headwater.wait_for("running", PATIENCE, |it| is_in(it, "running", 200))?;
    more_committed(&mut headwater)?;
    world.finish(headwater)
}

/// Whether a pipeline has taken over from itself.
fn is_taken_over(log: String) -> bool {
    log.contains("event=pipeline_acquired pipeline=cluster-unwilling generation=2")
}

/// How long too few copies are in sync: longer than a transaction lasts, so that it is given up
/// and taking over is tried in vain; CI sets `HEADWATER_LONG=1`.
fn outage() -> Duration {
    if is_long() { Duration::from_secs(60) } else { TRANSACTION_TIMEOUT * 2 }
}

impl World {
    /// None unless real Kafka is wanted.
    fn new(name: &str) -> Result<Option<World>> {
        World::with_topic(name, IN_SYNC_MIN)
    }

    /// The same, with a topic for the records that takes them while so many copies are in sync.
    fn with_topic(name: &str, in_sync_min: usize) -> Result<Option<World>> {
        if !is_real_kafka() {
            return Ok(None);
        }
        let kafka = Nodes::start()?;
        kafka.create_topic(name, PARTITIONS, in_sync_min)?;
        let server = ScriptedServer::start(endless(1_000))?;
        let mut bench = Bench::on(kafka.bootstrap(), name, server.endpoint())?.shards(2);
        // The topic is there, with as many copies as the cluster gives the topic of positions.
        bench.pipeline.partitions = None;
        bench.pipeline.ring = Some(2);
        let timeout = format!("transaction_timeout_ms: {}", TRANSACTION_TIMEOUT.as_millis());
        bench.pipeline.sink_extra.push(timeout);
        Ok(Some(World { kafka, bench, server }))
    }

    /// Starts the program, and waits until it has committed something.
    fn start(&mut self) -> Result<Headwater> {
        let mut headwater = self.bench.start()?;
        more_committed(&mut headwater)?;
        Ok(headwater)
    }

    /// Takes the broker with this role away in the middle of the stream, until all that it was has
    /// moved to the others and records are committed there.
    fn move_away(&mut self, headwater: &mut Headwater, fault: Fault, role: Role) -> Result<()> {
        more_committed(headwater)?;
        self.wait_in_sync()?;
        let gone = self.holder(role)?.with_context(|| format!("nobody is {role:?}"))?;
        let was = self.roles(gone)?;
        ensure!(was.contains(&role), "broker {gone} is {was:?}");
        let began = Instant::now();
        self.hurt(fault, gone)?;
        self.wait_moved(&was, gone)?;
        let moved = began.elapsed();
        more_committed(headwater)?;
        let went_on = began.elapsed();
        println!("{fault:?} {gone}, {was:?}: moved {moved:?} after, went on {went_on:?} after");
        self.kafka.heal()?;
        more_committed(headwater)
    }

    /// Leaves one broker of three, so that nothing has enough copies; returns those that are gone.
    /// The coordinator of the first producer stays if the others are frozen, and goes if killed.
    fn leave_one(&mut self, fault: Fault) -> Result<Vec<i32>> {
        self.wait_in_sync()?;
        let coordinator = self.holder(Role::Coordinator(0))?.context("nobody coordinates")?;
        let mut gone = self.kafka.ids();
        gone.retain(|it| *it != coordinator);
        if fault == Fault::Kill {
            gone[0] = coordinator;
        }
        gone.iter().try_for_each(|it| self.hurt(fault, *it))?;
        self.wait_too_few()?;
        Ok(gone)
    }

    /// Brings all brokers back; how long it takes until the pipeline runs again.
    fn heal(&mut self, headwater: &mut Headwater) -> Result<Duration> {
        self.kafka.heal()?;
        let healed = Instant::now();
        more_committed(headwater)?;
        headwater.wait_for("running again", PATIENCE, |it| is_in(it, "running", 200))?;
        Ok(healed.elapsed())
    }

    /// A partition that a shard writes to.
    fn written(&self) -> Result<i32> {
        let topic = &self.bench.pipeline.topic;
        let records = read_all(self.kafka.bootstrap(), topic, Isolation::Committed)?;
        Ok(records.first().context("something is committed")?.partition)
    }

    /// How many records are in the topic.
    fn taken(&self) -> Result<usize> {
        let topic = &self.bench.pipeline.topic;
        Ok(read_all(self.kafka.bootstrap(), topic, Isolation::Uncommitted)?.len())
    }

    /// Who has a role now.
    fn holder(&self, role: Role) -> Result<Option<i32>> {
        let name = &self.bench.pipeline.name;
        let leader = |topic: &str, partition: i32| -> Result<Option<i32>> {
            Ok(self.kafka.seats(topic)?.get(&partition).and_then(|it| it.leader))
        };
        match role {
            Role::Coordinator(slot) => self.kafka.coordinator(&format!("headwater.{name}.{slot}")),
            Role::Leader(partition) => leader(name, partition),
            Role::Progress => leader(&self.progress_topic(), 0),
        }
    }

    /// All that a broker is now.
    fn roles(&self, id: i32) -> Result<BTreeSet<Role>> {
        let all = [Role::Coordinator(0), Role::Coordinator(1), Role::Progress];
        let mut roles = BTreeSet::new();
        for role in all.into_iter().chain((0..PARTITIONS).map(Role::Leader)) {
            if self.holder(role)? == Some(id) {
                roles.insert(role);
            }
        }
        Ok(roles)
    }

    fn hurt(&mut self, fault: Fault, id: i32) -> Result<()> {
        match fault {
            Fault::Kill => self.kafka.kill9(id),
            Fault::Freeze => self.kafka.pause(id),
        }
    }

    /// Waits until others have all the roles of one that is gone.
    fn wait_moved(&self, roles: &BTreeSet<Role>, gone: i32) -> Result<()> {
        wait::until_ok("others in its place", PATIENCE, || {
            for role in roles {
                if self.holder(*role)?.is_none_or(|it| it == gone) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Waits until all three copies of everything are complete.
    fn wait_in_sync(&self) -> Result<()> {
        let all = self.kafka.ids().len();
        self.wait_copies("all copies in sync", &self.topics(), |in_sync| in_sync == all)
    }

    /// Waits until nothing has enough copies for another record.
    fn wait_too_few(&self) -> Result<()> {
        self.wait_copies("too few copies in sync", &self.topics(), |it| it < IN_SYNC_MIN)
    }

    /// All that a pipeline needs: its records, its positions, and the states of transactions.
    fn topics(&self) -> [String; 3] {
        let name = &self.bench.pipeline.name;
        [name.clone(), self.progress_topic(), STATE_TOPIC.to_owned()]
    }

    fn wait_copies(
        &self,
        what: &str,
        topics: &[String],
        are_due: impl Fn(usize) -> bool,
    ) -> Result<()> {
        wait::until_ok(what, PATIENCE, || {
            for topic in topics {
                let seats = self.kafka.seats(topic)?;
                if seats.is_empty() || !seats.values().all(|it| are_due(it.in_sync.len())) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    fn progress_topic(&self) -> String {
        format!("__{}.progress", self.bench.pipeline.name)
    }

    /// Demands that all trouble was repaired from memory.
    fn demand_no_new_call(&self, headwater: &Headwater) -> Result<()> {
        let repairs = ["headwater_resends_total", "headwater_rebuilds_total"];
        println!("{repairs:?}: {:?}", repairs.map(|it| metric(headwater, it)));
        let calls = self.server.calls().len();
        ensure!(calls == self.bench.shard_names().len(), "{calls} calls: {}", headwater.log()?);
        Ok(())
    }

    /// Stops, and demands that nothing is missing.
    fn finish_at_least_once(self, mut headwater: Headwater) -> Result<()> {
        let World { kafka, mut bench, server } = self;
        assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0), "{}", headwater.log()?);
        let total = bench.finish(server)?;
        if let Err(faults) = bench.judge(total)? {
            println!("{} duplicates, {total} events a shard", faults.duplicates.count);
            let is_whole = faults.missing.count == 0 && faults.unexpected.count == 0;
            ensure!(is_whole, "{faults}");
        }
        drop(kafka);
        Ok(())
    }

    /// Runs to an end of the stream, and demands the set.
    fn finish(self, mut headwater: Headwater) -> Result<()> {
        let World { kafka, mut bench, server } = self;
        assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0), "{}", headwater.log()?);
        let aborted = bench.aborted()?;
        let total = bench.finish(server)?;
        bench.demand_exact(total)?;
        println!("{aborted} aborted copies, {total} events a shard");
        drop(kafka);
        Ok(())
    }
}

/// Waits until a thousand more records are visible.
fn more_committed(headwater: &mut Headwater) -> Result<()> {
    let due = metric(headwater, COMMITTED) + 1_000.0;
    headwater.wait_for("1,000 more records", PATIENCE, |it| metric(it, COMMITTED) >= due)
}
