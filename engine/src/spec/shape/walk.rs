//! Walks a tree along its schema, one finding per mistake, and mends what it reports.
//!
//! Invariants
//! 1. A value that is reported is not looked into further: one mistake, one finding. A stand-in
//!    takes its place, and the place of a key that is missing.
//! 2. A scalar whose interpolation failed has been reported already; it is mended as well.
//! 3. Behind the walk serde reads the tree: what is left in it fits the schema.
//! 4. What is intact is changed in two ways only. An interpolated value is text wherever text is
//!    allowed, whatever it looks like: a password of digits keeps its leading zeros. A key, or the
//!    tag of a choice, that is near to a known one bears that one's name from then on.
//!
//! Next: `engine/src/spec/shape/choice.rs` for `oneOf` and `anyOf`.

use serde_json::{Map, Value as Json};

use super::super::diagnostic::Report;
use super::super::nearest::nearest;
use super::super::tree::{Entry, Node, Scalar, Value};
use super::flatten;
use super::hint::{default_hint, type_hint};
use super::spot::Spot;
use super::words::{self, Bounds, expected, found, types_of};

/// Checks trees against schemas that share their definitions.
#[derive(Clone, Copy)]
pub(crate) struct Walker<'s> {
    pub(super) definitions: &'s Map<String, Json>,
}

impl<'s> Walker<'s> {
    pub(crate) fn new(definitions: &'s Map<String, Json>) -> Self {
        Self { definitions }
    }

    /// Reports every difference between a value and its schema; false if it is of another type.
    pub(crate) fn check(
        &self,
        node: &mut Node,
        schema: &Json,
        spot: &Spot,
        report: &mut Report,
    ) -> bool {
        if node.is_stand_in() {
            return true;
        }
        let schema = &*flatten(schema, self.definitions);
        if node.as_scalar().is_some_and(|scalar| !scalar.resolved) {
            self.mend(node, schema);
            return true;
        }
        if words::options_of(schema).is_some() {
            return self.check_choice(node, schema, spot, report);
        }
        if !self.check_type(node, schema, spot, report) {
            return false;
        }
        let stands = match &mut node.value {
            Value::Map(entries) => self.check_map(entries, schema, spot, report),
            Value::List(items) => self.check_list(items, schema, spot, report),
            Value::Scalar(scalar) => self.check_scalar(scalar, schema, spot, report),
            Value::StandIn(_) => true,
        };
        if !stands {
            self.mend(node, schema);
        }
        true
    }

    // === types ===

    fn check_type(&self, node: &mut Node, schema: &Json, spot: &Spot, report: &mut Report) -> bool {
        if becomes_text(node, schema) || fits(node, schema) {
            return true;
        }
        self.wrong_type(node, schema, spot, report);
        false
    }

    pub(super) fn wrong_type(
        &self,
        node: &mut Node,
        schema: &Json,
        spot: &Spot,
        report: &mut Report,
    ) {
        let expected = expected(schema, &spot.path, self.definitions);
        let is_empty = node.as_scalar().is_some_and(|scalar| scalar.typed.is_null());
        let message = match is_empty {
            true => format!("{} has no value", spot.name()),
            false => format!("{} has the wrong type", spot.name()),
        };
        let finding = report.error(&spot.place, message);
        finding.detail(format!("expected: {expected}"));
        if !is_empty {
            finding.detail(format!("found: {}", found(node)));
        }
        if let Some(hint) = type_hint(node, &self.union(schema)) {
            finding.hint(hint);
        } else if let Some(default) = default_hint(schema) {
            finding.hint(default);
        }
        self.mend(node, schema);
    }

    // === maps ===

    /// False if there are too few keys to go by.
    fn check_map(
        &self,
        entries: &mut Vec<Entry>,
        schema: &Json,
        spot: &Spot,
        report: &mut Report,
    ) -> bool {
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let rest = schema.get("additionalProperties").or(schema.get("unevaluatedProperties"));
        let bounds = (schema["minProperties"].as_u64(), schema["maxProperties"].as_u64());
        let is_enough = check_count(entries.len(), "keys", bounds, spot, report);
        if rest == Some(&Json::Bool(false)) {
            self.check_keys(entries, properties, spot, report);
        }
        let rest = rest.or(passed_on(schema));
        for entry in entries.iter_mut() {
            let inner = spot.entry(entry);
            if let Some(property) = properties.get(&entry.key).or(rest) {
                self.check(&mut entry.value, property, &inner, report);
            }
        }
        let required = schema["required"].as_array().into_iter().flatten();
        for key in required.filter_map(Json::as_str) {
            if !entries.iter().any(|entry| entry.key == key) {
                self.missing_key(key, &properties[key], spot, report);
                entries.push(self.absent(key, &properties[key], spot));
            }
        }
        is_enough
    }

    // === lists and scalars ===

    /// False if there are too few items to go by.
    fn check_list(
        &self,
        items: &mut [Node],
        schema: &Json,
        spot: &Spot,
        report: &mut Report,
    ) -> bool {
        let bounds = (schema["minItems"].as_u64(), schema["maxItems"].as_u64());
        if let Some(item_schema) = schema.get("items").or(passed_on(schema)) {
            for (index, item) in items.iter_mut().enumerate() {
                let inner = spot.item(index, item);
                self.check(item, item_schema, &inner, report);
            }
        }
        check_count(items.len(), "items", bounds, spot, report)
    }

    /// False after a mistake.
    fn check_scalar(
        &self,
        scalar: &Scalar,
        schema: &Json,
        spot: &Spot,
        report: &mut Report,
    ) -> bool {
        match &scalar.typed {
            Json::String(text) => match words::named_values(schema) {
                Some(values) if values.contains(text) => true,
                Some(values) => {
                    let expected = words::value_words(&values);
                    self.unknown_value(scalar, &values, &expected, spot, report);
                    false
                }
                None => self.check_length(text, schema, spot, report),
            },
            Json::Number(number) => {
                let value = number.as_f64().unwrap_or(f64::INFINITY);
                self.check_bounds(value, schema, spot, report)
            }
            _ => true,
        }
    }

    /// Reports text that is none of a few values, and gives the one that was probably meant.
    pub(super) fn unknown_value(
        &self,
        scalar: &Scalar,
        values: &[String],
        expected: &str,
        spot: &Spot,
        report: &mut Report,
    ) -> Option<String> {
        let message = format!("{} has no value {:?}", spot.name(), scalar.shown());
        let finding = report.error(&spot.place, message);
        finding.detail(format!("expected: {expected}"));
        // The nearest value would tell something about a resolved one.
        let near = nearest(&scalar.text, values.iter().map(String::as_str));
        let near = near.filter(|_| scalar.written.is_none())?;
        finding.hint(format!("did you mean {near:?}?"));
        Some(near.to_owned())
    }

    fn check_length(&self, text: &str, schema: &Json, spot: &Spot, report: &mut Report) -> bool {
        let bound = |keyword: &str| schema[keyword].as_u64();
        let count = text.chars().count() as u64;
        let complaint = match (bound("minLength"), bound("maxLength")) {
            (Some(1), _) if count == 0 => "is empty".to_owned(),
            (Some(least), _) if count < least => format!("is shorter than {least} characters"),
            (_, Some(greatest)) if count > greatest => {
                format!("is longer than {greatest} characters")
            }
            _ => return true,
        };
        let finding = report.error(&spot.place, format!("{} {complaint}", spot.name()));
        if let Some(default) = default_hint(schema) {
            finding.hint(default);
        }
        false
    }

    fn check_bounds(&self, value: f64, schema: &Json, spot: &Spot, report: &mut Report) -> bool {
        let Bounds { least, greatest } = Bounds::of(schema);
        let side = match (least, greatest) {
            (Some(least), _) if value < least => "below",
            (_, Some(greatest)) if value > greatest => "above",
            _ => return true,
        };
        let finding = report.error(&spot.place, format!("{} is {side} its bound", spot.name()));
        finding.detail(format!("expected: {}", expected(schema, &spot.path, self.definitions)));
        if let Some(default) = default_hint(schema) {
            finding.hint(default);
        }
        false
    }
}

/// What takes anything takes anything inside as well, and only mends what has no value.
fn passed_on(schema: &Json) -> Option<&Json> {
    types_of(schema).is_empty().then_some(schema)
}

/// False if there are too few. Of too many each one can still be looked at.
fn check_count(
    count: usize,
    noun: &str,
    (least, greatest): (Option<u64>, Option<u64>),
    spot: &Spot,
    report: &mut Report,
) -> bool {
    let is_short = least.is_some_and(|least| (count as u64) < least);
    let is_long = greatest.is_some_and(|greatest| count as u64 > greatest);
    if is_short || is_long {
        report
            .error(&spot.place, format!("{} has {count} {noun}", spot.name()))
            .detail(format!("expected: {} {noun}", words::count_words(least, greatest)));
    }
    !is_short
}

/// Whether a value is of one of the schema's types.
pub(super) fn fits(node: &Node, schema: &Json) -> bool {
    let types = types_of(schema);
    let scalar = match &node.value {
        Value::Map(_) => return types.is_empty() || types.contains(&"object"),
        Value::List(_) => return types.is_empty() || types.contains(&"array"),
        Value::StandIn(_) => return true,
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

/// Makes an interpolated value text where text is allowed; says whether it has.
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
