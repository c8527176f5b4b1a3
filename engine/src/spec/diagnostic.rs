//! One mistake in a pipeline file, where it stands, and the report that collects them all.
//!
//! Why collected: a person who corrects a file wants every mistake of it at once, so no check
//! returns on its first finding. Each check writes into a [`Report`] and goes on.
//!
//! Invariants
//! 1. A diagnostic never holds text that came out of an interpolation: what the checks of this
//!    module show is always the text of the file, and [`Report::absorb`] rewrites what a kind's
//!    own check may have quoted.
//! 2. A [`Place`] lies inside the file: it is only made from the spans of the parsed tree.
//!
//! Next: `engine/src/spec/render.rs` prints them.

use std::collections::HashSet;
use std::fmt;

use super::secrets::Secrets;

/// A range of the file's text, with the line and column of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte of the range.
    pub start: usize,
    /// First byte after the range.
    pub end: usize,
    /// Line of the first byte, counted from 1.
    pub line: usize,
    /// Column of the first byte in characters, counted from 1.
    pub column: usize,
}

/// Where in the file a diagnostic points.
///
/// A check function gets it from [`NodeView::at`](super::NodeView::at); nothing else makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    span: Span,
    /// What stands here was reported before.
    is_reported: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be run.
    Error,
    /// The file can be run, but probably does not do what its author wants.
    Warning,
}

/// One finding: what is wrong, where, what was expected and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where it stands in the file.
    pub span: Span,
    /// The complaint: one line, lower case, no full stop.
    pub message: String,
    /// Further lines, such as what was expected.
    pub details: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Collects the findings of one run over one file.
#[derive(Debug, Default)]
pub struct Report {
    findings: Vec<Diagnostic>,
    /// What was said of values that had been reported before.
    moot: Vec<Diagnostic>,
}

impl Place {
    pub(crate) fn new(span: Span) -> Self {
        Self { span, is_reported: false }
    }

    /// Whether what stands here was reported before; what is said of it now is not shown.
    pub fn is_reported(&self) -> bool {
        self.is_reported
    }

    /// The same place, of a value that was reported before: what is said of it is not shown.
    pub(crate) fn reported(self) -> Self {
        Self { is_reported: true, ..self }
    }

    /// The range of the file this place stands for.
    pub fn span(&self) -> Span {
        self.span
    }
}

impl Diagnostic {
    /// Adds a line below the quoted source, for example `expected: a whole number`.
    pub fn detail(&mut self, text: impl Into<String>) -> &mut Self {
        self.details.push(text.into());
        self
    }

    /// Says what to do about it; a second hint replaces the first.
    pub fn hint(&mut self, text: impl Into<String>) -> &mut Self {
        self.hint = Some(text.into());
        self
    }

    fn map_text(&mut self, rewrite: impl Fn(&str) -> String) {
        self.message = rewrite(&self.message);
        for line in &mut self.details {
            *line = rewrite(line);
        }
        if let Some(hint) = &mut self.hint {
            *hint = rewrite(hint);
        }
    }
}

impl Report {
    /// An empty report.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an error at a place.
    pub fn error(&mut self, place: &Place, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, place, message.into())
    }

    /// Adds a warning at a place.
    pub fn warning(&mut self, place: &Place, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, place, message.into())
    }

    /// Whether an error was reported, shown or not; warnings do not count.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    pub(crate) fn errors(&self) -> usize {
        let all = self.findings.iter().chain(&self.moot);
        all.filter(|finding| finding.severity == Severity::Error).count()
    }

    /// Takes over the findings of a report whose author may have quoted resolved values: each
    /// such value is replaced by the `${…}` text it came from. What it says of a value that was
    /// reported before speaks of a stand-in, and is dropped.
    pub(crate) fn absorb(&mut self, other: Report, secrets: &Secrets) {
        for mut finding in other.findings {
            finding.map_text(|text| secrets.conceal(text));
            self.findings.push(finding);
        }
    }

    /// Takes over the findings of another report of this module.
    pub(crate) fn append(&mut self, other: Report) {
        self.findings.extend(other.findings);
        self.moot.extend(other.moot);
    }

    /// The findings in the order of the file, without repetitions (an alias that is used twice
    /// would otherwise report its anchor's mistakes twice).
    pub(crate) fn into_findings(self) -> Vec<Diagnostic> {
        let mut seen = HashSet::new();
        let mut sorted = self.findings;
        sorted.retain(|finding| seen.insert(finding.clone()));
        sorted.sort_by_key(|finding| (finding.span.start, finding.severity));
        sorted
    }

    fn add(&mut self, severity: Severity, place: &Place, message: String) -> &mut Diagnostic {
        let findings = if place.is_reported { &mut self.moot } else { &mut self.findings };
        findings.push(Diagnostic {
            severity,
            span: place.span,
            message,
            details: Vec::new(),
            hint: None,
        });
        findings.last_mut().expect("a finding was pushed just now")
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}
