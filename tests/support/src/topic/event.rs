//! What the checks need of a telemetry event, from JSON or protobuf, without decoding it whole.

use headwater_proto::telemetry::Event;
use prost::Message;

/// The sequence of an event, however it was written.
pub fn sequence(value: &[u8]) -> Option<u64> {
    match value.first()? {
        b'{' => number(value, b"\"sequence\":\"")?.try_into().ok(),
        _ => Event::decode(value).ok().map(|it| it.sequence),
    }
}

/// When an event was due or left, in nanoseconds since the Unix epoch.
pub fn emitted_ns(value: &[u8]) -> Option<i64> {
    match value.first()? {
        b'{' => number(value, b"\"emittedNs\":\""),
        _ => Event::decode(value).ok().map(|it| it.emitted_ns),
    }
}

/// The number behind the first occurrence of `name`, which proto3 JSON writes as a string.
fn number(json: &[u8], name: &[u8]) -> Option<i64> {
    let start = json.windows(name.len()).position(|it| it == name)? + name.len();
    let digits = json[start..].iter().take_while(|it| it.is_ascii_digit());
    let length = digits.count();
    std::str::from_utf8(&json[start..start + length]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_protobuf_say_the_same() {
        let json = br#"{"sequence":"42","emittedNs":"1764000000123456789","site":"delft"}"#;
        let event =
            Event { sequence: 42, emitted_ns: 1_764_000_000_123_456_789, ..Event::default() };
        for value in [&json[..], &event.encode_to_vec()] {
            assert_eq!(sequence(value), Some(42));
            assert_eq!(emitted_ns(value), Some(1_764_000_000_123_456_789));
        }
    }

    #[test]
    fn what_is_no_event_has_no_sequence() {
        for value in [&b""[..], b"{}", br#"{"sequence":"x"}"#, &[0xff, 0xff]] {
            assert_eq!(sequence(value), None);
        }
    }
}
