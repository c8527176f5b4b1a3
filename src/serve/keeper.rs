//! Does what the manager decides: starts and ends the pipelines of this process.
//!
//! Events come from three sides: the config topic's thread, the tasks of pipelines, and requests.
//! One lock puts them in one order; under it the manager decides and its actions are taken, none of
//! which waits for anything.
//!
//! Invariants
//! 1. The manager hears of every task's end, also of one that panicked.
//! 2. Nothing blocks and nothing is awaited under the lock.
//!
//! Next: `store.rs` feeds it what the topic says; `control.rs` is what requests use.

use crate::exit::Exit;
use crate::pipelines::{Ending, Host, Terms, Watched};
use crate::serve::document::Documents;
use crate::serve::entry::{Kind, Name, SetOffset};
use crate::serve::manager::{Action, End, Event, Manager, RunId, Start, View};
use headwater_operators::sink::kafka::WrittenTopics;
use headwater_operators::telemetry::ServeMetrics;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The pipelines of this process, by name.
pub(crate) struct Keeper {
    inner: Mutex<Inner>,
    /// A task has ended.
    ended: Notify,
    /// A connector has written to a topic that the config topic does not name yet.
    topic_met: Notify,
    host: Host,
    documents: Documents,
    runtime: Handle,
    metrics: ServeMetrics,
}

#[derive(Default)]
struct Inner {
    manager: Manager,
    runs: BTreeMap<Name, Run>,
    /// What is kept beside connectors.
    asides: BTreeMap<Name, Aside>,
    /// The process ends: nothing is started any more.
    is_closing: bool,
    /// A pipeline could not commit everything before it ended.
    is_undrained: bool,
}

/// What is kept beside a connector.
#[derive(Clone, Debug, Default)]
struct Aside {
    /// Topics that the config topic names.
    stored: BTreeSet<String>,
    /// Topics that it does not name yet.
    fresh: BTreeSet<String>,
    /// Offsets that somebody has set.
    offsets: Vec<SetOffset>,
}

/// The last task of an entry; it stays when the task has ended, for those who look.
struct Run {
    id: RunId,
    stop: CancellationToken,
    /// Known once its document is checked.
    watched: Option<Watched>,
    /// Tells of topics, for a connector.
    written: Option<WrittenTopics>,
}

/// An entry as it is now.
#[derive(Clone)]
pub(crate) struct Present {
    pub(crate) view: View,
    /// Its pipeline, if it has run in this process.
    pub(crate) watched: Option<Watched>,
    /// The topics that it has written to, for a connector.
    pub(crate) topics: BTreeSet<String>,
    /// The offsets that somebody has set of a connector.
    pub(crate) offsets: Vec<SetOffset>,
}

impl Keeper {
    /// Must be called within the runtime that pipelines are to run in.
    pub(crate) fn new(host: Host, documents: Documents) -> Arc<Self> {
        let inner = Mutex::default();
        let (ended, topic_met) = (Notify::new(), Notify::new());
        let metrics = host.telemetry.serve();
        let runtime = Handle::current();
        let keeper = Keeper { inner, ended, topic_met, host, documents, runtime, metrics };
        keeper.show(&keeper.lock().manager);
        Arc::new(keeper)
    }

    /// Something has happened.
    pub(crate) fn on(self: &Arc<Self>, event: Event) {
        let mut inner = self.lock();
        let is_late = inner.is_closing && matches!(event, Event::Leads(true));
        let actions = if is_late { Vec::new() } else { inner.manager.on(event) };
        for action in actions {
            self.act(&mut inner, action);
        }
        self.show(&inner.manager);
    }

    /// The config topic names these topics of a connector.
    pub(crate) fn note_topics(&self, name: Name, topics: BTreeSet<String>) {
        let mut inner = self.lock();
        let aside = inner.asides.entry(name).or_default();
        aside.fresh.retain(|topic| !topics.contains(topic));
        aside.stored = topics;
    }

    /// The config topic holds these offsets of a connector.
    pub(crate) fn note_offsets(&self, name: Name, offsets: Vec<SetOffset>) {
        self.lock().asides.entry(name).or_default().offsets = offsets;
    }

    /// The topics of a connector are forgotten; it tells again of those that it still writes to.
    pub(crate) fn forget_topics(&self, name: &Name) {
        let mut inner = self.lock();
        if let Some(aside) = inner.asides.get_mut(name) {
            aside.fresh.clear();
        }
        let written = inner.runs.get(name).and_then(|run| run.written.clone());
        drop(inner);
        // Whoever tells of a topic takes our lock.
        if let Some(written) = written {
            written.forget();
        }
    }

    /// Connectors with topics that the config topic does not name yet, with all of their topics;
    /// waits until there is one.
    pub(crate) async fn unsaved_topics(&self) -> Vec<(Name, BTreeSet<String>)> {
        loop {
            let met = self.topic_met.notified();
            let unsaved = self.lock().unsaved_topics();
            if !unsaved.is_empty() {
                return unsaved;
            }
            met.await;
        }
    }

    /// The entry of this name.
    pub(crate) fn entry(&self, name: &Name) -> Option<Present> {
        let inner = self.lock();
        inner.manager.view(name).map(|view| inner.present(view))
    }

    /// All entries, by name.
    pub(crate) fn entries(&self) -> Vec<Present> {
        let inner = self.lock();
        inner.manager.views().into_iter().map(|view| inner.present(view)).collect()
    }

    /// How many entries there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().manager.len()
    }

    /// Whether this instance leads.
    pub(crate) fn leads(&self) -> bool {
        self.lock().manager.leads()
    }

    /// All pipelines that run, those on their way out included.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        let inner = self.lock();
        let running = inner.runs.iter().filter(|(name, _)| inner.manager.has_task(name));
        running.filter_map(|(_, run)| run.watched.clone()).collect()
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Ends all pipelines; false if that took longer than `patience`.
    pub(crate) async fn end_all(self: &Arc<Self>, patience: Duration) -> bool {
        self.lock().is_closing = true;
        self.on(Event::Leads(false));
        let all = async {
            loop {
                let ended = self.ended.notified();
                if self.lock().manager.is_idle() {
                    return;
                }
                ended.await;
            }
        };
        tokio::time::timeout(patience, all).await.is_ok()
    }

    /// Whether every pipeline that has ended had committed all it had received.
    pub(crate) fn has_drained(&self) -> bool {
        !self.lock().is_undrained
    }

    fn act(self: &Arc<Self>, inner: &mut Inner, action: Action) {
        match action {
            Action::Start(start) => {
                let stop = CancellationToken::new();
                let written = self.written(&start);
                let (id, watched) = (start.run, None);
                let run = Run { id, stop: stop.clone(), watched, written: written.clone() };
                inner.runs.insert(start.name.clone(), run);
                let terms = Terms {
                    stop,
                    accept_change: start.known.accept_change.map(Into::into),
                    on_commit: None,
                    written,
                };
                self.runtime.spawn(self.clone().see_through(start, terms));
            }
            Action::End(name, run) => {
                if let Some(run) = inner.runs.get(&name).filter(|it| it.id == run) {
                    run.stop.cancel();
                }
            }
            Action::Forget(name) => {
                // The pipeline of a connector need not bear its name.
                inner.forget_aside(&name);
                let watched = inner.runs.remove(&name).and_then(|run| run.watched);
                self.host.forget(watched.as_ref().map_or(name.as_str(), |it| it.name.as_str()));
            }
        }
    }

    /// What hears of the topics of a connector.
    fn written(self: &Arc<Self>, start: &Start) -> Option<WrittenTopics> {
        let (keeper, name) = (Arc::downgrade(self), start.name.clone());
        (start.kind == Kind::Connector).then(|| {
            WrittenTopics::new(move |topic| {
                if let Some(keeper) = keeper.upgrade() {
                    keeper.meet_topic(&name, topic);
                }
            })
        })
    }

    fn meet_topic(&self, name: &Name, topic: &str) {
        let mut inner = self.lock();
        let aside = inner.asides.entry(name.clone()).or_default();
        if !aside.stored.contains(topic) {
            aside.fresh.insert(topic.to_owned());
            self.topic_met.notify_one();
        }
    }

    /// Runs one task and tells of its end.
    async fn see_through(self: Arc<Self>, start: Start, terms: Terms) {
        let (name, run) = (start.name.clone(), start.run);
        let task = self.runtime.spawn(self.clone().live(start, terms));
        let end = task.await.unwrap_or_else(|error| {
            tracing::error!(event = "pipeline_panicked", pipeline = name.as_str(), "{error}");
            End::Failed(format!("a defect of the program: {error}"))
        });
        self.on(Event::Ended(name, run, end));
        self.ended.notify_waiters();
    }

    async fn live(self: Arc<Self>, start: Start, terms: Terms) -> End {
        let Start { name, run, kind, known, .. } = start;
        let checked = self.documents.check(kind, name.clone(), known.document.clone()).await;
        let sound = match checked {
            Ok(checked) => checked.sound,
            // It was sound when it was put; what it refers to has changed since.
            Err(mistakes) => {
                let reason = mistakes.message;
                tracing::error!(event = "document_refused", pipeline = %name, "{reason}");
                return End::Failed(reason);
            }
        };
        if terms.stop.is_cancelled() {
            return End::Done;
        }
        let (watched, life) = self.host.adopt(sound, terms);
        if let Some(own) = self.lock().runs.get_mut(&name).filter(|own| own.id == run) {
            own.watched = Some(watched);
        }
        match life.await {
            Ending { exit: Exit::Done, .. } => End::Done,
            Ending { exit, reason } => {
                self.lock().is_undrained |= exit == Exit::Unfinished;
                End::Failed(reason.unwrap_or_else(|| exit.meaning().to_owned()))
            }
        }
    }

    fn show(&self, manager: &Manager) {
        self.metrics.leads.set(i64::from(manager.leads()));
        for (word, count) in manager.counts() {
            self.metrics.entries.with_label_values(&[word]).set(count);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds the entries")
    }
}

impl Inner {
    fn present(&self, view: View) -> Present {
        let run = self.runs.get(&view.name);
        let aside = self.asides.get(&view.name);
        Present {
            watched: run.and_then(|run| run.watched.clone()),
            topics: aside.map(Aside::topics).unwrap_or_default(),
            offsets: aside.map(|it| it.offsets.clone()).unwrap_or_default(),
            view,
        }
    }

    /// What the config topic says of it stays: its record may be read before the entry's.
    fn forget_aside(&mut self, name: &Name) {
        if let Some(aside) = self.asides.get_mut(name) {
            aside.fresh.clear();
            if aside.stored.is_empty() && aside.offsets.is_empty() {
                self.asides.remove(name);
            }
        }
    }

    fn unsaved_topics(&self) -> Vec<(Name, BTreeSet<String>)> {
        let is_there = |name: &Name| self.manager.view(name).is_some();
        let unsaved = self.asides.iter().filter(|(name, aside)| {
            !aside.fresh.is_empty() && self.manager.leads() && is_there(name)
        });
        unsaved.map(|(name, aside)| (name.clone(), aside.topics())).collect()
    }
}

impl Aside {
    fn topics(&self) -> BTreeSet<String> {
        self.stored.union(&self.fresh).cloned().collect()
    }
}
