//! Fail points: the places of a record's way where a test lets this process die, panic or stall.
//!
//! Why: a kill from outside hits the narrow windows of the protocol by luck; a fail point hits the
//! one it names, at the hit it names. The points are those of crate `fail`, behind the cargo
//! feature `failpoints`. The product is built without it, and there [`point`] is nothing at all.
//!
//! The environment says what happens where:
//!
//! ```text
//! HEADWATER_FAULTS="src.recv=sleep(500)@2..4; epoch.close=panic@3 > sink.mid=kill@20"
//! HEADWATER_FAULTS_FOLDER=/tmp/hits
//! ```
//!
//! | action | does |
//! |---|---|
//! | `kill` | aborts the process: nothing is unwound, flushed or said, as after `kill -9` |
//! | `panic` | panics in the thread that stands at the point |
//! | `sleep(500)` | holds that thread for so many milliseconds |
//!
//! `@3` is the third time that this process comes to the point, `@2..4` the second to the fourth;
//! without it, it is the first. Hits are counted over the whole process, not per pipeline. `;` puts
//! faults side by side; behind a `>` nothing is counted until all before it has happened, so that
//! one process can meet one fault after the other.
//!
//! Beside points there are *sabotages* (`fault/sabotage.rs`): they break the promise itself, so
//! that the tests can show that they would notice.
//!
//! Invariants
//! 1. A hit is in the file `HEADWATER_FAULTS_FOLDER/<point>`, a line each, before its action
//!    begins: a test that finds no such file has proved nothing, and fails.
//! 2. What cannot be read stops the program at its start; a misspelt point is not passed over.
//! 3. No lock is held at a point, so that a panic there poisons nothing.
//!
//! Next: `fault/armed.rs` reads the environment and acts.

#[cfg(feature = "failpoints")]
mod armed;
mod sabotage;

pub use sabotage::{Sabotage, is_sabotaged};

/// The variable that says what happens at which point.
pub const FAULTS_VARIABLE: &str = "HEADWATER_FAULTS";

/// The variable that names the folder in which hits are written down; it must be there.
pub const FOLDER_VARIABLE: &str = "HEADWATER_FAULTS_FOLDER";

/// A place of a record's way: what has happened when it is reached, and what has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Our claim was read back; no transactional id is fenced.
    RecoverClaimed,
    /// Slot 0 is ours, the other transactional ids are not yet.
    RecoverFenced0,
    /// All transactional ids are ours; the committed progress was not read.
    RecoverFencedAll,
    /// The committed progress was read; nobody goes on from it yet.
    RecoverRead,
    /// A call is open, whether it is the first one or goes on behind a cursor; nothing was read.
    SrcResumed,
    /// Messages were read and numbered, and are not yet in the dataflow.
    SrcRecv,
    /// Batches were emitted under the open epoch's capability.
    SrcEmitted,
    /// A step is about to change a batch; what panics here fails its pipeline alone.
    StepApply,
    /// An epoch has just closed; no operator has moved its capability up yet.
    EpochClose,
    /// A stage operator holds batches that the committer has not got.
    StageForward,
    /// A transaction is open and empty.
    SinkBegin,
    /// A batch was staged into the open transaction.
    SinkMid,
    /// All of an epoch is staged; its positions are not in its transaction.
    SinkBeforeProgress,
    /// Records and positions are acknowledged; nobody has asked for the commit.
    SinkBeforeCommit,
    /// The commit was acknowledged, and nobody in this process knows yet.
    SinkAfterCommit,
    /// A change of the config topic is acknowledged, and its transaction is open.
    ConfigStaged,
    /// The transaction of a change is committed, and nobody in this process knows yet.
    ConfigCommitted,
}

/// The environment says something that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// A part of [`FAULTS_VARIABLE`] cannot be read.
    #[error(
        "{FAULTS_VARIABLE}: `{part}`: {problem}; expected POINT=ACTION[@HIT[..LAST]], where ACTION \
         is kill, panic or sleep(MILLISECONDS), or SABOTAGE=on"
    )]
    Unreadable {
        /// The part between two separators.
        part: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Hits could not be written down.
    #[error("{FOLDER_VARIABLE} must name a folder, in which each hit is written down")]
    FolderMissing,
}

impl Point {
    /// Those of a record's way, in its order, from the start of the program.
    pub const ALL: [Point; 15] = [
        Point::RecoverClaimed,
        Point::RecoverFenced0,
        Point::RecoverFencedAll,
        Point::RecoverRead,
        Point::SrcResumed,
        Point::SrcRecv,
        Point::SrcEmitted,
        Point::StepApply,
        Point::EpochClose,
        Point::StageForward,
        Point::SinkBegin,
        Point::SinkMid,
        Point::SinkBeforeProgress,
        Point::SinkBeforeCommit,
        Point::SinkAfterCommit,
    ];

    /// Those that lie on no record's way: `headwater serve` comes to them at each change.
    pub const OF_CHANGES: [Point; 2] = [Point::ConfigStaged, Point::ConfigCommitted];

    /// The name in the environment, and of the file of hits.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Point::RecoverClaimed => "recover.claimed",
            Point::RecoverFenced0 => "recover.fenced_0",
            Point::RecoverFencedAll => "recover.fenced_all",
            Point::RecoverRead => "recover.read",
            Point::SrcResumed => "src.resumed",
            Point::SrcRecv => "src.recv",
            Point::SrcEmitted => "src.emitted",
            Point::StepApply => "step.apply",
            Point::EpochClose => "epoch.close",
            Point::StageForward => "stage.forward",
            Point::SinkBegin => "sink.begin",
            Point::SinkMid => "sink.mid",
            Point::SinkBeforeProgress => "sink.before_progress",
            Point::SinkBeforeCommit => "sink.before_commit",
            Point::SinkAfterCommit => "sink.after_commit",
            Point::ConfigStaged => "config.staged",
            Point::ConfigCommitted => "config.committed",
        }
    }
}

/// A thread stands at `point`: acts as the environment said, or goes on at once.
#[cfg(feature = "failpoints")]
pub fn point(point: Point) {
    fail::fail_point!(point.name());
}

/// A thread stands at a point. This build has none: nothing happens.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn point(_: Point) {}

/// Reads the environment, once, at the start of the program.
///
/// # Errors
/// [`FaultError`] if it cannot be done as it stands there.
#[cfg(feature = "failpoints")]
pub fn arm() -> Result<(), FaultError> {
    armed::arm_by(|variable| std::env::var(variable).ok())
}

/// Reads the environment. This build has no fail points: there is nothing to read.
///
/// # Errors
/// None.
#[cfg(not(feature = "failpoints"))]
pub fn arm() -> Result<(), FaultError> {
    Ok(())
}
