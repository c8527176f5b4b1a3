//! The topics that a pipeline has really written to, for those who ask.
//!
//! A topic counts when the first transaction with a record in it is committed. Staging notes the
//! topic of each record, which costs a look into the set of the transaction's topics, and a name's
//! copy for each new one; at a commit the set of all is looked into, once for each of them.
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

/// The topics of one transaction.
#[derive(Debug, Default)]
pub(super) struct TopicsMet(BTreeSet<String>);

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
        for topic in &topics.0 {
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
        if !self.0.contains(topic) {
            self.0.insert(topic.to_owned());
        }
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
