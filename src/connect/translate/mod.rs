//! A connector's configuration → the text of the pipeline file that does the same.
//!
//! Every key is taken to something, or refused by its name with what to do; what is taken and means
//! less or more than it did is told in a note. Values that providers give stay references: nothing
//! secret is read here.
//!
//! ```text
//!   reader ──► source ──► values, chain ──► sink ──► file
//!   (keys)     (the call)  (records)        (topic)  (YAML)
//! ```
//!
//! Invariants
//! 1. A key that nobody has read when all is done is unknown, and a mistake.
//! 2. All mistakes of a configuration are told at once.
//! 3. The text passes `headwater validate` where the files and variables that it names are there.
//!
//! Next: `reader.rs`.

mod chain;
mod client;
mod file;
mod policy;
mod reader;
mod sink;
mod source;
mod values;

use super::config::Config;
use super::definition::connector;
use super::mistake::Mistake;
use super::plugins;
use super::references;
use super::validate::validate;
use super::worker::Worker;
use reader::Reader;

/// Something that a person should know of a key that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The key.
    pub key: String,
    /// What it means now.
    pub text: String,
}

/// A pipeline file, made of a configuration.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The connector's name.
    pub connector: String,
    /// The pipeline's name: the connector's, as far as it can be one.
    pub pipeline: String,
    /// The file.
    pub text: String,
    /// What to know of it, in the order of the file.
    pub notes: Vec<Note>,
}

/// Everything a file is made from.
struct Parts {
    connector: String,
    pipeline: String,
    source: source::SourcePart,
    values: values::ValuesPart,
    chain: chain::Chain,
    policy: policy::Policy,
    sink: sink::SinkPart,
}

/// Makes the pipeline file of a configuration.
///
/// # Errors
/// Every mistake: keys that are unknown or cannot be taken, and values that a validation refuses.
pub fn translate(config: &Config, worker: &Worker) -> Result<Translation, Vec<Mistake>> {
    let mut reader = Reader::new(config, worker);
    class(&mut reader)?;
    let connector = reader.known("name").unwrap_or_default();
    let pipeline = pipeline_name(&connector, &mut reader);
    let source = source::read(&mut reader);
    let chain = chain::read(&source, &mut reader);
    let values = values::read(&chain, &mut reader);
    let policy = policy::read(&source.topic, &mut reader);
    let sink = sink::read(&chain, &mut reader);
    worker_keys(&mut reader);
    let (mut mistakes, notes) = reader.finish();
    refused_values(config, worker, &mut mistakes);
    if !mistakes.is_empty() {
        mistakes.sort_by(|one, other| one.key.cmp(&other.key));
        mistakes.dedup();
        return Err(mistakes);
    }
    let parts = Parts { connector, pipeline, source, values, chain, policy, sink };
    let text = file::text(&parts, worker);
    let notes = once(notes);
    let Parts { connector, pipeline, .. } = parts;
    Ok(Translation { connector, pipeline, text, notes })
}

/// The class must be the connector's; the keys of another one say nothing here.
fn class(reader: &mut Reader<'_>) -> Result<(), Vec<Mistake>> {
    let named = reader.text("connector.class");
    let known = named.as_deref().and_then(plugins::class);
    if let (Some(named), true) = (named, known != Some(connector::CLASS)) {
        let told =
            Mistake::of("connector.class", format!("{named:?} is not a class that is known"));
        return Err(vec![told.hint(format!("this program stands for {}", connector::CLASS))]);
    }
    let version = reader.text("connector.plugin.version");
    if version.is_some_and(|version| version != reader.worker.connector_version) {
        let there = &reader.worker.connector_version;
        let told = Mistake::of("connector.plugin.version", "there is no such version");
        reader.mistake(told.hint(format!("leave it out, or write {there}")));
    }
    Ok(())
}

/// What a validation has against a value, unless the value is only known later, or what is against
/// it has been said already, and with what to do.
fn refused_values(config: &Config, worker: &Worker, mistakes: &mut Vec<Mistake>) {
    for info in validate(config, worker).configs {
        let name = info.value.name;
        let is_later = config.get(&name).is_some_and(references::has_any);
        // The worker's converter need not be known where it is not used.
        let is_workers = name.ends_with(".converter") && !config.has(&name);
        let is_told = mistakes.iter().any(|mistake| mistake.key == name);
        let Some(error) = info.value.errors.first() else { continue };
        if !is_later && !is_workers && !is_told {
            mistakes.push(Mistake::of(&name, fault(error)));
        }
    }
}

/// Connect's words without the key, which stands before them, and without the value: nobody knows
/// which value is a secret.
fn fault(error: &str) -> String {
    if error.starts_with("Missing required configuration") {
        return "is missing and has no default".to_owned();
    }
    let behind = error.split_once(" for configuration ").and_then(|(_, it)| it.split_once(": "));
    let told = behind.map_or(error, |(_, told)| told).lines().next().unwrap_or_default();
    let mut letters = told.trim_end_matches('.').chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// A pipeline's name stands in topics and transactions, so it has fewer letters to choose from. Two
/// connectors must not become one pipeline: what is changed gets a digest of what it was.
fn pipeline_name(connector: &str, reader: &mut Reader<'_>) -> String {
    use headwater_engine::spec::NAME_CHARS_MAX;
    use sha2::{Digest as _, Sha256};
    let is_letter = |c: char| matches!(c, 'a'..='z' | '0'..='9');
    let is_fit = connector.starts_with(is_letter)
        && connector.chars().all(|c| is_letter(c) || matches!(c, '.' | '_' | '-'))
        && connector.len() <= NAME_CHARS_MAX;
    if is_fit || connector.is_empty() {
        return connector.to_owned();
    }
    let lower = connector.to_lowercase();
    let plain = lower.replace(|c: char| !is_letter(c) && !matches!(c, '.' | '_' | '-'), "-");
    let plain = plain.trim_start_matches(|c: char| !is_letter(c));
    let digest = Sha256::digest(connector.as_bytes());
    let digest: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let plain: String = plain.chars().take(NAME_CHARS_MAX - 1 - digest.len()).collect();
    let name = if plain.is_empty() { format!("c-{digest}") } else { format!("{plain}-{digest}") };
    reader
        .note("name", format!("the pipeline is called {name}, because its name is part of topics"));
    name
}

/// Each note once, in its order.
fn once(notes: Vec<Note>) -> Vec<Note> {
    let mut told: Vec<Note> = Vec::new();
    for note in notes {
        if !told.contains(&note) {
            told.push(note);
        }
    }
    told
}

/// Keys that say how a worker runs connectors, which is another program's business now.
fn worker_keys(reader: &mut Reader<'_>) {
    if let Some(tasks) = reader.text("tasks.max").filter(|it| it != "1") {
        let told = format!("{tasks} tasks are allowed; it is one call, as it was before");
        reader.note("tasks.max", told);
    }
    reader.pass_over("tasks.max.enforce");
    reader.pass_over("config.action.reload");
    for prefix in ["config.providers", "consumer.override.", "admin.override."] {
        let keys: Vec<String> = reader.keys_from(prefix);
        for key in keys {
            reader.pass_over(&key);
            reader.note(&key, "has no effect: the worker alone has such keys".to_owned());
        }
    }
}
