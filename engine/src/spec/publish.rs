//! The JSON Schema of a whole pipeline file, for editors.
//!
//! It is the checker's own catalogue with what a person writes around it: the sections, `kind`
//! and `from`, and `${…}` wherever a value is no free text.

use serde_json::{Map, Value as Json, json};

use super::limits::NAME_CHARS_MAX;
use super::preset::{Preset, PresetsOf};
use super::registry::{Registry, Role};
use super::schema::{DESCRIBING, KindSchema};
use super::shape::{named_values, options_of, types_of};

/// Where the definitions of the schema stand.
const DEFINITIONS: &str = "$defs";

/// The JSON Schema (draft 2020-12) of a whole pipeline file.
pub fn document_schema(registry: &Registry) -> Json {
    let catalogue = registry.catalogue();
    let mut definitions = catalogue.definitions().clone();
    let mut properties = catalogue.top_properties();
    properties["pipeline"]["pattern"] = json!(pipeline_pattern());
    for role in catalogue.roles() {
        let kinds = catalogue.kinds.iter().filter(|kind| kind.role == role);
        let mut references = Vec::new();
        for kind in kinds {
            let name = format!("{}.{}", role.noun(), kind.name);
            references.push(json!({ "$ref": format!("#/{DEFINITIONS}/{name}") }));
            let mut schema = kind.node_schema();
            open_to_presets(&mut schema, kind, registry);
            definitions.insert(name, schema);
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
        properties.extend(self.config["properties"].as_object().cloned().unwrap_or_default());
        required.extend(self.config["required"].as_array().cloned().unwrap_or_default());
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

/// With a preset at hand, a key that some preset gives may be left out; which presets there are is
/// shown.
fn open_to_presets(schema: &mut Json, kind: &KindSchema, registry: &Registry) {
    let is_of_kind = |of: &&PresetsOf| of.role == kind.role && of.kind == kind.name;
    let Some(of) = registry.presets().iter().find(is_of_kind) else { return };
    let given: Vec<Json> = of.presets.iter().map(Preset::keys).collect();
    let is_given = |key: &Json| {
        given.iter().any(|keys| key.as_str().is_some_and(|key| keys.get(key).is_some()))
    };
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|key| !is_given(key));
    }
    let names: Vec<&str> = of.presets.iter().map(|preset| preset.name).collect();
    schema["properties"]["preset"]["examples"] = json!(names);
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
