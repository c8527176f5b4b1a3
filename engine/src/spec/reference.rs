//! Prints the reference of all keys from the same schemas that check them.
//!
//! Nested keys are written with dots, in the order of the types that define them, one table for
//! the pipeline's own keys and one for each kind.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::registry::{Registry, Role};
use super::shape::{Row, rows};

/// The reference of the pipeline file in Markdown.
pub fn reference_markdown(registry: &Registry) -> String {
    let catalogue = registry.catalogue();
    let mut out = String::from(
        "# Reference of the pipeline file\n\n\
         Generated from the types that read the file; do not edit.\n\n\
         A pipeline file is YAML. Its nodes are named and joined by `from`. Anywhere inside a \
         value, `${env:NAME}` stands for an environment variable, `${file:PATH}` for the text of \
         a file, `${file:PATH:KEY}` for an entry of a Java properties file, and `$${` for a \
         literal `${`. Relative paths are relative to the pipeline file.\n\n\
         ## The pipeline\n\n",
    );
    let mut top = catalogue.top_level();
    if let Some(properties) = top["properties"].as_object_mut() {
        properties.retain(|name, _| Role::ALL.iter().all(|role| role.section() != name));
    }
    write_table(&mut out, &top, registry);
    for role in catalogue.roles() {
        let _ = writeln!(out, "\n## {}\n", heading(role));
        let _ = writeln!(out, "{}", section_words(role));
        for kind in registry.of_role(role) {
            let _ = writeln!(out, "\n### {} `{}`\n\n{}\n", role, kind.name, kind.summary);
            write_table(&mut out, &registry.schema(kind).config, registry);
        }
    }
    out
}

fn heading(role: Role) -> &'static str {
    match role {
        Role::Source => "Sources",
        Role::Decoder => "Decoders",
        Role::Transform => "Transforms",
        Role::Sink => "Sinks",
    }
}

fn section_words(role: Role) -> String {
    let from = match role.has_inputs() {
        true => ", `from` (the name of a node, or a list of names)",
        false => "",
    };
    format!("Every node below `{}` has `kind`{from} and the keys of its kind.", role.section())
}

fn write_table(out: &mut String, schema: &Json, registry: &Registry) {
    let rows = rows(schema, registry.catalogue().definitions());
    if rows.is_empty() {
        out.push_str("No keys of its own.\n");
        return;
    }
    out.push_str("| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
    for Row { key, value, default, meaning } in rows {
        let [value, default, meaning] = [value, default, meaning].map(|cell| escaped(&cell));
        let _ = writeln!(out, "| `{key}` | {value} | {default} | {meaning} |");
    }
}

/// Keeps a cell in its column and on its line.
fn escaped(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
