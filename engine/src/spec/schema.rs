//! The schema of a pipeline file, made from the types that serde reads.
//!
//! One [`Catalogue`] is built with the registry. The checker reads it key by key, and
//! [`document_schema`](super::document_schema) publishes it as a JSON Schema for editors.
//!
//! Invariant: every keyword in it is one that `shape` checks or one that only describes
//! ([`Catalogue::new`] asserts it), so that published schema, checker and serde agree.
//!
//! Next: `engine/src/spec/shape/mod.rs`.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

use super::registry::{KindEntry, Role};
use super::settings::Settings;
use super::shape::flatten;

/// Keywords that `shape` checks.
const CHECKED: [&str; 22] = [
    "$ref",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "unevaluatedProperties",
    "enum",
    "const",
    "oneOf",
    "anyOf",
    "items",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "format",
    "minProperties",
    "maxProperties",
];

/// Keywords that describe and decide nothing.
pub(super) const DESCRIBING: [&str; 8] = [
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "$comment",
    "$schema",
    "writeOnly",
];

/// The schema of `T`, for [`KindEntry::schema`].
pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// All schemas of a registry.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(super) kinds: Vec<KindSchema>,
    settings: Json,
    definitions: Map<String, Json>,
}

/// The config schema of one kind, without `kind` and `from`.
#[derive(Debug)]
pub(crate) struct KindSchema {
    pub(super) role: Role,
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(crate) config: Json,
}

impl Catalogue {
    pub(crate) fn new(entries: &[KindEntry]) -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let settings = schema_of::<Settings>(&mut generator).to_value();
        let raw: Vec<Json> =
            entries.iter().map(|entry| (entry.schema)(&mut generator).to_value()).collect();
        let definitions = generator.take_definitions(true);
        let kinds = entries.iter().zip(raw).map(|(entry, schema)| KindSchema {
            role: entry.role,
            name: entry.name,
            summary: entry.summary,
            config: config_schema(entry, &schema, &definitions),
        });
        let catalogue = Self { kinds: kinds.collect(), settings, definitions };
        catalogue.assert_checkable();
        catalogue
    }

    pub(crate) fn kind(&self, role: Role, name: &str) -> &KindSchema {
        let found = self.kinds.iter().find(|kind| kind.role == role && kind.name == name);
        found.expect("the catalogue is made from the registry's own entries")
    }

    pub(crate) fn definitions(&self) -> &Map<String, Json> {
        &self.definitions
    }

    pub(crate) fn settings(&self) -> &Json {
        &self.settings
    }

    /// The sections that hold any kind.
    pub(crate) fn roles(&self) -> impl Iterator<Item = Role> {
        let used = |role: &Role| self.kinds.iter().any(|kind| kind.role == *role);
        Role::ALL.into_iter().filter(used)
    }

    /// The top level of a file as the checker walks it: sections are maps of anything, their
    /// nodes are checked by kind.
    pub(crate) fn top_level(&self) -> Json {
        let mut properties = self.top_properties();
        for role in self.roles() {
            properties.insert(role.section().to_owned(), json!({ "type": "object" }));
        }
        json!({
            "type": "object",
            "properties": properties,
            "required": ["pipeline"],
            "additionalProperties": false,
        })
    }

    pub(super) fn top_properties(&self) -> Map<String, Json> {
        let mut properties = Map::new();
        properties.insert("pipeline".to_owned(), pipeline_schema());
        if let Some(settings) = self.settings["properties"].as_object() {
            properties.extend(settings.clone());
        }
        properties
    }

    /// Guards the module's invariant; a mistake here is one of the program, not of a file.
    fn assert_checkable(&self) {
        let mut schemas: Vec<&Json> = self.kinds.iter().map(|kind| &kind.config).collect();
        schemas.push(&self.settings);
        schemas.extend(self.definitions.values());
        while let Some(schema) = schemas.pop() {
            let Some(schema) = schema.as_object() else {
                continue;
            };
            for (keyword, value) in schema {
                let is_known = CHECKED.contains(&&**keyword) || DESCRIBING.contains(&&**keyword);
                assert!(
                    is_known,
                    "schema keyword `{keyword}` is one the checker knows: {schema:?}"
                );
                let is_choice = matches!(keyword.as_str(), "oneOf" | "anyOf");
                let is_mixed = is_choice && schema.contains_key("properties");
                assert!(!is_mixed, "a choice stands alone, without `serde(flatten)`: {schema:?}");
                match (keyword.as_str(), value) {
                    ("properties", Json::Object(properties)) => schemas.extend(properties.values()),
                    ("oneOf" | "anyOf", Json::Array(options)) => schemas.extend(options),
                    ("items" | "additionalProperties", inner) => schemas.push(inner),
                    _ => {}
                }
            }
        }
    }
}

/// A kind's config: closed, and free of the keys that every node has.
fn config_schema(entry: &KindEntry, schema: &Json, definitions: &Map<String, Json>) -> Json {
    let mut config = flatten(schema, definitions).into_owned();
    let object = config.as_object_mut().expect("a kind's config schema is not a truth value");
    assert_eq!(object.get("type"), Some(&json!("object")), "{entry:?} has a struct as config");
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    for reserved in ["kind", "from"] {
        assert!(properties.get(reserved).is_none(), "{entry:?} leaves `{reserved}` to the engine");
    }
    object.insert("additionalProperties".to_owned(), Json::Bool(false));
    object.remove("unevaluatedProperties");
    config
}

fn pipeline_schema() -> Json {
    json!({
        "type": "string",
        "description": "The pipeline's name. Its progress in Kafka is kept under this name, so \
            a renamed pipeline starts anew.",
    })
}
