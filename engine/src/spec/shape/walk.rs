//! Walks a tree along its schema, one finding per mistake.
//!
//! Invariants
//! 1. A value that is reported is not looked into further: one mistake, one finding.
//! 2. A scalar whose interpolation failed is taken for right: it has been reported already.
//! 3. The walk changes only one thing: interpolated text that happens to look like a number
//!    becomes text again where text is expected (a password of digits).
//!
//! Next: `engine/src/spec/shape/choice.rs` for `oneOf` and `anyOf`.

use serde_json::{Map, Value as Json};

use super::super::diagnostic::{Place, Report};
use super::super::nearest::nearest;
use super::super::tree::{Entry, Node, Scalar, Value};
use super::flatten;
use super::words::{self, Bounds, expected, found, list_of, types_of};

/// Checks trees against schemas that share their definitions.
#[derive(Clone, Copy)]
pub(crate) struct Walker<'s> {
    pub(super) definitions: &'s Map<String, Json>,
}

/// Where the walk stands: the keys that led here, for messages, and a place.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    /// The path of keys from the node or the top of the file; empty at its root.
    pub(super) path: String,
    /// What the root is called in messages, for example `source "events"`.
    subject: String,
    pub(super) place: Place,
    key_place: Place,
}

impl Spot {
    /// The root of a walk.
    pub(crate) fn root(subject: String, place: Place) -> Self {
        Self {
            path: String::new(),
            subject,
            place,
            key_place: place,
        }
    }

    /// The spot of a key's value.
    pub(crate) fn entry(&self, entry: &Entry) -> Self {
        Self {
            path: self.path_of(&entry.key),
            subject: self.subject.clone(),
            place: entry.place(),
            key_place: entry.key_place(),
        }
    }

    fn item(&self, index: usize, item: &Node) -> Self {
        let path = format!("{}[{index}]", self.path);
        let place = item.place();
        Self {
            path,
            subject: self.subject.clone(),
            place,
            key_place: place,
        }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// What a message calls the value.
    pub(super) fn name(&self) -> String {
        if self.path.is_empty() {
            self.subject.clone()
        } else {
            format!("key {:?}", self.path)
        }
    }
}

impl<'s> Walker<'s> {
    pub(crate) fn new(definitions: &'s Map<String, Json>) -> Self {
        Self { definitions }
    }

    /// Reports every difference between a value and its schema.
    pub(crate) fn check(&self, node: &mut Node, schema: &Json, spot: &Spot, report: &mut Report) {
        if node.as_scalar().is_some_and(|scalar| !scalar.resolved) {
            return;
        }
        let schema = &*flatten(schema, self.definitions);
        if words::options_of(schema).is_some() {
            self.check_choice(node, schema, spot, report);
            return;
        }
        if !self.check_type(node, schema, spot, report) {
            return;
        }
        match &mut node.value {
            Value::Map(entries) => self.check_map(entries, schema, spot, report),
            Value::List(items) => self.check_list(items, schema, spot, report),
            Value::Scalar(scalar) => self.check_scalar(scalar, schema, spot, report),
        }
    }

    // === types ===

    fn check_type(&self, node: &mut Node, schema: &Json, spot: &Spot, report: &mut Report) -> bool {
        if fits(node, schema) {
            return true;
        }
        if becomes_text(node, schema) {
            return true;
        }
        self.wrong_type(node, schema, spot, report);
        false
    }

    pub(super) fn wrong_type(&self, node: &Node, schema: &Json, spot: &Spot, report: &mut Report) {
        let expected = expected(schema, &spot.path, self.definitions);
        let is_empty = node
            .as_scalar()
            .is_some_and(|scalar| scalar.typed.is_null());
        let message = match is_empty {
            true => format!("{} has no value", spot.name()),
            false => format!("{} has the wrong type", spot.name()),
        };
        let finding = report.error(&spot.place, message);
        finding.detail(format!("expected: {expected}"));
        if !is_empty {
            finding.detail(format!("found: {}", found(node)));
        }
        let inner = self.without_null(schema);
        if let Some(hint) = type_hint(node, &inner) {
            finding.hint(hint);
        } else if let Some(default) = default_hint(schema) {
            finding.hint(default);
        }
    }

    // === maps ===

    fn check_map(&self, entries: &mut [Entry], schema: &Json, spot: &Spot, report: &mut Report) {
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let rest = schema
            .get("additionalProperties")
            .or(schema.get("unevaluatedProperties"));
        let mut meant = Vec::new();
        for entry in entries.iter_mut() {
            let inner = spot.entry(entry);
            match (properties.get(&entry.key), rest) {
                (Some(property), _) => self.check(&mut entry.value, property, &inner, report),
                (None, Some(Json::Bool(false))) => {
                    meant.extend(self.unknown_key(entry, properties, spot, report));
                }
                (None, Some(rest)) => self.check(&mut entry.value, rest, &inner, report),
                (None, None) => {}
            }
        }
        let required = schema["required"].as_array().into_iter().flatten();
        for key in required.filter_map(Json::as_str) {
            // A key that an unknown one was probably meant to be is not missed as well.
            let is_there = entries.iter().any(|entry| entry.key == key);
            if !is_there && !meant.iter().any(|meant| meant == key) {
                self.missing_key(key, &properties[key], spot, report);
            }
        }
    }

    /// Reports a key that does not exist and gives the one that was probably meant.
    fn unknown_key(
        &self,
        entry: &Entry,
        properties: &Map<String, Json>,
        spot: &Spot,
        report: &mut Report,
    ) -> Option<String> {
        let message = format!("key {:?} is not known", spot.path_of(&entry.key));
        let finding = report.error(&entry.key_place(), message);
        if let Some(near) = nearest(&entry.key, properties.keys().map(String::as_str)) {
            finding.hint(format!("did you mean {:?}?", spot.path_of(near)));
            return Some(near.to_owned());
        }
        if let Some((outer, inner)) = self.same_key_inside(&entry.key, properties) {
            finding.hint(format!(
                "write it inside the map {outer:?}: `{outer}: {{ {inner}: … }}`"
            ));
        } else if properties.is_empty() {
            finding.hint(format!("{} takes no keys of its own", spot.name()));
        } else {
            finding.hint(known_keys(properties));
        }
        None
    }

    /// An equal key one level further in: `tls` and `ca_file` for `ca_file` or `tls.ca_file`.
    fn same_key_inside(
        &self,
        key: &str,
        properties: &Map<String, Json>,
    ) -> Option<(String, String)> {
        properties.iter().find_map(|(outer, schema)| {
            let schema = self.without_null(schema);
            let inner = schema["properties"].as_object()?;
            let is_same = |name: &&String| *name == key || format!("{outer}.{name}") == key;
            inner
                .keys()
                .find(is_same)
                .map(|name| (outer.clone(), name.clone()))
        })
    }

    fn missing_key(&self, key: &str, schema: &Json, spot: &Spot, report: &mut Report) {
        let message = format!("key {:?} is missing", spot.path_of(key));
        let expected = expected(schema, key, self.definitions);
        let finding = report.error(&spot.key_place, message);
        finding.detail(format!("expected: {expected}"));
        if let Some(sentence) = first_sentence(schema) {
            finding.detail(format!("{key}: {sentence}"));
        }
    }

    // === lists and scalars ===

    fn check_list(&self, items: &mut [Node], schema: &Json, spot: &Spot, report: &mut Report) {
        let bound = |keyword: &str| schema[keyword].as_u64();
        let count = items.len() as u64;
        let is_short = bound("minItems").is_some_and(|least| count < least);
        let is_long = bound("maxItems").is_some_and(|greatest| count > greatest);
        if is_short || is_long {
            let range = words::count_words(bound("minItems"), bound("maxItems"));
            report
                .error(&spot.place, format!("{} has {count} items", spot.name()))
                .detail(format!("expected: {range}"));
        }
        if let Some(item_schema) = schema.get("items") {
            for (index, item) in items.iter_mut().enumerate() {
                let inner = spot.item(index, item);
                self.check(item, item_schema, &inner, report);
            }
        }
    }

    fn check_scalar(&self, scalar: &Scalar, schema: &Json, spot: &Spot, report: &mut Report) {
        match &scalar.typed {
            Json::String(text) => match words::named_values(schema) {
                Some(values) if values.contains(text) => {}
                Some(values) => {
                    let expected = words::value_words(&values);
                    self.unknown_value(scalar, &values, &expected, spot, report);
                }
                None => self.check_length(text, schema, spot, report),
            },
            Json::Number(number) => {
                let value = number.as_f64().unwrap_or(f64::INFINITY);
                self.check_bounds(value, schema, spot, report);
            }
            _ => {}
        }
    }

    /// Reports text that is none of a few values.
    pub(super) fn unknown_value(
        &self,
        scalar: &Scalar,
        values: &[String],
        expected: &str,
        spot: &Spot,
        report: &mut Report,
    ) {
        let message = format!("{} has no value {:?}", spot.name(), scalar.shown());
        let finding = report.error(&spot.place, message);
        finding.detail(format!("expected: {expected}"));
        // The nearest value would tell something about a resolved one.
        let near = nearest(&scalar.text, values.iter().map(String::as_str));
        if let (Some(near), None) = (near, &scalar.written) {
            finding.hint(format!("did you mean {near:?}?"));
        }
    }

    fn check_length(&self, text: &str, schema: &Json, spot: &Spot, report: &mut Report) {
        let bound = |keyword: &str| schema[keyword].as_u64();
        let count = text.chars().count() as u64;
        let complaint = match (bound("minLength"), bound("maxLength")) {
            (Some(1), _) if count == 0 => "is empty".to_owned(),
            (Some(least), _) if count < least => format!("is shorter than {least} characters"),
            (_, Some(greatest)) if count > greatest => {
                format!("is longer than {greatest} characters")
            }
            _ => return,
        };
        let finding = report.error(&spot.place, format!("{} {complaint}", spot.name()));
        if let Some(default) = default_hint(schema) {
            finding.hint(default);
        }
    }

    fn check_bounds(&self, value: f64, schema: &Json, spot: &Spot, report: &mut Report) {
        let Bounds { least, greatest } = Bounds::of(schema);
        let side = match (least, greatest) {
            (Some(least), _) if value < least => "below",
            (_, Some(greatest)) if value > greatest => "above",
            _ => return,
        };
        let finding = report.error(&spot.place, format!("{} is {side} its bound", spot.name()));
        finding.detail(format!(
            "expected: {}",
            expected(schema, &spot.path, self.definitions)
        ));
        if let Some(default) = default_hint(schema) {
            finding.hint(default);
        }
    }

    /// The one other option of an optional value, else the schema itself.
    fn without_null<'a>(&'a self, schema: &'a Json) -> std::borrow::Cow<'a, Json> {
        let options = words::options_of(schema).into_iter().flatten();
        let mut others = options.filter(|option| option["type"] != "null");
        match (others.next(), others.next()) {
            (Some(one), None) => flatten(one, self.definitions),
            _ => flatten(schema, self.definitions),
        }
    }
}

/// Whether a value is of one of the schema's types.
pub(super) fn fits(node: &Node, schema: &Json) -> bool {
    let types = types_of(schema);
    let scalar = match &node.value {
        Value::Map(_) => return types.is_empty() || types.contains(&"object"),
        Value::List(_) => return types.is_empty() || types.contains(&"array"),
        Value::Scalar(scalar) => scalar,
    };
    if types.is_empty() {
        return words::named_values(schema).is_none() || scalar.typed.is_string();
    }
    let accepts = |name: &str| types.contains(&name);
    match &scalar.typed {
        Json::Null => accepts("null"),
        Json::Bool(_) => accepts("boolean"),
        Json::Number(number) if number.is_f64() => accepts("number"),
        Json::Number(_) => accepts("integer") || accepts("number"),
        _ => accepts("string"),
    }
}

/// Makes interpolated text that looks like something else text again, where only text fits.
pub(super) fn becomes_text(node: &mut Node, schema: &Json) -> bool {
    let takes_text = types_of(schema).contains(&"string");
    match &mut node.value {
        Value::Scalar(scalar) if takes_text && scalar.written.is_some() => {
            scalar.typed = Json::String(scalar.text.clone());
            true
        }
        _ => false,
    }
}

fn type_hint(node: &Node, schema: &Json) -> Option<String> {
    let types = types_of(schema);
    let takes = |name: &str| types.contains(&name);
    let scalar = node.as_scalar()?;
    if takes("array") && !scalar.typed.is_null() {
        return Some(format!("write a list: [{}]", scalar.shown()));
    }
    if let (true, Some(properties)) = (takes("object"), schema["properties"].as_object()) {
        return Some(known_keys(properties));
    }
    match &scalar.typed {
        Json::Number(_) | Json::Bool(_) if takes("string") => {
            Some(format!("put it in quotes: \"{}\"", scalar.shown()))
        }
        Json::String(text) if takes("boolean") => match text.to_lowercase().as_str() {
            "yes" | "on" | "true" => Some("write true without quotes".to_owned()),
            "no" | "off" | "false" => Some("write false without quotes".to_owned()),
            _ => None,
        },
        Json::String(text) if takes("integer") || takes("number") => {
            let is_number = text.parse::<f64>().is_ok();
            (is_number && !scalar.plain).then(|| "leave out the quotes".to_owned())
        }
        _ => None,
    }
}

fn default_hint(schema: &Json) -> Option<String> {
    match schema.get("default")? {
        Json::Null | Json::Array(_) | Json::Object(_) => None,
        default => Some(format!("leave the key out for {default}")),
    }
}

fn known_keys(properties: &Map<String, Json>) -> String {
    format!(
        "known keys are {}",
        list_of(properties.keys().map(String::as_str))
    )
}

/// The first sentence of a schema's description, on one line and without its full stop.
fn first_sentence(schema: &Json) -> Option<String> {
    let description = schema.get("description")?.as_str()?.replace('\n', " ");
    let end = description.find(". ").unwrap_or(description.len());
    let sentence = description[..end].trim().trim_end_matches('.');
    (!sentence.is_empty()).then(|| sentence.to_owned())
}
