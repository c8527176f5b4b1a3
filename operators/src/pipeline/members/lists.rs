//! What a new list of targets changes: who leaves, who joins, and who is called in another way.
//!
//! Invariant: whoever is in the old list and in the new one in the same way is not touched.
//!
//! Next: `source/grpc/targets` finds the lists.

use super::{Members, State, watch_of};
use crate::limits::SHARDS_KNOWN_MAX;
use crate::pipeline::state::TargetsFact;
use crate::source::grpc::{News, TargetList, TargetShard};
use headwater_engine::ids::ShardKey;
use std::collections::HashMap;
use std::sync::Arc;

/// What a new list changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Change {
    added: usize,
    removed: usize,
    replaced: usize,
}

impl Members {
    /// Acts on the news of a list.
    pub(super) fn take(&mut self, node: usize, news: News) {
        let source = self.node(node).name.clone();
        let fact = match news {
            News::List(list) => match self.room_for(&list) {
                Ok(()) => {
                    self.apply(node, &list);
                    TargetsFact::Fine
                }
                Err(reason) => self.refuse(node, reason),
            },
            News::Refused(reason) => self.refuse(node, reason),
            News::Restored => {
                tracing::info!(event = "targets_restored", source, "the list is as it was");
                TargetsFact::Fine
            }
        };
        let metrics = self.common.context.telemetry.targets(self.common.plan.name(), &source);
        metrics.refused.set(i64::from(fact != TargetsFact::Fine));
        self.common.context.status.targets(&source, fact);
    }

    fn refuse(&self, node: usize, reason: String) -> TargetsFact {
        let source = &self.node(node).name;
        let is_first = watch_of(self.node(node)).is_none_or(|watch| watch.list().is_none());
        tracing::warn!(
            event = "targets_refused",
            source,
            reason,
            "the new list of targets cannot be used; they stay as they are"
        );
        TargetsFact::Refused { reason, is_first }
    }

    fn room_for(&self, list: &TargetList) -> Result<(), String> {
        let new = list.iter().filter(|shard| !self.names.contains(&shard.spec().key)).count();
        if self.names.len() + new <= SHARDS_KNOWN_MAX {
            return Ok(());
        }
        Err(format!(
            "it names {new} shards that were never here, and {} are known already; a pipeline \
             knows at most {SHARDS_KNOWN_MAX}: give targets names that last, or forget those that \
             do not come back with `headwater offsets reset` and start anew",
            self.names.len()
        ))
    }

    /// Lets those leave that are not in `list`, and those join that are not here.
    pub(super) fn apply(&mut self, node: usize, list: &TargetList) {
        let wanted: HashMap<&ShardKey, &Arc<TargetShard>> =
            list.iter().map(|shard| (&shard.spec().key, shard)).collect();
        let here = self.all.iter().filter(|(_, member)| member.node == node);
        let here: Vec<ShardKey> = here.map(|(key, _)| key.clone()).collect();
        let mut change = Change::default();
        for key in here {
            self.settle(&key, wanted.get(&key).copied(), &mut change);
        }
        for shard in list.iter() {
            if !self.all.contains_key(&shard.spec().key) {
                change.added += 1;
                self.join(node, shard.clone());
            }
        }
        self.tell(node, list.len(), change);
    }

    fn tell(&self, node: usize, targets: usize, change: Change) {
        let source = self.node(node).name.as_str();
        let pipeline = self.common.plan.name();
        let gauge = self.common.context.telemetry.targets(pipeline, source).targets;
        gauge.set(i64::try_from(targets).unwrap_or(i64::MAX));
        let Change { added, removed, replaced } = change;
        if change != Change::default() {
            tracing::info!(
                event = "targets_changed",
                pipeline,
                source,
                targets,
                added,
                removed,
                replaced
            );
        }
    }

    /// A member after a new list, in which it is `wanted`.
    fn settle(&mut self, key: &ShardKey, wanted: Option<&Arc<TargetShard>>, change: &mut Change) {
        let member = self.all.get_mut(key).expect("it was found there");
        if let State::Leaving(next) = &mut member.state {
            match (&next, wanted) {
                (None, Some(_)) => change.added += 1,
                (Some(_), None) => change.removed += 1,
                _ => {}
            }
            *next = wanted.cloned();
            return;
        }
        match wanted {
            Some(shard) if member.work.is(shard) => return,
            Some(_) => change.replaced += 1,
            None => change.removed += 1,
        }
        if matches!(member.state, State::Running) {
            member.stop.cancel();
            member.state = State::Leaving(wanted.cloned());
            return;
        }
        self.depart(key, wanted.cloned());
    }
}
