//! Fleets: servers that join and leave while the pipeline runs.
//!
//! | file | what |
//! |---|---|
//! | `mod` | a list that is watched, and the news of it |
//! | `look` | one look: a file's text, or a DNS answer as text |
//! | `judge` | text → a new list, a refusal, or nothing new |
//!
//! Why text. However a list is come by, it is checked as a list in the pipeline file would be
//! (`check/fleet.rs`), so a DNS answer is written down as lines.
//!
//! Invariants
//! 1. A list that cannot be used changes nothing: the servers stay, and the reason is told once.
//! 2. The newest list that could be used outlives the attempt that runs: a pipeline that is built
//!    anew begins with it, also while the file is broken.
//!
//! Next: `look.rs`; what becomes of the news is in `pipeline/shards.rs`.

mod judge;
mod look;

use super::check::Maker;
use super::source::Target;
use crate::limits::TARGET_MISTAKES_SHOWN_MAX;
use crate::source::ShardSpec;
use headwater_engine::spec::{Diagnostics, Severity};
use judge::Judge;
pub(super) use look::Place;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;

/// A shard that a list of targets made.
pub struct TargetShard {
    pub(super) spec: ShardSpec,
    pub(super) target: Target,
    /// What the list says of its server.
    pub(super) text: String,
}

/// All shards of a list, in its order.
pub type TargetList = Arc<[Arc<TargetShard>]>;

/// What a look at a list came to.
#[derive(Clone)]
pub enum News {
    /// This list holds now.
    List(TargetList),
    /// The newest list cannot be used; why, for people. The last one that could still holds.
    Refused(String),
    /// What was refused is gone: the list that holds is the newest one again.
    Restored,
}

/// A list of targets that is looked at again and again.
pub struct TargetWatch {
    source: String,
    place: Place,
    interval: Duration,
    maker: Maker,
    judge: Mutex<Judge>,
}

impl TargetShard {
    /// Its name and fingerprint.
    #[must_use]
    pub fn spec(&self) -> &ShardSpec {
        &self.spec
    }

    /// Whether `other`, of the same name, is called in the same way.
    #[must_use]
    pub fn is_same(&self, other: &TargetShard) -> bool {
        self.text == other.text && self.spec.fingerprint == other.spec.fingerprint
    }

    /// Which feed it delivers, where several servers deliver one: the end of the names of its
    /// shards.
    #[must_use]
    pub fn feed(&self) -> Option<&str> {
        self.target.feed.as_deref()
    }

    /// The server's URL, for people.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.target.dial.shown()
    }
}

impl TargetWatch {
    pub(super) fn new(
        source: &str,
        place: Place,
        interval: Duration,
        may_be_empty: bool,
        maker: Maker,
    ) -> Self {
        let settles = matches!(place, Place::File(_));
        let judge = Mutex::new(Judge::new(may_be_empty, settles));
        TargetWatch { source: source.to_owned(), place, interval, maker, judge }
    }

    /// Looks at a file for the first time, when the pipeline file is checked. DNS is not asked
    /// then.
    ///
    /// # Errors
    /// Why its list cannot be used, a line each.
    pub(super) fn first(&self) -> Result<(), String> {
        let Some(text) = self.place.look_now() else { return Ok(()) };
        self.judge().first(text, |text| self.make(text))
    }

    /// The list that holds now; none before the first one is known.
    #[must_use]
    pub fn list(&self) -> Option<TargetList> {
        self.judge().list()
    }

    /// Where it looks, and how often, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}, looked at every {} ms", self.place.shown(), self.interval.as_millis())
    }

    /// Looks for as long as somebody takes the news: first of all those that are known already.
    pub async fn run(self: Arc<Self>, node: usize, news: mpsc::Sender<(usize, News)>) {
        let known = self.judge().known();
        for known in known {
            if news.send((node, known)).await.is_err() {
                return;
            }
        }
        loop {
            let text = self.place.look().await;
            let new = self.judge().judge(text, |text| self.make(text));
            if let Some(new) = new
                && news.send((node, new)).await.is_err()
            {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = news.closed() => return,
            }
        }
    }

    fn make(&self, text: &str) -> Result<Vec<Arc<TargetShard>>, String> {
        let name = self.place.name();
        self.maker.make(&name, text).map_err(|diagnostics| told(&name, &diagnostics))
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().expect("judging a list does not panic")
    }

    /// The source node that the list belongs to.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The first mistakes of a list, a line each.
pub(super) fn told(name: &str, diagnostics: &Diagnostics) -> String {
    let errors = || diagnostics.iter().filter(|finding| finding.severity == Severity::Error);
    let mut lines: Vec<String> = Vec::new();
    for error in errors().take(TARGET_MISTAKES_SHOWN_MAX) {
        let what = [std::slice::from_ref(&error.message), &error.details].concat().join("; ");
        lines.push(format!("{name}:{}:{}: {what}", error.span.line, error.span.column));
    }
    match errors().count().saturating_sub(TARGET_MISTAKES_SHOWN_MAX) {
        0 => {}
        more => lines.push(format!("and {more} more")),
    }
    lines.join("\n")
}
