//! JSON within JSON: a message's JSON as a text, as Kafka Connect's `JsonConverter` writes what a
//! connector gives it as a text.
//!
//! Invariant: what comes in is JSON, so control characters are escaped in it already.

use super::Envelope;
use headwater_proto::{DecodeError, JsonTranscoder};

/// What stands before the text where its schema is told.
const SCHEMA: &[u8] = br#"{"schema":{"type":"string","optional":false},"payload":"#;

/// More than this is not kept: one huge message must not hold memory for ever.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Writes the JSON of a message into its envelope; `space` is used in between.
pub(super) fn write(
    transcoder: &JsonTranscoder,
    envelope: Envelope,
    wire: &[u8],
    space: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    if envelope == Envelope::None {
        return transcoder.transcode(wire, out);
    }
    space.clear();
    transcoder.transcode(wire, space)?;
    if envelope == Envelope::SchemaAndText {
        out.extend_from_slice(SCHEMA);
    }
    text(space, out);
    if envelope == Envelope::SchemaAndText {
        out.push(b'}');
    }
    if space.capacity() > KEPT_BYTES_MAX {
        space.clear();
        space.shrink_to(KEPT_BYTES_MAX);
    }
    Ok(())
}

/// Escapes quotes, backslashes, and what is beyond the first 65,536 characters, as Jackson does in
/// UTF-8.
fn text(json: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0xf0..)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let taken = if special[0] < 0xf0 { 1 } else { FAR_BYTES };
        match taken {
            1 => out.extend_from_slice(&[b'\\', special[0]]),
            _ => pair(&special[..taken], out),
        }
        rest = &special[taken..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Bytes of a character that UTF-16 has as a pair.
const FAR_BYTES: usize = 4;

/// One such character as the two escapes of its pair.
#[cold]
fn pair(character: &[u8], out: &mut Vec<u8>) {
    let text = std::str::from_utf8(character).expect("JSON is UTF-8");
    for unit in text.encode_utf16() {
        out.extend_from_slice(b"\\u");
        let digit = |shift: u32| HEX[usize::from(unit >> shift) & 0xf];
        out.extend([12, 8, 4, 0].map(digit));
    }
}

const HEX: [u8; 16] = *b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_proto::{DescriptorInput, Descriptors, JsonNotation, JsonStyle};
    use std::path::{Path, PathBuf};

    #[test]
    fn json_within_json_reads_back_as_what_it_was() {
        for json in ["{}", r#"{"a":"q\"b\\s\n€🦀"}"#, ""] {
            let mut out = Vec::new();
            text(json.as_bytes(), &mut out);
            let read: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(read, json);
        }
    }

    fn recorded() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/tests/cases/java")
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits.map(|it| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap()).collect()
    }

    /// What Kafka Connect's own converter wrote (`scripts/connect-json`).
    #[test]
    fn envelopes_are_those_of_connects_json_converter() {
        let types = DescriptorInput::File(recorded().join("recorded.desc"));
        let types = Descriptors::load(&types).unwrap();
        let message = types.pool().get_message_by_name("rich.Scalars").unwrap();
        let style = JsonStyle { defaults: true, notation: JsonNotation::Java };
        let transcoder = JsonTranscoder::compile_as(&message, style);
        for (envelope, ending) in
            [(Envelope::Text, "text"), (Envelope::SchemaAndText, "schema_and_text")]
        {
            let file = recorded().join(format!("rich.Scalars.{ending}"));
            let lines = std::fs::read_to_string(file).unwrap();
            let lines: Vec<&str> = lines.lines().collect();
            assert!(lines.len() > 60 && lines.len().is_multiple_of(2), "{}", lines.len());
            let (mut space, mut out) = (Vec::new(), Vec::new());
            for pair in lines.chunks(2) {
                out.clear();
                write(&transcoder, envelope, &unhex(pair[0]), &mut space, &mut out).unwrap();
                assert_eq!(String::from_utf8_lossy(&out), pair[1], "{}", pair[0]);
            }
        }
    }
}
