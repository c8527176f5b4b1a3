//! `headwater validate`: says of sound files what they come to; of others, everything that is
//! wrong.

use crate::args::Files;
use crate::exit::{Exit, Outcome};
use crate::load::{self, Open, Sound};
use crate::words::plural;
use crate::{learn, output};
use headwater_engine::spec::{Plan, Role};
use headwater_operators::pipeline::guarantee::streams;
use std::path::Path;

/// Checks all files.
pub(crate) fn validate(options: &Files) -> Outcome {
    let files = options.files.iter();
    if options.online.is_asked {
        for (file, (plan, learned)) in files.zip(learn::plans(&options.files)?) {
            tell_whole(file, &plan);
            learned.iter().for_each(|it| output::line(&format!("  types: {}", it.summary())));
        }
        return Ok(Exit::Done);
    }
    for (file, sound) in files.zip(load::files(&options.files)?) {
        match sound {
            Sound::Whole(plan) => tell_whole(file, &plan),
            Sound::Open(open) => tell_open(file, &open),
        }
    }
    Ok(Exit::Done)
}

fn tell_whole(file: &Path, plan: &Plan) {
    let (file, name) = (file.display(), plan.name());
    output::line(&format!("{file}: pipeline `{name}` is sound: {}", parts(plan)));
    for stream in streams(plan) {
        output::line(&format!("  {} → {}: {}", stream.source, stream.sink, stream.guarantee));
    }
}

/// What depends on types that nobody has asked for is not known, and so no promise is told.
fn tell_open(file: &Path, open: &Open) {
    let plan = open.outline.sketch();
    let (file, name) = (file.display(), plan.name());
    output::line(&format!(
        "{file}: pipeline `{name}` is sound as far as its types do not matter: {}",
        parts(plan)
    ));
    for question in open.outline.questions() {
        let node = &question.node;
        output::line(&format!(
            "  {node}: its server tells the types when it starts; --online asks it now"
        ));
    }
}

/// How many nodes of each role.
fn parts(plan: &Plan) -> String {
    let count = |role: Role| plan.of_role(role).count();
    let present = Role::ALL.into_iter().filter(|role| count(*role) > 0);
    let parts: Vec<String> = present.map(|role| plural(count(role), role.noun())).collect();
    parts.join(", ")
}
