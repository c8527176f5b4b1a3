//! The topics that a pipeline has really written to, for those who ask.
//!
//! A topic counts when the first transaction with a record in it is committed. Staging notes the
//! topic of each record, which costs a comparison with the one before; at a commit a set is looked
//! into, once for each topic of the transaction.
//!
//! Next: `outlet.rs` tells of commits.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Hears of each topic when it is written to for the first time; clones are the same.
#[derive(Clone)]
pub struct WrittenTopics(Arc<Inner>);

struct Inner {
    known: Mutex<BTreeSet<String>>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

/// The topics of one transaction, in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct TopicsMet {
    all: Vec<String>,
    /// The place of the last record's.
    last: usize,
}

impl WrittenTopics {
    /// `tell` is called on the committer's thread, which waits for it.
    #[must_use]
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let known = Mutex::default();
        WrittenTopics(Arc::new(Inner { known, tell: Box::new(tell) }))
    }

    /// Forgets all of them: the next commit tells of its topics again.
    pub fn forget(&self) {
        self.0.known.lock().expect("nothing panics here").clear();
    }

    /// A transaction with records in these topics is committed.
    pub(super) fn committed(&self, topics: &TopicsMet) {
        for topic in &topics.all {
            let mut known = self.0.known.lock().expect("nothing panics here");
            let is_new = !known.contains(topic) && known.insert(topic.clone());
            drop(known);
            if is_new {
                (self.0.tell)(topic);
            }
        }
    }
}

impl fmt::Debug for WrittenTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrittenTopics")
    }
}

impl TopicsMet {
    /// A record goes to `topic`.
    pub(super) fn meet(&mut self, topic: &str) {
        if self.all.get(self.last).is_some_and(|it| it == topic) {
            return;
        }
        let place = self.all.iter().position(|it| it == topic);
        self.last = place.unwrap_or_else(|| {
            self.all.push(topic.to_owned());
            self.all.len() - 1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_told_of_once_and_again_after_it_was_forgotten() {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let hears = told.clone();
        let written = WrittenTopics::new(move |topic| hears.lock().unwrap().push(topic.to_owned()));
        let mut met = TopicsMet::default();
        for topic in ["a", "a", "b", "a"] {
            met.meet(topic);
        }
        written.committed(&met);
        written.committed(&met);
        assert_eq!(*told.lock().unwrap(), ["a", "b"]);
        written.forget();
        written.committed(&met);
        assert_eq!(*told.lock().unwrap(), ["a", "b", "a", "b"]);
    }
}
