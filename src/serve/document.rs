//! Documents → pipelines, or all mistakes of a document.
//!
//! Each kind of entry has a [`Reader`]; a kind without one is shown and does not run. A reader may
//! look into files, so it is asked on a thread that may block, and few are asked at once.
//!
//! Invariant: what a mistake says holds no value of a `${…}` (`engine/src/spec/diagnostic.rs`).

use crate::load::{Open, Sound, Text};
use crate::serve::entry::{Kind, Name};
use crate::serve::limits::CHECKS_MAX;
use crate::words::plural;
use headwater_engine::spec::{DIAGNOSTICS_MAX, Diagnostic, Diagnostics, Loaded, Severity};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Reads the documents of one kind.
pub(crate) trait Reader: Send + Sync {
    /// The pipeline that the document of the entry `name` means. May block on files; contacts
    /// nobody.
    fn read(&self, name: &Name, document: &str) -> Result<Checked, Mistakes>;

    /// Whether the document may be put. What is found only when it is run is no reason against it.
    fn admit(&self, name: &Name, document: &str) -> Result<(), Mistakes> {
        self.read(name, document).map(drop)
    }
}

/// A document without a mistake.
pub(crate) struct Checked {
    pub(crate) sound: Sound,
    pub(crate) warnings: Vec<Mistake>,
}

/// Everything that is wrong with a document.
#[derive(Clone, Debug)]
pub(crate) struct Mistakes {
    /// In one line.
    pub(crate) message: String,
    /// As many as are shown of a file elsewhere; the message counts all.
    pub(crate) list: Vec<Mistake>,
}

/// One thing that is wrong with a document, or doubtful.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Mistake {
    /// `error` or `warning`.
    severity: &'static str,
    /// The line in the document, counted from 1.
    line: usize,
    /// The column in characters, counted from 1.
    column: usize,
    /// What is wrong.
    message: String,
    /// What was found, and what was expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The readers of all kinds.
#[derive(Clone)]
pub(crate) struct Documents {
    readers: Arc<BTreeMap<Kind, Arc<dyn Reader>>>,
    turns: Arc<Semaphore>,
}

/// Reads pipeline files, as YAML or as JSON.
pub(crate) struct PipelineFiles {
    /// What relative paths in them are relative to.
    pub(crate) base_dir: PathBuf,
}

impl Documents {
    pub(crate) fn new(readers: impl IntoIterator<Item = (Kind, Arc<dyn Reader>)>) -> Self {
        let readers = Arc::new(readers.into_iter().collect());
        Documents { readers, turns: Arc::new(Semaphore::new(CHECKS_MAX)) }
    }

    /// Checks a document, when its turn has come.
    pub(crate) async fn check(
        &self,
        kind: Kind,
        name: Name,
        document: String,
    ) -> Result<Checked, Mistakes> {
        self.asked(kind, move |reader| reader.read(&name, &document)).await
    }

    /// Whether a document may be put, when its turn has come.
    pub(crate) async fn admit(
        &self,
        kind: Kind,
        name: Name,
        document: String,
    ) -> Result<(), Mistakes> {
        self.asked(kind, move |reader| reader.admit(&name, &document)).await
    }

    async fn asked<T: Send + 'static>(
        &self,
        kind: Kind,
        question: impl FnOnce(&dyn Reader) -> Result<T, Mistakes> + Send + 'static,
    ) -> Result<T, Mistakes> {
        let Some(reader) = self.readers.get(&kind).cloned() else {
            return Err(Mistakes::plain(format!("this program runs no {}s", kind.noun())));
        };
        let _turn = self.turns.acquire().await.expect("it is never closed");
        let answer = tokio::task::spawn_blocking(move || question(&*reader)).await;
        answer.unwrap_or_else(|error| Err(Mistakes::plain(format!("its check failed: {error}"))))
    }
}

impl PipelineFiles {
    /// Checks a file whatever its name is.
    pub(crate) fn load(&self, shown: &str, document: &str) -> Result<Checked, Mistakes> {
        let text = Text::made_in(&self.base_dir, shown, document.to_owned());
        let (loaded, warnings) = text.outline().map_err(|mistakes| Mistakes::of(&mistakes))?;
        let sound = match loaded {
            Loaded::Plan(plan) => Sound::Whole(Arc::new(plan)),
            Loaded::Outline(outline) => Sound::Open(Box::new(Open { text, outline })),
        };
        Ok(Checked { sound, warnings: warnings.iter().map(Mistake::of).collect() })
    }

    /// Checks a file of which nobody has said how it is called.
    pub(crate) fn read_any(&self, document: &str) -> Result<(Name, Checked), Mistakes> {
        let checked = self.load("document", document)?;
        let name = Name::new(checked.sound.sketch().name());
        let name = name.map_err(|error| Mistakes::plain(error.to_string()))?;
        Ok((name, checked))
    }
}

impl Reader for PipelineFiles {
    fn read(&self, name: &Name, document: &str) -> Result<Checked, Mistakes> {
        let checked = self.load(name.as_str(), document)?;
        let own = checked.sound.sketch().name();
        if own != name.as_str() {
            return Err(Mistakes::plain(format!(
                "the document says `pipeline: {own}`, and it is put as `{name}`: a pipeline has \
                 one name, for its progress is kept under it"
            )));
        }
        Ok(checked)
    }
}

impl Mistakes {
    /// One without a place.
    pub(crate) fn plain(message: String) -> Self {
        Mistakes { message, list: Vec::new() }
    }

    /// Each error in one line; without a list what is known in one.
    pub(crate) fn told(&self) -> Vec<String> {
        let errors = self.list.iter().filter(|it| it.severity == "error");
        let line = |it: &Mistake| {
            let parts = std::iter::once(&it.message).chain(&it.details);
            parts.map(String::as_str).collect::<Vec<_>>().join("; ")
        };
        let lines: Vec<String> = errors.map(line).collect();
        if lines.is_empty() { vec![self.message.clone()] } else { lines }
    }

    fn of(mistakes: &Diagnostics) -> Self {
        let first = mistakes.iter().find(|it| it.severity == Severity::Error);
        let first = first.map(|it| format!("line {}: {}", it.span.line, it.message));
        let count = plural(mistakes.errors(), "mistake");
        Mistakes {
            message: format!("the document holds {count}: {}", first.unwrap_or_default()),
            list: mistakes.iter().take(DIAGNOSTICS_MAX).map(Mistake::of).collect(),
        }
    }
}

impl Mistake {
    fn of(finding: &Diagnostic) -> Self {
        Mistake {
            severity: match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            line: finding.span.line,
            column: finding.span.column,
            message: finding.message.clone(),
            details: finding.details.clone(),
            hint: finding.hint.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
pipeline: events
sources:
  feed:
    kind: grpc
    endpoint: http://127.0.0.1:1
    method: bench.v1.Telemetry/Subscribe
    descriptors: { protos: [telemetry.proto] }
decoders:
  json: { kind: protobuf, from: feed, to: json }
sinks:
  out: { kind: discard, from: json }
";

    fn files() -> PipelineFiles {
        let base_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/pipelines");
        PipelineFiles { base_dir }
    }

    fn read(document: &str) -> Result<Checked, Mistakes> {
        files().read(&Name::new("events").unwrap(), document)
    }

    #[test]
    fn yaml_and_json_are_the_same_document() {
        assert!(read(FILE).is_ok());
        let json = r#"{
	"pipeline": "events",
	"sources": {"feed": {"kind": "grpc", "endpoint": "http://127.0.0.1:1",
		"method": "bench.v1.Telemetry/Subscribe", "descriptors": {"protos": ["telemetry.proto"]}}},
	"decoders": {"json": {"kind": "protobuf", "from": "feed", "to": "json"}},
	"sinks": {"out": {"kind": "discard", "from": "json"}}
}"#;
        let mistakes = read(json).err();
        assert!(mistakes.is_none(), "{mistakes:?}");
    }

    #[test]
    fn all_mistakes_come_with_their_places() {
        let wrong = FILE.replace("to: json", "to: yson").replace("endpoint:", "endpiont:");
        let mistakes = read(&wrong).err().unwrap();
        let lines: Vec<usize> = mistakes.list.iter().map(|it| it.line).collect();
        assert!(lines.contains(&6) && lines.contains(&10), "{mistakes:?}");
        assert!(mistakes.list.iter().all(|it| it.column > 1), "{mistakes:?}");
    }

    #[test]
    fn a_document_is_put_under_its_own_name() {
        let mistakes = files().read(&Name::new("other").unwrap(), FILE).err().unwrap();
        assert!(mistakes.message.contains("`pipeline: events`"), "{}", mistakes.message);
        assert_eq!(files().read_any(FILE).map(|it| it.0).ok(), Name::new("events").ok());
    }

    #[test]
    fn what_a_reference_stands_for_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "s3cr3t").unwrap();
        let file = FILE.replace("http://127.0.0.1:1", "${file:secret}");
        let files = PipelineFiles { base_dir: folder.path().to_owned() };
        let mistakes = files.read(&Name::new("events").unwrap(), &file).err().unwrap();
        assert!(!format!("{mistakes:?}").contains("s3cr3t"), "{mistakes:?}");
        assert_eq!(mistakes.list[0].line, 6, "{mistakes:?}");
    }
}
