//! JSON for files that people read and compare: what fits stands on one line.

use serde_json::Value;

const COLUMNS_MAX: usize = 100;

/// The value as text, with a line break at its end.
pub fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, 0, &mut out);
    out.push('\n');
    out
}

/// `used` columns stand before and behind the value on its line.
fn write(value: &Value, indent: usize, used: usize, out: &mut String) {
    let line = compact(value);
    let is_short = indent + used + line.chars().count() <= COLUMNS_MAX;
    match value {
        // A file opens up at least to its calls.
        _ if is_short && indent > 2 => out.push_str(&line),
        Value::Object(fields) if !fields.is_empty() => {
            let entries = fields.iter().map(|(key, value)| (format!("{}: ", quoted(key)), value));
            block(('{', '}'), entries, indent, out);
        }
        Value::Array(items) if !items.is_empty() => {
            block(('[', ']'), items.iter().map(|it| (String::new(), it)), indent, out);
        }
        _ => out.push_str(&line),
    }
}

fn block<'a>(
    (open, close): (char, char),
    entries: impl Iterator<Item = (String, &'a Value)>,
    indent: usize,
    out: &mut String,
) {
    out.push(open);
    for (index, (key, value)) in entries.enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(indent + 2));
        out.push_str(&key);
        // The comma behind it.
        write(value, indent + 2, key.chars().count() + 1, out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push(close);
}

fn compact(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let one =
                |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), compact(value));
            format!("{{{}}}", fields.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn quoted(key: &str) -> String {
    Value::from(key).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back() {
        let value =
            json!({"a": [{"b": "x\"y\n", "c": ["z".repeat(90), null, 1.5, {}, []]}], "": {}});
        let text = pretty(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.contains("\"b\": \"x\\\"y\\n\",\n"), "{text}");
    }
}
