//! Pipeline files as they are written for people: lines, comments, values in YAML's flow style.
//!
//! Invariant: what [`flow`] writes is read back as the same value, whatever is in it.

use serde_json::Value as Json;

/// Comments are broken before they are longer.
const COMMENT_COLUMNS: usize = 90;

/// Lines, indented.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn line(&mut self, indent: usize, text: impl AsRef<str>) {
        let text = text.as_ref();
        if !text.is_empty() {
            self.0.push_str(&" ".repeat(indent));
            // What a server says may end no line: it would be a key of the file then.
            self.0.extend(text.chars().map(|it| if is_no_text(it) { ' ' } else { it }));
        }
        self.0.push('\n');
    }

    /// A comment, over several lines where it is long; what is indented stays in one.
    pub(crate) fn comment(&mut self, indent: usize, text: impl AsRef<str>) {
        let text = text.as_ref();
        if text.starts_with(' ') {
            return self.line(indent, format!("# {text}"));
        }
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && indent + line.chars().count() + word.len() > COMMENT_COLUMNS {
                self.line(indent, format!("# {line}"));
                line.clear();
            }
            let gap = if line.is_empty() { "" } else { " " };
            line.push_str(gap);
            line.push_str(word);
        }
        self.line(indent, format!("# {line}").trim_end());
    }

    /// A key with a value in YAML's flow style.
    pub(crate) fn key(&mut self, indent: usize, key: &str, value: &Json) {
        self.line(indent, format!("{key}: {}", flow(value)));
    }

    /// What was written.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// Control characters, and what YAML takes for the end of a line.
fn is_no_text(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// A value in YAML's flow style, quoted where it must be.
pub(crate) fn flow(value: &Json) -> String {
    let pair = |(key, value): (&String, &Json)| format!("{}: {}", quoted(key), flow(value));
    match value {
        Json::String(text) => quoted(text),
        Json::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Json::Object(map) if !map.is_empty() => {
            format!("{{ {} }}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A text, in quotes where it needs them.
pub(crate) fn quoted(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let json = Json::String(text.to_owned()).to_string();
    let escaped = |letter: char| match is_no_text(letter) {
        true => format!("\\u{:04x}", u32::from(letter)),
        false => letter.to_string(),
    };
    json.chars().map(escaped).collect()
}

/// Whether a text stands for itself without quotes.
fn is_plain(text: &str) -> bool {
    // Of a URL; elsewhere a colon may end a key.
    let text = text.replacen("://", "//", 1);
    let is_port = text
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()));
    let text = if is_port { text.replacen(':', "", 1) } else { text };
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_word = ["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    (begins || text.starts_with("./") || text.starts_with("../"))
        && text.chars().all(is_letter)
        && !is_word
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_quoted_where_yaml_would_read_something_else() {
        for (text, expected) in [
            ("plain-text_1.x", "plain-text_1.x"),
            ("http://host:80", "http://host:80"),
            ("./here", "./here"),
            (".inf", "\".inf\""),
            (".5", "\".5\""),
            ("true", "\"true\""),
            ("12", "\"12\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("a\u{2028}\u{7f}b\n", "\"a\\u2028\\u007fb\\n\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(flow(&json!({ "a b": [1, "x"] })), "{ \"a b\": [1, x] }");
    }
}
