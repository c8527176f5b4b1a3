//! Where the parser's positions are in the text.
//!
//! Why lines and columns are counted here: the parser counts a line more than there is behind the
//! last one, and takes a lone carriage return now for an end of a line and now not.

use saphyr_parser::Span as ParserSpan;

use super::super::diagnostic::Span;

/// Translates the parser's character positions into bytes, lines and columns.
pub(super) struct Index<'a> {
    text: &'a str,
    /// The byte of each character; empty for ASCII text, where they are the same.
    bytes: Vec<usize>,
    /// The character that begins each line.
    lines: Vec<usize>,
    /// How many characters there are before the white space at the end.
    trimmed: usize,
}

impl<'a> Index<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let bytes = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(byte, _)| byte).collect(),
        };
        let trimmed = text.trim_end().chars().count();
        Self { text, bytes, lines: line_starts(text), trimmed }
    }

    pub(super) fn span(&self, span: ParserSpan) -> Span {
        self.between(span.start.index(), span.end.index())
    }

    /// The span of a range of characters, kept on the text and off the white space at the end of
    /// it, where there is no line to quote.
    pub(super) fn between(&self, start: usize, end: usize) -> Span {
        let (start, end) = match start < self.trimmed {
            true => (start, end.max(start)),
            false => (self.trimmed, self.trimmed),
        };
        let line = self.lines.partition_point(|first| *first <= start);
        let column = start - self.lines[line - 1] + 1;
        Span { start: self.byte(start), end: self.byte(end), line, column }
    }

    fn byte(&self, character: usize) -> usize {
        match self.bytes.is_empty() {
            true => character.min(self.text.len()),
            false => self.bytes.get(character).copied().unwrap_or(self.text.len()),
        }
    }
}

/// The character that begins each line. YAML knows three ends of a line: line feed, carriage
/// return, and both in this order.
pub(crate) fn line_starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let mut letters = text.chars().enumerate().peekable();
    while let Some((at, letter)) = letters.next() {
        let goes_on = letter == '\r' && matches!(letters.peek(), Some((_, '\n')));
        if matches!(letter, '\r' | '\n') && !goes_on {
            starts.push(at + 1);
        }
    }
    starts
}
