//! Applies the steps to every value of a batch.
//!
//! Invariants
//! 1. Records and new dead letters together are exactly the records that came in; order is kept.
//! 2. Credit grows by what the new values are longer than the old ones.
//!
//! Next: `sink/outlet.rs`, by way of the engine's stage operator.

use super::FieldsTransform;
use super::program::{Facts, Program, Workspace, write_text};
use crate::transform::refuse::Refusing;
use headwater_engine::dataflow::step::{Step, StepError, StepFactory};
use headwater_engine::record::{Batch, Packed, Values};
use headwater_engine::shards::ShardTable;
use std::sync::Arc;

/// Makes transforms for each worker.
pub struct FieldsFactory {
    /// The node's name.
    pub node: Arc<str>,
    /// The checked configuration.
    pub transform: FieldsTransform,
    /// The pipeline's shards, to name a record in an error or in a field.
    pub shards: ShardTable,
}

struct Fields {
    program: Program,
    refusing: Refusing,
    space: Workspace,
    shard_json: Vec<u8>,
}

impl StepFactory for FieldsFactory {
    fn make(&self) -> Box<dyn Step> {
        let FieldsTransform { program, on_error, .. } = &self.transform;
        let (node, shards) = (self.node.clone(), self.shards.clone());
        Box::new(Fields {
            program: program.clone(),
            refusing: Refusing { node, on_error: *on_error, shards },
            space: Workspace::default(),
            shard_json: Vec::new(),
        })
    }
}

impl Step for Fields {
    fn apply(&mut self, batch: &mut Batch) -> Result<(), StepError> {
        self.shard_json.clear();
        write_text(&self.refusing.shards.get(batch.shard).key.0, &mut self.shard_json);
        let before_bytes = batch.values.size_bytes();
        let mut packed = Packed::with_capacity(batch.len(), before_bytes + before_bytes / 4);
        let (mut removed, mut dead) = (Vec::new(), Vec::new());
        for (place, value) in batch.values.iter().enumerate() {
            let facts = Facts {
                received_unix_ms: batch.received.unix_ms,
                shard_json: &self.shard_json,
                session: batch.session.0,
                sequence: batch.sequence(place).0,
            };
            let (program, space) = (&self.program, &mut self.space);
            if let Err(unfit) = packed.push_with(|out| program.apply(value, facts, space, out)) {
                dead.push(self.refusing.refuse(batch, place, unfit.to_string())?);
                removed.push(place);
            }
        }
        batch.replace(Values::Packed(Arc::new(packed)), &removed);
        batch.dead.append(&mut dead);
        let grown = batch.values.size_bytes().saturating_sub(before_bytes);
        batch.credit_bytes += grown as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
