//! What is to be done so that what runs is what is wanted: the decision, and nothing else.
//!
//! ```text
//!   wanted (config topic)                    there (tasks of this process)
//!   ─────────────────────                    ─────────────────────────────
//!   document, target          reconcile      none
//!        │                 ─────────────►      │ Start
//!        │                    actions          ▼
//!        │                                   running ── its task ends by itself ──► settled:
//!        │ another revision,                   │                              failed, finished
//!        │ another target, deleted,            │ End                                   │
//!        │ the lead is lost, restart           ▼                                       │
//!        └──────────────────────────────►   ending ── its task ends ──► none ◄─────────┘
//!                                                        changed, restarted or stopped
//! ```
//!
//! So a replacement is always *end, then start*: the old task commits what it has received and is
//! gone before the new one reads where to go on.
//!
//! Without I/O, clock and threads. Whoever owns it feeds it events in one order and does what it
//! says (`keeper.rs`).
//!
//! Invariants
//! 1. Of one name at most one task is there.
//! 2. A task is started only by the instance that leads, for a name whose target is running.
//! 3. What failed or finished is not started again before somebody asks for it, in whatever order
//!    events come.
//! 4. Each task is asked to end at most once.

use crate::serve::entry::{Aim, Config, Content, Kind, Known, Name, Target};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names one task of an entry; a later one has a higher number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunId(pub(crate) u64);

/// What has happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// This instance leads, or it does not.
    Leads(bool),
    /// An entry's document is this one now; none: it is deleted.
    Config(Name, Kind, Option<Config>),
    /// An entry's target is this one now; none: nobody has said.
    Target(Name, Option<Aim>),
    /// Somebody asks for an entry to be started anew.
    Restart(Name),
    /// A task has ended.
    Ended(Name, RunId, End),
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As it was asked to, or because its streams are complete.
    Done,
    /// For this reason.
    Failed(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a task.
    Start(Start),
    /// Ask a task to end.
    End(Name, RunId),
    /// Nothing of this entry is left.
    Forget(Name),
}

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) name: Name,
    pub(crate) run: RunId,
    pub(crate) kind: Kind,
    pub(crate) revision: i64,
    pub(crate) known: Arc<Known>,
}

/// How an entry stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is wanted, and nobody runs it here: this instance does not lead.
    Unassigned,
    /// Its task is there.
    Running,
    /// Its task is there and was asked to end.
    Ending,
    /// It does not read, as somebody asked.
    Paused,
    /// It has no task, as somebody asked.
    Stopped,
    /// It could not go on, and waits for somebody to change or restart it.
    Failed(String),
    /// Its streams are complete.
    Finished,
}

/// An entry, for those who look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) name: Name,
    pub(crate) config: Config,
    pub(crate) aim: Aim,
    pub(crate) standing: Standing,
    /// The revision of the task that is there, if one is.
    pub(crate) running_revision: Option<i64>,
}

/// The machine.
#[derive(Debug, Default)]
pub(crate) struct Manager {
    leads: bool,
    configs: BTreeMap<Name, Config>,
    /// Also of names without a document: the topic may tell of them in any order.
    aims: BTreeMap<Name, Aim>,
    tasks: BTreeMap<Name, Task>,
    settled: BTreeMap<Name, Settled>,
    runs: u64,
}

#[derive(Debug)]
struct Task {
    run: RunId,
    revision: i64,
    is_ending: bool,
}

/// What came of the last task of an entry that nobody asked to end.
#[derive(Debug)]
struct Settled {
    revision: i64,
    end: End,
}

impl Manager {
    /// Takes an event; what is to be done now, in this order.
    pub(crate) fn on(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Leads(leads) => self.on_leads(leads),
            Event::Config(name, kind, config) => self.on_config(&name, kind, config),
            Event::Target(name, aim) => self.on_target(&name, aim),
            Event::Restart(name) => self.on_restart(&name),
            Event::Ended(name, run, end) => self.on_ended(&name, run, end),
        }
    }

    /// The entry of this name.
    pub(crate) fn view(&self, name: &Name) -> Option<View> {
        let config = self.configs.get(name)?;
        Some(View {
            name: name.clone(),
            config: config.clone(),
            aim: self.aim(name),
            standing: self.standing(name, config),
            running_revision: self.tasks.get(name).map(|task| task.revision),
        })
    }

    /// All entries, by name.
    pub(crate) fn views(&self) -> Vec<View> {
        self.configs.keys().filter_map(|name| self.view(name)).collect()
    }

    /// How many entries stand in which way, also of those ways in which none does.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, i64> {
        let mut counts =
            Standing::WORDS.map(|word| (word, 0)).into_iter().collect::<BTreeMap<_, _>>();
        for (name, config) in &self.configs {
            *counts.entry(self.standing(name, config).word()).or_default() += 1;
        }
        counts
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.configs.len()
    }

    /// Whether this instance leads.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// Whether a task of this name is there.
    pub(crate) fn has_task(&self, name: &Name) -> bool {
        self.tasks.contains_key(name)
    }

    /// Whether no task is there.
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    fn on_leads(&mut self, leads: bool) -> Vec<Action> {
        self.leads = leads;
        if !leads {
            // Whoever leads next finds out for itself what fails.
            self.settled.clear();
        }
        let names: Vec<Name> = self.configs.keys().chain(self.tasks.keys()).cloned().collect();
        names.iter().flat_map(|name| self.reconcile(name)).collect()
    }

    fn on_config(&mut self, name: &Name, kind: Kind, config: Option<Config>) -> Vec<Action> {
        match config {
            Some(config) => drop(self.configs.insert(name.clone(), config)),
            // The end of a connector is not the end of a pipeline that has taken its name.
            None if self.configs.get(name).is_none_or(|known| known.kind == kind) => {
                self.configs.remove(name);
            }
            None => return Vec::new(),
        }
        self.settled.remove(name);
        self.reconcile(name)
    }

    fn on_target(&mut self, name: &Name, aim: Option<Aim>) -> Vec<Action> {
        match aim {
            Some(aim) => drop(self.aims.insert(name.clone(), aim)),
            None => drop(self.aims.remove(name)),
        }
        if aim.is_some_and(|it| it.target == Target::Stopped) {
            self.settled.remove(name);
        }
        self.reconcile(name)
    }

    fn on_restart(&mut self, name: &Name) -> Vec<Action> {
        self.settled.remove(name);
        match self.tasks.get_mut(name) {
            Some(task) => task.end(name).into_iter().collect(),
            None => self.reconcile(name),
        }
    }

    fn on_ended(&mut self, name: &Name, run: RunId, end: End) -> Vec<Action> {
        let Some(task) = self.tasks.get(name).filter(|task| task.run == run) else {
            return Vec::new();
        };
        if !task.is_ending {
            let settled = Settled { revision: task.revision, end };
            self.settled.insert(name.clone(), settled);
        }
        self.tasks.remove(name);
        self.reconcile(name)
    }

    /// What makes the entry what it should be.
    fn reconcile(&mut self, name: &Name) -> Vec<Action> {
        let wanted = self.wanted(name).map(|(config, known)| (config.kind, config.revision, known));
        if let Some(task) = self.tasks.get_mut(name) {
            let is_right = wanted.is_some_and(|(_, revision, _)| revision == task.revision);
            let action = if is_right { None } else { task.end(name) };
            return action.into_iter().collect();
        }
        if !self.configs.contains_key(name) {
            return vec![Action::Forget(name.clone())];
        }
        let Some((kind, revision, known)) = wanted else { return Vec::new() };
        self.runs += 1;
        let run = RunId(self.runs);
        self.tasks.insert(name.clone(), Task { run, revision, is_ending: false });
        vec![Action::Start(Start { name: name.clone(), run, kind, revision, known })]
    }

    /// What is to run under this name, if anything is.
    fn wanted(&self, name: &Name) -> Option<(&Config, Arc<Known>)> {
        let config = self.configs.get(name)?;
        let Content::Known(known) = &config.content else { return None };
        let is_settled = self.settled.get(name).is_some_and(|it| it.revision == config.revision);
        let is_wanted = self.leads && self.target(name) == Target::Running && !is_settled;
        is_wanted.then(|| (config, known.clone()))
    }

    fn aim(&self, name: &Name) -> Aim {
        self.aims.get(name).copied().unwrap_or_default()
    }

    fn target(&self, name: &Name) -> Target {
        self.aim(name).target
    }

    fn standing(&self, name: &Name, config: &Config) -> Standing {
        if let Some(task) = self.tasks.get(name) {
            return if task.is_ending { Standing::Ending } else { Standing::Running };
        }
        if let Content::Unreadable(why) = &config.content {
            return Standing::Failed(why.clone());
        }
        match (self.target(name), self.settled.get(name)) {
            (Target::Stopped, _) => Standing::Stopped,
            (_, Some(Settled { end: End::Failed(why), .. })) => Standing::Failed(why.clone()),
            (Target::Paused, _) => Standing::Paused,
            (Target::Running, Some(_)) => Standing::Finished,
            (Target::Running, None) => Standing::Unassigned,
        }
    }
}

impl Standing {
    const WORDS: [&str; 7] =
        ["UNASSIGNED", "RUNNING", "ENDING", "PAUSED", "STOPPED", "FAILED", "FINISHED"];

    /// The word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Standing::Unassigned => "UNASSIGNED",
            Standing::Running => "RUNNING",
            Standing::Ending => "ENDING",
            Standing::Paused => "PAUSED",
            Standing::Stopped => "STOPPED",
            Standing::Failed(_) => "FAILED",
            Standing::Finished => "FINISHED",
        }
    }
}

impl Task {
    fn end(&mut self, name: &Name) -> Option<Action> {
        let is_first = !std::mem::replace(&mut self.is_ending, true);
        is_first.then(|| Action::End(name.clone(), self.run))
    }
}

#[cfg(test)]
mod tests;
