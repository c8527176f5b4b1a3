//! All sinks of a pipeline as the one thing the committer drives.
//!
//! Kafka sinks decide: an epoch is durable when their transaction is. Local sinks (`stdout`,
//! `discard`) take records when they are staged and remember nothing; a pipeline that has only
//! local sinks is durable as soon as it has printed. After an aborted transaction an epoch is
//! staged again, so a local sink beside a Kafka sink may show records twice; only the topic is
//! exact.

use crate::sink::kafka::KafkaOutlet;
use crate::sink::stdout::StdoutSink;
use crate::sink::tap::Tap;
use headwater_engine::commit::outlet::{Outlet, OutletError, Repair, Sealed, ShardPosition};
use headwater_engine::ids::{Epoch, ShardIndex, SinkIndex, Slot};
use headwater_engine::record::Batch;
use headwater_engine::shards::ShardTable;
use std::collections::BTreeMap;
use std::io;

/// Where the batches of one sink node go.
pub enum SinkPart {
    /// Into the Kafka transaction; the number is the sink's place in the Kafka outlet.
    Kafka(usize),
    /// To standard output.
    Stdout(StdoutSink),
    /// Nowhere.
    Discard,
}

/// The sinks of one pipeline.
pub struct PipelineOutlet {
    kafka: Option<KafkaOutlet>,
    parts: Vec<SinkPart>,
    tap: Option<(Tap, ShardTable)>,
}

impl PipelineOutlet {
    /// `parts` by [`SinkIndex`]; `kafka` if any part names it.
    #[must_use]
    pub fn new(kafka: Option<KafkaOutlet>, parts: Vec<SinkPart>) -> Self {
        PipelineOutlet { kafka, parts, tap: None }
    }

    /// The same; what is staged is shown at `tap`, to those who look.
    #[must_use]
    pub fn tapped(self, tap: Option<(Tap, ShardTable)>) -> Self {
        PipelineOutlet { tap, ..self }
    }
}

impl Outlet for PipelineOutlet {
    fn ring(&self) -> u32 {
        self.kafka.as_ref().map_or(1, KafkaOutlet::ring)
    }

    fn begin(&mut self, slot: Slot, epoch: Epoch) -> Result<(), OutletError> {
        self.kafka.as_mut().map_or(Ok(()), |kafka| kafka.begin(slot, epoch))
    }

    fn stage(&mut self, sink: SinkIndex, batch: &Batch) -> Result<(), OutletError> {
        if let Some((tap, shards)) = &self.tap {
            tap.show(sink, batch, shards);
        }
        match &self.parts[sink.0 as usize] {
            SinkPart::Kafka(place) => {
                let kafka = self.kafka.as_mut().expect("a Kafka part has the Kafka outlet");
                kafka.stage(*place, batch)
            }
            SinkPart::Stdout(stdout) => stdout.print(batch).map_err(|error| closed(&error)),
            SinkPart::Discard => Ok(()),
        }
    }

    fn set_aside(&self, epoch: Epoch) -> BTreeMap<ShardIndex, u64> {
        self.kafka.as_ref().map(|kafka| kafka.set_aside(epoch)).unwrap_or_default()
    }

    fn seal(
        &mut self,
        epoch: Epoch,
        positions: &[ShardPosition],
    ) -> Result<Box<dyn Sealed>, OutletError> {
        match &mut self.kafka {
            Some(kafka) => kafka.seal(epoch, positions),
            None => Ok(Box::new(Printed)),
        }
    }

    fn commit_failed(&mut self, error: OutletError) -> OutletError {
        match &mut self.kafka {
            Some(kafka) => kafka.commit_failed(error),
            None => error,
        }
    }

    fn committed(&mut self, _: Epoch, positions: &[ShardPosition]) {
        if let Some(kafka) = &mut self.kafka {
            kafka.committed(positions);
        }
    }

    fn abort(&mut self) -> Result<(), OutletError> {
        self.kafka.as_mut().map_or(Ok(()), KafkaOutlet::abort)
    }

    fn acquire(&mut self) -> Result<Option<Epoch>, OutletError> {
        self.kafka.as_mut().map_or(Ok(None), KafkaOutlet::reacquire)
    }

    fn poll(&mut self) {
        if let Some(kafka) = &mut self.kafka {
            kafka.poll();
        }
    }
}

/// What local sinks have taken is as durable as it gets.
struct Printed;

impl Sealed for Printed {
    fn commit(&mut self) -> Result<(), OutletError> {
        Ok(())
    }
}

fn closed(error: &io::Error) -> OutletError {
    OutletError { message: format!("standard output: {error}"), repair: Repair::Stop }
}
