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
use headwater_proto::{FieldError, FieldPath, JsonField, Leaf, MessageDescriptor, WireError};
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

/// A field that somebody behind the decoder needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The field's path in the message; empty for [`Purpose::Object`], whose members have paths.
    pub path: String,
    /// What it is needed for.
    pub purpose: Purpose,
}

/// What a column is needed for, and so which form it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A record's key: bytes.
    Key,
    /// A text, for a header or a topic: as in the record's JSON, without quotes.
    Text,
    /// The field's JSON; null where it is absent.
    Json,
    /// A JSON object of several fields, each by its name in the object and its path.
    Object(Vec<(String, String)>),
    /// A record's timestamp: milliseconds.
    Timestamp(TimestampUnit),
}

/// Why a message's field cannot fill its column.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// The message is broken on the way to the field.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The message is broken on the way to the field, or in it.
    #[error(transparent)]
    Field(#[from] FieldError),
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
    from: Reading,
    ranges: Vec<Option<Range<usize>>>,
    bytes: Vec<u8>,
    moments: Vec<Option<i64>>,
}

/// Where a column's values come from.
#[derive(Debug)]
enum Reading {
    Key(FieldPath),
    Timestamp(FieldPath, TimestampUnit),
    Text(JsonField),
    Json(JsonField),
    /// Each member with what stands before its value.
    Object(Vec<(Vec<u8>, JsonField)>),
}

impl Reading {
    fn new(message: &MessageDescriptor, demand: &Demand) -> Reading {
        const CHECKED: &str = "the sink's check compiled it";
        let path = || FieldPath::compile(message, &demand.path).expect(CHECKED);
        let field = |path: &str| JsonField::compile(message, path).expect(CHECKED);
        match &demand.purpose {
            Purpose::Key => Reading::Key(path()),
            Purpose::Timestamp(unit) => Reading::Timestamp(path(), *unit),
            Purpose::Text => Reading::Text(field(&demand.path)),
            Purpose::Json => Reading::Json(field(&demand.path)),
            Purpose::Object(members) => {
                let member = |(place, (name, path)): (usize, &(String, String))| {
                    let name = serde_json::to_string(name).expect("a text is JSON");
                    let open = if place == 0 { '{' } else { ',' };
                    (format!("{open}{name}:").into_bytes(), field(path))
                };
                Reading::Object(members.iter().enumerate().map(member).collect())
            }
        }
    }

    /// Appends the bytes of a column of bytes; false if there are none.
    fn write(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<bool, ColumnError> {
        match self {
            Reading::Key(path) => {
                let leaf = path.find(wire)?;
                Ok(leaf.map(|leaf| write_key(out, &leaf)).is_some())
            }
            Reading::Text(field) => Ok(field.write_text(wire, out)?),
            Reading::Json(field) => write_or_null(field, wire, out),
            Reading::Object(members) => {
                for (before, field) in members {
                    out.extend_from_slice(before);
                    write_or_null(field, wire, out)?;
                }
                out.push(b'}');
                Ok(true)
            }
            Reading::Timestamp(..) => unreachable!("moments are no bytes"),
        }
    }
}

fn write_or_null(field: &JsonField, wire: &[u8], out: &mut Vec<u8>) -> Result<bool, ColumnError> {
    if !field.write_json(wire, out)? {
        out.extend_from_slice(b"null");
    }
    Ok(true)
}

impl ColumnReader {
    /// Compiles `demand` against the message its decoder decodes.
    ///
    /// # Panics
    /// If the path does not fit: the sink's check has compiled it before.
    #[must_use]
    pub fn new(message: &MessageDescriptor, demand: &Demand) -> Self {
        ColumnReader {
            from: Reading::new(message, demand),
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
        if let Reading::Timestamp(path, unit) = &self.from {
            let moment = moment(path, *unit, wire)?;
            self.moments.push(moment);
            return Ok(());
        }
        let start = self.bytes.len();
        let written = self.from.write(wire, &mut self.bytes);
        let is_there = written.inspect_err(|_| self.bytes.truncate(start))?;
        self.ranges.push(is_there.then_some(start..self.bytes.len()));
        Ok(())
    }

    /// Takes the last field back: its message turned out not to become a record.
    pub fn pop(&mut self) {
        match self.from {
            Reading::Timestamp(..) => drop(self.moments.pop()),
            _ => {
                if let Some(Some(range)) = self.ranges.pop() {
                    self.bytes.truncate(range.start);
                }
            }
        }
    }

    /// The column of the batch; the reader is then empty again.
    pub fn take(&mut self) -> Column {
        match self.from {
            Reading::Timestamp(..) => Column::UnixMs(Arc::new(std::mem::take(&mut self.moments))),
            _ => Column::Bytes(
                Arc::new(std::mem::take(&mut self.ranges)),
                Arc::new(std::mem::take(&mut self.bytes)),
            ),
        }
    }
}

fn moment(path: &FieldPath, unit: TimestampUnit, wire: &[u8]) -> Result<Option<i64>, ColumnError> {
    let moment = match path.find(wire)? {
        Some(Leaf::Message(message)) => to_ms(Timestamp::decode(&message)?).map(Some),
        Some(leaf) => number_to_ms(&leaf, unit),
        None => Ok(None),
    };
    let wrong = |problem| ColumnError::Moment { field: path.to_string(), problem };
    // The Kafka client puts its own clock in the place of 0, which is also what an unset field
    // holds: the moment of receipt stands for both.
    Ok(moment.map_err(wrong)?.filter(|moment| *moment > 0))
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
    fn keys_and_headers_look_as_in_the_records_json_where_they_shall() {
        let message = event_descriptor();
        let transcoder = headwater_proto::JsonTranscoder::compile(&message);
        let location = Some(Location { lat: 1.5, lon: -2.0 });
        let event = Event {
            sequence: 7,
            emitted_ns: -5,
            device_id: "a \"b\"\n".into(),
            temperature: f64::NAN,
            alarm: true,
            status: 1,
            samples: vec![3],
            labels: [("k".to_owned(), "v".to_owned())].into(),
            payload: vec![1, 2],
            location,
            ..Event::default()
        };
        let wire = event.encode_to_vec();
        let mut json = Vec::new();
        transcoder.transcode(&wire, &mut json).expect("a sound message");
        let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        let one = |path: &str, purpose| {
            let mut column = ColumnReader::new(&message, &demand(path, purpose));
            column.push(&wire).expect("a sound message");
            column.take().bytes(0).map(|it| String::from_utf8_lossy(it).into_owned())
        };
        for (path, pointer, text) in [
            ("sequence", "/sequence", "7"),
            ("emittedNs", "/emittedNs", "-5"),
            ("device_id", "/deviceId", "a \"b\"\n"),
            ("temperature", "/temperature", "NaN"),
            ("alarm", "/alarm", "true"),
            ("status", "/status", "STATUS_OK"),
            ("samples[0]", "/samples/0", "3"),
            ("labels[\"k\"]", "/labels/k", "v"),
            ("payload", "/payload", "\u{1}\u{2}"),
            ("location", "/location", "{\"lat\":1.5,\"lon\":-2.0}"),
        ] {
            let expected = json.pointer(pointer).unwrap_or_else(|| panic!("{path}: {json}"));
            assert_eq!(one(path, Purpose::Json), Some(expected.to_string()), "{path}");
            assert_eq!(one(path, Purpose::Text).as_deref(), Some(text), "{path}");
        }
        // Absent, and absent with a default.
        assert_eq!(one("samples[5]", Purpose::Json).as_deref(), Some("null"));
        assert_eq!(one("samples[5]", Purpose::Text), None);
        assert_eq!(one("site", Purpose::Json).as_deref(), Some("\"\""));
        let members = [("id", "device_id"), ("n", "sequence"), ("far", "samples[5]")];
        let members = members.map(|(name, path)| (name.to_owned(), path.to_owned()));
        let object = one("", Purpose::Object(members.into()));
        assert_eq!(object.as_deref(), Some(r#"{"id":"a \"b\"\n","n":"7","far":null}"#));
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
