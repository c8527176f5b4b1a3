//! Guesses what a person did where YAML itself has no answer.

use super::super::diagnostic::Span;

/// A hint for a syntax error at a place, judged by its line.
pub(super) fn syntax_hint(text: &str, span: Span) -> Option<&'static str> {
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    if line[..indent].contains('\t') {
        Some("indent with spaces: YAML does not take tabs")
    } else if line.contains("${") {
        Some("inside { } or [ ] put a value with ${…} in quotes")
    } else if line.matches(": ").count() > 1 && !line.contains('{') {
        Some("put text that holds `: ` in quotes")
    } else {
        None
    }
}
