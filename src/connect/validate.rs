//! A validation: for every key what it is, what the configuration gives it, and what is wrong.
//!
//! The answers are those of Kafka Connect 4.1, in content and in words, because clients act on
//! them; that is also why a key that nobody knows is passed over here. `translate/` is stricter:
//! there a key that nobody knows is refused by its name.
//!
//! Order of an answer: Connect's keys, those of transformations and predicates, the connector's
//! own, those of converters.

use super::config::Config;
use super::definition::{connector, framework};
use super::key::{Default, Key, KeyInfo, sorted};
use super::kind::{Kind, Value, list};
use super::plugins::{self, Role};
use super::worker::Worker;
use serde::Serialize;

/// The answer to a validation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigInfos {
    /// The class.
    pub name: String,
    /// How many errors there are.
    pub error_count: usize,
    /// The groups of keys, in the order of a form.
    pub groups: Vec<String>,
    /// All keys.
    pub configs: Vec<ConfigInfo>,
}

/// One key in a validation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigInfo {
    /// What the key is.
    pub definition: KeyInfo,
    /// What it has.
    pub value: ValueInfo,
}

/// What a key has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueInfo {
    /// The key.
    pub name: String,
    /// Its value as text; null if there is none, or none of its type.
    pub value: Option<String>,
    /// What may be chosen.
    pub recommended_values: Vec<String>,
    /// What is wrong.
    pub errors: Vec<String>,
    /// Whether a form shows it.
    pub visible: bool,
}

/// The keys of a configuration, from which an answer is made.
struct Form<'a> {
    config: &'a Config,
    groups: Vec<String>,
    configs: Vec<ConfigInfo>,
}

/// Answers for all keys.
///
/// Values that providers give (`${file:…}`) must have been put in before, as a worker does.
#[must_use]
pub fn validate(config: &Config, worker: &Worker) -> ConfigInfos {
    let mut form = Form { config, groups: Vec::new(), configs: Vec::new() };
    let framework = framework::keys(worker, true);
    if let Some(fault) = version_fault(config, worker) {
        let of_all = &framework[..framework::OF_ALL];
        of_all.iter().for_each(|key| form.take(key, &key.name));
        form.found("connector.class", fault.clone());
        form.found("connector.plugin.version", fault);
        return form.answer();
    }
    framework.iter().for_each(|key| form.take(key, &key.name));
    form.chain("transforms", Role::Transformation, worker);
    form.chain("predicates", Role::Predicate, worker);
    connector::keys().iter().for_each(|key| form.take(key, &key.name));
    for (what, role) in CONVERTER_ROLES {
        form.converter(what, role);
    }
    form.preflight(worker);
    form.answer()
}

const CONVERTER_ROLES: [(&str, Role); 3] =
    [("key", Role::Converter), ("value", Role::Converter), ("header", Role::HeaderConverter)];

/// Only the version that is there can be asked for.
fn version_fault(config: &Config, worker: &Worker) -> Option<String> {
    let asked = config.get("connector.plugin.version")?;
    let there = &worker.connector_version;
    let told = format!(
        "Plugin {} not found that matches the version range [{asked},{asked}], available versions: \
         [{there}]",
        connector::CLASS
    );
    (asked != there).then_some(told)
}

impl Form<'_> {
    /// Takes a key in; rules tell `rule_name` as the key's name.
    fn take(&mut self, key: &Key, rule_name: &str) {
        let (value, errors) = self.judge(key, rule_name, &key.name);
        self.put(key, value, errors);
    }

    fn put(&mut self, key: &Key, value: Option<Value>, errors: Vec<String>) {
        if let Some(group) = &key.group
            && !self.groups.iter().any(|it| it == group)
        {
            self.groups.push(group.to_string());
        }
        let value = ValueInfo {
            name: key.name.to_string(),
            value: value.map(|value| value.shown()),
            recommended_values: key.recommended.clone(),
            errors,
            visible: true,
        };
        self.configs.push(ConfigInfo { definition: key.info(), value });
    }

    fn judge(&self, key: &Key, rule_name: &str, read_name: &str) -> (Option<Value>, Vec<String>) {
        let mut errors = Vec::new();
        let mut read = |text: &str| {
            let value = key.kind.read(text);
            let told = |why| format!("Invalid value {text} for configuration {read_name}: {why}");
            value.map_err(|why| errors.push(told(why))).ok()
        };
        let value = match (self.config.get(&key.name), &key.default) {
            (Some(text), _) => read(text),
            (None, _) if self.config.has(&key.name) => None,
            (None, Default::Text(text)) => read(text),
            (None, Default::Null) => None,
            (None, Default::Required) => {
                let told = "which has no default value.";
                errors.push(format!("Missing required configuration \"{read_name}\" {told}"));
                None
            }
        };
        errors.extend(key.rule.broken(rule_name, value.as_ref()));
        (value, errors)
    }

    /// The keys of a chain of plug-ins: `transforms` or `predicates`.
    fn chain(&mut self, chain: &'static str, role: Role, worker: &Worker) {
        let (what, whose) = match role {
            Role::Predicate => ("Predicate", "Predicates"),
            _ => ("Transformation", "Transforms"),
        };
        let mut seen: Vec<String> = Vec::new();
        for alias in list(self.config.get(chain).unwrap_or_default()) {
            if seen.contains(&alias) {
                continue;
            }
            let prefix = format!("{chain}.{alias}.");
            let group = format!("{whose}: {alias}");
            let kind = Key {
                name: format!("{prefix}type").into(),
                ..Key::plain("", Kind::Class, super::key::Importance::High)
            }
            .required()
            .recommended(plugins::names(role).map(str::to_owned).collect())
            .shown(group.clone(), 0, super::key::Width::Long, format!("{what} type for {alias}"))
            .says(format!("The class of {alias}."));
            let (class, errors) = self.plug_in(&kind, role, &prefix);
            self.put(&kind, class.as_ref().map(|it| Value::Class(it.name.clone())), errors);
            self.version(&prefix, &group, what, &alias, worker);
            if let Some(class) = class.filter(|it| it.is_sound) {
                self.embed(&class.name, role, &prefix, &group);
            }
            seen.push(alias);
        }
    }

    fn version(&mut self, prefix: &str, group: &str, what: &str, alias: &str, worker: &Worker) {
        let version = worker.connect_version.clone();
        let key = Key {
            name: format!("{prefix}plugin.version").into(),
            ..Key::plain("", Kind::String, super::key::Importance::High)
        }
        .default(version.clone())
        .recommended(vec![version])
        .shown(group.to_owned(), 1, super::key::Width::Long, format!("{what} version for {alias}"))
        .says(format!("The version of {alias}."));
        self.take(&key, &key.name);
    }

    /// The class of a plug-in, and what is wrong with it.
    fn plug_in(&self, key: &Key, role: Role, prefix: &str) -> (Option<PlugIn>, Vec<String>) {
        let (value, mut errors) = self.judge(key, &key.name, &key.name);
        let Some(Value::Class(name)) = value else { return (None, errors) };
        let extending = plugins::extending(&name);
        let mut is_sound = false;
        if !extending.is_empty() && role == Role::Transformation {
            let those = extending.join(", ");
            errors.push(format!(
                "This class is abstract and cannot be created. Did you mean {those}?"
            ));
        } else if !plugins::is(&name, role) {
            let interface = role.interface();
            errors.push(format!("Class class {name} does not implement the {interface} interface"));
        } else {
            is_sound = true;
            errors.extend(self.negate_fault(role, prefix));
        }
        (Some(PlugIn { name, is_sound }), errors)
    }

    /// `negate` means nothing without a predicate.
    fn negate_fault(&self, role: Role, prefix: &str) -> Option<String> {
        let (negate, predicate) = (format!("{prefix}negate"), format!("{prefix}predicate"));
        let is_alone = self.config.has(&negate) && !self.config.has(&predicate);
        let told = || {
            format!(
                "Config '{negate}' was provided but there is no config '{predicate}' defining a \
                 predicate to be negated."
            )
        };
        (role == Role::Transformation && is_alone).then(told)
    }

    /// Takes in the keys of a plug-in, under its prefix and group.
    fn embed(&mut self, class: &str, role: Role, prefix: &str, group: &str) {
        let mut keys = plugins::chain_keys(class);
        if role == Role::Transformation {
            keys.push(
                Key::plain("predicate", Kind::String, super::key::Importance::Medium)
                    .says("The predicate that says which records are transformed."),
            );
            keys.push(
                Key::plain("negate", Kind::Boolean, super::key::Importance::Medium)
                    .default("false")
                    .says("Whether those records are transformed of which it does not hold."),
            );
        }
        for (key, order) in sorted(keys).into_iter().zip(2..) {
            let own = key.name.clone();
            let mut key = Key { name: format!("{prefix}{own}").into(), order, ..key };
            key.group = Some(group.to_owned().into());
            self.take(&key, &own);
        }
    }

    /// The keys of a converter that the configuration names.
    fn converter(&mut self, what: &str, role: Role) {
        let named = format!("{what}.converter");
        let Some(text) = self.config.get(&named) else { return };
        let Some(class) = plugins::class(super::kind::trim(text)) else { return };
        if !plugins::is(class, role) {
            let interface = role.interface();
            let told = format!("Class class {class} does not implement the {interface} interface");
            return self.found(&named, told);
        }
        for key in plugins::converter_keys_validated(class) {
            let own = key.name.clone();
            let key = Key { name: format!("{named}.{own}").into(), ..key };
            let (mut value, mut errors) = self.judge(&key, &own, &own);
            if own == "converter.type" && value.is_none() {
                (value, errors) = (Some(Value::Text(what.to_owned())), Vec::new());
            }
            self.put(&key, value, errors);
        }
    }

    /// What Connect asks of worker and connector before it starts a connector that demands more.
    fn preflight(&mut self, worker: &Worker) {
        let asks = |key: &str, value: &str| {
            self.config.get(key).is_some_and(|it| super::kind::trim(it).eq_ignore_ascii_case(value))
        };
        let is_required = asks("exactly.once.support", "required");
        let is_connectors = asks("transaction.boundary", "connector");
        if is_required && !worker.exactly_once {
            let told = "This worker does not have exactly-once source support enabled.";
            self.found("exactly.once.support", told.to_owned());
        }
        if is_required {
            self.found("exactly.once.support", NO_PREFLIGHT.to_owned());
        }
        if is_connectors {
            self.found("transaction.boundary", NO_BOUNDARIES.to_owned());
        }
    }

    /// Adds an error to a key that was taken in.
    fn found(&mut self, name: &str, error: String) {
        let of_name = |it: &&mut ConfigInfo| it.definition.name == name;
        if let Some(config) = self.configs.iter_mut().find(of_name) {
            config.value.errors.push(error);
        }
    }

    fn answer(self) -> ConfigInfos {
        let error_count = self.configs.iter().map(|it| it.value.errors.len()).sum();
        let name = self.config.get("connector.class").unwrap_or(connector::CLASS).to_owned();
        ConfigInfos { name, error_count, groups: self.groups, configs: self.configs }
    }
}

/// A class that was named.
struct PlugIn {
    name: String,
    /// Whether it can be used in its place.
    is_sound: bool,
}

const NO_PREFLIGHT: &str = "The connector does not implement the API required for preflight \
    validation of exactly-once source support. Please consult the documentation for the connector \
    to determine whether it supports exactly-once semantics, and then consider reconfiguring the \
    connector to use the value \"requested\" for this property (which will disable this preflight \
    check and allow the connector to be created).";

const NO_BOUNDARIES: &str = "The connector does not support connector-defined transaction \
    boundaries with the given configuration. Please reconfigure it to use a different transaction \
    boundary definition.";
