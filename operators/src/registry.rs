//! The only list of operator kinds.

use crate::{decode, pipeline, sink, source, transform};
use headwater_engine::spec::{Registry, Role};

/// All kinds a pipeline file may name, and what a whole plan must satisfy.
#[must_use]
pub fn registry() -> Registry {
    Registry::new([
        source::grpc::entry(),
        decode::protobuf::entry(),
        transform::filter::entry(),
        transform::fields::entry(),
        sink::kafka::entry(),
        sink::stdout::entry(),
        sink::discard::entry(),
    ])
    .with_plan_check(pipeline::check::check)
    .with_presets(Role::Source, "grpc", source::grpc::PRESETS)
}
