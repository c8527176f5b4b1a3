//! Writes the journal anew when most of it is dead, so that it does not grow for ever.
//!
//! The new file holds the state as it is: settings, transactions, offsets, and each partition's
//! facts and batches. Only when it is whole and on disk does one rename put it in the old one's
//! place; until then the old one is the truth. The core thread does nothing else meanwhile, which
//! is paid for by the at least as many dead bytes that had to be written first.

use crate::journal::{Entry, JournalError, JournalFile, Location, Store};
use crate::limits::{REWRITE_BYTES_MIN, REWRITE_FRAME_BYTES};
use crate::state::State;

/// Rewrites the journal if it is due. A failure leaves the old one in use and is logged.
pub(crate) fn run(state: &mut State) {
    let Store::File(journal) = &state.store else {
        return;
    };
    let live = state.topics.values().flat_map(|it| &it.partitions).map(|it| it.bytes()).sum();
    if is_due(journal.size(), live) {
        now(state);
    }
}

/// Rewrites the journal, whose frame is closed.
pub(crate) fn now(state: &mut State) {
    let Store::File(journal) = &state.store else { return };
    let size_before = journal.size();
    match rewritten(state) {
        Ok((journal, places)) => {
            let size = journal.size();
            tracing::info!(event = "journal_rewritten", size_before, size);
            move_to(state, places);
            state.store = Store::File(journal);
        }
        Err(error) => tracing::warn!(event = "journal_not_rewritten", %error),
    }
}

fn is_due(size: u64, live: u64) -> bool {
    size > REWRITE_BYTES_MIN && size / 2 > live
}

/// The journal that says the same, and the places of all batches in it, in the state's order.
fn rewritten(state: &mut State) -> Result<(JournalFile, Vec<Location>), JournalError> {
    let Store::File(old) = &state.store else { unreachable!("memory mode has no journal") };
    let mut writer = Writer { store: Store::File(old.successor()?), places: Vec::new() };
    let written = writer.write(state);
    let Writer { store: Store::File(mut journal), places } = writer else {
        unreachable!("the writer was made with a file")
    };
    let replaced = written.and_then(|()| journal.replace(old));
    match replaced {
        Ok(()) => Ok((journal, places)),
        Err(error) => {
            journal.discard();
            Err(error)
        }
    }
}

fn move_to(state: &mut State, places: Vec<Location>) {
    let partitions = state.topics.values_mut().flat_map(|it| &mut it.partitions);
    let mut batches = partitions.flat_map(|it| it.batches_mut());
    for place in places {
        let batch = batches.next().expect("every place is of one batch");
        batch.location = place;
    }
    assert!(batches.next().is_none(), "every batch has got its place");
}

struct Writer {
    store: Store,
    places: Vec<Location>,
}

impl Writer {
    fn write(&mut self, state: &State) -> Result<(), JournalError> {
        for entry in state.entries() {
            self.store.record(&entry);
            self.close_full_frame()?;
        }
        for (name, topic) in &state.topics {
            for (index, log) in topic.partitions.iter().enumerate() {
                let partition = i32::try_from(index).expect("partitions are bounded");
                let facts = Box::new(log.facts().clone());
                self.store.record(&Entry::Facts { topic: name.clone(), partition, facts });
                for batch in log.batches_from(0) {
                    let bytes = state.store.read(&batch.location)?;
                    self.places.push(self.store.place(name, partition, bytes));
                    self.close_full_frame()?;
                }
            }
        }
        self.store.seal()
    }

    fn close_full_frame(&mut self) -> Result<(), JournalError> {
        match &self.store {
            Store::File(file) if file.frame_size() >= REWRITE_FRAME_BYTES => self.store.seal(),
            _ => Ok(()),
        }
    }
}
