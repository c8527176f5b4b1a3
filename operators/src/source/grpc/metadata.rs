//! Request metadata from the pipeline file: checked, and marked as secret.
//!
//! Invariant: no error names a value; every value is marked sensitive, so that no library below
//! prints it either.
//!
//! Next: `call.rs` sends it.

use crate::limits::METADATA_BYTES_MAX;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::collections::BTreeMap;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, BinaryMetadataKey};
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

/// Keys that the protocol itself sets.
const RESERVED: [&str; 9] = [
    "content-type",
    "te",
    "user-agent",
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "keep-alive",
    "upgrade",
];

/// Padding is optional, as in gRPC itself.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One entry cannot be sent. Its value is never told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata key {key:?} {problem}")]
pub(super) struct MetadataError {
    /// The key as written.
    pub(super) key: String,
    /// What is wrong.
    pub(super) problem: MetadataProblem,
}

/// Why an entry cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MetadataProblem {
    #[error("is not a valid name; expected letters, digits, `-`, `_` and `.`")]
    Name,
    #[error("is set by the protocol itself; leave it out")]
    Reserved,
    #[error("has a value that is not printable ASCII; for other bytes use a key that ends in -bin")]
    NotAscii,
    #[error("ends in -bin but its value is not base64")]
    NotBase64,
    #[error("makes the metadata longer than {METADATA_BYTES_MAX} bytes in all")]
    TooLong,
}

/// The metadata of a call.
///
/// # Errors
/// Every entry that cannot be sent.
pub(super) fn compile(
    entries: &BTreeMap<String, String>,
) -> Result<MetadataMap, Vec<MetadataError>> {
    let mut map = MetadataMap::new();
    let mut errors = Vec::new();
    let mut bytes = 0;
    for (key, value) in entries {
        bytes += key.len() + value.len();
        let added = if bytes > METADATA_BYTES_MAX {
            Err(MetadataProblem::TooLong)
        } else {
            add(&mut map, key, value)
        };
        if let Err(problem) = added {
            errors.push(MetadataError { key: key.clone(), problem });
        }
    }
    if errors.is_empty() { Ok(map) } else { Err(errors) }
}

/// Adds one entry; the same key is replaced.
///
/// # Errors
/// It cannot be sent.
pub(super) fn add(map: &mut MetadataMap, key: &str, value: &str) -> Result<(), MetadataProblem> {
    let name = key.to_ascii_lowercase();
    if RESERVED.contains(&&*name) || name.starts_with("grpc-") || name.starts_with(':') {
        return Err(MetadataProblem::Reserved);
    }
    if name.ends_with("-bin") {
        let key = BinaryMetadataKey::from_bytes(name.as_bytes());
        let key = key.map_err(|_| MetadataProblem::Name)?;
        let bytes = BASE64.decode(value.trim()).map_err(|_| MetadataProblem::NotBase64)?;
        let mut value = BinaryMetadataValue::from_bytes(&bytes);
        value.set_sensitive(true);
        map.insert_bin(key, value);
    } else {
        let key = AsciiMetadataKey::from_bytes(name.as_bytes());
        let key = key.map_err(|_| MetadataProblem::Name)?;
        let mut value: AsciiMetadataValue = value.parse().map_err(|_| MetadataProblem::NotAscii)?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(entries: &[(&str, &str)]) -> Result<MetadataMap, Vec<MetadataError>> {
        compile(&entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn ascii_and_binary_values_are_sent_as_they_are_meant() {
        let map = compiled(&[("Authorization", "Bearer x"), ("trace-bin", "AAEC/w")]);
        let map = map.expect("both are valid");
        assert_eq!(map.get("authorization").expect("set"), "Bearer x");
        let bytes = map.get_bin("trace-bin").expect("set").to_bytes().expect("valid base64");
        assert_eq!(&bytes[..], [0, 1, 2, 255]);
        assert!(!format!("{map:?}").contains("Bearer"), "values are marked sensitive");
    }

    #[test]
    fn what_cannot_be_sent_is_named_without_its_value() {
        let bad = [
            ("a b", "secret", MetadataProblem::Name),
            ("te", "secret", MetadataProblem::Reserved),
            ("grpc-timeout", "secret", MetadataProblem::Reserved),
            ("x", "secret\n", MetadataProblem::NotAscii),
            ("y-bin", "secret!", MetadataProblem::NotBase64),
        ];
        let entries: Vec<_> = bad.iter().map(|(key, value, _)| (*key, *value)).collect();
        let errors = compiled(&entries).expect_err("all are wrong");
        assert_eq!(errors.len(), bad.len());
        for (key, _, problem) in bad {
            let error = errors.iter().find(|error| error.key == key).expect("named");
            assert_eq!(error.problem, problem);
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn metadata_is_bounded() {
        let long = "x".repeat(METADATA_BYTES_MAX + 1);
        let errors = compiled(&[("a", &long)]).expect_err("too long");
        assert_eq!(errors[0].problem, MetadataProblem::TooLong);
    }
}
