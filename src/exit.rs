//! Every way the program ends, as a number that scripts and service managers can tell apart.
//!
//! The numbers are those of `sysexits.h` where it has one. A restart by a service manager heals 69
//! and 75 and may heal 70; 64 and 65 need a person; 76 must not be restarted in place.

use headwater_operators::pipeline::RunEnd;
use std::fmt::Write as _;
use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All streams ended, or a stop was asked for, and everything received is committed.
    Done,
    /// Not everything could be committed before the program had to leave.
    Unfinished,
    /// No stream is left, or a server that is needed does not answer.
    Unavailable,
    /// A newer instance runs the pipeline.
    Superseded,
    /// A pipeline cannot go on without a person.
    Failed,
    /// A defect of the program.
    Internal,
    /// The command line or a file is wrong.
    Mistake,
    /// A second signal asked to leave at once.
    Interrupted,
}

/// A command that could not do its work, and the exit code that means it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) exit: Exit,
    /// Why, unless that has been printed already.
    pub(crate) error: Option<anyhow::Error>,
}

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failed>;

impl Exit {
    /// All of them, by number.
    const ALL: [Exit; 8] = [
        Exit::Done,
        Exit::Mistake,
        Exit::Failed,
        Exit::Unavailable,
        Exit::Internal,
        Exit::Unfinished,
        Exit::Superseded,
        Exit::Interrupted,
    ];

    /// The number the operating system is told.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Mistake => 64,
            Exit::Failed => 65,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::Unfinished => 75,
            Exit::Superseded => 76,
            Exit::Interrupted => 130,
        }
    }

    /// What it means, for the help text.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done, or stopped on request; everything received is committed",
            Exit::Mistake => "a mistake in a file or on the command line; no stream was called",
            Exit::Failed => "a pipeline needs a person: a record or topic it cannot handle",
            Exit::Unavailable => "no stream is left, or a server that is needed does not answer",
            Exit::Internal => "a defect of the program; committed progress is safe",
            Exit::Unfinished => "not everything was committed in time; the next start goes on",
            Exit::Superseded => "a newer instance has taken the pipeline over",
            Exit::Interrupted => "a second signal: left at once; the next start goes on",
        }
    }

    /// What a pipeline's end means for the process.
    pub(crate) fn of(end: &RunEnd) -> Exit {
        match end {
            RunEnd::Finished | RunEnd::Stopped => Exit::Done,
            RunEnd::NotDrained => Exit::Unfinished,
            RunEnd::Broken(_) => Exit::Unavailable,
            RunEnd::Failed(_) => Exit::Failed,
            RunEnd::Superseded(_) => Exit::Superseded,
        }
    }

    /// The graver of two ends: what a person must look at hides what a restart heals.
    pub(crate) fn graver(self, other: Exit) -> Exit {
        if other.gravity() > self.gravity() { other } else { self }
    }

    fn gravity(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Unfinished => 1,
            Exit::Unavailable => 2,
            Exit::Superseded => 3,
            Exit::Failed => 4,
            Exit::Internal => 5,
            Exit::Mistake => 6,
            Exit::Interrupted => 7,
        }
    }

    /// This exit, because of `error`.
    pub(crate) fn because(self, error: impl Into<anyhow::Error>) -> Failed {
        Failed { exit: self, error: Some(error.into()) }
    }

    /// This exit, for a reason that has been printed.
    pub(crate) fn silently(self) -> Failed {
        Failed { exit: self, error: None }
    }

    /// This exit, for a reason in words.
    pub(crate) fn saying(self, words: impl Into<String>) -> Failed {
        Failed { exit: self, error: Some(anyhow::Error::msg(words.into())) }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// The table of exit codes, for the help text.
pub(crate) fn table() -> String {
    let mut out = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        let _ = writeln!(out, "  {:>3}  {}", exit.code(), exit.meaning());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_and_in_order() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert!(codes.is_sorted_by(|one, next| one < next), "{codes:?}");
    }

    #[test]
    fn what_needs_a_person_hides_what_a_restart_heals() {
        assert_eq!(Exit::Done.graver(Exit::Unavailable), Exit::Unavailable);
        assert_eq!(Exit::Failed.graver(Exit::Unfinished), Exit::Failed);
        assert_eq!(Exit::Unavailable.graver(Exit::Failed), Exit::Failed);
    }
}
