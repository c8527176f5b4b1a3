//! What can be taken out of the driver, the client or the broker of the model, to see that the
//! model notices.

/// Something that keeps exactly once exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Protection {
    /// A producer that has seen a broken connection begins no other transaction.
    Taint = 1,
    /// Progress is read after everything is fenced.
    FenceBeforeRead = 2,
    /// The ids of earlier owners are fenced beside our own.
    FenceAll = 4,
    /// The first commit after taking over goes through slot 0.
    SlotZero = 8,
    /// Positions are in the transaction of their records.
    ProgressInside = 16,
    /// The next commit is asked for after the one before it is answered.
    OneInDoubt = 32,
    /// A commit without an answer is not aborted.
    NoAbortInDoubt = 64,
    /// The client refuses to abort while its commit is under way.
    ClientConflict = 128,
    /// A commit without an answer is settled by the stored epoch, and not taken for an abort.
    SettledByStored = 256,
    /// Who has fenced everything looks once more for a newer claim.
    ClaimsChecked = 512,
    /// The leader of a partition asks the coordinator whether the transaction is open.
    Verification = 1024,
    /// Who held the pipeline before says so when it takes it over again.
    HeldKnown = 2048,
    /// A process claims no generation twice.
    ClaimedOnce = 4096,
}

/// The protections that a run does without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Without(u16);

impl Without {
    pub fn all_of(protections: &[Protection]) -> Self {
        Without(protections.iter().fold(0, |bits, protection| bits | *protection as u16))
    }

    pub fn lacks(self, protection: Protection) -> bool {
        self.0 & protection as u16 != 0
    }
}
