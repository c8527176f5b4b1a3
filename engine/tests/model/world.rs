//! Everything at once: the broker, the net, the incarnations of the program; and what may happen
//! next. Who chooses among it is elsewhere: `random.rs` by a seed, `explore.rs` one after the
//! other.
//!
//! A step is one event from outside. After it every process that runs goes on until it needs the
//! next one: what it does in between nobody can see, but for the requests it sends, and those may
//! be lost.
//!
//! Invariant: the same events in the same order give the same world.

use crate::check::Checker;
use crate::kafka::{Kafka, Request};
use crate::net::{Conn, ConnId, Net};
use crate::process::{Life, Part, Process, Shared};
use crate::protection::Without;
use crate::source::SHARDS;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Processes of one run, at most.
const PROCESSES_MAX: usize = 24;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The oldest request of a connection reaches the broker.
    Deliver(ConnId),
    /// The oldest answer of a connection reaches its client.
    Answer(ConnId),
    /// A connection breaks.
    Cut(ConnId),
    /// What a broken connection still holds never arrives.
    Lose(ConnId),
    /// The coordinator writes a marker.
    Marker(u8, usize),
    /// It writes all that it owes.
    Markers(u8),
    /// A transaction is over its timeout.
    Expire(u8),
    /// A process reads the progress topic.
    Read(u8),
    /// A source hands over messages of a shard.
    Emit(u8, u8, u16),
    /// The open epoch closes.
    Close(u8),
    /// The second input of the frontier reports.
    CatchUp(u8),
    /// The sources have ended.
    End(u8),
    /// An instance starts, with so many producers.
    Start(u8),
    /// One that was superseded, and stood by since, takes over again.
    Return(u8),
    Kill(u8),
    Pause(u8),
    Resume(u8),
    /// A call takes longer than its limit.
    GiveUpWaiting(u8),
    /// A client gives up the records that are not acknowledged.
    GiveUpRecords(u8, u16),
}

impl Event {
    /// The process that it happens to.
    fn process(self) -> u8 {
        match self {
            Event::Read(no) | Event::Emit(no, ..) | Event::Close(no) | Event::CatchUp(no) => no,
            Event::Return(no)
            | Event::End(no)
            | Event::Kill(no)
            | Event::Pause(no)
            | Event::Resume(no) => no,
            Event::GiveUpWaiting(no) | Event::GiveUpRecords(no, _) => no,
            _ => unreachable!("it happens to no process"),
        }
    }
}

/// How often each fault may yet happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub cuts: u8,
    pub kills: u8,
    pub pauses: u8,
    pub waits: u8,
    pub records: u8,
    pub expiries: u8,
    pub starts: u8,
    pub returns: u8,
}

#[derive(Clone, Debug)]
pub struct World {
    pub kafka: Kafka,
    pub net: Net,
    pub processes: Vec<Process>,
    pub checker: Checker,
    pub budget: Budget,
    /// Messages of each shard.
    pub length: u16,
    /// Rings of the instances, in the order of their starts; the last one stays.
    pub rings: Vec<u8>,
    pub without: Without,
    /// Answers and messages come at once: fewer choices for those who try all of them.
    pub is_prompt: bool,
    /// What the broker and the leaders do comes at once too: markers, and records in the logs.
    pub has_prompt_logs: bool,
}

impl World {
    pub fn new(length: u16, rings: &[u8], budget: Budget, without: Without) -> Self {
        World {
            kafka: Kafka::new(without),
            net: Net::default(),
            processes: Vec::new(),
            checker: Checker::default(),
            budget,
            length,
            rings: rings.to_vec(),
            without,
            is_prompt: false,
            has_prompt_logs: false,
        }
    }

    pub fn next_ring(&self) -> u8 {
        *self.rings.get(self.processes.len()).or(self.rings.last()).expect("a ring is given")
    }

    /// Makes `event` happen, and everything that follows from it by itself.
    pub fn step(&mut self, event: Event) {
        self.happen(event);
        self.settle();
        while self.is_prompt && (self.feed() || self.produce()) {
            self.settle();
        }
        self.checker.look(&self.kafka);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(conn) => {
                let request = self.net.take(conn);
                let answer = self.kafka.handle(&request);
                self.checker.judge_decided(&mut self.kafka);
                self.net.answer(conn, answer);
                if self.has_prompt_logs {
                    self.write_markers(None);
                }
                if self.is_prompt {
                    self.answer_at_once(conn);
                }
            }
            Event::Answer(conn) => self.answer(conn),
            Event::Cut(conn) => {
                self.budget.cuts = self.budget.cuts.saturating_sub(1);
                let of = self.net.conns[&conn].of;
                self.processes[usize::from(of.process)].cut(&mut self.net, of);
            }
            Event::Lose(conn) => self.net.lose(conn),
            Event::Marker(id, partition) => self.kafka.write_marker(id, partition),
            Event::Markers(id) => self.write_markers(Some(id)),
            Event::Expire(id) => {
                self.budget.expiries = self.budget.expiries.saturating_sub(1);
                self.kafka.expire(id);
                if self.has_prompt_logs {
                    self.write_markers(None);
                }
            }
            Event::Start(ring) => self.start(ring),
            _ => self.happen_to_process(event),
        }
    }

    fn happen_to_process(&mut self, event: Event) {
        let World { processes, net, kafka, checker, budget, .. } = self;
        let mut shared = Shared { net, kafka, checker };
        let process = processes.get_mut(usize::from(event.process())).expect("a process");
        match event {
            Event::Read(_) => process.read(&mut shared),
            Event::Kill(_) => {
                budget.kills = budget.kills.saturating_sub(1);
                process.kill(shared.net);
            }
            Event::Pause(_) => {
                budget.pauses = budget.pauses.saturating_sub(1);
                process.life = Life::Paused;
            }
            Event::Resume(_) => process.life = Life::Running,
            Event::Return(_) => {
                budget.returns = budget.returns.saturating_sub(1);
                process.take_over_again(&mut shared);
            }
            Event::GiveUpWaiting(_) => {
                budget.waits = budget.waits.saturating_sub(1);
                process.give_up_waiting(&mut shared);
            }
            Event::GiveUpRecords(_, client) => {
                budget.records = budget.records.saturating_sub(1);
                process.clients.get_mut(&client).expect("a client").give_up_records();
            }
            _ => {
                let source = &mut process.committer().expect("it runs").source;
                match event {
                    Event::Emit(_, shard, count) => source.emit(shard, count),
                    Event::Close(_) => source.close(),
                    Event::CatchUp(_) => source.catch_up(),
                    _ => source.end(),
                }
            }
        }
    }

    fn start(&mut self, ring: u8) {
        self.budget.starts = self.budget.starts.saturating_sub(1);
        let no = u8::try_from(self.processes.len()).expect("few processes");
        let World { net, kafka, checker, length, without, .. } = self;
        let mut shared = Shared { net, kafka, checker };
        let process = Process::start(&mut shared, no, ring, *length, *without);
        self.processes.push(process);
    }

    fn write_markers(&mut self, of: Option<u8>) {
        let due = |kafka: &Kafka| kafka.markers_due().find(|(id, _)| of.is_none_or(|of| of == *id));
        while let Some((id, partition)) = due(&self.kafka) {
            self.kafka.write_marker(id, partition);
        }
    }

    fn answer(&mut self, conn: ConnId) {
        let conn = self.net.conns.get_mut(&conn).expect("a connection");
        let answer = conn.answers.pop_front().expect("an answer");
        let of = conn.of;
        self.processes[usize::from(of.process)].answer(&mut self.net, of, answer);
    }

    fn answer_at_once(&mut self, id: ConnId) {
        let Some(conn) = self.net.conns.get(&id) else { return };
        let process = &self.processes[usize::from(conn.of.process)];
        if !conn.answers.is_empty() && process.life == Life::Running {
            self.answer(id);
        }
    }

    /// One record on its way to a leader arrives, if it does so at once.
    fn produce(&mut self) -> bool {
        let is_produce =
            |conn: &Conn| matches!(conn.requests.front(), Some(Request::Produce { .. }));
        let mut ready = self.net.conns.iter().filter(|(_, conn)| conn.is_up && is_produce(conn));
        let next = ready.next().filter(|_| self.has_prompt_logs).map(|(id, _)| *id);
        next.map(|id| self.happen(Event::Deliver(id))).is_some()
    }

    /// The sources hand over one message of each shard per epoch, as soon as they may.
    fn feed(&mut self) -> bool {
        let mut fed = false;
        for process in &mut self.processes {
            if process.life != Life::Running {
                continue;
            }
            let Some(committer) = process.committer() else { continue };
            fed |= committer.source.feed();
        }
        fed
    }

    fn settle(&mut self) {
        let World { processes, net, kafka, checker, .. } = self;
        let mut shared = Shared { net, kafka, checker };
        processes.iter_mut().for_each(|process| process.settle(&mut shared));
    }
}

/// What may happen next.
impl World {
    /// Everything, faults included as far as the budget goes.
    pub fn events(&self, into: &mut Vec<Event>) {
        into.clear();
        self.events_of_net(into);
        for (id, partition) in self.kafka.markers_due() {
            let event =
                if self.is_prompt { Event::Markers(id) } else { Event::Marker(id, partition) };
            if into.last() != Some(&event) {
                into.push(event);
            }
        }
        for process in &self.processes {
            match process.life {
                Life::Running => self.events_of(process, into),
                Life::Paused => into.push(Event::Resume(process.no)),
                Life::Superseded if self.budget.returns > 0 => {
                    into.push(Event::Return(process.no));
                }
                _ => {}
            }
        }
        if self.budget.expiries > 0 {
            into.extend(self.kafka.open_ids().map(Event::Expire));
        }
        if self.budget.starts > 0 && self.processes.len() < PROCESSES_MAX {
            into.push(Event::Start(self.next_ring()));
        }
    }

    fn events_of_net(&self, into: &mut Vec<Event>) {
        for (&id, conn) in &self.net.conns {
            let is_running = self.processes[usize::from(conn.of.process)].life == Life::Running;
            if !conn.requests.is_empty() {
                into.push(Event::Deliver(id));
            }
            if !conn.is_up {
                into.push(Event::Lose(id));
            } else if !conn.answers.is_empty() && is_running {
                into.push(Event::Answer(id));
            }
            let is_busy = !conn.requests.is_empty() || !conn.answers.is_empty();
            if conn.is_up && is_running && is_busy && self.budget.cuts > 0 {
                into.push(Event::Cut(id));
            }
        }
    }

    fn events_of(&self, process: &Process, into: &mut Vec<Event>) {
        let no = process.no;
        if process.can_read(&self.kafka) {
            into.push(Event::Read(no));
        }
        if self.budget.kills > 0 {
            into.push(Event::Kill(no));
        }
        if self.budget.pauses > 0 {
            into.push(Event::Pause(no));
        }
        if self.budget.waits > 0 && process.waits() {
            into.push(Event::GiveUpWaiting(no));
        }
        if self.budget.records > 0 {
            let busy = process.clients.iter().filter(|(_, producer)| !producer.is_drained());
            into.extend(busy.map(|(client, _)| Event::GiveUpRecords(no, *client)));
        }
        let Part::Running(committer) = &process.part else { return };
        if self.is_prompt {
            return;
        }
        let source = &committer.source;
        for shard in 0..u8::try_from(SHARDS).expect("few shards") {
            into.extend((1..=source.left(shard).min(2)).map(|count| Event::Emit(no, shard, count)));
        }
        if source.can_close() {
            into.push(Event::Close(no));
        }
        if source.lags() {
            into.push(Event::CatchUp(no));
        }
        if source.can_end() {
            into.push(Event::End(no));
        }
    }

    /// Whether all is visible and decided.
    pub fn is_complete(&self) -> bool {
        self.checker.is_complete(&self.kafka, self.length)
    }

    /// What helps a world in which nothing moves: the coordinator ends what is open, and somebody
    /// starts the program again.
    pub fn helping(&self) -> Option<Event> {
        let open = self.kafka.open_ids().next().map(Event::Expire);
        let all_gone = self.processes.iter().all(Process::is_gone);
        let may_start = all_gone && self.processes.len() < PROCESSES_MAX;
        let start = may_start.then(|| Event::Start(self.next_ring()));
        start.or(open)
    }

    /// Two worlds with the same fingerprint go on in the same way.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.kafka.fingerprint(self.checker.read_to(), &mut hasher);
        self.net.hash(&mut hasher);
        self.checker.fingerprint(&mut hasher);
        self.budget.hash(&mut hasher);
        self.processes.iter().for_each(|process| process.hash_into(&mut hasher));
        hasher.finish()
    }
}
