//! A connector's configuration as it is written, and the three ways in which it is written.
//!
//! `{"name": …, "config": {…}}` as it is posted to a Connect worker, the bare map as it is put, and
//! the properties file of a standalone worker. Values are texts; a JSON number or boolean is the
//! text that Connect makes of it.
//!
//! Next: `validate.rs` answers for it, `translate/` makes a pipeline of it.

use super::mistake::Mistake;
use headwater_engine::spec::parse_properties;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Keys with their values. A value that is given as null is there and has no text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(BTreeMap<String, Option<String>>);

impl Config {
    /// Whether the key is given, if only as null.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The text of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_deref()
    }

    /// All keys, in the order of their names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All keys that have a text, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_deref()?)))
    }

    /// Sets a key.
    pub fn set(&mut self, key: impl Into<String>, value: Option<String>) {
        self.0.insert(key.into(), value);
    }

    /// Reads a file's text: JSON if it begins like an object, else properties.
    ///
    /// # Errors
    /// What is wrong with the text as a whole, by key where a key is at fault.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let text = text.trim_start_matches('\u{feff}');
        if !text.trim_start().starts_with(['{', '[']) {
            return Self::from_properties(text);
        }
        let json: Json = serde_json::from_str(text).map_err(|error| {
            let told = Mistake::of("input", format!("is not valid JSON: {error}"));
            vec![told.hint("expected {\"name\": …, \"config\": {…}} or the map of keys alone")]
        })?;
        let mut mistakes = beside(&json);
        mistakes.extend(fractions(&json));
        match Self::from_json(&json) {
            Ok(config) if mistakes.is_empty() => Ok(config),
            Ok(_) => Err(mistakes),
            Err(more) => Err([mistakes, more].concat()),
        }
    }

    /// The configuration in JSON, with or without a name around it.
    ///
    /// # Errors
    /// All keys whose values are no texts, and names that contradict each other.
    pub fn from_json(json: &Json) -> Result<Self, Vec<Mistake>> {
        let Json::Object(map) = json else {
            let told = Mistake::of("input", "is not a JSON object");
            return Err(vec![
                told.hint("convert one connector at a time: {\"name\": …, \"config\": {…}}"),
            ]);
        };
        match map.get("config") {
            Some(inner @ Json::Object(_)) => named(map.get("name"), Self::from_map(inner)?),
            _ => Self::from_map(json),
        }
    }

    fn from_map(json: &Json) -> Result<Self, Vec<Mistake>> {
        let mut config = Config::default();
        let mut mistakes = Vec::new();
        for (key, value) in json.as_object().into_iter().flatten() {
            let text = match value {
                Json::Null => None,
                Json::String(text) => Some(text.clone()),
                Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
                Json::Array(_) | Json::Object(_) => {
                    let told = Mistake::of(key, "a value is a text, a number or true or false");
                    mistakes.push(told.hint("write JSON as a text: in quotes, with \\\" inside"));
                    continue;
                }
            };
            config.set(key, text);
        }
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    fn from_properties(text: &str) -> Result<Self, Vec<Mistake>> {
        let all: BTreeMap<String, String> = parse_properties(text).into_iter().collect();
        if all.is_empty() {
            let told = Mistake::of("input", "has no keys");
            return Err(vec![told.hint("expected JSON, or a properties file of standalone mode")]);
        }
        Ok(Config(all.into_iter().map(|(key, value)| (key, Some(value))).collect()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Config {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pair = |(key, value): (K, V)| (key.into(), Some(value.into()));
        Config(pairs.into_iter().map(pair).collect())
    }
}

/// What stands beside a configuration and says nothing of it: what a worker answers.
const BESIDE: [&str; 4] = ["name", "config", "tasks", "type"];

/// Keys beside the configuration, which were probably meant to be in it.
fn beside(json: &Json) -> Vec<Mistake> {
    let Json::Object(map) = json else { return Vec::new() };
    if !map.get("config").is_some_and(Json::is_object) {
        return Vec::new();
    }
    let mistake = |(key, value): (&String, &Json)| match key.as_str() {
        "initial_state" if *value == "RUNNING" => None,
        "initial_state" => Some(
            Mistake::of(key, "is of no use: a pipeline file says nothing of when it runs")
                .hint("leave it out; the pipeline runs when it is started"),
        ),
        key if BESIDE.contains(&key) => None,
        _ => Some(
            Mistake::of(key, "stands beside the configuration, where nobody reads it")
                .hint("put it into `config`, or leave it out"),
        ),
    };
    map.iter().filter_map(mistake).collect()
}

/// Kafka Connect takes the digits of a number as they are written. Those of whole numbers are the
/// same when they are printed again; `1.10` would become `1.1`.
fn fractions(json: &Json) -> Vec<Mistake> {
    let config = json.get("config").filter(|it| it.is_object()).unwrap_or(json);
    let is_fraction = |(_, value): &(&String, &Json)| value.is_f64();
    let keys = config.as_object().into_iter().flatten().filter(is_fraction);
    let told = "its digits may be changed, because it is no whole number of 64 bits";
    let hint = "write it as a text, in quotes";
    keys.map(|(key, _)| Mistake::of(key, told).hint(hint)).collect()
}

/// The name outside is the configuration's; another one inside contradicts it, as Connect says.
fn named(name: Option<&Json>, mut config: Config) -> Result<Config, Vec<Mistake>> {
    let outside = match name {
        None | Some(Json::Null) => return Ok(config),
        Some(Json::String(name)) => name,
        Some(_) => return Err(vec![Mistake::of("name", "is not a text")]),
    };
    match config.get("name") {
        Some(inside) if inside != outside => {
            let told = format!("{outside:?} beside the configuration, {inside:?} in it");
            Err(vec![Mistake::of("name", told).hint("give the connector one name")])
        }
        _ => {
            config.set("name", Some(outside.clone()));
            Ok(config)
        }
    }
}
