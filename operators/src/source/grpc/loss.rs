//! A lost cursor: the server says that it no longer has what follows it.
//!
//! Only the server can know this, and it says so with a status. Which ones mean it is declared
//! (`cursor_lost_codes`), because servers differ; and only a call that was given a cursor and
//! brought nothing new can have lost it. Then the declared action decides: stop and leave it to a
//! person, or call anew at the server's oldest or newest message, behind a gap that is reported.
//!
//! A server that refuses every cursor it gives would be read from its start again and again. So
//! losses in a row are counted; a call that goes on from a cursor, or that lasts, ends the row.
//!
//! Next: `shard.rs` asks after each call.

use super::config::{LostCode, OnCursorLost, ResumeConfig};
use crate::limits::{CURSOR_LOSS_CALM, CURSOR_LOSSES_MAX};
use std::time::Duration;
use tonic::Code;

/// What the pipeline file says of lost cursors.
#[derive(Clone, Debug, Default)]
pub(super) struct LossPlan {
    /// What to do.
    pub(super) action: OnCursorLost,
    codes: Vec<Code>,
}

/// One call, as far as it tells whether cursors still work.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallFacts {
    /// Whether its request held a cursor.
    pub(super) had_cursor: bool,
    /// Whether a message came that was not taken before.
    pub(super) has_news: bool,
    /// From the request to its end.
    pub(super) lasted: Duration,
}

/// The losses of one shard in a row.
#[derive(Debug, Default)]
pub(super) struct Losses {
    in_a_row: u32,
}

/// What a status means for the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It says nothing of the cursor.
    None,
    /// The call had brought messages, so the newest cursor is still to be tried.
    TryNewest,
    /// It is lost, and a person must decide.
    Stop,
    /// It is lost, and the next call begins elsewhere.
    GoOn(OnCursorLost),
    /// It is lost, like all before it: going on would not help.
    TooOften,
}

impl LossPlan {
    /// As declared.
    pub(super) fn new(config: &ResumeConfig) -> Self {
        let codes = config.cursor_lost_codes.iter().map(|code| code.code()).collect();
        LossPlan { action: config.on_cursor_lost, codes }
    }
}

impl Losses {
    /// A call is over, however it ended.
    pub(super) fn note(&mut self, call: CallFacts) {
        if (call.had_cursor && call.has_news) || call.lasted >= CURSOR_LOSS_CALM {
            self.in_a_row = 0;
        }
    }

    /// What it means that a server ended `call` with `code`.
    pub(super) fn judge(&mut self, plan: &LossPlan, code: Code, call: CallFacts) -> Loss {
        if !plan.codes.contains(&code) {
            return Loss::None;
        }
        match plan.action {
            OnCursorLost::Earliest | OnCursorLost::Latest if call.has_news => Loss::TryNewest,
            _ if !call.had_cursor || call.has_news => Loss::None,
            OnCursorLost::Stop => Loss::Stop,
            _ if self.in_a_row >= CURSOR_LOSSES_MAX => Loss::TooOften,
            action => {
                self.in_a_row += 1;
                Loss::GoOn(action)
            }
        }
    }
}

impl LostCode {
    fn code(self) -> Code {
        match self {
            LostCode::InvalidArgument => Code::InvalidArgument,
            LostCode::NotFound => Code::NotFound,
            LostCode::FailedPrecondition => Code::FailedPrecondition,
            LostCode::Aborted => Code::Aborted,
            LostCode::OutOfRange => Code::OutOfRange,
            LostCode::Internal => Code::Internal,
            LostCode::DataLoss => Code::DataLoss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: CallFacts =
        CallFacts { had_cursor: true, has_news: false, lasted: Duration::ZERO };

    fn plan(action: OnCursorLost) -> LossPlan {
        LossPlan { action, codes: vec![Code::OutOfRange, Code::NotFound] }
    }

    #[test]
    fn only_a_declared_status_of_a_call_with_a_cursor_that_brought_nothing_is_a_loss() {
        let judge = |action, code, call| Losses::default().judge(&plan(action), code, call);
        let earliest = OnCursorLost::Earliest;
        assert_eq!(judge(earliest, Code::OutOfRange, REFUSED), Loss::GoOn(earliest));
        assert_eq!(judge(OnCursorLost::Stop, Code::NotFound, REFUSED), Loss::Stop);
        assert_eq!(judge(earliest, Code::FailedPrecondition, REFUSED), Loss::None);
        let first = CallFacts { had_cursor: false, ..REFUSED };
        assert_eq!(judge(earliest, Code::OutOfRange, first), Loss::None);
        let fell_behind = CallFacts { has_news: true, ..REFUSED };
        assert_eq!(judge(earliest, Code::OutOfRange, fell_behind), Loss::TryNewest);
        assert_eq!(judge(OnCursorLost::Stop, Code::OutOfRange, fell_behind), Loss::None);
    }

    #[test]
    fn losses_in_a_row_are_bounded_and_a_working_cursor_or_a_long_call_ends_the_row() {
        let plan = plan(OnCursorLost::Latest);
        let goes_on = Loss::GoOn(OnCursorLost::Latest);
        for ends_the_row in [
            CallFacts { has_news: true, ..REFUSED },
            CallFacts { had_cursor: false, has_news: true, lasted: CURSOR_LOSS_CALM },
        ] {
            let mut losses = Losses::default();
            for _ in 0..CURSOR_LOSSES_MAX {
                assert_eq!(losses.judge(&plan, Code::OutOfRange, REFUSED), goes_on);
                losses.note(REFUSED);
                let from_start = CallFacts { had_cursor: false, has_news: true, ..REFUSED };
                losses.note(from_start);
            }
            assert_eq!(losses.judge(&plan, Code::OutOfRange, REFUSED), Loss::TooOften);
            losses.note(ends_the_row);
            assert_eq!(losses.judge(&plan, Code::OutOfRange, REFUSED), goes_on);
        }
    }
}
