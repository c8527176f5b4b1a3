//! Where the types come from, and the method by them.

use crate::connect::mistake::Mistake;
use crate::connect::translate::reader::Reader;
use headwater_proto::{DescriptorInput, Descriptors, Method};
use serde_json::{Value as Json, json};
use std::path::Path;

/// A path if there is such a file, else base64 if it is that, else a path that is not here.
pub(super) fn read(reader: &mut Reader<'_>) -> (Json, Option<Descriptors>) {
    const KEY: &str = "grpc.proto.descriptor";
    let Some(text) = reader.filled(KEY) else {
        let told = "is not given: the server is asked for its types at each start, by reflection";
        reader.note(KEY, told.to_owned());
        return (json!({ "reflection": true }), None);
    };
    if text.contains("${") {
        return (json!({ "file": text }), None);
    }
    let path = Path::new(&text);
    let (told, input) = match path.exists() {
        true => (json!({ "file": text }), DescriptorInput::File(path.to_owned())),
        false => (json!({ "base64": text }), DescriptorInput::Base64(text.clone())),
    };
    match Descriptors::load(&input) {
        Ok(types) => (told, Some(types)),
        Err(error) if path.exists() => {
            reader.mistake(Mistake::of(KEY, error.to_string()));
            (told, None)
        }
        Err(_) if text.starts_with(['/', '.']) || text.contains(".desc") || text.len() < 64 => {
            reader.note(KEY, "the file is not here, so its types were not looked at".to_owned());
            (json!({ "file": text }), None)
        }
        Err(error) => {
            let told = format!("is neither a file nor a descriptor set: {error}");
            reader.mistake(Mistake::of(KEY, told));
            (json!({}), None)
        }
    }
}

pub(super) fn look_up(types: &Descriptors, path: &str, reader: &mut Reader<'_>) -> Option<Method> {
    if path.contains("${") {
        return None;
    }
    match types.method(path) {
        Ok(method) if method.server_streaming() => Some(method),
        Ok(_) => {
            let told = Mistake::of("grpc.method.name", "the method does not answer with a stream");
            reader.mistake(told.hint("name one of the form `rpc … returns (stream Message)`"));
            None
        }
        Err(error) => {
            reader.mistake(Mistake::of("grpc.method.name", error.to_string()));
            None
        }
    }
}
