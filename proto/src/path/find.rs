//! Follows.
use super::{Leaf, Timestamp, compile::Step};
use crate::wire::WireError;
pub(super) fn find<'a>(steps: &[Step], wire: &'a [u8]) -> Result<Option<Leaf<'a>>, WireError> {
    let _ = (steps, wire);
    unimplemented!()
}
pub(super) fn timestamp(wire: &[u8]) -> Result<Timestamp, WireError> {
    let _ = wire;
    unimplemented!()
}
