//! Fail points: the places of a record's way where a test lets this process die, panic or stall.
//!
//! Why: a kill from outside hits the narrow windows of the protocol by luck; a fail point hits the
//! one it names, at the hit it names. The points are those of crate `fail`, behind the cargo
//! feature `failpoints`. The product is built without it, and there [`point`] is nothing at all.
//!
//! The environment says what happens where:
//!
//! ```text
//! HEADWATER_FAULTS="src.recv=kill@3; epoch.close=sleep(500)@2..4"
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
//! without it, it is the first. Hits are counted over the whole process, not per pipeline.
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

/// The variable that says what happens at which point.
pub const FAULTS_VARIABLE: &str = "HEADWATER_FAULTS";

/// The variable that names the folder in which hits are written down; it must be there.
pub const FOLDER_VARIABLE: &str = "HEADWATER_FAULTS_FOLDER";

/// A place of a record's way: what has happened when it is reached, and what has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
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
}

/// The environment says something that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// A part of [`FAULTS_VARIABLE`] cannot be read.
    #[error(
        "{FAULTS_VARIABLE}: `{part}`: {problem}; expected POINT=ACTION[@HIT[..LAST]], where ACTION \
         is kill, panic or sleep(MILLISECONDS)"
    )]
    Unreadable {
        /// The part between two semicolons.
        part: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Hits could not be written down.
    #[error("{FOLDER_VARIABLE} must name a folder, in which each hit is written down")]
    FolderMissing,
}

impl Point {
    /// All of them, in the order of a record's way.
    pub const ALL: [Point; 5] =
        [Point::SrcResumed, Point::SrcRecv, Point::SrcEmitted, Point::StepApply, Point::EpochClose];

    /// The name in the environment, and of the file of hits.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Point::SrcResumed => "src.resumed",
            Point::SrcRecv => "src.recv",
            Point::SrcEmitted => "src.emitted",
            Point::StepApply => "step.apply",
            Point::EpochClose => "epoch.close",
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
