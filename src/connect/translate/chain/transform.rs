//! Each class of transformation, and what it becomes.

use super::{Key, Walk};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Whether a class changes the value and nothing else, and leaves a record without one as it is.
pub(super) fn is_step(class: &str) -> bool {
    let name = class.rsplit('.').next().unwrap_or(class);
    let steps = ["InsertField", "ReplaceField", "MaskField", "Cast", "ExtractField"];
    name.strip_suffix("$Value").is_some_and(|name| steps.contains(&name))
}

impl Walk<'_, '_> {
    /// Takes the transformation in, or refuses it by its name.
    pub(super) fn apply(&mut self, class: &str) {
        self.reader.pass_over(&self.key("replace.null.with.default"));
        let name = class.rsplit('.').next().unwrap_or(class);
        match name {
            "InsertField$Value" => self.insert_field(),
            "ReplaceField$Value" => self.replace_field(),
            "MaskField$Value" => self.mask_field(),
            "Cast$Value" => self.cast(),
            "HoistField$Value" => self.hoist_field(),
            "ExtractField$Value" => self.extract_field(),
            "ValueToKey" => self.value_to_key(),
            "ExtractField$Key" => self.extract_key(),
            "HeaderFrom$Value" => self.header_from(),
            "InsertHeader" => self.insert_header(),
            "DropHeaders" => self.drop_headers(),
            "RegexRouter" => self.regex_router(),
            "TimestampRouter" => self.timestamp_router(),
            _ => {
                self.skip(class);
                let (told, hint) = refusal(name);
                self.refuse("type", format!("{name} {told}"), hint);
            }
        }
    }

    fn insert_field(&mut self) {
        let mark = |text: String| text.trim_end_matches(['!', '?']).to_owned();
        let field =
            |walk: &mut Self, key: &str| walk.text(key).filter(|it| !it.is_empty()).map(mark);
        if let Some(field) = field(self, "topic.field") {
            if self.chain.route.is_some() {
                let hint = "put InsertField before the router";
                return self.refuse(
                    "topic.field",
                    "the topic is another one for each record",
                    hint,
                );
            }
            self.insert(&field, json!({ "field": field, "value": self.chain.topic }));
        }
        if field(self, "partition.field").is_some() {
            let told = "has no effect, as before: the partition is chosen later".to_owned();
            self.reader.note(&self.key("partition.field"), told);
        }
        if field(self, "offset.field").is_some() {
            let hint = "leave it out: Kafka Connect fails with it as well";
            self.refuse("offset.field", "the offset is not known to a source", hint);
        }
        if let Some(field) = field(self, "timestamp.field") {
            self.insert(&field, json!({ "field": field, "from": "received" }));
        }
        let value = self.text("static.value");
        if let Some(field) = field(self, "static.field") {
            match value {
                Some(value) => self.insert(&field, json!({ "field": field, "value": value })),
                None => self.refuse("static.field", "there is no value for it", "add static.value"),
            }
        }
    }

    fn insert(&mut self, field: &str, insert: Json) {
        self.names.insert(field);
        self.step(json!({ "insert": insert }));
    }

    fn replace_field(&mut self) {
        let (include, exclude) = (self.list("include"), self.list("exclude"));
        let renames = pairs(&self.list("renames"));
        if !include.is_empty() {
            let kept: Vec<&String> = include.iter().filter(|it| !exclude.contains(it)).collect();
            if kept.is_empty() {
                return self.refuse("include", "leaves no field", "name the fields to keep");
            }
            self.step(json!({ "include": kept }));
            self.names.include(&include);
        } else if !exclude.is_empty() {
            self.step(json!({ "exclude": exclude }));
        }
        self.names.exclude(&exclude);
        if !renames.is_empty() {
            self.step(json!({ "rename": renames }));
            self.names.rename(&renames);
        }
    }

    fn mask_field(&mut self) {
        let fields = self.list("fields");
        let mut mask = json!({ "fields": fields });
        if let Some(replacement) = self.text("replacement") {
            mask["replacement"] = json!(replacement);
        }
        self.names.mask(fields.iter());
        self.step(json!({ "mask": mask }));
    }

    fn cast(&mut self) {
        let spec = self.list("spec");
        if let [whole] = spec.as_slice()
            && !whole.contains(':')
        {
            return self.step(json!({ "cast_value": whole.to_lowercase() }));
        }
        let casts: BTreeMap<String, String> =
            pairs(&spec).into_iter().map(|(field, kind)| (field, kind.to_lowercase())).collect();
        self.names.cast(casts.keys());
        self.step(json!({ "cast": casts }));
    }

    fn hoist_field(&mut self) {
        let Some(field) = self.text("field") else { return };
        self.step(json!({ "hoist": field }));
        self.names.hoist();
        self.may_be_tombstone = false;
    }

    fn extract_field(&mut self) {
        let version = self.text("field.syntax.version").unwrap_or_default();
        let Some(field) = self.text("field") else { return };
        let is_path = version.eq_ignore_ascii_case("V2");
        let path = if !is_path && field.contains('.') { format!("`{field}`") } else { field };
        self.names.extract(&path);
        self.step(json!({ "extract": path }));
        self.may_be_tombstone = true;
    }

    fn value_to_key(&mut self) {
        let mut object = BTreeMap::new();
        for field in self.list("fields") {
            if let Some(path) = self.path("fields", &field) {
                object.insert(field, path);
            }
        }
        self.chain.key = Key::Object(object);
    }

    fn extract_key(&mut self) {
        self.reader.pass_over(&self.key("field.syntax.version"));
        let Some(field) = self.text("field") else { return };
        let path = match &self.chain.key {
            Key::Object(object) => object.get(&field).cloned(),
            _ => None,
        };
        match path {
            Some(path) => self.chain.key = Key::Field(path),
            None => self.refuse(
                "field",
                format!("the key has no field {field:?}"),
                "put ValueToKey with this field before it",
            ),
        }
    }

    fn header_from(&mut self) {
        let (fields, headers) = (self.list("fields"), self.list("headers"));
        let operation = self.text("operation").unwrap_or_default();
        if fields.len() != headers.len() {
            let told = "there are not as many headers as fields";
            return self.refuse("headers", told, "name one header for each field");
        }
        for (field, header) in fields.iter().zip(&headers) {
            if self.chain.field_headers.contains_key(header) {
                self.refuse_second("headers", header);
            } else if let Some(path) = self.path("fields", field) {
                self.chain.field_headers.insert(header.clone(), path);
            }
        }
        if operation == "move" {
            self.names.exclude(&fields);
            self.step(json!({ "exclude": fields }));
        }
    }

    fn insert_header(&mut self) {
        let (header, literal) = (self.text("header"), self.text("value.literal"));
        let (Some(header), Some(literal)) = (header, literal) else { return };
        if self.chain.fixed_headers.contains_key(&header) {
            return self.refuse_second("header", &header);
        }
        let inner = literal.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let is_plain = match inner {
            Some(inner) => !inner.contains(['"', '\\']),
            None => is_plain_literal(&literal),
        };
        if !is_plain {
            let told = "is written as it stands; Kafka Connect reads it as a number, a moment, a \
                        list or a map first, and may write it in another form";
            self.reader.note(&self.key("value.literal"), told.to_owned());
        }
        let value = inner.map_or(literal.clone(), str::to_owned);
        self.chain.fixed_headers.insert(header, value);
    }

    /// Kafka Connect would write both.
    fn refuse_second(&mut self, key: &str, header: &str) {
        let told = format!("records have a header {header:?} already, and can have but one");
        self.refuse(key, told, "give it another name, or drop the first with DropHeaders");
    }

    fn drop_headers(&mut self) {
        for header in self.list("headers") {
            self.chain.fixed_headers.remove(&header);
            self.chain.field_headers.remove(&header);
        }
    }
}

/// Whether Kafka Connect, which guesses the type of a literal, writes it as it was: a word, or a
/// whole number without leading zeros.
fn is_plain_literal(literal: &str) -> bool {
    let is_number = literal.parse::<i64>().is_ok_and(|number| number.to_string() == literal);
    let starts_a_word = |c: char| c.is_ascii_alphabetic() || c == '/' || c == '_';
    let is_word = literal.starts_with(starts_a_word)
        && !literal.contains(['"', '\\', '{', '[', ','])
        && !["null", "NaN", "Infinity"].contains(&literal)
        && !["true", "false"].iter().any(|it| literal.eq_ignore_ascii_case(it) && literal != *it);
    is_number || is_word
}

fn pairs(items: &[String]) -> BTreeMap<String, String> {
    let pair = |item: &String| {
        let (one, other) = item.split_once(':')?;
        Some((one.trim().to_owned(), other.trim().to_owned()))
    };
    items.iter().filter_map(pair).collect()
}

/// Why a transformation has no counterpart, and what to do.
fn refusal(name: &str) -> (&'static str, &'static str) {
    match name {
        "Flatten$Value" => (
            "has no counterpart here",
            "take what is needed out with ExtractField, or flatten where the topic is read",
        ),
        "TimestampConverter$Value" => (
            "has no counterpart here",
            "google.protobuf.Timestamp is written as RFC 3339; Cast changes numbers",
        ),
        "SetSchemaMetadata$Key" | "SetSchemaMetadata$Value" => {
            ("does nothing, because values have no schema", "leave it out")
        }
        _ if name.ends_with("$Key") => (
            "works on keys, which the connector does not have",
            "use $Value before ValueToKey; ExtractField$Key behind it is known",
        ),
        _ => ("has no counterpart here", "docs/MIGRATION.md lists those that have one"),
    }
}

#[cfg(test)]
mod tests {
    use crate::connect::translate::translate;
    use crate::connect::{Config, Worker, plugins};

    /// The words for a class that nobody thought of.
    const NO_WORDS: &str = "docs/MIGRATION.md lists those that have one";

    #[test]
    fn every_class_is_taken_or_refused_with_words_of_its_own() {
        let mut refused = 0;
        for class in plugins::names(plugins::Role::Transformation) {
            let pairs = [("transforms", "a"), ("transforms.a.type", class)];
            let mistakes = translate(&pairs.into_iter().collect::<Config>(), &Worker::default());
            let mistakes = mistakes.expect_err("the configuration has nothing else");
            let told = mistakes.into_iter().filter(|it| it.key == "transforms.a.type");
            for mistake in told.filter(|it| !it.message.contains("drops every record")) {
                assert_ne!(mistake.hint.as_deref(), Some(NO_WORDS), "{class}");
                refused += 1;
            }
        }
        assert_eq!(refused, 12, "classes without a counterpart");
    }
}
