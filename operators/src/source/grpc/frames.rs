//! Looks at what a server sends, frame by frame, for the one in which it says that it will close
//! the connection (GOAWAY, [RFC 9113 §6.8](https://www.rfc-editor.org/rfc/rfc9113#section-6.8)).
//!
//! Why a look of our own. The library below tells a stream nothing of a GOAWAY that lets it go on,
//! and when the connection then ends, the stream hears of a broken pipe: neither that the server
//! asks its clients to go, nor that it was pinged too often, reaches the call.
//!
//! Invariants
//! 1. Payloads are passed over, never read or copied, except that of a GOAWAY up to a bound.
//! 2. What a server sends cannot fail here: what is no frame is passed over as if it were one.
//!
//! Next: `link.rs` shows it what is read.

use super::status::escaped;
use std::fmt;

/// RFC 9113 §4.1: length, type, flags, stream.
const HEADER_BYTES: usize = 9;

/// RFC 9113 §6.8.
const GOAWAY: u8 = 0x7;

/// The last stream and the error code, before the debug data.
const GOAWAY_FIXED_BYTES: usize = 8;

/// Debug data of a GOAWAY that is kept.
const DEBUG_BYTES_MAX: usize = 128;

/// RFC 9113 §7, in the order of their numbers.
const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The frames of one connection, as they come.
#[derive(Default)]
pub(super) struct Frames {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Bytes of the current payload that have not come yet.
    payload_bytes: usize,
    /// What is kept of a GOAWAY that is coming.
    goaway: Option<Vec<u8>>,
}

/// What a server says when it is about to close a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GoAway {
    code: u32,
    debug: Vec<u8>,
}

impl Frames {
    /// Takes what was read; the last GOAWAY that is whole with it.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> Option<GoAway> {
        let mut seen = None;
        while !bytes.is_empty() {
            bytes = if self.header_bytes < HEADER_BYTES {
                self.take_header(bytes)
            } else {
                self.take_payload(bytes)
            };
            if self.header_bytes == HEADER_BYTES && self.payload_bytes == 0 {
                self.header_bytes = 0;
                seen = self.goaway.take().and_then(GoAway::parse).or(seen);
            }
        }
        seen
    }

    fn take_header<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        // The usual case first: the whole header has come.
        if let (0, Some((header, rest))) = (self.header_bytes, bytes.split_first_chunk()) {
            self.header = *header;
            self.begin_payload();
            return rest;
        }
        let missing = HEADER_BYTES - self.header_bytes;
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.header[self.header_bytes..][..taken.len()].copy_from_slice(taken);
        self.header_bytes += taken.len();
        if self.header_bytes == HEADER_BYTES {
            self.begin_payload();
        }
        rest
    }

    fn begin_payload(&mut self) {
        let [a, b, c, kind, ..] = self.header;
        self.header_bytes = HEADER_BYTES;
        self.payload_bytes = u32::from_be_bytes([0, a, b, c]) as usize;
        self.goaway = (kind == GOAWAY).then(Vec::new);
    }

    fn take_payload<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(self.payload_bytes.min(bytes.len()));
        self.payload_bytes -= taken.len();
        if let Some(kept) = &mut self.goaway {
            let room = GOAWAY_FIXED_BYTES + DEBUG_BYTES_MAX - kept.len();
            kept.extend_from_slice(&taken[..room.min(taken.len())]);
        }
        rest
    }
}

impl GoAway {
    fn parse(payload: Vec<u8>) -> Option<Self> {
        let code = payload.get(4..GOAWAY_FIXED_BYTES)?.try_into().ok()?;
        let debug = payload[GOAWAY_FIXED_BYTES..].to_vec();
        Some(GoAway { code: u32::from_be_bytes(code), debug })
    }

    /// Whether nothing is wrong: the server only wants its clients to go.
    pub(super) fn is_graceful(&self) -> bool {
        self.code == NO_ERROR
    }

    /// Whether the server was asked too much of, in gRPC's use: pinged too often.
    pub(super) fn is_calm_wanted(&self) -> bool {
        self.code == ENHANCE_YOUR_CALM
    }
}

impl fmt::Display for GoAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CODES.get(self.code as usize) {
            Some(name) => write!(f, "GOAWAY {name}")?,
            None => write!(f, "GOAWAY with code {}", self.code)?,
        }
        if !self.debug.is_empty() {
            write!(f, " ({})", escaped(&String::from_utf8_lossy(&self.debug)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    fn goaway(code: u32, debug: &[u8]) -> Vec<u8> {
        let mut payload = vec![0, 0, 0, 1];
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(debug);
        frame(GOAWAY, &payload)
    }

    #[test]
    fn a_goaway_is_found_wherever_reads_cut_the_frames() {
        // Data whose payload looks like a GOAWAY, an empty frame, and the real one.
        let mut bytes = frame(0, &goaway(2, b"no"));
        bytes.extend(frame(4, &[]));
        bytes.extend(goaway(ENHANCE_YOUR_CALM, b"too_many_pings"));
        bytes.extend(frame(0, &[7; 300]));
        for size in 1..bytes.len() {
            let mut frames = Frames::default();
            let seen: Vec<GoAway> =
                bytes.chunks(size).filter_map(|chunk| frames.see(chunk)).collect();
            let expected = GoAway { code: ENHANCE_YOUR_CALM, debug: b"too_many_pings".to_vec() };
            assert_eq!(seen, [expected], "reads of {size} bytes");
        }
    }

    #[test]
    fn the_last_of_two_counts_and_debug_data_are_bounded_and_escaped() {
        let mut bytes = goaway(NO_ERROR, b"");
        bytes.extend(goaway(99, &[b'\n'; 1_000]));
        let seen = Frames::default().see(&bytes).expect("whole");
        assert_eq!(seen.debug.len(), DEBUG_BYTES_MAX);
        assert!(seen.to_string().starts_with("GOAWAY with code 99 (\\n"), "{seen}");
        let graceful = Frames::default().see(&goaway(NO_ERROR, b"")).expect("whole");
        assert!(graceful.is_graceful() && !graceful.is_calm_wanted());
        assert_eq!(graceful.to_string(), "GOAWAY NO_ERROR");
    }

    #[test]
    fn what_is_no_frame_is_passed_over() {
        let mut frames = Frames::default();
        assert_eq!(frames.see(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None);
        assert_eq!(frames.see(&frame(GOAWAY, &[1, 2, 3])), None);
        assert_eq!(Frames::default().see(&frame(GOAWAY, &[1, 2, 3])), None, "too short");
    }
}
