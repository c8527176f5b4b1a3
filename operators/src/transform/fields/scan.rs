//! Finds the top-level fields of a JSON object and steps over values, without building any.
//!
//! What comes here was written by our own transcoder or by a step before, so it is JSON; only what
//! is needed to find the ends of values is looked at. Bytes that are no JSON at all end in an error
//! or in spans that lie within them, never in a panic.
//!
//! Next: `program.rs` works on the spans.

use std::ops::Range;

/// The bytes are not the JSON that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value is no JSON at byte {at}")]
pub(super) struct NoJson {
    pub(super) at: usize,
}

/// What sort of value a JSON text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Object,
    List,
    Text,
    /// A number without a point and an exponent.
    Integer,
    Double,
    Bool,
    Null,
}

impl Sort {
    /// The sort of a value by its bytes, which hold it and nothing around it.
    pub(super) fn of(json: &[u8]) -> Option<Sort> {
        Some(match json.first()? {
            b'{' => Sort::Object,
            b'[' => Sort::List,
            b'"' => Sort::Text,
            b't' | b'f' => Sort::Bool,
            b'n' => Sort::Null,
            b'-' | b'0'..=b'9' => {
                match json.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
                    true => Sort::Double,
                    false => Sort::Integer,
                }
            }
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Sort::Object => "an object",
            Sort::List => "a list",
            Sort::Text => "a text",
            Sort::Integer => "a whole number",
            Sort::Double => "a number",
            Sort::Bool => "a bool",
            Sort::Null => "null",
        }
    }
}

/// Calls `field` with the spans of each field's name, without its quotes, and value.
pub(super) fn object(
    json: &[u8],
    mut field: impl FnMut(Range<usize>, Range<usize>),
) -> Result<(), NoJson> {
    let mut at = expect(json, space(json, 0), b'{')?;
    at = space(json, at);
    if json.get(at) == Some(&b'}') {
        return end(json, at + 1);
    }
    loop {
        let name = at + 1..string(json, at)? - 1;
        at = expect(json, space(json, name.end + 1), b':')?;
        let start = space(json, at);
        let stop = value(json, start)?;
        field(name, start..stop);
        at = space(json, stop);
        match json.get(at) {
            Some(b',') => at = space(json, at + 1),
            Some(b'}') => return end(json, at + 1),
            _ => return Err(NoJson { at }),
        }
    }
}

/// The end of the value that begins at `at`.
fn value(json: &[u8], at: usize) -> Result<usize, NoJson> {
    match json.get(at) {
        Some(b'"') => string(json, at),
        Some(b'{' | b'[') => nested(json, at),
        Some(_) => {
            let is_end =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            let length = json[at..].iter().position(is_end).unwrap_or(json.len() - at);
            if length == 0 { Err(NoJson { at }) } else { Ok(at + length) }
        }
        None => Err(NoJson { at }),
    }
}

/// The end of the text whose opening quote is at `at`.
fn string(json: &[u8], at: usize) -> Result<usize, NoJson> {
    let mut at = expect(json, at, b'"')?;
    loop {
        let rest = json.get(at..).unwrap_or_default();
        let Some(next) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
            return Err(NoJson { at: json.len() });
        };
        at += next;
        if json[at] == b'"' {
            return Ok(at + 1);
        }
        at += 2;
    }
}

/// The end of the object or list that begins at `at`: where as many brackets are closed as opened.
fn nested(json: &[u8], mut at: usize) -> Result<usize, NoJson> {
    let mut depth = 0_usize;
    loop {
        match json.get(at) {
            Some(b'"') => {
                at = string(json, at)?;
                continue;
            }
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            Some(_) => {}
            None => return Err(NoJson { at }),
        }
        at += 1;
    }
}

fn expect(json: &[u8], at: usize, byte: u8) -> Result<usize, NoJson> {
    if json.get(at) == Some(&byte) { Ok(at + 1) } else { Err(NoJson { at }) }
}

fn space(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

fn end(json: &[u8], at: usize) -> Result<(), NoJson> {
    let at = space(json, at);
    if at == json.len() { Ok(()) } else { Err(NoJson { at }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Result<Vec<(&str, &str)>, NoJson> {
        let mut found = Vec::new();
        object(json.as_bytes(), |name, value| found.push((&json[name], &json[value])))?;
        Ok(found)
    }

    #[test]
    fn names_and_values_are_found_whatever_lies_in_them() {
        assert_eq!(fields("{}"), Ok(Vec::new()));
        assert_eq!(fields(" { } "), Ok(Vec::new()));
        let json =
            r#"{"a":1,"b\"":"x\\","c":{"d":["}",{"e":"]\""}]},"":null, "f" : [ ] ,"g":-1.5e3}"#;
        let expected = [
            ("a", "1"),
            ("b\\\"", "\"x\\\\\""),
            ("c", r#"{"d":["}",{"e":"]\""}]}"#),
            ("", "null"),
            ("f", "[ ]"),
            ("g", "-1.5e3"),
        ];
        assert_eq!(fields(json), Ok(expected.into()));
    }

    #[test]
    fn what_is_no_object_is_an_error_and_no_panic() {
        let whole = r#"{"a":{"b":["c\"",1]},"d":"e"}"#;
        for end in 0..whole.len() {
            assert!(fields(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        for json in
            ["[]", "1", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1]", "{\"a\":1}x", "{,}", "{\"\\"]
        {
            assert!(fields(json).is_err(), "{json}");
        }
    }
}
