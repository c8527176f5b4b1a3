//! The thread on which commits block, so that the committer can stage the next epoch meanwhile.
//!
//! Invariant: at most one commit is under way, as the decision demands; so neither channel ever
//! holds more than one.
//!
//! Next: `committer.rs` sends what is sealed and receives the answers.

use crate::commit::outlet::{OutletError, Sealed};
use crate::fault::{self, Point};
use crossbeam_channel::{Receiver, Sender, bounded};

/// A commit was answered.
pub(super) struct Answer {
    /// What was to be committed; it may have to be asked for again.
    pub(super) sealed: Box<dyn Sealed>,
    /// The answer.
    pub(super) outcome: Result<(), OutletError>,
}

/// The committer's end. Dropping it ends the thread, after the commit that is under way.
pub(super) struct CommitCalls {
    requests: Sender<Box<dyn Sealed>>,
    answers: Receiver<Answer>,
}

impl CommitCalls {
    /// Starts the thread.
    pub(super) fn start() -> Self {
        let (requests, sealed) = bounded::<Box<dyn Sealed>>(1);
        let (answered, answers) = bounded(1);
        let thread = std::thread::Builder::new().name("commit-call".to_owned());
        let serve = move || {
            for mut sealed in sealed {
                let outcome = sealed.commit();
                if outcome.is_ok() {
                    fault::point(Point::SinkAfterCommit);
                }
                if answered.send(Answer { sealed, outcome }).is_err() {
                    return;
                }
            }
        };
        thread.spawn(serve).expect("the system has room for a thread per pipeline");
        CommitCalls { requests, answers }
    }

    /// Asks for a commit. If the thread is gone, the missing answer tells.
    pub(super) fn ask(&self, sealed: Box<dyn Sealed>) {
        let _ = self.requests.send(sealed);
    }

    /// Where answers arrive. It is disconnected if a commit panicked.
    pub(super) fn answers(&self) -> &Receiver<Answer> {
        &self.answers
    }
}
