//! Goal: the transcoder prints byte for byte what prost-reflect prints, and refuses what it
//! refuses.
//! Method: named cases for every rule of the wire format, then random messages of rich types, each
//! compared with prost-reflect. Where a map has several entries prost-reflect's order is random;
//! there the bytes are compared as a multiset and the values as parsed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod depth;
mod descriptors;
mod java;
mod mutated;
#[path = "../../../tests/support/property/mod.rs"]
mod property;
mod random;
#[path = "../support/mod.rs"]
mod support;
mod values;
mod well_known;
mod wire;

use headwater_proto::JsonTranscoder;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use support::{message, tag, varint};

/// What prost-reflect prints, if it can.
fn reference(descriptor: &MessageDescriptor, wire: &[u8]) -> Option<Vec<u8>> {
    let message = DynamicMessage::decode(descriptor.clone(), wire).ok()?;
    let mut serializer = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut serializer, &SerializeOptions::default()).ok()?;
    Some(serializer.into_inner())
}

fn sorted(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.sort_unstable();
    bytes
}

/// Compares one message; `None` if both refuse it, else what we print.
fn compare(
    transcoder: &JsonTranscoder,
    descriptor: &MessageDescriptor,
    wire: &[u8],
) -> Result<Option<String>, String> {
    let mut out = b"kept".to_vec();
    let ours = transcoder.transcode(wire, &mut out);
    let theirs = reference(descriptor, wire);
    let shown = String::from_utf8_lossy(&out[4..]).into_owned();
    match (ours, theirs) {
        (Err(_), None) if out == b"kept" => Ok(None),
        (Err(_), None) => Err("an error left bytes behind".to_owned()),
        (Ok(()), Some(theirs)) if out[4..] == theirs[..] => Ok(Some(shown)),
        (Ok(()), Some(theirs)) => {
            let ours: serde_json::Value =
                serde_json::from_slice(&out[4..]).map_err(|e| e.to_string())?;
            let parsed: serde_json::Value = serde_json::from_slice(&theirs).unwrap();
            let order_only = ours == parsed && sorted(&out[4..]) == sorted(&theirs);
            let theirs = String::from_utf8_lossy(&theirs).into_owned();
            if order_only {
                Ok(Some(shown))
            } else {
                Err(format!("ours   {shown}\ntheirs {theirs}"))
            }
        }
        (ours, theirs) => Err(format!(
            "ours {ours:?} {shown}\ntheirs {:?}",
            theirs.map(|json| String::from_utf8_lossy(&json).into_owned())
        )),
    }
}

/// Compares one message and gives what both print.
fn same(name: &str, wire: &[u8]) -> Option<String> {
    let descriptor = message(name);
    let transcoder = JsonTranscoder::compile(&descriptor);
    compare(&transcoder, &descriptor, wire).unwrap_or_else(|text| panic!("{name}: {text}"))
}

fn bytes(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out);
    out
}

fn int(number: u32, value: u64, out: &mut Vec<u8>) {
    tag(number, 0, out);
    varint(value, out);
}
