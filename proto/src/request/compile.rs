//! Follows.
use super::RequestError;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;
pub(super) fn template(
    message: &MessageDescriptor,
    value: &Value,
) -> Result<DynamicMessage, Vec<RequestError>> {
    let _ = (message, value);
    unimplemented!()
}
