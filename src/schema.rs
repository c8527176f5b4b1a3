//! `headwater schema` and `headwater reference`: both are printed from the types that read the
//! file.

use crate::exit::{Exit, Outcome};
use headwater_engine::spec::{document_schema, reference_markdown};
use std::io::Write as _;

/// Prints the JSON Schema of pipeline files.
pub(crate) fn print() -> Outcome {
    let schema = document_schema(&headwater_operators::registry());
    let text =
        serde_json::to_string_pretty(&schema).map_err(|error| Exit::Internal.because(error))?;
    Ok(write(&format!("{text}\n")))
}

/// Prints the reference of pipeline files in Markdown.
pub(crate) fn print_reference() -> Outcome {
    Ok(write(&reference_markdown(&headwater_operators::registry())))
}

/// A reader that has seen enough is no failure.
fn write(text: &str) -> Exit {
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Done
}
