//! What a file under `tests/cases/connect` says: a scenario, which is a list of calls and of what a
//! real Kafka Connect worker answered them, in order.
//!
//! The file's fields are those of [`Scenario`] and [`Call`]; `tests/cases/connect/README.md`
//! explains them to people. A call without `answer` has not been recorded yet.
//!
//! Next: `play.rs` plays them, `compare.rs` judges the answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::layout;

/// A scenario with the file that holds it.
#[derive(Debug)]
pub struct Case {
    /// The file's name without its ending.
    pub name: String,
    path: PathBuf,
    pub scenario: Scenario,
}

/// Calls that belong together: a scenario starts without connectors and leaves none behind.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Why these calls are played.
    pub about: String,
    pub calls: Vec<Call>,
}

/// One request, how long it is repeated, how its answer is looked at, and the answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// What is to be seen here, where the request does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say: Option<String>,
    pub method: String,
    /// Path and query, percent-encoded as it is sent.
    pub path: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A body that is JSON; sent as `application/json` unless `headers` names another type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// A body that is no JSON object or list, sent as it is and without a type of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The call is repeated until the answer holds these values: JSON pointer, or `status`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub until: BTreeMap<String, Value>,
    /// Of the answer's object only these keys are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Of the answer's `configs` only the values of those with errors are looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_errors: bool,
    /// JSON pointers of lists without a given order; `*` stands for any one step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unordered: Vec<String>,
    /// The worker stumbled. A server that refuses with 4xx and Connect's error shape is right too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub or_refusal: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub status: u16,
    /// Those that belong to the contract: see [`HEADERS`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A body that is a JSON object or list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Any other body; none if it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The headers of an answer that clients go by.
pub const HEADERS: [&str; 3] = ["allow", "content-type", "location"];

/// The folder of the cases, in the repository.
pub const FOLDER: &str = "tests/cases/connect";
/// Lies beside the cases and is none: the keys of the connector.
pub const PLUGIN_CONFIG: &str = "tests/cases/connect/plugin-config.json";

impl Case {
    pub fn load(path: &Path) -> Result<Case> {
        let text = fs::read_to_string(path)?;
        let scenario = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let name = path.file_stem().context("a case has a name")?.to_string_lossy().into_owned();
        Ok(Case { name, path: path.to_owned(), scenario })
    }

    pub fn save(&self) -> Result<()> {
        fs::write(&self.path, self.text()?)?;
        Ok(())
    }

    /// The file as it is written.
    pub fn text(&self) -> Result<String> {
        Ok(layout::pretty(&serde_json::to_value(&self.scenario)?))
    }
}

impl Answer {
    /// The body by what it is: an object or a list is JSON, all else is text.
    pub fn new(status: u16, headers: BTreeMap<String, String>, body: &[u8]) -> Answer {
        let json = serde_json::from_slice::<Value>(body).ok();
        let body_json = json.filter(|it| it.is_object() || it.is_array());
        let is_text = body_json.is_none() && !body.is_empty();
        let text = is_text.then(|| String::from_utf8_lossy(body).into_owned());
        Answer { status, headers, body: body_json, text }
    }

    /// What `until` asks for: the status, or a place in the body.
    pub fn at(&self, place: &str) -> Option<Value> {
        match place {
            "status" => Some(self.status.into()),
            pointer => self.body.as_ref()?.pointer(pointer).cloned(),
        }
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All cases whose name holds one of the given parts, or all, in the order of their names.
pub fn load_all(parts: &[String]) -> Result<Vec<Case>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root().join(FOLDER))? {
        let path = entry?.path();
        let is_case = path != root().join(PLUGIN_CONFIG);
        if is_case && path.extension().is_some_and(|it| it == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let cases = paths.iter().map(|it| Case::load(it)).collect::<Result<Vec<_>>>()?;
    let is_wanted =
        |case: &Case| parts.is_empty() || parts.iter().any(|part| case.name.contains(part));
    let wanted: Vec<Case> = cases.into_iter().filter(is_wanted).collect();
    ensure!(!wanted.is_empty(), "no case in {FOLDER} is named like {parts:?}");
    Ok(wanted)
}
