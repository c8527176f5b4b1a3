//! A frame: four bytes of length, and as many bytes of a request or of an answer.

use std::fmt;
use std::io::{self, ErrorKind};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A kind of request, by its API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Api(pub i16);

/// A request, with its length before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request(Bytes);

/// An answer, with its length before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(Bytes);

/// The broker's own limit is 100 MiB (`socket.request.max.bytes`).
const FRAME_BYTES_MAX: usize = 128 << 20;

const LENGTH_BYTES: usize = 4;

/// Length, API key, version, correlation id and the length of the client id.
const REQUEST_BYTES_MIN: usize = LENGTH_BYTES + 2 + 2 + 4 + 2;

/// Length and correlation id.
const ANSWER_BYTES_MIN: usize = LENGTH_BYTES + 4;

/// The next frame, its length before it; none once the other side has ended the stream.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
    let mut length = [0; LENGTH_BYTES];
    match from.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let announced = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if announced > FRAME_BYTES_MAX {
        let text =
            format!("a frame of {announced} bytes: is this Kafka's protocol, and plaintext?");
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    let mut frame = vec![0; LENGTH_BYTES + announced];
    frame[..LENGTH_BYTES].copy_from_slice(&length);
    from.read_exact(&mut frame[LENGTH_BYTES..]).await?;
    Ok(Some(frame.into()))
}

impl Api {
    /// Records.
    pub const PRODUCE: Api = Api(0);
    /// Reading.
    pub const FETCH: Api = Api(1);
    /// Topics and brokers.
    pub const METADATA: Api = Api(3);
    /// Who coordinates a group or a transactional id.
    pub const FIND_COORDINATOR: Api = Api(10);
    /// What the broker speaks.
    pub const API_VERSIONS: Api = Api(18);
    /// Takes a transactional id: fences its earlier owner.
    pub const INIT_PRODUCER_ID: Api = Api(22);
    /// Registers partitions with the open transaction.
    pub const ADD_PARTITIONS_TO_TXN: Api = Api(24);
    /// Commits or aborts.
    pub const END_TXN: Api = Api(26);
}

impl Request {
    /// Takes a frame for a request, if it is long enough to be one.
    pub(super) fn new(frame: Bytes) -> Option<Request> {
        (frame.len() >= REQUEST_BYTES_MIN).then_some(Request(frame))
    }

    /// What kind it is.
    pub fn api(&self) -> Api {
        Api(self.i16_at(4))
    }

    /// The version of its format.
    pub fn version(&self) -> i16 {
        self.i16_at(6)
    }

    /// What the answer will bear.
    pub fn correlation(&self) -> i32 {
        let bytes = self.0[8..12].try_into().expect("four bytes");
        i32::from_be_bytes(bytes)
    }

    /// What the client calls itself.
    pub fn client_id(&self) -> Option<&str> {
        let length = usize::try_from(self.i16_at(12)).ok()?;
        std::str::from_utf8(self.0.get(REQUEST_BYTES_MIN..REQUEST_BYTES_MIN + length)?).ok()
    }

    /// What stands behind the client id; flexible versions have a byte or more of tags before it.
    pub fn body(&self) -> &[u8] {
        let client_id = usize::try_from(self.i16_at(12)).unwrap_or(0);
        self.0.get(REQUEST_BYTES_MIN + client_id..).unwrap_or_default()
    }

    /// The whole frame.
    pub(super) fn frame(&self) -> &[u8] {
        &self.0
    }

    fn i16_at(&self, place: usize) -> i16 {
        i16::from_be_bytes([self.0[place], self.0[place + 1]])
    }
}

impl Answer {
    /// Takes a frame for an answer, if it is long enough to be one.
    pub(super) fn new(frame: Bytes) -> Option<Answer> {
        (frame.len() >= ANSWER_BYTES_MIN).then_some(Answer(frame))
    }

    /// Which request it answers.
    pub fn correlation(&self) -> i32 {
        let bytes = self.0[4..8].try_into().expect("four bytes");
        i32::from_be_bytes(bytes)
    }

    /// What stands behind the correlation id; flexible versions have a byte or more of tags before
    /// it.
    pub fn body(&self) -> &[u8] {
        &self.0[ANSWER_BYTES_MIN..]
    }

    /// The error code of an answer to `EndTxn`, which stands behind the throttle time.
    pub fn end_txn_code(&self, request: &Request) -> Option<i16> {
        let code = self.0.get(end_txn_code_at(request)..)?.first_chunk()?;
        Some(i16::from_be_bytes(*code))
    }

    /// The same answer to `EndTxn` with another error code.
    pub(super) fn with_end_txn_code(&self, request: &Request, code: i16) -> Answer {
        let at = end_txn_code_at(request);
        let mut frame = self.0.to_vec();
        frame[at..at + 2].copy_from_slice(&code.to_be_bytes());
        Answer(frame.into())
    }

    /// The whole frame.
    pub(super) fn frame(&self) -> &[u8] {
        &self.0
    }
}

/// Four bytes of throttle time stand before it, and from version 3 on an empty set of tags.
fn end_txn_code_at(request: &Request) -> usize {
    let tags = usize::from(request.version() >= 3);
    ANSWER_BYTES_MIN + tags + 4
}

impl fmt::Display for Api {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Api::PRODUCE => "Produce",
            Api::FETCH => "Fetch",
            Api::METADATA => "Metadata",
            Api::FIND_COORDINATOR => "FindCoordinator",
            Api::API_VERSIONS => "ApiVersions",
            Api::INIT_PRODUCER_ID => "InitProducerId",
            Api::ADD_PARTITIONS_TO_TXN => "AddPartitionsToTxn",
            Api::END_TXN => "EndTxn",
            Api(key) => return write!(out, "API {key}"),
        };
        out.write_str(name)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (api, version, length) = (self.api(), self.version(), self.0.len());
        write!(out, "{api} v{version} #{} ({length} bytes)", self.correlation())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "answer #{} ({} bytes)", self.correlation(), self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::RUNTIME;

    /// `EndTxn` version 1 of a client called `me`, which commits.
    const END_TXN: &[u8] = b"\0\0\0\x1b\0\x1a\0\x01\0\0\0\x07\0\x02me\
        \0\x02id\0\0\0\0\0\0\0\x09\0\x03\x01";

    fn read_all(mut bytes: &[u8]) -> io::Result<Vec<Bytes>> {
        RUNTIME.block_on(async {
            let mut frames = Vec::new();
            while let Some(frame) = read(&mut bytes).await? {
                frames.push(frame);
            }
            Ok(frames)
        })
    }

    #[test]
    fn a_request_tells_what_every_version_has_in_common() {
        let frames = read_all(&[END_TXN, END_TXN].concat()).unwrap();
        assert_eq!(frames.len(), 2);
        let request = Request::new(frames[1].clone()).unwrap();
        assert_eq!((request.api(), request.version()), (Api::END_TXN, 1));
        assert_eq!((request.correlation(), request.client_id()), (7, Some("me")));
        assert_eq!(request.body(), b"\0\x02id\0\0\0\0\0\0\0\x09\0\x03\x01");
        assert_eq!(format!("{request:?}"), "EndTxn v1 #7 (31 bytes)");
    }

    #[test]
    fn a_client_without_a_name_is_none() {
        let nameless = b"\0\0\0\x0b\0\x12\0\0\0\0\0\x01\xff\xff!";
        let request = Request::new(Bytes::from_static(nameless)).unwrap();
        assert_eq!((request.client_id(), request.body()), (None, &b"!"[..]));
    }

    #[test]
    fn the_error_code_of_an_end_is_found_and_replaced_in_both_kinds_of_versions() {
        for (version, tags) in [(1, &b""[..]), (3, b"\0")] {
            let mut request = END_TXN.to_vec();
            request[7] = version;
            let request = Request::new(request.into()).unwrap();
            let answer = |code: i16| {
                let parts = [&[0, 0, 0, 11, 0, 0, 0, 7], tags, &[0; 4], &code.to_be_bytes(), b"!"];
                Answer::new(parts.concat().into()).unwrap()
            };
            assert_eq!(answer(0).end_txn_code(&request), Some(0));
            assert!(answer(0).with_end_txn_code(&request, 90) == answer(90));
            assert_eq!(answer(-1).end_txn_code(&request), Some(-1));
        }
    }

    #[test]
    fn what_is_no_frame_is_told() {
        let tls = read_all(b"\x16\x03\x01\x02\0\x01\0").unwrap_err();
        assert!(tls.to_string().contains("plaintext"), "{tls}");
        assert!(read_all(&END_TXN[..20]).is_err(), "it breaks off");
        assert!(Request::new(Bytes::from_static(&END_TXN[..13])).is_none());
    }
}
