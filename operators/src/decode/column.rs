//! Columns: fields of each message that a sink needs and the decoder takes out.
//!
//! A sink names a field by a path; the plan gives every distinct (path, use) of the pipeline one
//! column number, and each decoder fills the columns that sinks behind it read. The path is
//! compiled once and evaluated on the wire, without decoding the message.
//!
//! A field that should become a timestamp is judged here, because a moment that Kafka cannot hold
//! would fail the whole transaction at the broker: what is negative or beyond 64 bits of
//! milliseconds makes its message one that cannot become a record ([`ColumnError`]). A moment that
//! only a topic's own limits refuse (`message.timestamp.before.max.ms` and `after.max.ms`) is for
//! the broker to judge: those limits can change while we run.

use crate::sink::kafka::TimestampUnit;
use headwater_engine::record::Column;
use headwater_proto::path::Timestamp;
use headwater_proto::{FieldPath, Leaf, MessageDescriptor, WireError};
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

/// A field that somebody behind the decoder needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The field's path in the message.
    pub path: String,
    /// What it is needed for.
    pub purpose: Purpose,
}

/// What a column is needed for, and so which form it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A record's key: bytes.
    Key,
    /// A record's timestamp: milliseconds.
    Timestamp(TimestampUnit),
}

/// Why a message's field cannot fill its column.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// The message is broken on the way to the field.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The field's value is no timestamp that Kafka can hold.
    #[error("timestamp field `{field}` {problem}")]
    Moment {
        /// The field's path.
        field: String,
        /// What is wrong with its value.
        problem: ImpossibleMoment,
    },
}

/// A value that can be no record's timestamp, whatever the topic allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleMoment {
    /// Kafka's timestamps begin in 1970; its clients take a negative one for an error, or for none.
    #[error("is {0}, before 1970-01-01T00:00:00Z, where Kafka's timestamps begin")]
    Negative(i64),
    /// It does not fit the 64 bits that a timestamp has.
    #[error("is {0}, more than a Kafka timestamp can hold in milliseconds; check `timestamp.unit`")]
    TooLarge(u64),
    /// It is no sound `google.protobuf.Timestamp`.
    #[error("has {0} nanoseconds; a google.protobuf.Timestamp has 0 to 999,999,999")]
    Nanoseconds(i32),
}

/// Fills one column, batch by batch.
#[derive(Debug)]
pub struct ColumnReader {
    path: FieldPath,
    purpose: Purpose,
    ranges: Vec<Option<Range<usize>>>,
    bytes: Vec<u8>,
    moments: Vec<Option<i64>>,
}

impl ColumnReader {
    /// Compiles `demand` against the message its decoder decodes.
    ///
    /// # Panics
    /// If the path does not fit: the sink's check has compiled it before.
    #[must_use]
    pub fn new(message: &MessageDescriptor, demand: &Demand) -> Self {
        let path = FieldPath::compile(message, &demand.path).expect("the sink's check compiled it");
        ColumnReader {
            path,
            purpose: demand.purpose,
            ranges: Vec::new(),
            bytes: Vec::new(),
            moments: Vec::new(),
        }
    }

    /// Reads the field of one message.
    ///
    /// # Errors
    /// [`ColumnError`] if the message is broken on the way to the field, or if the field can be no
    /// timestamp; nothing is added then.
    pub fn push(&mut self, wire: &[u8]) -> Result<(), ColumnError> {
        let leaf = self.path.find(wire)?;
        match self.purpose {
            Purpose::Key => {
                let start = self.bytes.len();
                let found = leaf.map(|leaf| write_key(&mut self.bytes, &leaf));
                self.ranges.push(found.map(|()| start..self.bytes.len()));
            }
            Purpose::Timestamp(unit) => {
                let moment = match leaf {
                    Some(Leaf::Message(message)) => to_ms(Timestamp::decode(&message)?).map(Some),
                    Some(leaf) => number_to_ms(&leaf, unit),
                    None => Ok(None),
                };
                let moment = moment.map_err(|problem| ColumnError::Moment {
                    field: self.path.to_string(),
                    problem,
                })?;
                // The Kafka client puts its own clock in the place of 0, which is also what an
                // unset field holds: the moment of receipt stands for both.
                self.moments.push(moment.filter(|moment| *moment > 0));
            }
        }
        Ok(())
    }

    /// Takes the last field back: its message turned out not to become a record.
    pub fn pop(&mut self) {
        match self.purpose {
            Purpose::Key => {
                if let Some(Some(range)) = self.ranges.pop() {
                    self.bytes.truncate(range.start);
                }
            }
            Purpose::Timestamp(_) => drop(self.moments.pop()),
        }
    }

    /// The column of the batch; the reader is then empty again.
    pub fn take(&mut self) -> Column {
        match self.purpose {
            Purpose::Key => Column::Bytes(
                Arc::new(std::mem::take(&mut self.ranges)),
                Arc::new(std::mem::take(&mut self.bytes)),
            ),
            Purpose::Timestamp(_) => Column::UnixMs(Arc::new(std::mem::take(&mut self.moments))),
        }
    }
}

/// Texts and bytes as they are, numbers as decimal text, so that every client reads the same key.
fn write_key(out: &mut Vec<u8>, leaf: &Leaf<'_>) {
    let written = match leaf {
        Leaf::Text(text) => out.write_all(text.as_bytes()),
        Leaf::Bytes(bytes) => out.write_all(bytes),
        Leaf::Message(bytes) => out.write_all(bytes),
        Leaf::Bool(value) => write!(out, "{value}"),
        Leaf::Int(value) => write!(out, "{value}"),
        Leaf::Uint(value) => write!(out, "{value}"),
        Leaf::Float(value) => write!(out, "{value}"),
        Leaf::Enum(value) => write!(out, "{value}"),
    };
    written.expect("a Vec takes everything");
}

fn to_ms(timestamp: Timestamp) -> Result<i64, ImpossibleMoment> {
    let Timestamp { seconds, nanos } = timestamp;
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(ImpossibleMoment::Nanoseconds(nanos));
    }
    let whole = u64::try_from(seconds).map_err(|_| ImpossibleMoment::Negative(seconds))?;
    let ms = seconds.checked_mul(1_000).and_then(|ms| ms.checked_add(i64::from(nanos / 1_000_000)));
    ms.ok_or(ImpossibleMoment::TooLarge(whole))
}

fn number_to_ms(leaf: &Leaf<'_>, unit: TimestampUnit) -> Result<Option<i64>, ImpossibleMoment> {
    let number = match leaf {
        Leaf::Int(value) => {
            u64::try_from(*value).map_err(|_| ImpossibleMoment::Negative(*value))?
        }
        Leaf::Uint(value) => *value,
        _ => return Ok(None),
    };
    let ms = match unit {
        TimestampUnit::S => number.checked_mul(1_000),
        TimestampUnit::Ms => Some(number),
        TimestampUnit::Us => Some(number / 1_000),
        TimestampUnit::Ns => Some(number / 1_000_000),
    };
    let ms = ms.and_then(|ms| i64::try_from(ms).ok());
    ms.map(Some).ok_or(ImpossibleMoment::TooLarge(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_proto::telemetry::{Event, Location};
    use headwater_proto::{DescriptorPool, TELEMETRY_PROTO};
    use prost::Message;

    fn event_descriptor() -> MessageDescriptor {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("telemetry.proto");
        std::fs::write(&file, TELEMETRY_PROTO).expect("a file");
        let input = headwater_proto::DescriptorInput::Protos {
            files: vec![file],
            includes: vec![dir.path().to_owned()],
        };
        let descriptors = headwater_proto::Descriptors::load(&input).expect("our own proto");
        let pool: &DescriptorPool = descriptors.pool();
        pool.get_message_by_name("bench.v1.Event").expect("the message")
    }

    fn demand(path: &str, purpose: Purpose) -> Demand {
        Demand { path: path.to_owned(), purpose }
    }

    #[test]
    fn keys_are_text_bytes_or_decimal_numbers_and_absent_ones_stay_absent() {
        let message = event_descriptor();
        let mut device = ColumnReader::new(&message, &demand("device_id", Purpose::Key));
        let mut sequence = ColumnReader::new(&message, &demand("sequence", Purpose::Key));
        let mut nested = ColumnReader::new(&message, &demand("location.lat", Purpose::Key));
        let first = Event { sequence: 7, device_id: "d1".into(), ..Event::default() };
        let location = Some(Location { lat: 1.5, lon: 0.0 });
        let second = Event { device_id: "d22".into(), location, ..Event::default() };
        for event in [&first, &second] {
            let wire = event.encode_to_vec();
            for column in [&mut device, &mut sequence, &mut nested] {
                column.push(&wire).expect("a sound message");
            }
        }
        let (device, sequence, nested) = (device.take(), sequence.take(), nested.take());
        assert_eq!((device.bytes(0), device.bytes(1)), (Some(&b"d1"[..]), Some(&b"d22"[..])));
        assert_eq!((sequence.bytes(0), sequence.bytes(1)), (Some(&b"7"[..]), Some(&b"0"[..])));
        assert_eq!((nested.bytes(0), nested.bytes(1)), (None, Some(&b"1.5"[..])));
    }

    #[test]
    fn a_record_taken_back_leaves_no_trace_in_its_columns() {
        let message = event_descriptor();
        let mut column = ColumnReader::new(&message, &demand("device_id", Purpose::Key));
        for device in ["a", "gone", "c"] {
            let event = Event { device_id: device.into(), ..Event::default() };
            column.push(&event.encode_to_vec()).expect("a sound message");
            if device == "gone" {
                column.pop();
            }
        }
        let column = column.take();
        assert_eq!((column.bytes(0), column.bytes(1)), (Some(&b"a"[..]), Some(&b"c"[..])));
    }

    #[test]
    fn numbers_become_milliseconds_by_their_unit() {
        let message = event_descriptor();
        for (unit, expected) in [
            (TimestampUnit::S, 1_700_000_000_123_000),
            (TimestampUnit::Ms, 1_700_000_000_123),
            (TimestampUnit::Us, 1_700_000_000),
            (TimestampUnit::Ns, 1_700_000),
        ] {
            let purpose = Purpose::Timestamp(unit);
            let mut column = ColumnReader::new(&message, &demand("emitted_ns", purpose));
            let event = Event { emitted_ns: 1_700_000_000_123, ..Event::default() };
            column.push(&event.encode_to_vec()).expect("a sound message");
            assert_eq!(column.take().unix_ms(0), Some(expected), "{unit:?}");
        }
    }

    fn moment(event: &Event, field: &str, unit: TimestampUnit) -> Result<Option<i64>, String> {
        let message = event_descriptor();
        let mut column = ColumnReader::new(&message, &demand(field, Purpose::Timestamp(unit)));
        column.push(&event.encode_to_vec()).map_err(|error| error.to_string())?;
        Ok(column.take().unix_ms(0))
    }

    #[test]
    fn a_moment_that_kafka_cannot_hold_names_its_field_and_its_value() {
        let of_signed = |emitted_ns| Event { emitted_ns, ..Event::default() };
        let of_unsigned = |sequence| Event { sequence, ..Event::default() };
        for (event, field, unit, words) in [
            (of_signed(-1), "emitted_ns", TimestampUnit::Ns, "is -1, before 1970"),
            (of_signed(i64::MIN), "emitted_ns", TimestampUnit::Ms, "before 1970"),
            (of_signed(i64::MAX / 999), "emitted_ns", TimestampUnit::S, "`timestamp.unit`"),
            (of_unsigned(u64::MAX), "sequence", TimestampUnit::Ms, "is 18446744073709551615,"),
        ] {
            let reason = moment(&event, field, unit).expect_err("it is impossible");
            assert!(reason.contains(words) && reason.contains(field), "{reason}");
        }
        let newest = moment(&of_unsigned(i64::MAX as u64), "sequence", TimestampUnit::Ms);
        assert_eq!(newest, Ok(Some(i64::MAX)), "the topic's limits are the broker's to apply");
    }

    #[test]
    fn zero_counts_as_absent() {
        assert_eq!(moment(&Event::default(), "emitted_ns", TimestampUnit::Ns), Ok(None));
        let below_a_millisecond = Event { emitted_ns: 999_999, ..Event::default() };
        assert_eq!(moment(&below_a_millisecond, "emitted_ns", TimestampUnit::Ns), Ok(None));
    }

    #[test]
    fn a_timestamp_message_is_judged_like_a_number() {
        let at = |seconds, nanos| to_ms(Timestamp { seconds, nanos });
        assert_eq!(at(1, 999_999_999), Ok(1_999));
        assert_eq!(at(-1, 999_999_999), Err(ImpossibleMoment::Negative(-1)));
        assert_eq!(at(0, -1), Err(ImpossibleMoment::Nanoseconds(-1)));
        assert_eq!(at(0, 1_000_000_000), Err(ImpossibleMoment::Nanoseconds(1_000_000_000)));
        let too_large = Err(ImpossibleMoment::TooLarge(i64::MAX as u64));
        assert_eq!(at(i64::MAX, 0), too_large);
    }
}
