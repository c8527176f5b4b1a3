//! The sink that counts and forgets: for measuring everything before it.

use headwater_engine::spec::{Checked, KindEntry, NodeView, Report, Role};
use schemars::JsonSchema;
use serde::Deserialize;

/// Counts records and forgets them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscardConfig {}

/// The kind's entry.
#[must_use]
pub fn entry() -> KindEntry {
    KindEntry {
        role: Role::Sink,
        name: "discard",
        summary: "Counts records and forgets them: for measuring everything before the sink.",
        schema: |generator| DiscardConfig::json_schema(generator),
        check,
    }
}

fn check(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let config: DiscardConfig = view.parse(report)?;
    Some(Checked::sink(config))
}
