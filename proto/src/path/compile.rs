//! Follows.
use super::{FieldPath, PathError};
use prost_reflect::MessageDescriptor;
#[derive(Clone)]
pub(crate) struct Scalar;
#[derive(Clone)]
pub(super) struct Step;
pub(super) fn compile(message: &MessageDescriptor, text: &str) -> Result<FieldPath, PathError> {
    let _ = (message, text, Scalar, Step);
    unimplemented!()
}
