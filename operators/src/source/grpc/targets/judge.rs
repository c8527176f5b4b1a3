//! What a look means: a new list, a refusal, or nothing new. A state machine without I/O or clock.
//!
//! Why a file's text must be seen twice. Nobody can tell a list that is still being written from
//! a shorter one: its lines are whole, and some are missing. Servers would leave and come back. A
//! text that is the same at two looks is taken to be whole; a file that is replaced by renaming
//! always is.
//!
//! Invariant: a text is checked once, however often it is seen.
//!
//! Next: `look.rs` finds the text.

use super::{News, TargetList, TargetShard};
use std::sync::Arc;

/// What a list without any target is refused with.
const EMPTY: &str = "it names no target; `on_empty: remove` would let all leave";

/// What is known of one list.
pub(super) struct Judge {
    may_be_empty: bool,
    settles: bool,
    holds: Option<Held>,
    /// The text that was seen last, while it must be seen again.
    pending: Option<String>,
    refused: Option<Refused>,
}

/// The list that holds.
struct Held {
    text: String,
    list: TargetList,
}

/// What cannot be used.
struct Refused {
    /// None if there was none to be read.
    text: Option<String>,
    reason: String,
}

type Made = Result<Vec<Arc<TargetShard>>, String>;

impl Judge {
    /// Nothing is known yet. With `settles` a text must be seen twice; `may_be_empty` lets a list
    /// without targets count.
    pub(super) fn new(may_be_empty: bool, settles: bool) -> Self {
        Judge { may_be_empty, settles, holds: None, pending: None, refused: None }
    }

    /// The list that holds.
    pub(super) fn list(&self) -> Option<TargetList> {
        self.holds.as_ref().map(|held| held.list.clone())
    }

    /// All that is known, as news.
    pub(super) fn known(&self) -> Vec<News> {
        let list = self.list().map(News::List);
        let refused = self.refused.as_ref().map(|it| News::Refused(it.reason.clone()));
        list.into_iter().chain(refused).collect()
    }

    /// The first text, which counts at once.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn first(
        &mut self,
        text: Result<String, String>,
        make: impl FnOnce(&str) -> Made,
    ) -> Result<(), String> {
        let text = text?;
        let list = self.usable(&text, make)?;
        self.holds = Some(Held { text, list });
        Ok(())
    }

    /// What a look means.
    pub(super) fn judge(
        &mut self,
        text: Result<String, String>,
        make: impl FnOnce(&str) -> Made,
    ) -> Option<News> {
        let text = match text {
            Ok(text) => text,
            Err(reason) => {
                self.pending = None;
                return self.refuse(None, reason);
            }
        };
        if self.holds.as_ref().is_some_and(|held| held.text == text) {
            self.pending = None;
            return self.refused.take().map(|_| News::Restored);
        }
        if self.refused.as_ref().is_some_and(|refused| refused.text.as_ref() == Some(&text)) {
            return None;
        }
        if self.settles && self.pending.as_ref() != Some(&text) {
            self.pending = Some(text);
            return None;
        }
        self.pending = None;
        match self.usable(&text, make) {
            Ok(list) => {
                self.refused = None;
                self.holds = Some(Held { text, list: list.clone() });
                Some(News::List(list))
            }
            Err(reason) => self.refuse(Some(text), reason),
        }
    }

    fn usable(&self, text: &str, make: impl FnOnce(&str) -> Made) -> Result<TargetList, String> {
        let shards = make(text)?;
        if shards.is_empty() && !self.may_be_empty {
            return Err(EMPTY.to_owned());
        }
        Ok(shards.into())
    }

    /// A reason is told once.
    fn refuse(&mut self, text: Option<String>, reason: String) -> Option<News> {
        let is_known = self.refused.as_ref().is_some_and(|refused| refused.reason == reason);
        self.refused = Some(Refused { text, reason: reason.clone() });
        (!is_known).then_some(News::Refused(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists of this test have no targets; what cannot be used says so.
    fn make(text: &str) -> Made {
        if text.starts_with("bad") { Err(format!("{text} is bad")) } else { Ok(Vec::new()) }
    }

    fn told(news: Option<News>) -> String {
        match news {
            None => "-".to_owned(),
            Some(News::List(_)) => "list".to_owned(),
            Some(News::Refused(reason)) => reason,
            Some(News::Restored) => "restored".to_owned(),
        }
    }

    fn look(judge: &mut Judge, text: &str) -> String {
        told(judge.judge(Ok(text.to_owned()), make))
    }

    #[test]
    fn a_text_counts_when_it_was_seen_twice_and_what_changes_in_between_begins_anew() {
        let mut judge = Judge::new(true, true);
        assert_eq!(look(&mut judge, "a"), "-");
        assert_eq!(look(&mut judge, "a b"), "-");
        assert_eq!(look(&mut judge, "a b"), "list");
        assert_eq!(look(&mut judge, "a b"), "-", "what holds is no news");
        let mut judge = Judge::new(true, false);
        assert_eq!(look(&mut judge, "a"), "list", "an answer is whole");
    }

    #[test]
    fn a_refusal_is_told_once_and_taken_back_when_the_text_that_holds_returns() {
        let mut judge = Judge::new(true, true);
        judge.first(Ok("a".to_owned()), make).expect("it can be used");
        assert_eq!(look(&mut judge, "bad"), "-");
        assert_eq!(look(&mut judge, "bad"), "bad is bad");
        assert_eq!(look(&mut judge, "bad"), "-");
        assert_eq!(told(judge.judge(Err("gone".to_owned()), make)), "gone");
        assert_eq!(told(judge.judge(Err("gone".to_owned()), make)), "-");
        assert_eq!(look(&mut judge, "a"), "restored");
        assert_eq!(look(&mut judge, "a"), "-");
    }

    #[test]
    fn what_is_known_is_told_to_whoever_comes_later() {
        let mut judge = Judge::new(true, false);
        assert!(judge.known().is_empty());
        look(&mut judge, "a");
        look(&mut judge, "bad");
        let known: Vec<String> = judge.known().into_iter().map(|it| told(Some(it))).collect();
        assert_eq!(known, ["list", "bad is bad"]);
    }

    #[test]
    fn an_empty_list_is_refused_unless_it_is_said_to_count() {
        let mut judge = Judge::new(false, false);
        assert_eq!(look(&mut judge, ""), EMPTY);
        assert!(judge.first(Ok(String::new()), make).is_err());
        assert_eq!(look(&mut Judge::new(true, false), ""), "list");
    }
}
