//! Whether what a reader of the topic saw is what the server sent.

use crate::demo::ledger::Counts;

/// What each station counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// Events that left the server, over all calls.
    pub(super) sent: u64,
    /// Calls the pipeline opened.
    pub(super) calls: u64,
    /// Events the pipeline received.
    pub(super) received: u64,
    /// Records the pipeline committed.
    pub(super) committed: u64,
    /// What the reader saw.
    pub(super) seen: Counts,
}

impl Tally {
    /// What differs, in words; nothing if every event arrived exactly once.
    pub(super) fn differences(&self) -> Vec<String> {
        let Tally { sent, calls, committed, seen, .. } = *self;
        let mut found = Vec::new();
        let mut expect = |holds: bool, words: &str| {
            if !holds {
                found.push(words.to_owned());
            }
        };
        expect(seen.distinct > 0, "the reader saw nothing");
        expect(seen.missing == 0, "events are missing");
        expect(seen.duplicates == 0, "events arrived twice");
        expect(seen.out_of_order == 0, "events of a partition are out of order");
        expect(seen.unreadable == 0, "the topic holds records that are no events");
        expect(seen.distinct == committed, "the reader saw another number than was committed");
        // A call that is opened again may ask for events that were on their way when the last
        // broke.
        let is_all = if calls > 1 { seen.distinct <= sent } else { seen.distinct == sent };
        expect(is_all, "the reader saw another number than was sent");
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sent: u64, committed: u64, seen: Counts) -> Tally {
        Tally { sent, calls: 1, received: sent, committed, seen }
    }

    fn seen(distinct: u64) -> Counts {
        Counts { distinct, ..Counts::default() }
    }

    #[test]
    fn equal_counts_without_holes_are_exactly_once() {
        assert!(tally(9, 9, seen(9)).differences().is_empty());
    }

    #[test]
    fn each_difference_is_named() {
        assert_eq!(tally(0, 0, seen(0)).differences(), ["the reader saw nothing"]);
        assert_eq!(tally(9, 8, seen(8)).differences().len(), 1);
        assert_eq!(tally(9, 9, seen(8)).differences().len(), 2);
        let twice = Counts { duplicates: 1, ..seen(9) };
        assert_eq!(tally(9, 9, twice).differences(), ["events arrived twice"]);
        let hole = Counts { missing: 1, ..seen(9) };
        assert_eq!(tally(9, 9, hole).differences(), ["events are missing"]);
    }

    #[test]
    fn what_was_on_its_way_when_a_call_broke_is_sent_again() {
        let again = Tally { calls: 2, ..tally(12, 9, seen(9)) };
        assert!(again.differences().is_empty());
    }
}
