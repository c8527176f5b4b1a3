//! The source as its server sees it: what a generator must know to play the server's part.
//!
//! Why here: what a request means and where a cursor stands in a message is known from the pipeline
//! file alone, and nowhere else in this form.
//!
//! Next: `src/bench/generator.rs` plays the part.

use super::config::PositionKind;
use super::origin::Origin;
use super::source::{GrpcSource, ResumePlan};
use headwater_proto::{CursorScalar, FieldPath};
use std::collections::BTreeMap;

/// A component of the cursor, for who writes messages.
#[derive(Clone, Debug)]
pub struct CursorField {
    /// Its name in the pipeline file.
    pub name: String,
    /// Where a message holds it; of several places the one that is looked at first.
    pub path: FieldPath,
}

/// From where a request wants the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The cursor's components, as far as the request bears them.
    pub values: BTreeMap<String, CursorScalar>,
    /// Whether the stream goes on behind them; at them otherwise.
    pub is_behind: bool,
}

impl GrpcSource {
    /// The method that is called, as `package.Service/Method`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method.path().trim_start_matches('/')
    }

    /// Whether the method takes a stream of requests.
    #[must_use]
    pub fn takes_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// The components of the cursor that are fields; none where no `resume` is declared.
    #[must_use]
    pub fn cursor_fields(&self) -> Vec<CursorField> {
        let components = self.resume.iter().flat_map(|plan| &plan.cursor.components);
        let field = components.filter_map(|component| match component.origins.first()? {
            Origin::Field(path) => {
                Some(CursorField { name: component.name.clone(), path: path.clone() })
            }
            _ => None,
        });
        field.collect()
    }

    /// From where this request wants the stream. What a request without a cursor bears in the
    /// cursor's fields is taken for one: a server does the same.
    #[must_use]
    pub fn asked(&self, request: &[u8]) -> Asked {
        let restart = self.targets.first().and_then(|target| target.requests.restart.as_ref());
        let Some((restart, plan)) = restart.zip(self.resume.as_ref()) else {
            return Asked::default();
        };
        let values = restart.overlay.read(&restart.template, request);
        Asked { values, is_behind: is_behind(plan) }
    }
}

fn is_behind(plan: &ResumePlan) -> bool {
    plan.rules.position == PositionKind::After
}
