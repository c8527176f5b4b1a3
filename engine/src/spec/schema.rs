//! The schema of a pipeline file, made from the types that serde reads.
//!
//! One [`Catalogue`] is built with the registry. The checker reads it key by key, and
//! [`document_schema`] publishes it as a JSON Schema that editors understand.
//!
//! Invariant: every keyword in it is one that `shape` checks or one that only describes
//! ([`Catalogue::new`] asserts it), so that published schema, checker and serde agree.
//!
//! Next: `engine/src/spec/shape/mod.rs`.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

use super::limits::NAME_CHARS_MAX;
use super::registry::{KindEntry, Registry, Role};
use super::settings::Settings;
use super::shape::{flatten, named_values, options_of, types_of};

/// Where the definitions of the catalogue's schemas stand.
const DEFINITIONS: &str = "$defs";

/// Keywords that `shape` checks.
const CHECKED: [&str; 20] = [
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
];

/// Keywords that describe and decide nothing.
const DESCRIBING: [&str; 8] = [
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
    kinds: Vec<KindSchema>,
    settings: Json,
    definitions: Map<String, Json>,
}

/// The config schema of one kind, without `kind` and `from`.
#[derive(Debug)]
pub(crate) struct KindSchema {
    role: Role,
    name: &'static str,
    summary: &'static str,
    pub(crate) config: Json,
}

impl Catalogue {
    pub(crate) fn new(entries: &[KindEntry]) -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let settings = schema_of::<Settings>(&mut generator).to_value();
        let raw: Vec<Json> = entries
            .iter()
            .map(|entry| (entry.schema)(&mut generator).to_value())
            .collect();
        let definitions = generator.take_definitions(true);
        let kinds = entries.iter().zip(raw).map(|(entry, schema)| KindSchema {
            role: entry.role,
            name: entry.name,
            summary: entry.summary,
            config: config_schema(entry, &schema, &definitions),
        });
        let catalogue = Self {
            kinds: kinds.collect(),
            settings,
            definitions,
        };
        catalogue.assert_checkable();
        catalogue
    }

    pub(crate) fn kind(&self, role: Role, name: &str) -> &KindSchema {
        let found = self
            .kinds
            .iter()
            .find(|kind| kind.role == role && kind.name == name);
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

    fn top_properties(&self) -> Map<String, Json> {
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
    let object = config
        .as_object_mut()
        .expect("a kind's config schema is not a truth value");
    assert_eq!(
        object.get("type"),
        Some(&json!("object")),
        "{entry:?} has a struct as config"
    );
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    for reserved in ["kind", "from"] {
        assert!(
            properties.get(reserved).is_none(),
            "{entry:?} leaves `{reserved}` to the engine"
        );
    }
    object.insert("additionalProperties".to_owned(), Json::Bool(false));
    object.remove("unevaluatedProperties");
    config
}

// === impl document_schema ===

/// The JSON Schema (draft 2020-12) of a whole pipeline file.
pub fn document_schema(registry: &Registry) -> Json {
    let catalogue = registry.catalogue();
    let mut definitions = catalogue.definitions.clone();
    let mut properties = catalogue.top_properties();
    properties["pipeline"]["pattern"] = json!(pipeline_pattern());
    for role in catalogue.roles() {
        let kinds = catalogue.kinds.iter().filter(|kind| kind.role == role);
        let mut references = Vec::new();
        for kind in kinds {
            let name = format!("{}.{}", role.noun(), kind.name);
            references.push(json!({ "$ref": format!("#/{DEFINITIONS}/{name}") }));
            definitions.insert(name, kind.node_schema());
        }
        properties.insert(role.section().to_owned(), section_schema(role, references));
    }
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headwater pipeline",
        "description": "A graph of sources, decoders and sinks, joined by `from`.",
        "type": "object",
        "properties": properties,
        "required": ["pipeline", Role::Source.section(), Role::Sink.section()],
        "additionalProperties": false,
        "$defs": definitions,
    });
    open_to_references(&mut document);
    document["$defs"]["reference"] = reference_schema();
    document
}

impl KindSchema {
    /// The schema of a whole node of this kind.
    fn node_schema(&self) -> Json {
        let mut properties = Map::new();
        properties.insert("kind".to_owned(), json!({ "const": self.name }));
        let mut required = vec![json!("kind")];
        if self.role.has_inputs() {
            properties.insert("from".to_owned(), from_schema());
            required.push(json!("from"));
        }
        properties.extend(
            self.config["properties"]
                .as_object()
                .cloned()
                .unwrap_or_default(),
        );
        required.extend(
            self.config["required"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
        );
        json!({
            "title": format!("{} {}", self.name, self.role),
            "description": self.summary,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}

fn pipeline_schema() -> Json {
    json!({
        "type": "string",
        "description": "The pipeline's name. Its progress in Kafka is kept under this name, so \
            a renamed pipeline starts anew.",
    })
}

/// The rule for names, or a name with a `${…}` in it, which is held to the rule once resolved.
fn pipeline_pattern() -> String {
    let last = NAME_CHARS_MAX - 1;
    format!(r"^[a-z0-9][a-z0-9._-]{{0,{last}}}$|\$\{{")
}

fn from_schema() -> Json {
    json!({
        "description": "The node, or the list of nodes, whose records this node reads.",
        "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ],
    })
}

fn section_schema(role: Role, mut references: Vec<Json>) -> Json {
    let node = match references.len() {
        1 => references.remove(0),
        _ => json!({ "oneOf": references }),
    };
    let last = NAME_CHARS_MAX - 1;
    json!({
        "description": format!("The {} of the pipeline by name.", role.section()),
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "pattern": format!("^[A-Za-z0-9][A-Za-z0-9._-]{{0,{last}}}$") },
        "additionalProperties": node,
    })
}

/// A value written as `${…}`: text in the file, whatever it stands for.
fn reference_schema() -> Json {
    json!({
        "description": "A value from outside: ${env:NAME}, ${file:PATH} or ${file:PATH:KEY}.",
        "type": "string",
        "pattern": r"\$\{(env|file):[^}]+\}",
    })
}

/// Lets every number, truth value and named value of the published schema also be a `${…}`,
/// which the loader resolves before it checks.
fn open_to_references(schema: &mut Json) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    for (keyword, value) in object.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "$defs", Json::Object(inner)) => {
                for schema in inner.values_mut() {
                    open_to_references(schema);
                    if takes_no_text(schema) {
                        add_reference(schema);
                    }
                }
            }
            ("oneOf" | "anyOf", Json::Array(options)) => {
                options.iter_mut().for_each(open_to_references);
            }
            ("items" | "additionalProperties", inner) => open_to_references(inner),
            _ => {}
        }
    }
}

/// Whether a schema takes single values, but no text or only some texts. A lone fixed text is
/// a kind or a tag, which chooses among schemas and cannot be left open.
fn takes_no_text(schema: &Json) -> bool {
    if let Some(options) = options_of(schema) {
        let is_named = |option: &Json| named_values(option).is_some();
        return options.len() > 1 && options.iter().all(is_named);
    }
    let types = types_of(schema);
    let is_single = |name: &&str| matches!(*name, "integer" | "number" | "boolean");
    types.iter().any(is_single) || (types.contains(&"string") && schema.get("enum").is_some())
}

/// Keeps what describes outside, where editors look for it.
fn add_reference(schema: &mut Json) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let mut outer = Map::new();
    for keyword in DESCRIBING {
        if let Some(value) = object.shift_remove(keyword) {
            outer.insert(keyword.to_owned(), value);
        }
    }
    let inner = Json::Object(std::mem::take(object));
    let reference = json!({ "$ref": format!("#/{DEFINITIONS}/reference") });
    outer.insert("anyOf".to_owned(), json!([inner, reference]));
    *object = outer;
}
