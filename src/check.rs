//! `headwater validate`: says of sound files what they come to; of others, everything that is
//! wrong.

use crate::exit::{Exit, Outcome};
use crate::words::plural;
use crate::{load, output};
use headwater_engine::spec::{Plan, Role};
use headwater_operators::pipeline::guarantee::streams;
use std::path::PathBuf;

/// Checks all files.
pub(crate) fn validate(files: &[PathBuf]) -> Outcome {
    let plans = load::files(files)?;
    for (file, plan) in files.iter().zip(&plans) {
        output::line(&format!(
            "{}: pipeline `{}` is sound: {}",
            file.display(),
            plan.name(),
            parts(plan)
        ));
        for stream in streams(plan) {
            output::line(&format!("  {} → {}: {}", stream.source, stream.sink, stream.guarantee));
        }
    }
    Ok(Exit::Done)
}

/// How many nodes of each role.
fn parts(plan: &Plan) -> String {
    let count = |role: Role| plan.of_role(role).count();
    let present = Role::ALL.into_iter().filter(|role| count(*role) > 0);
    let parts: Vec<String> = present.map(|role| plural(count(role), role.noun())).collect();
    parts.join(", ")
}
