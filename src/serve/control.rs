//! What requests may do with entries, whichever API they come by.
//!
//! A change is: look whether it may be made, write it to the config topic, and answer when it has
//! been read back, by which time the manager knows of it. Changes are made one after the other, so
//! what one looked at still holds when it is written; and a leader that is none any more cannot
//! write.
//!
//! Every change is for one [`Kind`]: of another kind an entry is not found, and its name is taken.
//!
//! Next: `control/connectors.rs` has what only connectors need; `api/pipelines.rs` uses it.

mod connectors;

use crate::pipelines::Watched;
use crate::serve::document::{Checked, Mistakes};
use crate::serve::entry::{
    Accept, Aim, Config, Content, Kind, Known, Name, Target, config_key, config_value, offsets_key,
    target_key, target_value, topics_key,
};
use crate::serve::keeper::{Keeper, Present};
use crate::serve::limits::{DOCUMENT_BYTES_MAX, ENTRIES_MAX, RECORD_BYTES_MAX};
use crate::serve::manager::{Event, Standing, View};
use crate::words::unix_ms;
use headwater_operators::pipeline::state::StateName;
use headwater_operators::sink::kafka::{KafkaTarget, Lead, Leader, Table, Write, WriteError};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// The entries, and what may be done with them; clones are the same.
#[derive(Clone)]
pub(crate) struct Control(Arc<Source>);

enum Source {
    /// What a config topic says, and may be changed to say.
    Topic(Topic),
    /// Pipelines of files, which nobody changes.
    Files(Files),
}

struct Topic {
    keeper: Arc<Keeper>,
    table: Table,
    target: KafkaTarget,
    lead: watch::Receiver<Lead>,
    /// One change at a time.
    turn: Mutex<()>,
}

struct Files {
    instance: String,
    watched: Vec<Watched>,
}

/// What this process is to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It runs files.
    Files,
    /// What its config topic makes of it.
    Of(Lead),
}

/// Which entry a document may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Must {
    /// None may be there.
    BeNew,
    /// It is made, or replaced.
    BeEither,
    /// It is there, and still in this revision.
    NotHaveChanged(i64),
}

/// How a document is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Put {
    pub(crate) must: Must,
    /// What is wanted of it; left out, what was wanted before.
    pub(crate) target: Option<Target>,
    pub(crate) accept_change: Option<Accept>,
}

/// What became of a document.
pub(crate) struct Done {
    pub(crate) present: Present,
    pub(crate) is_new: bool,
}

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{}", not_read(.0.as_deref()))]
    Reading(Option<String>),
    #[error("this process runs files: change them and start it again, or use `headwater serve`")]
    Fixed,
    #[error("{}", not_leading(.0.as_ref()))]
    NotLeading(Option<Leader>),
    #[error("there is no {} `{}`", .0.noun(), .1)]
    Unknown(Kind, Name),
    #[error("there is already a {} `{}`", .0.noun(), .1)]
    Exists(Kind, Name),
    #[error("{} `{}` has changed meanwhile: look at it and ask again", .0.noun(), .1)]
    Changed(Kind, Name),
    #[error("there are {ENTRIES_MAX} entries, and no more are kept: delete one first")]
    Full,
    #[error("the document has {} bytes; at most {} are kept", .0, .1)]
    TooLarge(usize, usize),
    #[error("{}", .0.message)]
    Mistakes(Mistakes),
    #[error("{0}")]
    Unwritten(WriteError),
}

fn not_read(why: Option<&str>) -> String {
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    format!("the config topic is not read yet{why}")
}

fn not_leading(leader: Option<&Leader>) -> String {
    match leader {
        Some(leader) => format!(
            "instance `{}` leads, and it alone makes changes{}",
            leader.instance,
            leader.address.as_ref().map(|at| format!(": ask it at {at}")).unwrap_or_default()
        ),
        None => "no instance leads at the moment".to_owned(),
    }
}

impl Control {
    /// What a config topic says.
    pub(crate) fn new(
        keeper: Arc<Keeper>,
        (table, target): (Table, KafkaTarget),
        lead: watch::Receiver<Lead>,
    ) -> Self {
        let turn = Mutex::default();
        Control(Arc::new(Source::Topic(Topic { keeper, table, target, lead, turn })))
    }

    /// Pipelines of files.
    pub(crate) fn of_files(instance: String, watched: Vec<Watched>) -> Self {
        Control(Arc::new(Source::Files(Files { instance, watched })))
    }

    /// What this process is to others.
    pub(crate) fn role(&self) -> Role {
        match &*self.0 {
            Source::Files(_) => Role::Files,
            Source::Topic(topic) => Role::Of(topic.lead.borrow().clone()),
        }
    }

    /// The name of this process.
    pub(crate) fn instance(&self) -> &str {
        match &*self.0 {
            Source::Files(files) => &files.instance,
            Source::Topic(topic) => &topic.keeper.host().instance,
        }
    }

    /// All entries of a kind, by name.
    pub(crate) fn entries(&self, kind: Kind) -> Result<Vec<Present>, Refusal> {
        let all = match &*self.0 {
            Source::Files(files) => files.watched.iter().filter_map(of_file).collect(),
            Source::Topic(topic) => {
                topic.demand_read()?;
                topic.keeper.entries()
            }
        };
        Ok(all.into_iter().filter(|it| it.view.config.kind == kind).collect())
    }

    /// One entry.
    pub(crate) fn entry(&self, kind: Kind, name: &Name) -> Result<Present, Refusal> {
        match &*self.0 {
            Source::Topic(topic) => topic.entry(kind, name),
            Source::Files(_) => {
                let found = self.entries(kind)?.into_iter().find(|it| it.view.name == *name);
                found.ok_or_else(|| Refusal::Unknown(kind, name.clone()))
            }
        }
    }

    /// The cluster of the config topic.
    pub(crate) fn target(&self) -> Option<&KafkaTarget> {
        match &*self.0 {
            Source::Topic(topic) => Some(&topic.target),
            Source::Files(_) => None,
        }
    }

    /// What a document comes to.
    pub(crate) async fn check(
        &self,
        kind: Kind,
        name: &Name,
        document: &str,
    ) -> Result<Checked, Refusal> {
        let documents = self.topic()?.keeper.documents();
        let checked = documents.check(kind, name.clone(), document.to_owned()).await;
        checked.map_err(Refusal::Mistakes)
    }

    /// Makes an entry, or replaces its document. The document is checked before.
    pub(crate) async fn put(
        &self,
        kind: Kind,
        name: &Name,
        document: String,
        put: Put,
    ) -> Result<Done, Refusal> {
        let topic = self.topic()?;
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(Refusal::TooLarge(document.len(), DOCUMENT_BYTES_MAX));
        }
        topic.demand_lead()?;
        let documents = topic.keeper.documents();
        let admitted = documents.admit(kind, name.clone(), document.clone()).await;
        admitted.map_err(Refusal::Mistakes)?;
        topic.put(kind, name, document, put).await
    }

    /// Sets what is wanted of an entry.
    pub(crate) async fn aim(
        &self,
        kind: Kind,
        name: &Name,
        target: Target,
    ) -> Result<Present, Refusal> {
        self.topic()?.aim(kind, name, target).await
    }

    /// Starts an entry anew: what runs ends first, what failed is tried again.
    pub(crate) async fn restart(&self, kind: Kind, name: &Name) -> Result<Present, Refusal> {
        self.topic()?.restart(kind, name).await
    }

    /// Deletes an entry. Its pipeline commits what it has received and ends; its place in the
    /// streams stays where it is kept.
    pub(crate) async fn delete(&self, kind: Kind, name: &Name) -> Result<(), Refusal> {
        self.topic()?.delete(kind, name).await
    }

    /// Leaves the lead to others.
    pub(crate) async fn resign(&self) {
        if let Source::Topic(topic) = &*self.0 {
            topic.table.resign().await;
        }
    }

    fn topic(&self) -> Result<&Topic, Refusal> {
        match &*self.0 {
            Source::Topic(topic) => Ok(topic),
            Source::Files(_) => Err(Refusal::Fixed),
        }
    }
}

/// A pipeline of a file, as an entry that nobody changes.
fn of_file(watched: &Watched) -> Option<Present> {
    let state = watched.status.report().state;
    let standing = match (state.name, state.reason) {
        (StateName::Stopped, Some(why)) => Standing::Failed(why),
        (StateName::Stopped, None) => Standing::Finished,
        (StateName::Draining, _) => Standing::Ending,
        _ => Standing::Running,
    };
    let known = Known { document: String::new(), accept_change: None, at_unix_ms: 0 };
    let content = Content::Known(Arc::new(known));
    let view = View {
        name: Name::new(&watched.name).ok()?,
        config: Config { kind: Kind::Pipeline, revision: 0, content },
        aim: Aim::default(),
        running_revision: (state.name != StateName::Stopped).then_some(0),
        standing,
    };
    let (topics, offsets) = (BTreeSet::new(), Vec::new());
    Some(Present { view, watched: Some(watched.clone()), topics, offsets })
}

impl Topic {
    fn entry(&self, kind: Kind, name: &Name) -> Result<Present, Refusal> {
        self.demand_read()?;
        let found = self.keeper.entry(name).filter(|it| it.view.config.kind == kind);
        found.ok_or_else(|| Refusal::Unknown(kind, name.clone()))
    }

    async fn put(
        &self,
        kind: Kind,
        name: &Name,
        document: String,
        put: Put,
    ) -> Result<Done, Refusal> {
        let _turn = self.turn.lock().await;
        let is_new = self.may_put(kind, name, put.must)?;
        let known = Known { document, accept_change: put.accept_change, at_unix_ms: unix_ms() };
        let value = config_value(&known, &self.keeper.host().instance);
        if value.len() > RECORD_BYTES_MAX {
            return Err(Refusal::TooLarge(value.len(), RECORD_BYTES_MAX));
        }
        let mut records = Write::new();
        // The target first: whoever reads in order must not start what is made paused.
        let aim = self.keeper.entry(name).map(|it| it.view.aim);
        let target = put.target.or_else(|| is_new.then(Target::default));
        let aim = target.map(|target| aim.map_or(target.into(), |aim| aim.then(target)));
        records
            .extend(aim.map(|aim| (target_key(name), Some(target_value(aim, known.at_unix_ms)))));
        if is_new || !self.holds(name, &known) {
            records.push((config_key(kind, name), Some(value)));
        }
        if !records.is_empty() {
            self.write(records).await?;
        }
        Ok(Done { present: self.entry(kind, name)?, is_new })
    }

    async fn aim(&self, kind: Kind, name: &Name, target: Target) -> Result<Present, Refusal> {
        let _turn = self.turn.lock().await;
        self.demand_lead()?;
        let aim = self.entry(kind, name)?.view.aim;
        if aim.target != target {
            let value = target_value(aim.then(target), unix_ms());
            self.write(vec![(target_key(name), Some(value))]).await?;
        }
        self.entry(kind, name)
    }

    async fn restart(&self, kind: Kind, name: &Name) -> Result<Present, Refusal> {
        let _turn = self.turn.lock().await;
        self.demand_lead()?;
        self.entry(kind, name)?;
        self.keeper.on(Event::Restart(name.clone()));
        self.entry(kind, name)
    }

    async fn delete(&self, kind: Kind, name: &Name) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        self.demand_lead()?;
        self.entry(kind, name)?;
        let mut records = vec![(config_key(kind, name), None), (target_key(name), None)];
        if kind == Kind::Connector {
            records.extend([(topics_key(name), None), (offsets_key(name), None)]);
        }
        self.write(records).await
    }

    /// Whether the entry is a new one, if it may be put.
    fn may_put(&self, kind: Kind, name: &Name, must: Must) -> Result<bool, Refusal> {
        self.demand_lead()?;
        let there = self.keeper.entry(name).map(|it| it.view.config.kind);
        match there {
            None if self.keeper.count() >= ENTRIES_MAX => Err(Refusal::Full),
            None if matches!(must, Must::NotHaveChanged(_)) => {
                Err(Refusal::Unknown(kind, name.clone()))
            }
            None => Ok(true),
            Some(other) if other != kind || must == Must::BeNew => {
                Err(Refusal::Exists(other, name.clone()))
            }
            Some(_) if !self.is_at(name, must) => Err(Refusal::Changed(kind, name.clone())),
            Some(_) => Ok(false),
        }
    }

    /// Whether the entry is in the revision that it must be in.
    fn is_at(&self, name: &Name, must: Must) -> bool {
        let Must::NotHaveChanged(revision) = must else { return true };
        self.keeper.entry(name).is_some_and(|it| it.view.config.revision == revision)
    }

    /// Whether the entry says the same already: it is then not disturbed.
    fn holds(&self, name: &Name, wanted: &Known) -> bool {
        let present = self.keeper.entry(name);
        let content = present.map(|it| it.view.config.content);
        let Some(Content::Known(known)) = content else { return false };
        known.document == wanted.document && known.accept_change == wanted.accept_change
    }

    async fn write(&self, records: Write) -> Result<(), Refusal> {
        match self.table.write(records).await {
            Ok(()) => Ok(()),
            Err(WriteError::NotLeading) => {
                Err(self.demand_lead().err().unwrap_or(Refusal::NotLeading(None)))
            }
            Err(error) => Err(Refusal::Unwritten(error)),
        }
    }

    /// Nothing is told before all of it is known.
    fn demand_read(&self) -> Result<(), Refusal> {
        match &*self.lead.borrow() {
            Lead::Reading(why) => Err(Refusal::Reading(why.clone())),
            Lead::Other(_) | Lead::Ours(_) => Ok(()),
        }
    }

    fn demand_lead(&self) -> Result<(), Refusal> {
        match &*self.lead.borrow() {
            Lead::Reading(why) => Err(Refusal::Reading(why.clone())),
            Lead::Other(leader) => Err(Refusal::NotLeading(leader.clone())),
            Lead::Ours(_) => Ok(()),
        }
    }
}
