//! The types a key of a configuration can have, and how Kafka Connect reads text as each.
//!
//! Everything in a connector's configuration is text. What is read here decides what a validation
//! shows as `value`, so it is read as `ConfigDef` reads it: blanks around a value do not count,
//! numbers may have a sign, lists are parted by commas.
//!
//! Next: `rule.rs` judges what was read.

use super::plugins;
use serde::Serialize;

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// Any text.
    String,
    /// A number of 32 bits.
    Int,
    /// A number of 64 bits.
    Long,
    /// `true` or `false`.
    Boolean,
    /// Texts, parted by commas.
    List,
    /// The name of a class.
    Class,
}

/// A value that has its key's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    List(Vec<String>),
    /// The full name of a class that is known.
    Class(String),
}

impl Value {
    /// As a validation shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Value::Text(text) | Value::Class(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::List(items) => items.join(","),
        }
    }

    /// As Java prints it within an error.
    pub(super) fn printed(&self) -> String {
        match self {
            Value::List(items) => format!("[{}]", items.join(", ")),
            Value::Class(name) => format!("class {name}"),
            other => other.shown(),
        }
    }
}

impl Kind {
    /// Reads a text; what is wrong with it, in Connect's words.
    pub(super) fn read(self, text: &str) -> Result<Value, String> {
        let trimmed = trim(text);
        let number = |value: Option<i64>, name: &str| {
            value.map(Value::Number).ok_or_else(|| format!("Not a number of type {name}"))
        };
        match self {
            Kind::String => Ok(Value::Text(trimmed.to_owned())),
            Kind::Int => number(trimmed.parse::<i32>().ok().map(i64::from), "INT"),
            Kind::Long => number(trimmed.parse().ok(), "LONG"),
            Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Value::Flag(true)),
            Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Value::Flag(false)),
            Kind::Boolean => Err("Expected value to be either true or false".to_owned()),
            Kind::List => Ok(Value::List(list(trimmed))),
            Kind::Class => match plugins::class(trimmed) {
                Some(name) => Ok(Value::Class(name.to_owned())),
                None => Err(format!("Class {trimmed} could not be found.")),
            },
        }
    }
}

/// What Java's `trim` leaves: control characters go as well.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// The elements of a list.
pub(super) fn list(text: &str) -> Vec<String> {
    match trim(text) {
        "" => Vec::new(),
        text => text.split(',').map(|it| it.trim().to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_connect_reads_them() {
        assert_eq!(Kind::Int.read(" +1 "), Ok(Value::Number(1)));
        assert!(Kind::Int.read("2147483648").is_err());
        assert_eq!(Kind::Long.read("2147483648"), Ok(Value::Number(1 << 31)));
        assert!(Kind::Int.read("0x10").is_err());
        assert_eq!(Kind::Boolean.read(" TRUE "), Ok(Value::Flag(true)));
        assert!(Kind::Boolean.read("yes").is_err());
        assert_eq!(Kind::List.read("a , b"), Ok(Value::List(vec!["a".into(), "b".into()])));
        assert_eq!(Kind::List.read(" "), Ok(Value::List(Vec::new())));
    }
}
