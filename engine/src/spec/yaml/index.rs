//! Where the parser's positions are in the text.

use saphyr_parser::Span as ParserSpan;

use super::super::diagnostic::Span;

/// Translates the parser's character positions into byte positions.
pub(super) struct Index<'a> {
    text: &'a str,
    /// The byte of each character; empty for ASCII text, where they are the same.
    bytes: Vec<usize>,
}

impl<'a> Index<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let bytes = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(byte, _)| byte).collect(),
        };
        Self { text, bytes }
    }

    pub(super) fn byte(&self, character: usize) -> usize {
        match self.bytes.is_empty() {
            true => character.min(self.text.len()),
            false => self.bytes.get(character).copied().unwrap_or(self.text.len()),
        }
    }

    pub(super) fn span(&self, span: ParserSpan) -> Span {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index());
        self.clamp(start, end, span.start.line(), span.start.col() + 1)
    }

    /// Keeps a span on the text and off the end of it, where there is no line to quote.
    pub(super) fn clamp(&self, start: usize, end: usize, line: usize, column: usize) -> Span {
        let trimmed = self.text.trim_end().len();
        if start <= trimmed {
            return Span { start, end: end.max(start), line, column };
        }
        let line_start = self.text[..trimmed].rfind('\n').map_or(0, |at| at + 1);
        Span {
            start: trimmed,
            end: trimmed,
            line: self.text[..trimmed].matches('\n').count() + 1,
            column: self.text[line_start..trimmed].chars().count() + 1,
        }
    }
}
