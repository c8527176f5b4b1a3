//! `headwater schema` and `headwater reference`: both are printed from the types that read the
//! file.

use crate::exit::{Exit, Outcome};
use crate::output;
use headwater_engine::spec::{document_schema, reference_markdown};

/// Prints the JSON Schema of pipeline files.
pub(crate) fn print() -> Outcome {
    let schema = document_schema(&headwater_operators::registry());
    let text =
        serde_json::to_string_pretty(&schema).map_err(|error| Exit::Internal.because(error))?;
    output::line(&text);
    Ok(Exit::Done)
}

/// Prints the reference of pipeline files in Markdown.
pub(crate) fn print_reference() -> Outcome {
    output::print(&reference_markdown(&headwater_operators::registry()));
    Ok(Exit::Done)
}
