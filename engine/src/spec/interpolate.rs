//! Puts values from outside into the tree: `${env:NAME}`, `${file:PATH}`, `${file:PATH:KEY}`.
//!
//! Grammar, anywhere inside a string value: `${env:NAME}` is the value of a variable,
//! `${file:PATH}` the whole text of a file without its last line end, `${file:PATH:KEY}` an
//! entry of a Java properties file, and `$${` stands for the two characters `${`. A name with a
//! dot, such as `${cursor.revision}`, is a template of the node's kind and left as it stands.
//! Keys are not resolved, and what was put in is not searched again.
//!
//! Invariants
//! 1. A scalar that held an interpolation remembers the text of the file; only that is shown.
//! 2. A plain scalar is typed anew after resolving, so `port: ${env:PORT}` is a number; a
//!    quoted one stays text.
//! 3. A scalar that could not be resolved is marked, so that no later check speaks about it.
//!
//! Next: `engine/src/spec/document.rs`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::diagnostic::{Place, Report, Span};
use super::limits::RESOLVED_BYTES_MAX;
use super::load::Source;
use super::nearest::nearest;
use super::properties;
use super::secrets::Secrets;
use super::tree::{Node, Scalar, Value, core_value};
use super::variables::Variables;
use super::yaml;

const KNOWN_FORMS: &str = "${env:NAME}, ${file:PATH} or ${file:PATH:KEY}";

/// Resolves all interpolations of one file.
pub(crate) struct Resolver<'a> {
    source: &'a Source<'a>,
    variables: &'a dyn Variables,
    report: &'a mut Report,
    secrets: Secrets,
    files: HashMap<PathBuf, Result<Rc<str>, String>>,
    /// The entries of the files that a reference took for a properties file.
    entries: HashMap<String, Rc<HashMap<String, String>>>,
    resolved_bytes: usize,
}

/// Why a reference has no value.
struct Unresolved {
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

/// A piece of a string value.
enum Piece<'t> {
    Text(&'t str),
    /// `$${`, which stands for `${`.
    Escape,
    /// What stands between `${` and `}`, and all of it.
    Reference {
        inner: &'t str,
        written: &'t str,
    },
    /// A `${` without its `}`, up to the end of the text.
    Open(&'t str),
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(
        source: &'a Source<'a>,
        variables: &'a dyn Variables,
        report: &'a mut Report,
    ) -> Self {
        Self {
            source,
            variables,
            report,
            secrets: Secrets::default(),
            files: HashMap::new(),
            entries: HashMap::new(),
            resolved_bytes: 0,
        }
    }

    /// Resolves every scalar of a tree.
    pub(crate) fn resolve(&mut self, node: &mut Node) {
        let span = node.span;
        match &mut node.value {
            Value::Scalar(scalar) => self.scalar(scalar, span),
            Value::List(items) => items.iter_mut().for_each(|item| self.resolve(item)),
            Value::Map(entries) => {
                entries.iter_mut().for_each(|entry| self.resolve(&mut entry.value));
            }
            Value::StandIn(_) => {}
        }
    }

    pub(crate) fn into_secrets(self) -> Secrets {
        self.secrets
    }

    fn scalar(&mut self, scalar: &mut Scalar, span: Span) {
        if !scalar.text.contains("${") {
            return;
        }
        let written = std::mem::take(&mut scalar.text);
        let mut is_reference = false;
        for piece in (Pieces { rest: &written }) {
            match piece {
                Piece::Text(text) => scalar.text.push_str(text),
                Piece::Escape => scalar.text.push_str("${"),
                Piece::Reference { inner, written } if is_template(inner) => {
                    scalar.text.push_str(written);
                }
                Piece::Reference { inner, written } => {
                    is_reference = true;
                    match self.reference(inner, written) {
                        Ok(value) => scalar.text.push_str(&value),
                        Err(reason) => self.unresolved(scalar, span, written, reason),
                    }
                }
                Piece::Open(written) => {
                    is_reference = true;
                    self.unresolved(scalar, span, written, Unresolved::open());
                }
            }
        }
        scalar.typed = match scalar.plain {
            true => core_value(&scalar.text),
            false => scalar.text.clone().into(),
        };
        if is_reference {
            scalar.written = Some(written);
        }
    }

    fn unresolved(&mut self, scalar: &mut Scalar, span: Span, written: &str, reason: Unresolved) {
        scalar.resolved = false;
        let place = Place::new(narrow(self.source.text, span, written));
        let finding = self.report.error(&place, reason.message);
        if let Some(detail) = reason.detail {
            finding.detail(detail);
        }
        if let Some(hint) = reason.hint {
            finding.hint(hint);
        }
    }

    fn reference(&mut self, inner: &str, written: &str) -> Result<String, Unresolved> {
        // Once it is too much, nothing more is copied only to be refused.
        self.check_size()?;
        let value = match inner.split_once(':') {
            Some(("env", name)) => self.env(name)?,
            Some(("file", path)) => self.file(path)?,
            _ => return Err(Unresolved::unknown(inner, written)),
        };
        self.resolved_bytes += value.len();
        self.check_size()?;
        self.secrets.remember(&value, written);
        Ok(value)
    }

    fn check_size(&self) -> Result<(), Unresolved> {
        if self.resolved_bytes <= RESOLVED_BYTES_MAX {
            return Ok(());
        }
        let message = "the values from outside are too large together";
        let detail = format!("expected: at most {RESOLVED_BYTES_MAX} bytes");
        Err(Unresolved::new(message).detail(detail))
    }

    fn env(&self, name: &str) -> Result<String, Unresolved> {
        self.variables.env(name).ok_or_else(|| {
            Unresolved::new(format!("environment variable {name:?} is not set"))
                .hint("set it, or write $${ for a literal ${")
        })
    }

    /// A colon separates the key: the last one, as a path may hold others.
    fn file(&mut self, path: &str) -> Result<String, Unresolved> {
        let (path, key) = match path.rsplit_once(':') {
            Some((path, key)) => (path, Some(key)),
            None => (path, None),
        };
        let text = self.file_text(path)?;
        let Some(key) = key else {
            return Ok(without_line_end(&text).to_owned());
        };
        // Of a repeated key the last one stays.
        let parse = || Rc::new(properties::parse(&text).into_iter().collect());
        let entries = self.entries.entry(path.to_owned()).or_insert_with(parse);
        entries.get(key).cloned().ok_or_else(|| Unresolved::missing_key(path, key))
    }

    fn file_text(&mut self, path: &str) -> Result<Rc<str>, Unresolved> {
        let joined = self.source.base_dir.join(path);
        let text = self.files.entry(joined).or_insert_with_key(|joined| {
            self.variables.file(joined).map(Rc::from).map_err(|error| error.to_string())
        });
        text.clone().map_err(|reason| {
            Unresolved::new(format!("file {path:?} cannot be read")).detail(reason)
        })
    }
}

impl Unresolved {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), detail: None, hint: None }
    }

    fn detail(mut self, text: impl Into<String>) -> Self {
        self.detail = Some(text.into());
        self
    }

    fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    fn open() -> Self {
        Self::new("`${` has no closing `}`")
            .detail(format!("expected: {KNOWN_FORMS}"))
            .hint("write $${ for a literal ${")
    }

    fn unknown(inner: &str, written: &str) -> Self {
        let provider = inner.split([':', '.']).next().unwrap_or_default();
        let reason = Self::new(format!("`{written}` is not a reference"))
            .detail(format!("expected: {KNOWN_FORMS}"));
        match nearest(provider, ["env", "file"]) {
            Some(near) => reason.hint(format!("did you mean `${{{near}:…}}`?")),
            None => reason.hint("write $${ for a literal ${"),
        }
    }

    /// Names no key the file does hold: a file that is no properties file may be one secret.
    fn missing_key(path: &str, key: &str) -> Self {
        Self::new(format!("file {path:?} has no key {key:?}"))
            .hint("a properties file holds lines `key=value`")
    }
}

/// Cuts a string value into its pieces, from left to right.
struct Pieces<'t> {
    rest: &'t str,
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some(rest) = self.rest.strip_prefix("$${") {
            self.rest = rest;
            return Some(Piece::Escape);
        }
        if let Some(body) = self.rest.strip_prefix("${") {
            return Some(self.reference(body));
        }
        // One search: a text without `$${` must not be searched for it again at every piece.
        let end = self.rest.find("${").unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        let text =
            if end < self.rest.len() { text.strip_suffix('$').unwrap_or(text) } else { text };
        let rest = &self.rest[text.len()..];
        self.rest = rest;
        Some(Piece::Text(text))
    }
}

impl<'t> Pieces<'t> {
    fn reference(&mut self, body: &'t str) -> Piece<'t> {
        let whole = self.rest;
        match body.split_once('}') {
            Some((inner, rest)) => {
                self.rest = rest;
                Piece::Reference { inner, written: &whole[..whole.len() - rest.len()] }
            }
            None => {
                self.rest = "";
                Piece::Open(whole)
            }
        }
    }
}

/// Whether a reference is one that a kind fills in itself, record by record.
fn is_template(inner: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    inner.split_once('.').is_some_and(|(scope, rest)| {
        let is_scope = !scope.is_empty() && scope.chars().all(is_word);
        is_scope && !matches!(scope, "env" | "file") && !rest.is_empty() && !rest.contains(':')
    })
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// The part of a scalar's span that holds the reference, if it stands there literally.
fn narrow(text: &str, span: Span, written: &str) -> Span {
    let Some(offset) = text[span.start..span.end].find(written) else {
        return span;
    };
    let before = &text[span.start..span.start + offset];
    let (start, end) = (span.start + offset, span.start + offset + written.len());
    let lines = yaml::line_starts(before);
    let last = *lines.last().expect("every text has a first line");
    let column = before.chars().count() - last;
    match lines.len() - 1 {
        0 => Span { start, end, line: span.line, column: span.column + column },
        further => Span { start, end, line: span.line + further, column: column + 1 },
    }
}
