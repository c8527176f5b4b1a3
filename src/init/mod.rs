//! `headwater init`: a first pipeline file for a method.
//!
//! The file passes every check as it is written, and it runs: into standard output, so that a
//! person sees the stream before a topic does. All that is guessed is said to be, with reasons.
//!
//! Next: `file.rs` writes it, `fields.rs` its request.

mod fields;
pub(crate) mod file;

use crate::args::Init;
use crate::exit::{Exit, Failed, Outcome};
use crate::origin::{Types, write_new};
use crate::output;
use file::File;
use headwater_engine::spec::Preset;
use headwater_operators::source::grpc::{PRESETS, preset_for};
use headwater_proto::descriptors::split_method;
use headwater_proto::{Descriptors, Method};

/// Writes a first file.
pub(crate) fn init(options: &Init) -> Outcome {
    let types = types(options)?;
    let method = types.method(&options.method).map_err(|error| Exit::Mistake.because(error))?;
    check_shape(&method)?;
    let preset = preset(options)?;
    let text = File { options, method: &method, preset }.text();
    match &options.output {
        None => output::print(&text),
        Some(path) => {
            write_new(path, text.as_bytes())?;
            let path = path.display();
            output::line(&format!("wrote {path}; next: headwater explain --online {path}"));
        }
    }
    Ok(Exit::Done)
}

fn types(options: &Init) -> Result<Descriptors, Failed> {
    let (service, _) =
        split_method(&options.method).map_err(|error| Exit::Mistake.because(error))?;
    match options.origin.types(&options.endpoint)? {
        Types::Here(types) => Ok(types),
        Types::Server(server) => Ok(server.learn(&[service])?.descriptors),
    }
}

/// The preset that was asked for, or the one that is for the method.
fn preset(options: &Init) -> Result<Option<&'static Preset>, Failed> {
    let method = options.method.trim_start_matches('/');
    let Some(name) = &options.preset else {
        return Ok(preset_for(method).filter(|_| !options.no_preset));
    };
    let found = PRESETS.iter().find(|preset| preset.name == name);
    let refused = match found.map(Preset::keys) {
        None => format!("{name:?} is not a preset; `headwater presets` lists them"),
        Some(keys) if keys["method"] == method => return Ok(found),
        Some(keys) => format!("preset {name} is for {}", keys["method"]),
    };
    Err(Exit::Mistake.saying(refused))
}

fn check_shape(method: &Method) -> Result<(), Failed> {
    if method.server_streaming() {
        return Ok(());
    }
    let name = method.path().trim_start_matches('/');
    Err(Exit::Mistake.saying(format!(
        "method {name} does not answer with a stream: a source calls methods of the form \
         `rpc … returns (stream Message)`"
    )))
}
