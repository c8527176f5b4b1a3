//! What is between clients and the broker: connections that keep their order, break, and deliver
//! late.
//!
//! When a connection breaks, its client knows nothing of what it had sent: the requests may still
//! arrive, later than those sent on the next connection, or not at all. Their answers are lost.
//!
//! Next: `producer.rs` sends; `world.rs` delivers.

use crate::kafka::{Answer, Request};
use std::collections::{BTreeMap, VecDeque};

/// To whom a connection belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub process: u8,
    pub client: u16,
    pub side: Side,
}

/// A client has a connection to its coordinator and one to the leader of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Coordinator,
    Leader,
}

/// Numbered by process and client, so that it does not matter who was first to open one.
pub type ConnId = (u8, u16, u16);

#[derive(Clone, Debug, Hash)]
pub struct Conn {
    pub of: Address,
    pub is_up: bool,
    pub requests: VecDeque<Request>,
    pub answers: VecDeque<Answer>,
}

#[derive(Clone, Debug, Default, Hash)]
pub struct Net {
    pub conns: BTreeMap<ConnId, Conn>,
    /// How many each client has opened.
    opened: BTreeMap<(u8, u16), u16>,
}

/// A client's end: what it has sent and not heard of.
#[derive(Clone, Debug, Hash)]
pub struct Line {
    pub conn: ConnId,
    pub waiting: VecDeque<Waiting>,
}

#[derive(Clone, Debug, Hash)]
pub struct Waiting {
    pub request: Request,
    /// Nobody is interested in the answer any more, and the request is not repeated.
    pub is_purged: bool,
}

impl Net {
    fn open(&mut self, of: Address) -> ConnId {
        let opened = self.opened.entry((of.process, of.client)).or_default();
        *opened += 1;
        let id = (of.process, of.client, *opened);
        let conn = Conn { of, is_up: true, requests: VecDeque::new(), answers: VecDeque::new() };
        self.conns.insert(id, conn);
        id
    }

    /// The connection is gone; what was sent on it may still arrive.
    pub fn cut(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.is_up = false;
            conn.answers.clear();
            self.forget_if_empty(id);
        }
    }

    /// What was sent on a broken connection will not arrive.
    pub fn lose(&mut self, id: ConnId) {
        self.conns.remove(&id);
    }

    /// Takes the next request of a connection.
    pub fn take(&mut self, id: ConnId) -> Request {
        let conn = self.conns.get_mut(&id).expect("the connection holds a request");
        conn.requests.pop_front().expect("the connection holds a request")
    }

    pub fn answer(&mut self, id: ConnId, answer: Answer) {
        let conn = self.conns.get_mut(&id).expect("a request came from it");
        if conn.is_up {
            conn.answers.push_back(answer);
        }
        self.forget_if_empty(id);
    }

    fn forget_if_empty(&mut self, id: ConnId) {
        let conn = &self.conns[&id];
        if !conn.is_up && conn.requests.is_empty() {
            self.conns.remove(&id);
        }
    }
}

impl Line {
    pub fn open(net: &mut Net, of: Address) -> Self {
        Line { conn: net.open(of), waiting: VecDeque::new() }
    }

    pub fn send(&mut self, net: &mut Net, request: Request) {
        let conn = net.conns.get_mut(&self.conn).expect("a line has its connection");
        conn.requests.push_back(request.clone());
        self.waiting.push_back(Waiting { request, is_purged: false });
    }

    /// The request that the next answer belongs to.
    pub fn answered(&mut self) -> Waiting {
        self.waiting.pop_front().expect("an answer has its request")
    }

    /// The connection broke: everything that still matters is sent again on another one.
    pub fn reconnect(&mut self, net: &mut Net, of: Address) {
        net.cut(self.conn);
        self.conn = net.open(of);
        for waiting in std::mem::take(&mut self.waiting) {
            if !waiting.is_purged {
                self.send(net, waiting.request);
            }
        }
    }

    pub fn purge(&mut self) -> usize {
        self.waiting.iter_mut().for_each(|waiting| waiting.is_purged = true);
        self.waiting.len()
    }

    pub fn is_idle(&self) -> bool {
        self.waiting.iter().all(|waiting| waiting.is_purged)
    }
}
