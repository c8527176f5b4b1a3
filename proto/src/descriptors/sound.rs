//! What a descriptor set must satisfy before the pool is built from it.
//!
//! Why: the pool's builder trusts that a compiler wrote the set. One that was damaged, or written
//! by another tool, can send it beyond the end of a list; a pipeline file must end in a
//! diagnostic whatever it names. Known ways are told in words of their own, the rest is caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Says what is wrong with a set that the pool's builder would stumble over.
pub(super) fn check(set: &FileDescriptorSet) -> Result<(), String> {
    set.file.iter().try_for_each(check_file)
}

/// Runs `build`; a panic in it becomes an error.
pub(super) fn guarded<T>(build: impl FnOnce() -> T) -> Result<T, String> {
    // What a panic may have left half done is dropped with it.
    catch_unwind(AssertUnwindSafe(build)).map_err(|_| "its types contradict each other".to_owned())
}

fn check_file(file: &FileDescriptorProto) -> Result<(), String> {
    let syntax = file.syntax();
    if !matches!(syntax, "" | "proto2" | "proto3") {
        let name = file.name();
        return Err(format!("file {name:?} has syntax {syntax:?}, expected proto2 or proto3"));
    }
    file.enum_type.iter().try_for_each(check_enum)?;
    file.message_type.iter().try_for_each(check_message)
}

fn check_message(message: &DescriptorProto) -> Result<(), String> {
    if message.options.as_ref().is_some_and(|options| options.map_entry()) {
        check_map_entry(message)?;
    }
    message.enum_type.iter().try_for_each(check_enum)?;
    message.nested_type.iter().try_for_each(check_message)
}

/// An enum without values has no default.
fn check_enum(descriptor: &EnumDescriptorProto) -> Result<(), String> {
    match descriptor.value.is_empty() {
        true => Err(format!("enum {:?} has no value", descriptor.name())),
        false => Ok(()),
    }
}

/// A map's entry has exactly a key, which is not a message, and a value.
fn check_map_entry(entry: &DescriptorProto) -> Result<(), String> {
    let mut fields: Vec<_> = entry.field.iter().map(|field| (field.number(), field)).collect();
    fields.sort_by_key(|(number, _)| *number);
    let is_key = |kind| {
        use Type::{Bytes, Double, Enum, Float, Group, Message};
        !matches!(kind, Message | Group | Enum | Bytes | Float | Double)
    };
    match fields[..] {
        [(1, key), (2, _)] if is_key(key.r#type()) => Ok(()),
        _ => Err(format!("map entry {:?} is not made of a key and a value", entry.name())),
    }
}
