//! One incarnation of the program: it takes the pipeline over, runs, and rebuilds itself, as
//! `operators/src/pipeline/attempt.rs` does, until it is killed, finished or superseded.
//!
//! Next: `world.rs` decides what happens when.

use crate::check::Checker;
use crate::committer::{Call, Committer, Turn};
use crate::kafka::{Answer, Kafka};
use crate::log::Writer;
use crate::net::{Address, Net};
use crate::outlet::producer;
use crate::plain::Plain;
use crate::producer::Producer;
use crate::protection::Without;
use crate::takeover::{Acquired, Failed, Outside, Takeover};
use headwater_engine::failure::Recovery;
use headwater_engine::ids::Generation;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    Running,
    /// SIGSTOP: what it has sent goes on its way, and nothing else.
    Paused,
    Dead,
    Superseded,
    Finished,
}

#[derive(Clone, Debug)]
pub enum Part {
    Starting(Box<Takeover>),
    Running(Box<Committer>),
    None,
}

#[derive(Clone, Debug)]
pub struct Process {
    pub no: u8,
    pub life: Life,
    pub part: Part,
    pub clients: BTreeMap<u16, Producer>,
    pub rebuilds: u16,
    ring: u8,
    length: u16,
    next_client: u16,
    held: Option<Generation>,
    /// The highest generation it ever claimed.
    claimed: u64,
    terms: u16,
    without: Without,
}

/// What all processes share.
pub struct Shared<'a> {
    pub net: &'a mut Net,
    pub kafka: &'a mut Kafka,
    pub checker: &'a mut Checker,
}

/// The parts of a process and what they work on, borrowed apart.
macro_rules! outside {
    ($process:expr, $shared:expr) => {
        Outside {
            net: &mut *$shared.net,
            clients: &mut $process.clients,
            next_client: &mut $process.next_client,
            claimed: &mut $process.claimed,
        }
    };
}

impl Process {
    pub fn start(shared: &mut Shared<'_>, no: u8, ring: u8, length: u16, without: Without) -> Self {
        let mut process = Process {
            no,
            life: Life::Running,
            part: Part::None,
            clients: BTreeMap::new(),
            rebuilds: 0,
            ring,
            length,
            next_client: 0,
            held: None,
            claimed: 0,
            terms: 0,
            without,
        };
        process.build(shared);
        process
    }

    /// Goes on until something from outside is needed.
    pub fn settle(&mut self, shared: &mut Shared<'_>) {
        while self.life == Life::Running && self.turn(shared) {}
    }

    fn turn(&mut self, shared: &mut Shared<'_>) -> bool {
        match &mut self.part {
            Part::Starting(takeover) => match takeover.turn(&mut outside!(self, shared)) {
                Ok(moved) => moved,
                Err(failed) => {
                    self.not_started(shared, failed);
                    true
                }
            },
            Part::Running(committer) => {
                match committer.turn(&mut outside!(self, shared), shared.checker) {
                    Turn::Moved => true,
                    Turn::Blocked => false,
                    Turn::Finished => {
                        self.leave(shared, Life::Finished);
                        false
                    }
                    Turn::Stopped(Recovery::Restart) => {
                        self.rebuild(shared);
                        true
                    }
                    Turn::Stopped(_) => {
                        self.leave(shared, Life::Superseded);
                        false
                    }
                }
            }
            Part::None => false,
        }
    }

    /// Reads the progress topic, which is what comes next.
    pub fn read(&mut self, shared: &mut Shared<'_>) {
        let Some(takeover) = self.takeover() else { unreachable!("it can read") };
        match takeover.read(shared.kafka) {
            Ok(false) => {}
            Ok(true) => {
                let acquired = takeover.acquired().expect("the committed progress is known");
                self.acquired(shared, &acquired);
            }
            Err(failed) => self.not_taken(shared, failed),
        }
    }

    pub fn can_read(&self, kafka: &Kafka) -> bool {
        self.takeover_now().is_some_and(|takeover| takeover.can_read(kafka))
    }

    /// Dies at once; what it has sent may still arrive.
    pub fn kill(&mut self, net: &mut Net) {
        self.life = Life::Dead;
        self.drop_all(net);
    }

    pub fn committer(&mut self) -> Option<&mut Committer> {
        match &mut self.part {
            Part::Running(committer) => Some(committer),
            _ => None,
        }
    }

    pub fn is_gone(&self) -> bool {
        !matches!(self.life, Life::Running | Life::Paused)
    }
}

/// What comes from the net.
impl Process {
    pub fn answer(&mut self, net: &mut Net, of: Address, answer: Answer) {
        if let Some(producer) = self.clients.get_mut(&of.client) {
            producer.answer(net, of.side, answer);
        } else if let Some(plain) = self.plain(of.client) {
            plain.answer();
        }
    }

    pub fn cut(&mut self, net: &mut Net, of: Address) {
        if let Some(producer) = self.clients.get_mut(&of.client) {
            producer.cut(net, of.side);
        } else if let Some(plain) = self.plain(of.client) {
            plain.cut(net);
        }
    }

    fn plain(&mut self, client: u16) -> Option<&mut Plain> {
        let claims = match &mut self.part {
            Part::Starting(takeover) => Some(&mut takeover.plain),
            Part::Running(committer) => match &mut committer.call {
                Call::Acquire(takeover) => Some(&mut takeover.plain),
                _ => committer.outlet.plain.as_mut(),
            },
            Part::None => None,
        };
        claims.filter(|plain| plain.client() == client)
    }
}

/// Calls that take too long.
impl Process {
    /// Whether some call waits that has a limit.
    pub fn waits(&self) -> bool {
        match &self.part {
            Part::Starting(_) => true,
            Part::Running(committer) => {
                let commits = matches!(committer.sealed, Some((_, true)));
                commits || matches!(committer.call, Call::Abort(true) | Call::Acquire(_))
            }
            Part::None => false,
        }
    }

    /// The call is over its limit: its outcome is not known.
    pub fn give_up_waiting(&mut self, shared: &mut Shared<'_>) {
        let Part::Running(committer) = &mut self.part else {
            self.not_started(shared, Failed::MayHeal);
            return;
        };
        let mut outside = outside!(self, shared);
        match committer.call {
            Call::Acquire(_) => committer.not_acquired(&mut outside, Failed::MayHeal),
            Call::Abort(true) => {
                let (slot, _) = *committer.outlet.open.back().expect("one is being aborted");
                let newest = committer.outlet.ring[slot];
                let fault = producer(&mut outside, newest).give_up_waiting();
                committer.aborted(Err(fault));
            }
            _ => {
                let (epoch, _) = committer.sealed.expect("a commit is under way");
                let head = committer.outlet.head();
                let fault = producer(&mut outside, head).give_up_waiting();
                committer.answered(epoch, Err(fault));
            }
        }
    }
}

/// Taking over, and its ends.
impl Process {
    /// After standing by: as a new start, but for the generations it knows to have claimed.
    pub fn take_over_again(&mut self, shared: &mut Shared<'_>) {
        self.life = Life::Running;
        self.held = None;
        self.build(shared);
    }

    fn build(&mut self, shared: &mut Shared<'_>) {
        let mut outside = outside!(self, shared);
        let (no, ring, held) = (self.no, self.ring, self.held);
        let takeover = Takeover::start(&mut outside, no, ring, held, self.without);
        self.part = Part::Starting(Box::new(takeover));
    }

    fn acquired(&mut self, shared: &mut Shared<'_>, acquired: &Acquired) {
        self.terms += 1;
        let by = Writer { process: self.no, term: self.terms };
        shared.checker.note_read(by);
        self.held = Some(Generation(acquired.who.generation));
        if let Part::Running(committer) = &mut self.part {
            committer.reacquired(&mut outside!(self, shared), acquired, by);
            return;
        }
        if let Part::Starting(takeover) = &self.part {
            takeover.plain.drop_line(shared.net);
        }
        let committer = Committer::new(acquired, by, self.length, self.without);
        self.part = Part::Running(Box::new(committer));
    }

    fn not_taken(&mut self, shared: &mut Shared<'_>, failed: Failed) {
        if let Part::Running(committer) = &mut self.part {
            committer.not_acquired(&mut outside!(self, shared), failed);
        } else {
            self.not_started(shared, failed);
        }
    }

    fn not_started(&mut self, shared: &mut Shared<'_>, failed: Failed) {
        if let Part::Starting(takeover) = &mut self.part {
            takeover.withdraw(&mut outside!(self, shared));
        }
        match failed {
            Failed::Superseded => self.leave(shared, Life::Superseded),
            Failed::MayHeal => self.rebuild(shared),
        }
    }

    /// Begins anew from what is stored.
    fn rebuild(&mut self, shared: &mut Shared<'_>) {
        self.rebuilds += 1;
        self.abort_all(shared.net);
        self.drop_all(shared.net);
        self.build(shared);
    }

    fn leave(&mut self, shared: &mut Shared<'_>, life: Life) {
        self.life = life;
        self.abort_all(shared.net);
        self.drop_all(shared.net);
    }

    /// Asks for the abort of what is open, if it can be, and does not wait for it.
    fn abort_all(&mut self, net: &mut Net) {
        if let Part::Running(committer) = &self.part {
            for (slot, _) in committer.outlet.open.iter().rev() {
                if let Some(open) = self.clients.get_mut(&committer.outlet.ring[*slot]) {
                    let _ = open.abort(net);
                }
            }
        }
    }

    fn drop_all(&mut self, net: &mut Net) {
        let plains = match &mut self.part {
            Part::Starting(takeover) => [Some(&takeover.plain), None],
            Part::Running(committer) => {
                let claims = match &committer.call {
                    Call::Acquire(takeover) => Some(&takeover.plain),
                    _ => None,
                };
                [claims, committer.outlet.plain.as_ref()]
            }
            Part::None => [None, None],
        };
        plains.into_iter().flatten().for_each(|plain| plain.drop_line(net));
        self.clients.values().for_each(|producer| producer.drop_lines(net));
        self.clients.clear();
        self.part = Part::None;
    }

    fn takeover(&mut self) -> Option<&mut Takeover> {
        match &mut self.part {
            Part::Starting(takeover) => Some(takeover),
            Part::Running(committer) => match &mut committer.call {
                Call::Acquire(takeover) => Some(takeover),
                _ => None,
            },
            Part::None => None,
        }
    }

    fn takeover_now(&self) -> Option<&Takeover> {
        match &self.part {
            Part::Starting(takeover) => Some(takeover),
            Part::Running(committer) => match &committer.call {
                Call::Acquire(takeover) => Some(takeover),
                _ => None,
            },
            Part::None => None,
        }
    }
}

/// What decides how a process goes on, for telling worlds apart.
impl Process {
    pub fn hash_into(&self, hasher: &mut impl Hasher) {
        (self.no, self.life, self.ring, self.rebuilds, self.held, self.claimed, self.terms)
            .hash(hasher);
        self.clients.hash(hasher);
        match &self.part {
            Part::Starting(takeover) => takeover.fingerprint().hash(hasher),
            Part::Running(committer) => committer.fingerprint().hash(hasher),
            Part::None => {}
        }
    }
}
