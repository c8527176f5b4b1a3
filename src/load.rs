//! Pipeline files → plans, or all mistakes of all files at once.
//!
//! A file may leave the types of its messages to its server. What can be checked without them is
//! checked here; `learn.rs` asks the server, and the file is checked again with the answer.
//!
//! Invariant: a command that gets plans from here may rely on every check having passed, also those
//! that compare files with each other.

use crate::exit::{Exit, Failed};
use headwater_engine::spec::{
    Diagnostic, Diagnostics, Loaded, Outline, Plan, Source, SystemVariables, Values, load_changed,
    load_or_outline,
};
use headwater_operators::source::grpc::{Learned, put_types};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    /// The types that servers told, by source.
    #[serde(default)]
    types: BTreeMap<String, String>,
}

/// A file without a mistake, as far as that is known.
pub(crate) enum Sound {
    /// Everything is.
    Whole(Arc<Plan>),
    /// Its servers must be asked first.
    Open(Box<Open>),
}

/// A file that leaves types to its servers.
pub(crate) struct Open {
    pub(crate) text: Text,
    pub(crate) outline: Outline,
}

impl Sound {
    /// What is known without asking.
    pub(crate) fn sketch(&self) -> &Plan {
        match self {
            Sound::Whole(plan) => plan,
            Sound::Open(open) => open.outline.sketch(),
        }
    }

    /// The same, for a command that needs no more.
    pub(crate) fn into_sketch(self) -> Arc<Plan> {
        match self {
            Sound::Whole(plan) => plan,
            Sound::Open(open) => Arc::new(open.outline.into_sketch()),
        }
    }
}

/// Reads and checks all files; mistakes and warnings go to standard error.
pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<Sound>, Failed> {
    let mut sound: Vec<(&Path, Sound)> = Vec::new();
    let mut wrong = 0;
    for path in paths {
        match Text::read(path).and_then(Text::checked) {
            Ok(one) => sound.push((path, one)),
            Err(mistakes) => {
                eprintln!("{}", mistakes.trim_end());
                wrong += 1;
            }
        }
    }
    wrong += report_namesakes(&sound);
    if wrong > 0 {
        if paths.len() > 1 {
            eprintln!("{wrong} of {} pipeline files cannot be run", paths.len());
        }
        return Err(Exit::Mistake.silently());
    }
    Ok(sound.into_iter().map(|(_, one)| one).collect())
}

/// Reads and checks one file.
pub(crate) fn file(path: &Path) -> Result<Sound, Failed> {
    let mut files = files(&[path.to_owned()])?;
    Ok(files.pop().expect("one path is one file"))
}

impl Text {
    /// Reads one file; what is wrong, for people.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let name = if is_stdin(path) { STDIN.to_owned() } else { path.display().to_string() };
        let text = read(path).map_err(|error| format!("{name}: error: {error}"))?;
        let base_dir = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let base_dir = base_dir.unwrap_or(Path::new(".")).to_owned();
        Ok(Text { name, text, base_dir, types: BTreeMap::new() })
    }

    /// A file that exists nowhere; its relative paths are relative to the working folder.
    pub(crate) fn made(name: &str, text: String) -> Self {
        let (name, base_dir) = (name.to_owned(), PathBuf::from("."));
        Text { name, text, base_dir, types: BTreeMap::new() }
    }

    /// A file that exists nowhere; its relative paths are relative to `base_dir`.
    pub(crate) fn made_in(base_dir: &Path, name: &str, text: String) -> Self {
        let (name, base_dir) = (name.to_owned(), base_dir.to_owned());
        Text { name, text, base_dir, types: BTreeMap::new() }
    }

    /// The same file with what a server told of the source `node`.
    pub(crate) fn learn(&mut self, node: &str, learned: &Learned) {
        self.types.insert(node.to_owned(), learned.base64());
    }

    /// Checks it as far as that is possible without asking. Warnings go to standard error, unless
    /// the file will be checked again; mistakes are returned, for people.
    pub(crate) fn checked(self) -> Result<Sound, String> {
        let (loaded, warnings) = self.outline().map_err(|mistakes| mistakes.render(colour()))?;
        Ok(match loaded {
            Loaded::Outline(outline) => Sound::Open(Box::new(Open { text: self, outline })),
            Loaded::Plan(plan) => {
                self.warn(warnings);
                Sound::Whole(Arc::new(plan))
            }
        })
    }

    /// The same, mistakes as they are.
    pub(crate) fn outline(&self) -> Result<(Loaded, Vec<Diagnostic>), Diagnostics> {
        let registry = headwater_operators::registry();
        load_or_outline(&self.source(), &registry, &SystemVariables, &|values| self.put(values))
    }

    /// Checks it. Warnings go to standard error; mistakes are returned, and so is what only a
    /// server knows.
    pub(crate) fn check(&self) -> Result<Plan, String> {
        self.check_or_diagnose().map_err(|mistakes| mistakes.render(colour()))
    }

    /// The same, mistakes as they are.
    pub(crate) fn check_or_diagnose(&self) -> Result<Plan, Diagnostics> {
        let (plan, warnings) = self.load(&|_| {})?;
        self.warn(warnings);
        Ok(plan)
    }

    /// Checks it once more, with changes; its warnings have been told.
    pub(crate) fn check_changed(&self, change: &dyn Fn(&mut Values<'_>)) -> Result<Plan, String> {
        let loaded = self.load(change).map_err(|mistakes| mistakes.render(colour()));
        loaded.map(|(plan, _)| plan)
    }

    fn load(
        &self,
        change: &dyn Fn(&mut Values<'_>),
    ) -> Result<(Plan, Vec<Diagnostic>), Diagnostics> {
        let registry = headwater_operators::registry();
        load_changed(&self.source(), &registry, &SystemVariables, &|values| {
            self.put(values);
            change(values);
        })
    }

    fn put(&self, values: &mut Values<'_>) {
        for (node, base64) in &self.types {
            put_types(values, node, base64);
        }
    }

    fn warn(&self, warnings: Vec<Diagnostic>) {
        if !warnings.is_empty() {
            let shown = Diagnostics::new(&self.source(), warnings).render(colour());
            eprintln!("{}", shown.trim_end());
        }
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
fn report_namesakes(sound: &[(&Path, Sound)]) -> usize {
    let mut found = 0;
    for (place, (path, one)) in sound.iter().enumerate() {
        let name = one.sketch().name();
        let earlier = sound[..place].iter().find(|(_, other)| other.sketch().name() == name);
        if let Some((other, _)) = earlier {
            let (path, other) = (path.display(), other.display());
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
pub(crate) fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}
