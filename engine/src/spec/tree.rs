//! The parsed file: values that know where they stand.
//!
//! Why not serde_json or a YAML crate's own value: a diagnostic needs the span of every key and
//! value, a check needs to know whether a scalar was quoted, and an interpolated scalar keeps
//! the text it was written as, which is the only text of it that may be shown.
//!
//! Invariant: a tree is at most `DEPTH_MAX` deep and holds at most `VALUES_MAX` values; the
//! parser refuses anything else. Recursion over it is therefore bounded.
//!
//! A value that was reported becomes a [`Value::StandIn`] where it stands, so that all that is
//! intact around it can still be read. What a stand-in holds means nothing; `unknown` says where
//! stand-ins are.
//!
//! Next: `engine/src/spec/interpolate.rs`.

use serde_json::{Map, Number, Value as Json};

use super::diagnostic::{Place, Span};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// What is read in the place of a value that was reported: it fits the schema, no more.
    StandIn(Json),
}

/// A single value: null, a truth value, a number or text.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text after interpolation.
    pub(crate) text: String,
    /// What the text means: by the YAML core rules if it is plain, else the text itself.
    pub(crate) typed: Json,
    /// Written without quotes and not as a block.
    pub(crate) plain: bool,
    /// The text as it stands in the file, if interpolation has changed it.
    pub(crate) written: Option<String>,
    /// False if an interpolation in it failed: its text means nothing.
    pub(crate) resolved: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

impl Node {
    /// The entries of a map; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) | Value::StandIn(_) => &[],
        }
    }

    /// The entries of a map, to be changed.
    pub(crate) fn entries_mut(&mut self) -> &mut [Entry] {
        match &mut self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) | Value::StandIn(_) => &mut [],
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(crate) fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) | Value::StandIn(_) => None,
        }
    }

    /// Whether it was reported.
    pub(crate) fn is_stand_in(&self) -> bool {
        matches!(self.value, Value::StandIn(_))
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    pub(crate) fn place(&self) -> Place {
        Place::new(self.span)
    }

    /// Whether an interpolation stands anywhere inside.
    pub(crate) fn is_secret(&self) -> bool {
        self.any_scalar(&|scalar| scalar.written.is_some())
    }

    fn any_scalar(&self, test: &impl Fn(&Scalar) -> bool) -> bool {
        match &self.value {
            Value::Scalar(scalar) => test(scalar),
            Value::List(items) => items.iter().any(|item| item.any_scalar(test)),
            Value::Map(entries) => entries.iter().any(|entry| entry.value.any_scalar(test)),
            Value::StandIn(_) => false,
        }
    }

    /// The resolved value without its spans.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Scalar(scalar) => scalar.typed.clone(),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => {
                let pairs = entries.iter().map(|e| (e.key.clone(), e.value.to_json()));
                Json::Object(pairs.collect::<Map<_, _>>())
            }
            Value::StandIn(value) => value.clone(),
        }
    }
}

impl Scalar {
    pub(crate) fn plain(text: String) -> Self {
        Self { typed: core_value(&text), text, plain: true, written: None, resolved: true }
    }

    pub(crate) fn quoted(text: String) -> Self {
        let typed = Json::String(text.clone());
        Self { typed, text, plain: false, written: None, resolved: true }
    }

    /// The text that may be shown: as it stands in the file.
    pub(crate) fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }
}

impl Entry {
    /// Where a diagnostic about the value points: the value, or the key if the value is empty
    /// or spreads over lines.
    pub(crate) fn place(&self) -> Place {
        match &self.value.value {
            Value::Scalar(scalar) if !scalar.text.is_empty() => self.value.place(),
            _ => self.key_place(),
        }
    }

    pub(crate) fn key_place(&self) -> Place {
        Place::new(self.key_span)
    }
}

/// What a plain scalar means by the core schema of YAML 1.2 (`no` and `on` are text). Infinity
/// and not-a-number stay text: no key of ours takes them.
pub(crate) fn core_value(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        _ => match core_number(text) {
            Some(number) => Json::Number(number),
            None => Json::String(text.to_owned()),
        },
    }
}

fn core_number(text: &str) -> Option<Number> {
    let based = |digits: &str, radix| {
        let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        all.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(Number::from)
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return based(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return based(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let text = text.strip_prefix('+').unwrap_or(text);
        let whole = text.parse::<i64>().map(Number::from);
        return whole
            .or_else(|_| text.parse::<u64>().map(Number::from))
            .ok()
            .or_else(|| real(text));
    }
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+');
    unsigned.chars().all(allowed).then(|| real(text)).flatten()
}

fn real(text: &str) -> Option<Number> {
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let cases = [
            ("", json!(null)),
            ("~", json!(null)),
            ("True", json!(true)),
            ("no", json!("no")),
            ("12", json!(12)),
            ("+12", json!(12)),
            ("-3", json!(-3)),
            ("007", json!(7)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1e3", json!(1000.0)),
            (".5", json!(0.5)),
            ("1.", json!(1.0)),
            (".", json!(".")),
            (".inf", json!(".inf")),
            ("-", json!("-")),
            ("1.2.3", json!("1.2.3")),
            ("0x", json!("0x")),
            ("1-2", json!("1-2")),
            ("inf", json!("inf")),
        ];
        for (text, expected) in cases {
            assert_eq!(core_value(text), expected, "{text:?}");
        }
    }
}
