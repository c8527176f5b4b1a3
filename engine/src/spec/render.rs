//! Prints findings the way a person reads them: where, what, the line itself, what to do.
//!
//! ```text
//! pipeline.yaml:14:19: error: key "keepalive_ms" is below its bound
//!    |
//! 14 |     keepalive_ms: 5
//!    |                   ^
//!    = expected: a whole number of at least 1000 (milliseconds)
//!    = hint: leave the key out for 30000
//!
//! 1 error; nothing was started.
//! ```
//!
//! Invariants
//! 1. What is quoted is the file's own text, so an interpolation shows as `${…}`.
//! 2. Output holds no control character of the file, and of a long line only a part.

use std::fmt::{self, Write as _};

use super::diagnostic::{Diagnostic, Severity, Span};
use super::limits::{DIAGNOSTICS_MAX, QUOTED_CHARS_MAX};
use super::load::Source;

/// All findings about one file, with the lines they are about.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    file: String,
    findings: Vec<Diagnostic>,
    /// Of the findings that are shown: each costs the length of its line.
    quotes: Vec<Quote>,
}

/// A part of a line of the file and which of its characters are meant.
#[derive(Debug, Clone)]
struct Quote {
    text: String,
    mark_start: usize,
    mark_chars: usize,
}

/// The escape sequences of one way to print.
struct Paint {
    error: &'static str,
    warning: &'static str,
    bold: &'static str,
    dim: &'static str,
    reset: &'static str,
}

const PLAIN: Paint = Paint { error: "", warning: "", bold: "", dim: "", reset: "" };
const COLOUR: Paint = Paint {
    error: "\x1b[1;31m",
    warning: "\x1b[1;33m",
    bold: "\x1b[1m",
    dim: "\x1b[1;34m",
    reset: "\x1b[0m",
};

impl Diagnostics {
    /// Joins findings with the file they are about.
    pub fn new(source: &Source<'_>, findings: Vec<Diagnostic>) -> Self {
        let shown = findings.iter().take(DIAGNOSTICS_MAX);
        let quotes = shown.map(|finding| Quote::of(source.text, finding.span)).collect();
        Self { file: printable(source.name), findings, quotes }
    }

    /// The findings in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.findings.iter()
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.iter().filter(|finding| finding.severity == Severity::Warning).count()
    }

    /// The findings as text, with terminal colours if asked, and a line that counts them.
    pub fn render(&self, colour: bool) -> String {
        let paint = if colour { &COLOUR } else { &PLAIN };
        let mut out = String::new();
        for (finding, quote) in self.findings.iter().zip(&self.quotes) {
            write_finding(&mut out, &self.file, finding, quote, paint)
                .expect("writing to a string does not fail");
            out.push('\n');
        }
        out.push_str(&self.count());
        out.push('\n');
        out
    }

    fn count(&self) -> String {
        let plural = |count: usize, noun: &str| match count {
            1 => format!("1 {noun}"),
            _ => format!("{count} {noun}s"),
        };
        let mut parts = Vec::new();
        if self.errors() > 0 {
            parts.push(plural(self.errors(), "error"));
        }
        if self.warnings() > 0 || self.errors() == 0 {
            parts.push(plural(self.warnings(), "warning"));
        }
        let mut line = parts.join(", ");
        if self.findings.len() > DIAGNOSTICS_MAX {
            let _ = write!(line, " (the first {DIAGNOSTICS_MAX} are shown)");
        }
        line.push_str(if self.errors() > 0 { "; nothing was started." } else { "." });
        line
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

fn write_finding(
    out: &mut String,
    file: &str,
    finding: &Diagnostic,
    quote: &Quote,
    paint: &Paint,
) -> fmt::Result {
    let Paint { bold, dim, reset, .. } = paint;
    let Span { line, column, .. } = finding.span;
    let severity_paint = match finding.severity {
        Severity::Error => paint.error,
        Severity::Warning => paint.warning,
    };
    let message = printable(&finding.message);
    let severity = finding.severity;
    writeln!(
        out,
        "{bold}{file}:{line}:{column}:{reset} {severity_paint}{severity}{reset}: {message}"
    )?;
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(quote.mark_start);
    let carets = "^".repeat(quote.mark_chars);
    writeln!(out, "{dim}{margin} |{reset}")?;
    writeln!(out, "{dim}{number} |{reset} {}", quote.text)?;
    writeln!(out, "{dim}{margin} |{reset} {indent}{severity_paint}{carets}{reset}")?;
    for detail in finding.details.iter().flat_map(|detail| detail.lines()) {
        writeln!(out, "{dim}{margin} ={reset} {}", printable(detail))?;
    }
    if let Some(hint) = &finding.hint {
        writeln!(out, "{dim}{margin} ={reset} {bold}hint:{reset} {}", printable(hint))?;
    }
    Ok(())
}

impl Quote {
    fn of(text: &str, span: Span) -> Self {
        let line_start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let before = text[line_start..span.start].chars().count();
        let meant = text[span.start..span.end.clamp(span.start, line_end)].trim_end();
        let window = Window::around(before, line.chars().count());
        let mut shown: String = line.chars().skip(window.start).take(window.chars).collect();
        if window.cut_front {
            shown.insert(0, '…');
        }
        if window.cut_back {
            shown.push('…');
        }
        let mark_start = before - window.start + usize::from(window.cut_front);
        let mark_chars_max = shown.chars().count().saturating_sub(mark_start).max(1);
        Self {
            text: printable(&shown).trim_end().to_owned(),
            mark_start,
            mark_chars: meant.chars().count().clamp(1, mark_chars_max),
        }
    }
}

/// The part of a long line that is shown.
struct Window {
    start: usize,
    chars: usize,
    cut_front: bool,
    cut_back: bool,
}

impl Window {
    fn around(mark: usize, line_chars: usize) -> Self {
        if line_chars <= QUOTED_CHARS_MAX {
            return Self { start: 0, chars: line_chars, cut_front: false, cut_back: false };
        }
        let latest = line_chars - QUOTED_CHARS_MAX;
        let start = mark.saturating_sub(QUOTED_CHARS_MAX / 3).min(latest);
        Self { start, chars: QUOTED_CHARS_MAX, cut_front: start > 0, cut_back: start < latest }
    }
}

/// A character for a character, so that the caret stays below what it means.
fn printable(text: &str) -> String {
    let visible = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        // Characters that reorder or hide text would let a file show what it does not say.
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(visible).collect()
}
