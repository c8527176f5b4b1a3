//! The config topic's records as the manager's events, and who leads.
//!
//! Next: `operators/src/sink/kafka/table.rs` reads and writes the topic.

use crate::logs::Levels;
use crate::serve::entry::{Told, read};
use crate::serve::keeper::Keeper;
use crate::serve::manager::Event;
use headwater_operators::sink::kafka::{KafkaStartError, Lead, TableReader, TableRecord};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Hears of the topic.
pub(crate) struct Store {
    keeper: Arc<Keeper>,
    lead: watch::Sender<Lead>,
    fatal: Mutex<Option<tokio::sync::oneshot::Sender<(String, bool)>>>,
}

impl Store {
    /// `fatal` is told why, once the table has ended; and whether that is Kafka's absence.
    pub(crate) fn new(
        keeper: Arc<Keeper>,
        fatal: tokio::sync::oneshot::Sender<(String, bool)>,
    ) -> (Arc<Self>, watch::Receiver<Lead>) {
        let (lead, watched) = watch::channel(Lead::Reading(None));
        (Arc::new(Store { keeper, lead, fatal: Mutex::new(Some(fatal)) }), watched)
    }
}

impl Store {
    /// A level is for those who are there when it is said.
    fn take_level(&self, logger: &str, level: &str) {
        if !matches!(*self.lead.borrow(), Lead::Reading(_))
            && let Some(levels) = Levels::get()
            && let Err(error) = levels.set(logger, level)
        {
            tracing::warn!(event = "level_not_set", logger, level, "{error}");
        }
    }
}

impl TableReader for Store {
    fn record(&self, record: &TableRecord<'_>) {
        let Some(told) = read(record.key, record.value, record.offset) else {
            tracing::debug!(event = "config_record_unknown", key = record.key);
            return;
        };
        match told {
            Told::Config(name, kind, config) => self.keeper.on(Event::Config(name, kind, config)),
            Told::Target(name, aim) => self.keeper.on(Event::Target(name, aim)),
            Told::Topics(name, topics) => self.keeper.note_topics(name, topics),
            Told::Offsets(name, offsets) => self.keeper.note_offsets(name, offsets),
            Told::Level(logger, level) => self.take_level(&logger, &level),
        }
    }

    fn lead(&self, lead: &Lead) {
        let leads = matches!(lead, Lead::Ours(_));
        if leads != self.keeper.leads() {
            self.keeper.on(Event::Leads(leads));
        }
        self.lead.send_replace(lead.clone());
    }

    fn failed(&self, error: &KafkaStartError) {
        tracing::error!(event = "config_topic_failed", "{error}");
        let fatal = self.fatal.lock().expect("nothing panics here").take();
        if let Some(fatal) = fatal {
            // Whoever listened has gone; so has the process, in a moment.
            let _ = fatal.send((error.to_string(), error.may_heal()));
        }
    }
}
