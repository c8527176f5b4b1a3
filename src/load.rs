//! Pipeline files → plans, or all mistakes of all files at once.
//!
//! Invariant: a command that gets plans from here may rely on every check having passed, also those
//! that compare files with each other.

use crate::exit::{Exit, Failed};
use headwater_engine::spec::{
    Diagnostic, Diagnostics, Plan, Source, SystemVariables, Values, load_changed,
};
use serde::{Deserialize, Serialize};
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What diagnostics call standard input.
const STDIN: &str = "<stdin>";

/// A pipeline file as it was read, `${…}` unresolved: it may be checked more than once, and by
/// another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Text {
    name: String,
    text: String,
    base_dir: PathBuf,
}

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
    Text::read(path)?.check()
}

impl Text {
    /// Reads one file; what is wrong, for people.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let name = if is_stdin(path) { STDIN.to_owned() } else { path.display().to_string() };
        let text = read(path).map_err(|error| format!("{name}: error: {error}"))?;
        let base_dir = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok(Text { name, text, base_dir: base_dir.unwrap_or(Path::new(".")).to_owned() })
    }

    /// Checks it. Warnings go to standard error; mistakes are returned, for people.
    pub(crate) fn check(&self) -> Result<Plan, String> {
        let (plan, warnings) = self.load(&|_| {})?;
        if !warnings.is_empty() {
            let shown = Diagnostics::new(&self.source(), warnings).render(colour());
            eprintln!("{}", shown.trim_end());
        }
        Ok(plan)
    }

    /// Checks it once more, with changes; its warnings have been told.
    pub(crate) fn check_changed(&self, change: &dyn Fn(&mut Values<'_>)) -> Result<Plan, String> {
        self.load(change).map(|(plan, _)| plan)
    }

    fn load(&self, change: &dyn Fn(&mut Values<'_>)) -> Result<(Plan, Vec<Diagnostic>), String> {
        let registry = headwater_operators::registry();
        let loaded = load_changed(&self.source(), &registry, &SystemVariables, change);
        loaded.map_err(|mistakes| mistakes.render(colour()))
    }

    fn source(&self) -> Source<'_> {
        Source { name: &self.name, text: &self.text, base_dir: &self.base_dir }
    }
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
