//! Predicates: questions that a pipeline file asks of each message, answered on the wire.
//!
//! The language is a subset of CEL, the Common Expression Language: `has(block_meta)`,
//! `size(events) == 0`, `canceled && compact_revision > 0`. A predicate is compiled once against
//! the message type, where every mistake comes out; answering it follows compiled paths and
//! neither decodes the message nor allocates (but for what the regex crate keeps between calls).
//!
//! What differs from CEL, and why, is in `docs/design/0012-predicates-are-a-subset-of-cel.md`.
//!
//! How absence counts, as in CEL: a field that is not there has its type's default; an element of
//! a list or an entry of a map that is not there makes the question unanswerable. So does a
//! message that is broken on the way to a field. `false && unanswerable` is false, `true ||
//! unanswerable` is true, in either order; what is unanswerable as a whole does not hold.
//!
//! Next: `lex.rs`, `parse.rs`, `field.rs`, `compile.rs`, `evaluate.rs`, in this order.

mod compile;
mod evaluate;
mod field;
mod lex;
mod parse;

use prost_reflect::MessageDescriptor;
use std::fmt;

/// The longest predicate in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// How deep parentheses and `!` may nest; reading and answering descend once per level.
const DEPTH_MAX: u32 = 32;

/// A question about messages of one type.
#[derive(Clone)]
pub struct Predicate {
    text: String,
    test: evaluate::Test,
}

/// A predicate does not read, or does not fit its message type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PredicateError {
    /// Byte offset in the predicate's text, from 0, where it goes wrong.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
    /// The nearest name, or what to do.
    pub hint: Option<String>,
}

impl Predicate {
    /// Compiles `text` against `message`.
    ///
    /// # Errors
    /// The first mistake: of the language, a field that is not there, types that do not fit.
    pub fn compile(text: &str, message: &MessageDescriptor) -> Result<Self, PredicateError> {
        let parsed = parse::parse(text)?;
        let test = compile::compile(&parsed, message)?;
        Ok(Predicate { text: text.to_owned(), test })
    }

    /// Checks what can be checked of `text` without a message type.
    ///
    /// # Errors
    /// The first mistake of the language.
    pub fn check_syntax(text: &str) -> Result<(), PredicateError> {
        parse::parse(text).map(drop)
    }

    /// Whether an encoded message answers with true. One that cannot answer, because it lacks a
    /// list's element or is broken, does not.
    pub fn holds(&self, wire: &[u8]) -> bool {
        self.answer(wire) == Some(true)
    }

    /// What an encoded message answers; none if it cannot.
    pub fn answer(&self, wire: &[u8]) -> Option<bool> {
        self.test.answer(wire)
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predicate({:?})", self.text)
    }
}

impl PredicateError {
    fn new(column: usize, message: impl Into<String>) -> Self {
        PredicateError { column, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        PredicateError { hint: Some(hint.into()), ..self }
    }
}
