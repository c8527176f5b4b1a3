//! What is demanded of a value beyond its type, and the words in which Kafka Connect says that it
//! is not met. Clients show these words to people and scripts look for them, so they are the same.
//!
//! A rule is asked even where nothing could be read: `null` breaks some of them too, and Connect
//! then tells both.
//!
//! Next: `key.rs` puts type and rule together.

use super::kind::Value;
use regex::Regex;

/// What is demanded of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// Nothing.
    None,
    /// A number of at least this, which must be there.
    AtLeast(i64),
    /// The same, if it is there.
    AtLeastIfThere(i64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A text that is not empty, if it is there.
    NotEmpty,
    /// A connector's name.
    ConnectorName,
    /// Aliases, each once.
    Aliases,
    /// A list with at least one element.
    NotEmptyList,
    /// Anything but nothing.
    There,
    /// A regular expression.
    Regex,
    /// A text that is not empty and a regular expression.
    NotEmptyRegex,
    /// Pairs `old:new`.
    Renames,
    /// Pairs `field:type`, or a type alone.
    CastSpec,
}

/// The types that a cast can name, in Connect's order.
const CASTS: [&str; 8] =
    ["INT8", "INT16", "INT32", "INT64", "FLOAT32", "FLOAT64", "BOOLEAN", "STRING"];

/// The types that exist beside them.
const TYPES_NOT_CAST: [&str; 4] = ["BYTES", "ARRAY", "MAP", "STRUCT"];

impl Rule {
    /// What is wrong with the value of the key of this name.
    pub(super) fn broken(self, name: &str, value: Option<&Value>) -> Option<String> {
        let invalid = |why: String| {
            let value = value.map_or_else(|| "null".to_owned(), Value::printed);
            format!("Invalid value {value} for configuration {name}: {why}")
        };
        match self {
            Rule::CastSpec => return cast_fault(value),
            Rule::Renames => return rename_fault(name, value),
            _ => {}
        }
        self.why(value).map(invalid)
    }

    fn why(self, value: Option<&Value>) -> Option<String> {
        match (self, value) {
            (Rule::AtLeast(_), None) => Some("Value must be non-null".to_owned()),
            (Rule::AtLeast(least) | Rule::AtLeastIfThere(least), Some(Value::Number(number))) => {
                (*number < least).then(|| format!("Value must be at least {least}"))
            }
            (Rule::OneOf(texts), value) => {
                let is_one = text(value).is_some_and(|it| texts.contains(&it));
                (!is_one).then(|| format!("String must be one of: {}", texts.join(", ")))
            }
            (Rule::OneOfAnyCase(texts), value) => {
                let is_one = text(value).is_some_and(|it| texts.contains(&&*it.to_uppercase()));
                let told =
                    format!("String must be one of (case insensitive): {}", texts.join(", "));
                (!is_one).then_some(told)
            }
            (Rule::NotEmpty | Rule::NotEmptyRegex, Some(Value::Text(text))) if text.is_empty() => {
                Some("String must be non-empty".to_owned())
            }
            (Rule::ConnectorName, Some(Value::Text(text))) => name_fault(text),
            (Rule::Aliases, Some(Value::List(items))) => {
                let is_twice = |at: usize| items[..at].contains(&items[at]);
                let told = || "Duplicate alias provided.".to_owned();
                (0..items.len()).any(is_twice).then(told)
            }
            (Rule::NotEmptyList, None) => Some("Empty list".to_owned()),
            (Rule::NotEmptyList, Some(Value::List(items))) => {
                items.is_empty().then(|| "Empty list".to_owned())
            }
            (Rule::There, None) => Some("entry must be non null".to_owned()),
            (Rule::Regex | Rule::NotEmptyRegex, value) => regex_fault(text(value)),
            _ => None,
        }
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    match value {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// A name is part of paths and metrics.
fn name_fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("String may not be empty".to_owned());
    }
    let control: Vec<String> =
        text.chars().filter(|c| c.is_control()).map(|c| u32::from(c).to_string()).collect();
    let told = || {
        let codes = control.join(", ");
        format!(
            "String may not contain control sequences but had the following ASCII chars: {codes}"
        )
    };
    (!control.is_empty()).then(told)
}

/// Java says where a group is open; of other faults the place is told by our own words.
fn regex_fault(text: Option<&str>) -> Option<String> {
    let Some(text) = text else {
        let told =
            "Invalid regex: Cannot invoke \"String.isEmpty()\" because \"this.pattern\" is null";
        return Some(told.to_owned());
    };
    let fault = Regex::new(text).err()?.to_string();
    // Java has look-around and back-references.
    if fault.contains("not supported") {
        return None;
    }
    let told = match fault.contains("unclosed group") {
        true => format!("Unclosed group near index {}\n{text}", text.encode_utf16().count()),
        false => fault.lines().last().unwrap_or_default().replace("error: ", ""),
    };
    Some(format!("Invalid regex: {told}"))
}

fn rename_fault(name: &str, value: Option<&Value>) -> Option<String> {
    let Some(Value::List(items)) = value else { return None };
    let bad = items.iter().find(|it| it.split(':').filter(|it| !it.is_empty()).count() != 2)?;
    let all = items.join(", ");
    Some(format!("Invalid value [{all}] for configuration {name}: Invalid rename mapping: {bad}"))
}

/// The words of Connect, whose error names the cause as the value.
fn cast_fault(value: Option<&Value>) -> Option<String> {
    let Some(Value::List(items)) = value else { return None };
    let whole = items.iter().filter(|it| !it.contains(':')).count();
    let fault = items.iter().find_map(|item| {
        let parts: Vec<&str> = item.split(':').collect();
        let kind = parts.last().map_or("", |it| it.trim());
        let upper = kind.to_uppercase();
        if parts.len() > 2 {
            let all = items.join(", ");
            let told = format!("Invalid rename mapping: {item}");
            return Some(format!("Invalid value [{all}] for configuration renames: {told}"));
        }
        if CASTS.contains(&upper.as_str()) {
            return None;
        }
        if TYPES_NOT_CAST.contains(&upper.as_str()) {
            let casts = CASTS.join(", ");
            return Some(format!(
                "Cast transformation does not support casting to/from {upper}; supported types are \
                 [{casts}]"
            ));
        }
        Some(format!(
            "Invalid value java.lang.IllegalArgumentException: No enum constant \
             org.apache.kafka.connect.data.Schema.Type.{upper} for configuration Invalid type \
             found in casting spec: {kind}"
        ))
    });
    let alone = || {
        "Cast transformations that specify a type to cast the entire value to may ony specify a \
         single cast in their spec"
            .to_owned()
    };
    fault.or_else(|| (whole > 0 && items.len() > 1).then(alone))
}
