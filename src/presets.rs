//! `headwater presets`: the presets of sources, listed or printed.

use crate::args::Presets;
use crate::exit::{Exit, Outcome};
use crate::output;
use headwater_operators::source::grpc::PRESETS;
use std::fmt::Write as _;

/// The width of the column of names.
const NAME_CHARS: usize = 18;

/// Lists all, or prints one.
pub(crate) fn presets(options: &Presets) -> Outcome {
    let Some(name) = &options.name else {
        let mut list = String::new();
        for preset in PRESETS {
            let _ = writeln!(list, "{:<NAME_CHARS$} {}", preset.name, preset.summary());
        }
        output::print(&list);
        return Ok(Exit::Done);
    };
    match PRESETS.iter().find(|preset| preset.name == name) {
        Some(preset) => {
            output::print(preset.text);
            Ok(Exit::Done)
        }
        None => {
            let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            let names = names.join(", ");
            Err(Exit::Mistake.saying(format!("{name:?} is not a preset; there are {names}")))
        }
    }
}
