//! Pipeline files → plans, or all mistakes of all files at once.
//!
//! Invariant: a command that gets plans from here may rely on every check having passed, also those
//! that compare files with each other.

use crate::exit::{Exit, Failed};
use headwater_engine::spec::{Diagnostics, Plan, Source, SystemVariables, load};
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What diagnostics call standard input.
const STDIN: &str = "<stdin>";

/// Reads and checks all files; mistakes and warnings go to standard error.
pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<Arc<Plan>>, Failed> {
    let mut plans: Vec<(&Path, Arc<Plan>)> = Vec::new();
    let mut wrong = 0;
    for path in paths {
        match one(path) {
            Ok(plan) => plans.push((path, Arc::new(plan))),
            Err(mistakes) => {
                eprintln!("{}", mistakes.trim_end());
                wrong += 1;
            }
        }
    }
    wrong += report_namesakes(&plans);
    if wrong > 0 {
        if paths.len() > 1 {
            eprintln!("{wrong} of {} pipeline files cannot be run", paths.len());
        }
        return Err(Exit::Mistake.silently());
    }
    Ok(plans.into_iter().map(|(_, plan)| plan).collect())
}

/// Reads and checks one file.
pub(crate) fn file(path: &Path) -> Result<Arc<Plan>, Failed> {
    let mut plans = files(&[path.to_owned()])?;
    Ok(plans.pop().expect("one sound file is one plan"))
}

fn one(path: &Path) -> Result<Plan, String> {
    let name = if is_stdin(path) { STDIN.to_owned() } else { path.display().to_string() };
    let text = read(path).map_err(|error| format!("{name}: error: {error}"))?;
    let base_dir = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let base_dir = base_dir.unwrap_or(Path::new("."));
    let source = Source { name: &name, text: &text, base_dir };
    let registry = headwater_operators::registry();
    let loaded = load(&source, &registry, &SystemVariables);
    let (plan, warnings) = loaded.map_err(|mistakes| mistakes.render(colour()))?;
    if !warnings.is_empty() {
        eprintln!("{}", Diagnostics::new(&source, warnings).render(colour()).trim_end());
    }
    Ok(plan)
}

fn read(path: &Path) -> std::io::Result<String> {
    if !is_stdin(path) {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Two pipelines of one name would share progress topic and transactional ids, and fence each
/// other.
fn report_namesakes(plans: &[(&Path, Arc<Plan>)]) -> usize {
    let mut found = 0;
    for (place, (path, plan)) in plans.iter().enumerate() {
        let earlier = plans[..place].iter().find(|(_, other)| other.name() == plan.name());
        if let Some((other, _)) = earlier {
            let (path, other, name) = (path.display(), other.display(), plan.name());
            eprintln!("{path}: error: pipeline `{name}` is also defined by {other}");
            eprintln!(
                "  = hint: give each pipeline a name of its own: its progress is kept under it"
            );
            found += 1;
        }
    }
    found
}

/// Whether standard error shows colours.
fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}
