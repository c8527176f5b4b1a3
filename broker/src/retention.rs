//! Drops old batches: by the topic's age and size, and by the bound of memory mode.
//!
//! Only ended transactions of topics with `cleanup.policy=delete` are dropped, whole batches at a
//! time from the front.

use crate::journal::{Entry, Store};
use crate::limits::{MEMORY_LOG_BYTES_MAX, PRODUCER_IDLE_MS_MAX};
use crate::log::Partition;
use crate::settings::Settings;
use crate::state::State;

/// Drops what is due by age and size, and forgets producers that have been idle for long.
pub(crate) fn enforce(state: &mut State) {
    let now_ms = state.now_ms;
    let mut cuts = Vec::new();
    for (name, topic) in &mut state.topics {
        for (index, log) in topic.partitions.iter_mut().enumerate() {
            log.forget_producers(now_ms - PRODUCER_IDLE_MS_MAX);
            if let Some(offset) = due(log, &topic.settings, now_ms) {
                cuts.push((name.clone(), index, offset));
            }
        }
    }
    for (topic, index, offset) in cuts {
        cut(state, topic, index, offset);
    }
}

/// In memory mode, keeps all logs together within their bound.
pub(crate) fn enforce_memory(state: &mut State) {
    if matches!(state.store, Store::Memory) {
        bound_memory(state, MEMORY_LOG_BYTES_MAX);
    }
}

/// Where the log should begin, if that is further on than it does.
fn due(log: &Partition, settings: &Settings, now_ms: i64) -> Option<i64> {
    if !settings.is_deleted {
        return None;
    }
    let bytes_max = u64::try_from(settings.retention_bytes).unwrap_or(u64::MAX);
    let mut bytes = log.bytes();
    let mut offset = None;
    for batch in log.batches_in(&(0..log.last_stable())) {
        let is_old = settings.retention_ms >= 0
            && now_ms.saturating_sub(batch.max_timestamp) > settings.retention_ms;
        if batch.last >= log.last_stable() || !(is_old || bytes > bytes_max) {
            break;
        }
        bytes -= batch.location.size();
        offset = Some(batch.last + 1);
    }
    offset
}

fn cut(state: &mut State, topic: String, index: usize, offset: i64) {
    let partition = i32::try_from(index).expect("the number of partitions is bounded");
    state.change(Entry::LogStart { topic, partition, offset });
}

/// Keeps all logs together within the bound, at the cost of the largest.
fn bound_memory(state: &mut State, bytes_max: u64) {
    loop {
        let logs = state.topics.iter().flat_map(|(name, topic)| {
            topic.partitions.iter().enumerate().map(move |(index, log)| (name, topic, index, log))
        });
        let used: u64 = logs.clone().map(|(.., log)| log.bytes()).sum();
        if used <= bytes_max {
            return;
        }
        let droppable = logs.filter(|(_, topic, ..)| topic.settings.is_deleted);
        let largest = droppable.max_by_key(|(.., log)| log.bytes());
        let Some((name, _, index, log)) = largest else {
            return;
        };
        let Some(offset) = cut_of(log, used - bytes_max) else {
            return;
        };
        let name = name.clone();
        tracing::warn!(event = "memory_bound_reached", topic = name, partition = index, offset);
        cut(state, name, index, offset);
    }
}

/// The offset below which at least some of the wanted bytes are, and at most half of the log.
fn cut_of(log: &Partition, wanted: u64) -> Option<i64> {
    let wanted = wanted.min(log.bytes() / 2);
    let mut freed = 0;
    let mut offset = None;
    for batch in log.batches_in(&(0..log.last_stable())) {
        if batch.last >= log.last_stable() || (offset.is_some() && freed >= wanted) {
            break;
        }
        freed += batch.location.size();
        offset = Some(batch.last + 1);
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Header;
    use crate::journal::Location;
    use crate::records::tests::{build, plain};

    fn log(batches: i64) -> Partition {
        let mut log = Partition::default();
        for index in 0..batches {
            let header = Header { base_offset: index, max_timestamp: index * 100, ..plain() };
            let bytes = build(header, &[(Some("k"), Some("v"))]);
            let header = Header::parse(&bytes).unwrap();
            log.append(&header, None, Location::Memory(bytes));
        }
        log
    }

    fn settings(key: &str, value: &str) -> Settings {
        Settings::new([(key.to_owned(), value.to_owned())].into()).unwrap()
    }

    #[test]
    fn age_and_size_cut_whole_batches_from_the_front() {
        let log = log(10);
        assert_eq!(due(&log, &settings("retention.ms", "500"), 1_000), Some(5));
        let two = (log.bytes() / 10 * 2).to_string();
        assert_eq!(due(&log, &settings("retention.bytes", &two), 0), Some(8));
        assert_eq!(due(&log, &settings("retention.ms", "-1"), i64::MAX), None);
        assert_eq!(due(&log, &settings("cleanup.policy", "compact"), i64::MAX), None);
    }

    #[test]
    fn the_memory_bound_frees_what_is_wanted_and_never_more_than_half_at_once() {
        let log = log(10);
        let one = log.bytes() / 10;
        assert_eq!(cut_of(&log, one), Some(1));
        assert_eq!(cut_of(&log, one * 9), Some(5));
        assert_eq!(cut_of(&Partition::default(), 1), None);
    }
}
