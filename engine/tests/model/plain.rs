//! A producer without transactions, for claims and their tombstones.
//!
//! Next: `takeover.rs` claims with it.

use crate::kafka::Request;
use crate::log::{Entry, Pid};
use crate::net::{Address, Line, Net, Side};

#[derive(Clone, Debug, Hash)]
pub struct Plain {
    pid: Pid,
    seq: u16,
    line: Line,
    of: Address,
}

impl Plain {
    pub fn open(net: &mut Net, process: u8, client: u16) -> Self {
        // Beyond the numbers of transactional producers.
        let pid = 1_000 * (1 + Pid::from(process)) + Pid::from(client);
        let of = Address { process, client, side: Side::Leader };
        Plain { pid, seq: 0, line: Line::open(net, of), of }
    }

    pub fn append(&mut self, net: &mut Net, entry: Entry) {
        self.line.send(net, Request::Plain { pid: self.pid, seq: self.seq, entry });
        self.seq += 1;
    }

    pub fn is_acknowledged(&self) -> bool {
        self.line.is_idle()
    }

    pub fn client(&self) -> u16 {
        self.of.client
    }

    pub fn answer(&mut self) {
        self.line.answered();
    }

    pub fn cut(&mut self, net: &mut Net) {
        self.line.reconnect(net, self.of);
    }

    /// What was sent may still arrive.
    pub fn drop_line(&self, net: &mut Net) {
        net.cut(self.line.conn);
    }
}
