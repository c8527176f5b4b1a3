//! What becomes of a record that a transform cannot pass on.

use crate::decode::protobuf::OnError;
use headwater_engine::dataflow::step::StepError;
use headwater_engine::failure::Recovery;
use headwater_engine::record::{Batch, DeadLetter};
use headwater_engine::shards::ShardTable;
use std::sync::Arc;

/// How a node refuses a record.
pub(super) struct Refusing {
    pub(super) node: Arc<str>,
    pub(super) on_error: OnError,
    pub(super) shards: ShardTable,
}

impl Refusing {
    /// Sets the record aside as it came to this node, or stops the pipeline naming it.
    pub(super) fn refuse(
        &self,
        batch: &Batch,
        place: usize,
        reason: String,
    ) -> Result<DeadLetter, StepError> {
        let sequence = batch.sequence(place);
        if self.on_error == OnError::DeadLetter {
            let raw = batch.values.to_bytes(place);
            return Ok(DeadLetter { sequence, node: self.node.clone(), reason, raw });
        }
        let shard = &self.shards.get(batch.shard).key;
        let session = batch.session;
        let message = format!(
            "record of shard `{shard}`, session {session}, sequence {sequence}: {reason}; set \
             `on_error: dead_letter` to put such records aside"
        );
        Err(StepError { message, recovery: Recovery::Stop })
    }
}
