//! What the committer sees of the outside: a log of committed epochs, and calls that go wrong by a
//! seed.

use headwater_engine::commit::outlet::{Outlet, OutletError, Repair, Sealed, ShardPosition};
use headwater_engine::ids::{Epoch, SinkIndex, Slot};
use headwater_engine::record::Batch;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the outside world does wrong.
#[derive(Clone)]
pub struct Faults {
    random: u64,
    one_in: u64,
    repairs: Vec<Repair>,
    commit_takes: Duration,
    pub ring: u32,
}

impl Faults {
    pub fn none() -> Self {
        Faults { random: 1, one_in: 0, repairs: Vec::new(), commit_takes: Duration::ZERO, ring: 2 }
    }

    pub fn seeded(seed: u64, one_in: u64, repairs: &[Repair]) -> Self {
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Faults { random, one_in, repairs: repairs.to_vec(), ..Faults::none() }
    }

    pub fn always(repair: Repair) -> Self {
        Faults { one_in: 1, repairs: vec![repair], ..Faults::none() }
    }

    pub fn slow_commits(millis: u64) -> Self {
        Faults { commit_takes: Duration::from_millis(millis), ..Faults::none() }
    }

    /// With this many producers instead of two.
    pub fn with_ring(self, ring: u32) -> Self {
        Faults { ring, ..self }
    }

    fn roll(&mut self) -> Option<Repair> {
        if self.one_in == 0 {
            return None;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let hits = self.random.is_multiple_of(self.one_in);
        hits.then(|| self.repairs[(self.random >> 32) as usize % self.repairs.len()])
    }
}

/// What became visible with one epoch.
#[derive(Clone, Default)]
pub struct CommittedEpoch {
    pub epoch: u64,
    /// Per sink: (shard, value), in order.
    pub records: Vec<Vec<(u32, u64)>>,
    /// Per shard: the position that was committed with it.
    pub positions: BTreeMap<u32, u64>,
}

#[derive(Default)]
pub struct World {
    /// In the order of their epochs; the last takes records, the first is committed.
    open: VecDeque<CommittedEpoch>,
    /// The most that were open at once.
    pub open_peak: usize,
    pub log: Vec<CommittedEpoch>,
    pub begun: usize,
    pub faults: usize,
}

/// An outlet to it.
pub struct TestOutlet {
    world: Arc<Mutex<World>>,
    faults: Arc<Mutex<Faults>>,
    ring: u32,
    sinks: usize,
}

struct TestSealed {
    world: Arc<Mutex<World>>,
    faults: Arc<Mutex<Faults>>,
    epoch: Epoch,
    positions: BTreeMap<u32, u64>,
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().expect("tests do not panic while they hold the world")
}

impl TestOutlet {
    pub fn new(world: &Arc<Mutex<World>>, faults: &Faults, sinks: usize) -> Self {
        let (world, ring) = (world.clone(), faults.ring);
        TestOutlet { world, faults: Arc::new(Mutex::new(faults.clone())), ring, sinks }
    }
}

impl Outlet for TestOutlet {
    fn ring(&self) -> u32 {
        self.ring
    }

    fn begin(&mut self, _: Slot, epoch: Epoch) -> Result<(), OutletError> {
        let mut world = lock(&self.world);
        world.begun += 1;
        let records = vec![Vec::new(); self.sinks];
        let open = CommittedEpoch { epoch: epoch.0, records, ..Default::default() };
        world.open.push_back(open);
        world.open_peak = world.open_peak.max(world.open.len());
        Ok(())
    }

    fn stage(&mut self, sink: SinkIndex, batch: &Batch) -> Result<(), OutletError> {
        let mut world = lock(&self.world);
        let open = world.open.back_mut().expect("records go into an open transaction");
        for value in batch.values.iter() {
            let value = u64::from_le_bytes(value[..8].try_into().expect("eight bytes"));
            open.records[sink.0 as usize].push((batch.shard.0, value));
        }
        Ok(())
    }

    fn seal(
        &mut self,
        epoch: Epoch,
        positions: &[ShardPosition],
    ) -> Result<Box<dyn Sealed>, OutletError> {
        let place = |moved: &ShardPosition| (moved.shard.0, moved.position.next_sequence.0);
        Ok(Box::new(TestSealed {
            world: self.world.clone(),
            faults: self.faults.clone(),
            epoch,
            positions: positions.iter().map(place).collect(),
        }))
    }

    fn committed(&mut self, epoch: Epoch, _: &[ShardPosition]) {
        assert!(lock(&self.world).log.iter().any(|done| done.epoch == epoch.0));
    }

    fn abort(&mut self) -> Result<(), OutletError> {
        lock(&self.world).open.clear();
        Ok(())
    }

    fn acquire(&mut self) -> Result<Option<Epoch>, OutletError> {
        let mut world = lock(&self.world);
        world.open.clear();
        Ok(world.log.last().map(|epoch| Epoch(epoch.epoch)))
    }

    fn poll(&mut self) {}
}

impl Sealed for TestSealed {
    fn commit(&mut self) -> Result<(), OutletError> {
        let takes = lock(&self.faults).commit_takes;
        std::thread::sleep(takes);
        let mut faults = lock(&self.faults);
        let fault = faults.roll();
        let mut world = lock(&self.world);
        // The outcome of a failed commit is open, except where the error promises an abort; a
        // repeated commit of what has landed is acknowledged.
        let lands = match fault {
            Some(Repair::Abort | Repair::Superseded) => false,
            Some(_) => faults.random.is_multiple_of(2),
            None => true,
        };
        let has_landed = world.log.last().is_some_and(|last| last.epoch == self.epoch.0);
        if lands && !has_landed {
            let mut open = world.open.pop_front().expect("only an open transaction commits");
            assert_eq!(open.epoch, self.epoch.0, "the lowest open epoch is the one that commits");
            open.positions = self.positions.clone();
            world.log.push(open);
        }
        let Some(repair) = fault else { return Ok(()) };
        world.faults += 1;
        Err(OutletError { message: "injected".to_owned(), repair })
    }
}
