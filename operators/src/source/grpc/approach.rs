//! What one shard has learned about reaching its server, from the calls before: which address is
//! next, how often it may ping, and how often its credentials were refused.
//!
//! Why pings get rarer. A server may forbid pings that come more often than it likes; it says so by
//! ending the connection with ENHANCE_YOUR_CALM. As
//! [gRPC](https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md) demands of its
//! clients, the interval is doubled then, for as long as the shard runs.
//!
//! Next: `channel.rs` connects by it.

use super::auth::TokenId;
use super::balance::Turns;
use super::link::LinkEnd;
use crate::limits::{AUTH_REFUSALS_MAX, PING_INTERVAL_MAX};
use std::time::Duration;

/// A shard's way to its server.
pub(super) struct Approach {
    /// Whose turn it is of the server's addresses.
    pub(super) turns: Turns,
    /// The token that the last call bore.
    pub(super) token: Option<TokenId>,
    pings: Duration,
    end: LinkEnd,
    refusals: u32,
}

impl Approach {
    /// Nothing is known yet but how often to ping.
    pub(super) fn new(turns: Turns, pings: Duration) -> Self {
        Approach { turns, token: None, pings, end: LinkEnd::default(), refusals: 0 }
    }

    /// How long a connection may be silent before it is pinged.
    pub(super) fn pings(&self) -> Duration {
        self.pings
    }

    /// There is a connection; `end` will hear of its end.
    pub(super) fn connected(&mut self, end: LinkEnd) {
        self.end = end;
    }

    /// A call has ended, `has_news` if it brought a message; the new interval of pings, if the
    /// server asked for a longer one.
    pub(super) fn ended(&mut self, has_news: bool) -> Option<Duration> {
        self.turns.ended(has_news);
        if has_news {
            self.refusals = 0;
        }
        let end = std::mem::take(&mut self.end);
        end.goaway().filter(|goaway| goaway.is_calm_wanted())?;
        self.pings = self.pings.saturating_mul(2).min(PING_INTERVAL_MAX);
        Some(self.pings)
    }

    /// The server refused the credentials of a call; whether it may be called again.
    pub(super) fn refused(&mut self) -> bool {
        self.refusals += 1;
        self.refusals < AUTH_REFUSALS_MAX
    }
}
