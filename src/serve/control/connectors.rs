//! What only connectors need beside an entry: topics, offsets, levels of logs.
//!
//! Each is a record of its own in the config topic, which decides nothing about what runs.

use super::{Control, Refusal, Source, Topic};
use crate::serve::entry::{
    Kind, Name, SetOffset, level_key, level_value, offsets_key, offsets_value, topics_key,
    topics_value,
};
use crate::serve::keeper::Present;
use crate::serve::limits::{RECORD_BYTES_MAX, TOPICS_PAUSE};
use std::collections::BTreeSet;
use tokio::sync::MutexGuard;

/// The only one who changes anything, for as long as it lives.
pub(crate) struct Alone<'c> {
    topic: &'c Topic,
    _turn: MutexGuard<'c, ()>,
}

impl Control {
    /// Forgets the topics that a connector has written to, whether it is there or not.
    pub(crate) async fn forget_topics(&self, name: &Name) -> Result<(), Refusal> {
        self.topic()?.forget_topics(name).await
    }

    /// Keeps in the config topic which topics connectors have written to, for as long as it is
    /// polled.
    pub(crate) async fn keep_topics(&self) {
        let Source::Topic(topic) = &*self.0 else { return };
        loop {
            for (name, topics) in topic.keeper.unsaved_topics().await {
                if let Err(error) = topic.save_topics(&name, topics).await {
                    tracing::warn!(event = "topics_not_kept", connector = %name, "{error}");
                    tokio::time::sleep(TOPICS_PAUSE).await;
                }
            }
        }
    }

    /// Tells all instances the level of a logger.
    pub(crate) async fn tell_level(&self, logger: &str, level: &str) -> Result<(), Refusal> {
        self.topic()?.tell_level(logger, level).await
    }

    /// Keeps all changes out while what is asked for is done.
    pub(crate) async fn alone(&self) -> Result<Alone<'_>, Refusal> {
        let topic = self.topic()?;
        let turn = topic.turn.lock().await;
        topic.demand_lead()?;
        Ok(Alone { topic, _turn: turn })
    }
}

impl Topic {
    async fn save_topics(&self, name: &Name, topics: BTreeSet<String>) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        match self.entry(Kind::Connector, name) {
            Ok(_) => self.write(vec![(topics_key(name), Some(topics_value(topics)))]).await,
            Err(Refusal::Unknown(..)) => {
                self.keeper.forget_topics(name);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn forget_topics(&self, name: &Name) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        self.demand_lead()?;
        match self.entry(Kind::Connector, name) {
            Ok(present) if !present.topics.is_empty() => {
                self.write(vec![(topics_key(name), None)]).await?;
            }
            Ok(_) | Err(Refusal::Unknown(..)) => {}
            Err(error) => return Err(error),
        }
        self.keeper.forget_topics(name);
        Ok(())
    }

    /// Written to be heard; what is heard need not be kept.
    async fn tell_level(&self, logger: &str, level: &str) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        self.demand_lead()?;
        let key = level_key(logger);
        self.write(vec![(key.clone(), Some(level_value(level.to_owned())))]).await?;
        self.write(vec![(key, None)]).await
    }
}

impl Alone<'_> {
    /// One connector, as it stays while nobody else changes anything.
    pub(crate) fn connector(&self, name: &Name) -> Result<Present, Refusal> {
        self.topic.entry(Kind::Connector, name)
    }

    /// Keeps the offsets that somebody has set of it, in place of those kept before.
    pub(crate) async fn set_offsets(
        &self,
        name: &Name,
        offsets: Vec<SetOffset>,
    ) -> Result<(), Refusal> {
        let value = (!offsets.is_empty()).then(|| offsets_value(offsets));
        if let Some(value) = value.as_ref().filter(|it| it.len() > RECORD_BYTES_MAX) {
            return Err(Refusal::TooLarge(value.len(), RECORD_BYTES_MAX));
        }
        self.topic.write(vec![(offsets_key(name), value)]).await
    }
}
