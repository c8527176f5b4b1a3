//! The text of a path, cut into segments.
//!
//! `segment ("." segment)*`, where a segment is a field name and maybe `[N]`, `[-1]` or `["key"]`.

use super::PathError;

/// One field name with its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment<'t> {
    pub(super) name: &'t str,
    /// Byte offset of the name.
    pub(super) column: usize,
    pub(super) index: Option<Index>,
    /// Byte offset of the index's bracket.
    pub(super) index_column: usize,
}

/// What stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// A position from the front.
    Nth(u32),
    /// `-1`.
    Last,
    /// A map's key, as text.
    Key(String),
}

/// Cuts a path into segments.
pub(super) fn parse(text: &str) -> Result<Vec<Segment<'_>>, PathError> {
    let mut parser = Parser { text, at: 0 };
    let mut segments = vec![parser.segment()?];
    while !parser.rest().is_empty() {
        if !parser.take('.') {
            return Err(parser.expected("\".\" or the end of the path"));
        }
        segments.push(parser.segment()?);
    }
    Ok(segments)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|found| !wanted(found)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn segment(&mut self) -> Result<Segment<'t>, PathError> {
        let column = self.at;
        let name = self.take_while(|found| found.is_alphanumeric() || found == '_');
        if name.is_empty() {
            return Err(self.expected("a field name"));
        }
        let index_column = self.at;
        let index = if self.take('[') { Some(self.index()?) } else { None };
        Ok(Segment { name, column, index, index_column })
    }

    /// Reads what follows an opening bracket.
    fn index(&mut self) -> Result<Index, PathError> {
        let index = match self.rest().chars().next() {
            Some('"') => Index::Key(self.quoted()?),
            Some('-') => self.last()?,
            _ => Index::Nth(self.position()?),
        };
        if self.take(']') { Ok(index) } else { Err(self.expected("\"]\"")) }
    }

    fn position(&mut self) -> Result<u32, PathError> {
        let start = self.at;
        let digits = self.take_while(|found| found.is_ascii_digit());
        digits.parse().map_err(|_| {
            self.at = start;
            self.expected("a position such as 0, -1 for the last, or a map's key in quotes")
        })
    }

    fn last(&mut self) -> Result<Index, PathError> {
        let start = self.at;
        self.take('-');
        if self.take_while(|found| found.is_ascii_digit()) == "1" {
            return Ok(Index::Last);
        }
        self.at = start;
        Err(self.expected("-1, the last element; counting further from the end is not possible"))
    }

    /// Reads a string in double quotes, in which a backslash stands before a quote or itself.
    fn quoted(&mut self) -> Result<String, PathError> {
        let start = self.at;
        let mut key = String::new();
        let mut escaped = false;
        for (offset, found) in self.rest().char_indices().skip(1) {
            match found {
                '"' | '\\' if escaped => key.push(found),
                _ if escaped => {
                    self.at = start + offset;
                    return Err(self.expected("a quote or a backslash after the backslash"));
                }
                '"' => {
                    self.at = start + offset + 1;
                    return Ok(key);
                }
                '\\' => {}
                _ => key.push(found),
            }
            escaped = found == '\\' && !escaped;
        }
        self.at = self.text.len();
        Err(self.expected("a quote at the end of the key"))
    }

    fn expected(&self, what: &str) -> PathError {
        let found = match self.rest().chars().next() {
            Some(found) => format!("\"{found}\""),
            None => "the end of the path".to_owned(),
        };
        PathError {
            column: self.at,
            message: format!("found {found}, expected {what}"),
            hint: None,
        }
    }
}
