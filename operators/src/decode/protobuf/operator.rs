//! Decode: one record or one dead letter out for each message in.
//!
//! JSON is written straight into the batch's buffer by a transcoder that was compiled once; nothing
//! is allocated per record. The fields that sinks ask for are taken out in the same walk over the
//! batch; a field that cannot be what the sink needs it for (a timestamp that Kafka cannot hold)
//! makes its message fail like one that is broken.
//!
//! Invariants
//! 1. Records and dead letters together are exactly the messages of the batch; order is kept.
//! 2. A message that fails leaves no trace in values or columns.
//! 3. Sequences and position of the batch are untouched. Its credit grows by what its JSON is
//!    longer than the wire bytes it replaces.
//!
//! Next: `sink/outlet.rs`, by way of the engine's stage operator.

use crate::decode::column::{ColumnReader, Demand};
use crate::decode::protobuf::envelope;
use crate::decode::protobuf::{Envelope, OnError, OutputFormat, ProtobufDecoder};
use headwater_engine::dataflow::step::{Step, StepError, StepFactory};
use headwater_engine::failure::Recovery;
use headwater_engine::record::{Batch, Column, DeadLetter, Packed, Values};
use headwater_engine::shards::ShardTable;
use headwater_proto::JsonTranscoder;
use std::sync::Arc;

/// Room for a value's JSON before anything is known about it, as a multiple of its wire size.
const JSON_GROWTH_GUESS: usize = 3;

/// Makes decoders for each worker.
pub struct DecodeFactory {
    /// The node's name.
    pub node: Arc<str>,
    /// The checked configuration.
    pub decoder: ProtobufDecoder,
    /// The pipeline's columns; `None` for those that no sink behind this decoder reads.
    pub demands: Vec<Option<Demand>>,
    /// The pipeline's shards, to name a record in an error.
    pub shards: ShardTable,
}

struct Decode {
    node: Arc<str>,
    on_error: OnError,
    transcoder: Option<JsonTranscoder>,
    envelope: Envelope,
    /// Where JSON stands before it is put into its envelope.
    space: Vec<u8>,
    columns: Vec<Option<ColumnReader>>,
    shards: ShardTable,
    /// The JSON size of the last batch per wire byte, times 256: the next one is probably alike.
    growth: usize,
}

impl StepFactory for DecodeFactory {
    fn make(&self) -> Box<dyn Step> {
        let message = &self.decoder.message;
        let reader = |demand: &Option<Demand>| {
            demand.as_ref().map(|demand| ColumnReader::new(message, demand))
        };
        let transcoder = match self.decoder.to {
            OutputFormat::Json => Some(JsonTranscoder::compile_as(message, self.decoder.style)),
            OutputFormat::Raw => None,
        };
        Box::new(Decode {
            node: self.node.clone(),
            on_error: self.decoder.on_error,
            transcoder,
            envelope: self.decoder.envelope,
            space: Vec::new(),
            columns: self.demands.iter().map(reader).collect(),
            shards: self.shards.clone(),
            growth: JSON_GROWTH_GUESS * 256,
        })
    }
}

impl Step for Decode {
    fn apply(&mut self, batch: &mut Batch) -> Result<(), StepError> {
        let failed = match self.transcoder.clone() {
            Some(transcoder) => self.write_json(&transcoder, batch)?,
            None => self.pass_raw(batch)?,
        };
        batch.columns = self.columns.iter_mut().map(take).collect();
        if !failed.is_empty() {
            set_aside(batch, failed);
        }
        Ok(())
    }
}

impl Decode {
    fn write_json(
        &mut self,
        transcoder: &JsonTranscoder,
        batch: &mut Batch,
    ) -> Result<Vec<(usize, DeadLetter)>, StepError> {
        let wire_bytes = batch.values.size_bytes();
        let mut packed = Packed::with_capacity(batch.len(), wire_bytes * self.growth / 256);
        let mut failed = Vec::new();
        for (index, wire) in batch.values.iter().enumerate() {
            let outcome = self.push_columns(wire).and_then(|()| {
                let (envelope, space) = (self.envelope, &mut self.space);
                let written =
                    packed.push_with(|out| envelope::write(transcoder, envelope, wire, space, out));
                written.map_err(|error| {
                    self.columns.iter_mut().flatten().for_each(ColumnReader::pop);
                    error.to_string()
                })
            });
            if let Err(reason) = outcome {
                failed.push((index, self.refuse(batch, index, reason)?));
            }
        }
        batch.values = Values::Packed(Arc::new(packed));
        batch.credit_bytes += batch.values.size_bytes().saturating_sub(wire_bytes) as u64;
        let growth = (batch.values.size_bytes() * 256).checked_div(wire_bytes);
        self.growth = growth.map_or(self.growth, |growth| growth + 16);
        Ok(failed)
    }

    fn pass_raw(&mut self, batch: &mut Batch) -> Result<Vec<(usize, DeadLetter)>, StepError> {
        let mut failed = Vec::new();
        for (index, wire) in batch.values.iter().enumerate() {
            if let Err(reason) = self.push_columns(wire) {
                failed.push((index, self.refuse(batch, index, reason)?));
            }
        }
        if !failed.is_empty() {
            let is_kept = |index: &usize| !failed.iter().any(|(refused, _)| refused == index);
            let kept = (0..batch.len()).filter(is_kept).map(|index| batch.values.to_bytes(index));
            batch.values = Values::Received(Arc::new(kept.collect()));
        }
        Ok(failed)
    }

    /// Adds one message's fields to all columns, or to none.
    fn push_columns(&mut self, wire: &[u8]) -> Result<(), String> {
        for place in 0..self.columns.len() {
            let Some(column) = &mut self.columns[place] else { continue };
            if let Err(error) = column.push(wire) {
                self.columns[..place].iter_mut().flatten().for_each(ColumnReader::pop);
                return Err(error.to_string());
            }
        }
        Ok(())
    }

    /// Sets the message aside, or stops the pipeline naming it.
    fn refuse(&self, batch: &Batch, index: usize, reason: String) -> Result<DeadLetter, StepError> {
        let sequence = batch.sequence(index);
        if self.on_error == OnError::DeadLetter {
            let raw = batch.values.to_bytes(index);
            return Ok(DeadLetter { sequence, node: self.node.clone(), reason, raw });
        }
        let shard = &self.shards.get(batch.shard).key;
        let session = batch.session;
        let message = format!(
            "message of shard `{shard}`, session {session}, sequence {sequence} cannot become a \
             record: {reason}; set `on_error: dead_letter` to put such messages aside"
        );
        Err(StepError { message, recovery: Recovery::Stop })
    }
}

fn take(column: &mut Option<ColumnReader>) -> Column {
    column.as_mut().map_or_else(Column::absent, ColumnReader::take)
}

/// Moves the messages that failed from the records to the dead letters.
fn set_aside(batch: &mut Batch, failed: Vec<(usize, DeadLetter)>) {
    let before = batch.len() + failed.len();
    let mut refused = failed.iter().map(|(index, _)| *index).peekable();
    let survivors = (0..before).filter(|index| refused.next_if_eq(index).is_none());
    // Offsets count from the batch's first message, of which the source may have left some out.
    let offset = |index: usize| batch.sequence(index).0 - batch.first.0;
    let offset = |index| u32::try_from(offset(index)).expect("a batch is far below 2^32 messages");
    batch.kept = Some(survivors.map(offset).collect());
    batch.dead.extend(failed.into_iter().map(|(_, dead)| dead));
}

#[cfg(test)]
mod tests;
