//! Which of a server's addresses a call goes to.
//!
//! The words are gRPC's: *pick first* takes the first address that connects and stays with it,
//! *round robin* takes one after the other. A call is one stream that may last for months, so what
//! is balanced are calls, and over the shards of a source.
//!
//! A call that failed before it brought a message lets the next one begin at the next address: a
//! server may accept connections and still be of no use.
//!
//! Chance is handed in, so that the order can be tested.
//!
//! Next: `channel.rs` connects to them.

use super::config::Balance;
use super::route::Address;
use super::status::CallError;
use crate::limits::ADDRESSES_MAX;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tokio::net::lookup_host;

/// The addresses of one server.
#[derive(Clone)]
pub(super) struct Addresses {
    list: Vec<Address>,
    balance: Balance,
    /// Whether DNS is asked for each address of a host, so that each is tried by itself. A proxy
    /// asks DNS itself.
    is_resolved: bool,
}

/// Whose turn it is, for one shard.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    balance: Balance,
    seed: u64,
    /// Where the next call begins.
    next: usize,
    /// Where the last one was.
    last: usize,
}

/// A place in the order of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which address.
    pub(super) index: usize,
    /// Which place, counted over all calls.
    turn: usize,
}

impl Addresses {
    /// A host as the system connects to it.
    pub(super) fn plain(address: Address) -> Self {
        Addresses { list: vec![address], balance: Balance::PickFirst, is_resolved: false }
    }

    /// Addresses that are told apart.
    pub(super) fn balanced(list: Vec<Address>, balance: Balance, is_resolved: bool) -> Self {
        Addresses { list, balance, is_resolved }
    }

    /// The turns of shard `shard` of a source; `seed` is chance.
    pub(super) fn turns(&self, shard: usize, seed: u64) -> Turns {
        let next = if self.balance == Balance::RoundRobin { shard } else { 0 };
        Turns { balance: self.balance, seed, next, last: next }
    }

    /// As they are now; at least one.
    ///
    /// # Errors
    /// DNS knows none.
    pub(super) async fn now(&self) -> Result<Vec<Address>, CallError> {
        if !self.is_resolved {
            return Ok(self.list.clone());
        }
        let (mut found, mut failed) = (Vec::new(), None);
        for address in &self.list {
            match resolved(address).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => failed = Some(error),
            }
        }
        let mut seen = Vec::new();
        found.retain(|address| {
            !seen.contains(address) && {
                seen.push(address.clone());
                true
            }
        });
        found.truncate(ADDRESSES_MAX);
        match failed {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// For people; none where it is plain.
    pub(super) fn words(&self) -> Option<String> {
        if self.list.len() == 1 && !self.is_resolved {
            return None;
        }
        let list: Vec<String> = self.list.iter().map(ToString::to_string).collect();
        let how = match self.balance {
            Balance::PickFirst => "the first that connects",
            Balance::Random => "the first that connects, in an order by chance",
            Balance::RoundRobin => "in turns",
        };
        Some(format!("{}; {how}", list.join(", ")))
    }
}

impl Turns {
    /// The order in which one call tries `count` addresses.
    pub(super) fn order(&self, count: usize) -> Vec<Place> {
        let mut all: Vec<usize> = (0..count).collect();
        if self.balance == Balance::Random {
            all.shuffle(&mut StdRng::seed_from_u64(self.seed));
        }
        let turns = self.next..self.next + count;
        turns.map(|turn| Place { index: all[turn % count], turn }).collect()
    }

    /// A call tries this one.
    pub(super) fn take(&mut self, place: Place) {
        self.last = place.turn;
    }

    /// The call has ended; `has_news` if it brought a message.
    pub(super) fn ended(&mut self, has_news: bool) {
        let goes_back = has_news && self.balance != Balance::RoundRobin;
        self.next = if goes_back { 0 } else { self.last.wrapping_add(1) };
    }
}

async fn resolved(address: &Address) -> Result<Vec<Address>, CallError> {
    let Address::Tcp(host, port) = address else { return Ok(vec![address.clone()]) };
    let found = lookup_host((host.as_str(), *port)).await;
    let found = found.map_err(|error| CallError::of_health(format!("{host}: {error}")))?;
    Ok(found.map(|one| Address::Tcp(one.ip().to_string(), one.port())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(balance: Balance, shard: usize, seed: u64) -> Turns {
        let list = vec![Address::Tcp("a".to_owned(), 1)];
        Addresses::balanced(list, balance, false).turns(shard, seed)
    }

    fn order(turns: &Turns, count: usize) -> Vec<usize> {
        turns.order(count).iter().map(|place| place.index).collect()
    }

    #[test]
    fn pick_first_goes_on_behind_an_address_that_brought_nothing_and_back_after_one_that_did() {
        let mut turns = turns(Balance::PickFirst, 5, 0);
        assert_eq!(order(&turns, 3), [0, 1, 2], "whichever shard it is");
        // The first cannot be connected to, the second can and ends the call at once.
        turns.take(turns.order(3)[1]);
        turns.ended(false);
        assert_eq!(order(&turns, 3), [2, 0, 1]);
        turns.take(turns.order(3)[0]);
        turns.ended(true);
        assert_eq!(order(&turns, 3), [0, 1, 2]);
    }

    #[test]
    fn round_robin_begins_elsewhere_for_each_shard_and_goes_on_with_each_call() {
        let mut turns = turns(Balance::RoundRobin, 1, 0);
        for expected in [[1, 2, 0], [2, 0, 1], [0, 1, 2]] {
            assert_eq!(order(&turns, 3), expected);
            turns.take(turns.order(3)[0]);
            turns.ended(true);
        }
        assert_eq!(order(&turns, 1), [0], "DNS may give fewer the next time");
    }

    #[test]
    fn chance_gives_each_seed_an_order_that_stays() {
        let orders: Vec<Vec<usize>> =
            (0..50).map(|seed| order(&turns(Balance::Random, 0, seed), 4)).collect();
        let again: Vec<Vec<usize>> =
            (0..50).map(|seed| order(&turns(Balance::Random, 0, seed), 4)).collect();
        assert_eq!(orders, again);
        let firsts: std::collections::BTreeSet<usize> = orders.iter().map(|it| it[0]).collect();
        assert_eq!(firsts.len(), 4, "no address is always behind another");
    }
}
