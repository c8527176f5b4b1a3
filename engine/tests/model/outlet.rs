//! What the committer drives: the ring and its transactions, as `KafkaOutlet` fills them.
//!
//! Next: `committer.rs` drives it.

use crate::check::Checker;
use crate::kafka::PROGRESS;
use crate::log::{Entry, Stand, Who, Writer};
use crate::plain::Plain;
use crate::producer::{Fault, Producer, State};
use crate::protection::{Protection, Without};
use crate::source::{Run, SHARDS};
use crate::takeover::{Acquired, Outside};
use headwater_engine::commit::progress::StoredProgress;
use std::collections::VecDeque;

#[derive(Clone, Debug, Hash)]
pub struct Outlet {
    /// Clients, by slot.
    pub ring: Vec<u16>,
    /// Slots and epochs of the open transactions, in their order.
    pub open: VecDeque<(usize, u64)>,
    who: Who,
    by: Writer,
    has_manifest: bool,
    /// Generation and process of claims to be withdrawn with the first commit.
    stale: Vec<(u64, u8)>,
    sent_for: Option<u64>,
    totals: [u64; SHARDS],
    /// Commits since the pipeline was taken over.
    commits: u64,
    without: Without,
    /// Writes positions outside transactions, if that protection is off.
    pub plain: Option<Plain>,
}

impl Outlet {
    pub fn new(acquired: &Acquired, by: Writer, without: Without) -> Self {
        let who = acquired.who;
        let older = acquired.stored.claims.iter().filter(|it| it.generation.0 < who.generation);
        let number = |instance: &str| {
            let text = instance.rsplit('-').next();
            text.and_then(|text| text.parse().ok()).expect("an instance of the model")
        };
        Outlet {
            ring: acquired.ring.clone(),
            open: VecDeque::new(),
            who,
            by,
            has_manifest: false,
            stale: older.map(|it| (it.generation.0, number(&it.instance))).collect(),
            sent_for: None,
            totals: totals(&acquired.stored),
            commits: 0,
            without,
            plain: None,
        }
    }

    pub fn begin(
        &mut self,
        outside: &mut Outside<'_>,
        checker: &mut Checker,
        slot: usize,
        epoch: u64,
    ) -> Result<(), Fault> {
        let is_off = self.without.lacks(Protection::SlotZero);
        let slot = if is_off { self.ring.len() - 1 - slot } else { slot };
        producer(outside, self.ring[slot]).begin()?;
        let before = self.open.iter().map(|(slot, _)| self.ring[*slot]);
        let is_behind = before.clone().all(|client| outside.clients[&client].is_drained());
        checker.rule(is_behind, "a partition takes the next epoch once this one is acknowledged");
        self.open.push_back((slot, epoch));
        Ok(())
    }

    /// Into the transaction that was begun last.
    pub fn stage(&mut self, outside: &mut Outside<'_>, run: Run) -> Result<(), Fault> {
        let by = self.by;
        let data = |number| Entry::Data { shard: run.shard, number, by };
        let entries = (run.first..run.end()).map(data).collect();
        let (slot, _) = *self.open.back().expect("records go into an open transaction");
        let Outside { net, clients, .. } = outside;
        let producer = clients.get_mut(&self.ring[slot]).expect("a client of the ring");
        producer.send(net, usize::from(run.shard), entries)
    }

    /// Adds the positions of the transaction in place `at`.
    pub fn send_positions(
        &mut self,
        outside: &mut Outside<'_>,
        at: usize,
        kept: &[Run],
    ) -> Result<(), Fault> {
        let (slot, epoch) = self.open[at];
        if self.sent_for == Some(epoch) {
            return Ok(());
        }
        let mut entries = Vec::new();
        entries.extend((!self.has_manifest).then_some(Entry::Manifest(self.who)));
        let tombstone = |&(generation, process): &(u64, u8)| Entry::NoClaim { generation, process };
        entries.extend(self.stale.iter().map(tombstone));
        let stands: Vec<Entry> = self.stands(epoch, kept).map(Entry::Stand).collect();
        if self.without.lacks(Protection::ProgressInside) {
            let plain = self.plain.get_or_insert_with(|| {
                let client = outside.client();
                Plain::open(outside.net, self.by.process, client)
            });
            stands.into_iter().for_each(|stand| plain.append(outside.net, stand));
        } else {
            entries.extend(stands);
        }
        let Outside { net, clients, .. } = outside;
        let producer = clients.get_mut(&self.ring[slot]).expect("a client of the ring");
        if !entries.is_empty() {
            producer.send(net, PROGRESS, entries)?;
        }
        self.sent_for = Some(epoch);
        Ok(())
    }

    pub fn check_commit(&self, outside: &Outside<'_>, checker: &mut Checker) {
        let (slot, _) = self.open[0];
        checker.rule(self.commits > 0 || slot == 0, "the first commit goes through slot 0");
        let is_busy = |client: &u16| {
            *client != self.ring[slot] && outside.clients[client].state == State::Committing
        };
        checker.rule(!self.ring.iter().any(is_busy), "one commit is in doubt at most");
    }

    /// The lowest transaction is committed.
    pub fn committed(&mut self, kept: &[Run]) {
        self.open.pop_front();
        self.commits += 1;
        self.has_manifest = true;
        self.stale.clear();
        kept.iter().for_each(|run| self.totals[usize::from(run.shard)] += u64::from(run.count));
    }

    pub fn forget_sent(&mut self) {
        self.sent_for = None;
    }

    pub fn head(&self) -> u16 {
        self.ring[self.open[0].0]
    }

    /// Where the epoch leaves each shard that moved.
    fn stands(&self, epoch: u64, kept: &[Run]) -> impl Iterator<Item = Stand> {
        let (generation, totals) = (self.who.generation, self.totals);
        let mut next = [None; SHARDS];
        let mut records = [0; SHARDS];
        for run in kept {
            next[usize::from(run.shard)] = Some(run.end());
            records[usize::from(run.shard)] += u64::from(run.count);
        }
        (0..SHARDS).filter_map(move |index| {
            let committed = totals[index] + records[index];
            let shard = u8::try_from(index).expect("few shards");
            next[index].map(|next| Stand { shard, generation, epoch, next, committed })
        })
    }
}

pub fn producer<'a>(outside: &'a mut Outside<'_>, client: u16) -> &'a mut Producer {
    outside.clients.get_mut(&client).expect("a client of the process")
}

fn totals(stored: &StoredProgress) -> [u64; SHARDS] {
    std::array::from_fn(|index| {
        let shard = u8::try_from(index).expect("few shards");
        stored.shards.get(&crate::fold::shard_key(shard)).map_or(0, |it| it.committed)
    })
}
