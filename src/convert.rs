//! `headwater convert`: connectors' configurations → pipeline files.
//!
//! Nothing is contacted. What is wrong with any of the files is told at once; then none is written.
//! What was made is checked like any pipeline file. Files and variables that it names may be on
//! another machine: that they are not here is a note, all else is a mistake.
//!
//! Next: `connect/translate/`.

use crate::args::Convert;
use crate::connect::{Config, Mistake, Translation, Worker, translate};
use crate::exit::{Exit, Failed, Outcome};
use crate::load::Text;
use crate::origin::write_new;
use crate::output;
use crate::words::plural;
use headwater_engine::spec::{Diagnostic, Severity};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The operating system's number of this error.
const NO_SUCH_FILE: i32 = 2;

/// Converts all files.
pub(crate) fn convert(options: &Convert) -> Outcome {
    let worker = worker(options)?;
    let mut made = Vec::new();
    let mut wrong = 0;
    for file in &options.files {
        match one(file, &worker) {
            Ok(translation) => {
                wrong += unsound(options, file, &translation);
                made.push((file, translation));
            }
            Err(mistakes) => {
                told(file, &mistakes);
                wrong += mistakes.len();
            }
        }
    }
    wrong += namesakes(&made);
    if wrong > 0 {
        eprintln!("{}; nothing was written", plural(wrong, "mistake"));
        return Err(Exit::Mistake.silently());
    }
    demand_folder(options)?;
    for (file, translation) in &made {
        write(options, file, translation)?;
    }
    Ok(Exit::Done)
}

/// Several files one behind the other would be no pipeline file.
fn demand_folder(options: &Convert) -> Result<(), Failed> {
    let is_folder = options.output.as_deref().is_some_and(Path::is_dir);
    if options.files.len() < 2 || is_folder {
        return Ok(());
    }
    let told = "several files go into a folder that is there: --output FOLDER; nothing was written";
    Err(Exit::Mistake.saying(told.to_owned()))
}

fn worker(options: &Convert) -> Result<Worker, Failed> {
    let mut worker = Worker::default();
    if let Some(path) = &options.worker {
        let text = read(path)
            .map_err(|error| Exit::Mistake.saying(format!("{}: {error}", path.display())))?;
        worker = Worker::from_properties(&text).map_err(|mistakes| {
            told(path, &mistakes);
            Exit::Mistake.silently()
        })?;
    }
    if let Some(brokers) = &options.brokers {
        worker.brokers = Some(brokers.clone());
        worker.brokers_first = true;
    }
    Ok(worker)
}

fn one(file: &Path, worker: &Worker) -> Result<Translation, Vec<Mistake>> {
    let text = read(file)
        .map_err(|error| vec![Mistake::of("input", format!("cannot be read: {error}"))])?;
    let config = Config::parse(&text)?;
    translate(&config, worker)
}

/// Two connectors of one name would be one pipeline.
fn namesakes(made: &[(&PathBuf, Translation)]) -> usize {
    let mut found = 0;
    for (place, (file, translation)) in made.iter().enumerate() {
        let name = &translation.pipeline;
        if let Some((other, _)) = made[..place].iter().find(|(_, other)| other.pipeline == *name) {
            let mistake = Mistake::of("name", format!("{name} is also in {}", other.display()));
            told(file, &[mistake.hint("give each connector a name of its own")]);
            found += 1;
        }
    }
    found
}

/// Checks what was made; how much of it no other machine would find right either.
fn unsound(options: &Convert, file: &Path, translation: &Translation) -> usize {
    let findings = check(options, translation);
    let errors: Vec<&Diagnostic> =
        findings.iter().filter(|it| it.severity == Severity::Error && !is_absence(it)).collect();
    for error in &errors {
        // The key alone: what stands behind it may be a secret.
        let line = translation.text.lines().nth(error.span.line - 1).unwrap_or_default();
        let line = line.trim_start_matches([' ', '-', '{']).split(':').next().unwrap_or_default();
        let details: Vec<&str> = error.details.iter().map(|it| it.trim()).collect();
        let details = details.join("; ");
        let parts = [error.message.as_str(), &details, error.hint.as_deref().unwrap_or_default()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let told = Mistake::of(line, parts.join("; "));
        let file = file.display();
        eprintln!("{file}: error: in the pipeline file: {told}");
    }
    errors.len()
}

fn check(options: &Convert, translation: &Translation) -> Vec<Diagnostic> {
    let target = target(options, translation);
    let folder = target.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let text = Text::made_in(folder, "the pipeline file", translation.text.clone());
    match text.outline() {
        Ok(_) => Vec::new(),
        Err(findings) => findings.iter().cloned().collect(),
    }
}

/// Whether the finding is that something is not on this machine.
fn is_absence(finding: &Diagnostic) -> bool {
    let no_such_file = std::io::Error::from_raw_os_error(NO_SUCH_FILE).to_string();
    let message = &finding.message;
    let is_variable = message.starts_with("environment variable ") && message.ends_with("not set");
    is_variable
        || std::iter::once(message).chain(&finding.details).any(|it| it.contains(&no_such_file))
}

fn write(options: &Convert, file: &Path, translation: &Translation) -> Outcome {
    for note in &translation.notes {
        eprintln!("{}: note: {}: {}", file.display(), note.key, note.text);
    }
    for absent in check(options, translation).iter().filter(|it| is_absence(it)) {
        let line = absent.span.line;
        let file = file.display();
        eprintln!("{file}: note: not on this machine: line {line}: {}", absent.message);
    }
    let path = target(options, translation);
    match &path {
        None => output::print(&translation.text),
        Some(path) => {
            write_new(path, translation.text.as_bytes())?;
            let path = path.display();
            output::line(&format!("wrote {path}; next: headwater explain {path}"));
        }
    }
    Ok(Exit::Done)
}

/// Where the file goes: several go into a folder.
fn target(options: &Convert, translation: &Translation) -> Option<PathBuf> {
    let output = options.output.as_ref()?;
    let is_folder = options.files.len() > 1 || output.is_dir();
    let name = format!("{}.yaml", translation.pipeline);
    Some(if is_folder { output.join(name) } else { output.clone() })
}

fn told(file: &Path, mistakes: &[Mistake]) {
    for mistake in mistakes {
        eprintln!("{}: error: {mistake}", file.display());
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    if path != Path::new("-") {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
