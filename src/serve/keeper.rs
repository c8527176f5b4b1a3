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
use crate::serve::entry::Name;
use crate::serve::manager::{Action, End, Event, Manager, RunId, Start, View};
use headwater_operators::telemetry::ServeMetrics;
use std::collections::BTreeMap;
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
    host: Host,
    documents: Documents,
    runtime: Handle,
    metrics: ServeMetrics,
}

#[derive(Default)]
struct Inner {
    manager: Manager,
    runs: BTreeMap<Name, Run>,
    /// The process ends: nothing is started any more.
    is_closing: bool,
    /// A pipeline could not commit everything before it ended.
    is_undrained: bool,
}

/// The last task of an entry; it stays when the task has ended, for those who look.
struct Run {
    id: RunId,
    stop: CancellationToken,
    /// Known once its document is checked.
    watched: Option<Watched>,
}

/// An entry as it is now.
#[derive(Clone)]
pub(crate) struct Present {
    pub(crate) view: View,
    /// Its pipeline, if it has run in this process.
    pub(crate) watched: Option<Watched>,
}

impl Keeper {
    /// Must be called within the runtime that pipelines are to run in.
    pub(crate) fn new(host: Host, documents: Documents) -> Arc<Self> {
        let inner = Mutex::default();
        let ended = Notify::new();
        let metrics = host.telemetry.serve();
        let runtime = Handle::current();
        let keeper = Keeper { inner, ended, host, documents, runtime, metrics };
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
                let run = Run { id: start.run, stop: stop.clone(), watched: None };
                inner.runs.insert(start.name.clone(), run);
                let terms = Terms {
                    stop,
                    accept_change: start.known.accept_change.map(Into::into),
                    on_commit: None,
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
                let watched = inner.runs.remove(&name).and_then(|run| run.watched);
                self.host.forget(watched.as_ref().map_or(name.as_str(), |it| it.name.as_str()));
            }
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
        Present { watched: run.and_then(|run| run.watched.clone()), view }
    }
}
