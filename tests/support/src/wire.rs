//! One request of Kafka's protocol and its answer, for what the client library of the tests cannot
//! ask. The caller spells out the body; versions that are not flexible need a few lines for that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const PATIENCE: Duration = Duration::from_secs(30);

/// Sends one request on a connection of its own; what stands behind the answer's correlation id.
pub(crate) fn ask(broker: &str, api: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
    const CORRELATION: i32 = 1;
    let mut request = Vec::new();
    for number in [api, version] {
        request.extend(number.to_be_bytes());
    }
    request.extend(CORRELATION.to_be_bytes());
    put(&mut request, "headwater-test");
    request.extend(body);

    let mut stream = TcpStream::connect(broker)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&u32::try_from(request.len())?.to_be_bytes())?;
    stream.write_all(&request)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer)?;
    ensure!(answer.starts_with(&CORRELATION.to_be_bytes()), "an answer to nothing: {answer:?}");
    Ok(answer.split_off(4))
}

/// Appends a text, its length before it.
pub(crate) fn put(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(text.as_bytes());
}

/// The next bytes of an answer.
pub(crate) fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(length).context("the answer breaks off")?;
    *rest = behind;
    Ok(taken)
}

/// As many of them as an array has, for a number.
pub(crate) fn take_array<const SIZE: usize>(rest: &mut &[u8]) -> Result<[u8; SIZE]> {
    Ok(take(rest, SIZE)?.try_into().expect("as many were taken"))
}
