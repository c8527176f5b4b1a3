//! What stands in for a message type that a mistake in the file hides.
//!
//! Why: a node's config is made even where its type is not known, because checks of the whole plan
//! read other keys of it. Such a config goes no further than the loader
//! ([`Checked`](headwater_engine::spec::Checked)).

use headwater_proto::{DescriptorPool, MessageDescriptor};

/// A message without fields.
pub(crate) fn message() -> MessageDescriptor {
    let pool = DescriptorPool::global();
    pool.get_message_by_name("google.protobuf.Empty").expect("the pool holds well-known types")
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_has_no_fields() {
        assert_eq!(super::message().fields().count(), 0);
    }
}
