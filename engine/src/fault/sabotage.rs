//! Sabotages: ways to break the promise of exactly once on purpose, one at a time.
//!
//! Why: a test that stays green whatever the program does proves nothing. Each sabotage takes one
//! protection of the protocol away, and the tests of delivery demand that their judge then finds
//! what was lost or repeated.
//!
//! They are armed as points are (`sabotage.taint_ignored=on`), and as points they exist only in
//! builds with the feature `failpoints`: elsewhere [`is_sabotaged`] is the constant `false`, and
//! what hangs on it is no part of the program.
//!
//! Invariant: whoever asks [`is_sabotaged`] and hears yes does the wrong thing then and there, so
//! that a line in the file of hits proves that it was done.

/// A protection that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Positions are written at once and beside the transaction, not as a part of it.
    ProgressOutside,
    /// Progress is what the topic held before the fence, not what it holds behind it.
    ReadBeforeFence,
    /// Progress is read with what was never committed.
    ReadUncommitted,
    /// Only slot 0 of the earlier owner's ring is fenced.
    SlotUnfenced,
    /// A producer that has seen trouble begins another transaction.
    TaintIgnored,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Sabotage; 5] = [
        Sabotage::ProgressOutside,
        Sabotage::ReadBeforeFence,
        Sabotage::ReadUncommitted,
        Sabotage::SlotUnfenced,
        Sabotage::TaintIgnored,
    ];

    /// The name in the environment, and of the file of hits.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Sabotage::ProgressOutside => "sabotage.progress_outside",
            Sabotage::ReadBeforeFence => "sabotage.read_before_fence",
            Sabotage::ReadUncommitted => "sabotage.read_uncommitted",
            Sabotage::SlotUnfenced => "sabotage.slot_unfenced",
            Sabotage::TaintIgnored => "sabotage.taint_ignored",
        }
    }
}

/// Whether the protection is gone here and now; a yes is written down as a hit.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn is_sabotaged(sabotage: Sabotage) -> bool {
    fail::fail_point!(sabotage.name(), |_| super::armed::sabotaged(sabotage));
    false
}

/// Whether the protection is gone. In this build none is.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
#[must_use]
pub const fn is_sabotaged(_: Sabotage) -> bool {
    false
}
