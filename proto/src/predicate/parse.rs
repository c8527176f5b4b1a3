//! Tokens, built into expressions; CEL's precedence: `||`, `&&`, one comparison, `!`, members.
//!
//! Invariant: expressions nest at most [`DEPTH_MAX`] deep, so whoever descends them may recurse.
//!
//! Next: `compile.rs` fits them to a message type.

use super::lex::{Placed, Token, tokens};
use super::{DEPTH_MAX, PredicateError};

/// An expression and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expression {
    pub(super) form: Form,
    pub(super) column: usize,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    Literal(Literal),
    /// A field, or the name of an enum's value.
    Path(Vec<Segment>),
    /// `[1, 2]`
    List(Vec<Expression>),
    /// `has(…)`, `size(…)`
    Call(Name, Vec<Expression>),
    /// `RECEIVER.startsWith(…)`
    Method(Box<Expression>, Name, Vec<Expression>),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Compare(Box<Expression>, Relation, Box<Expression>),
    In(Box<Expression>, Box<Expression>),
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) column: usize,
}

/// One field of a path, or what stands in brackets behind it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Segment {
    Field(Name),
    /// As a path writes it: `0`, `-1`, or a map's key in quotes.
    Index(Name),
}

/// A value in the predicate's text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// Parses a whole predicate.
pub(super) fn parse(text: &str) -> Result<Expression, PredicateError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let expression = parser.any()?;
    match parser.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.expected("an operator or the end of the predicate")),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: u32,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn column(&self) -> usize {
        self.tokens[self.at].column
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(found) if *found == symbol);
        self.at += usize::from(found);
        found
    }

    fn demand(&mut self, symbol: &str) -> Result<(), PredicateError> {
        if self.take(symbol) { Ok(()) } else { Err(self.expected(&format!("\"{symbol}\""))) }
    }

    fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, PredicateError>,
    ) -> Result<T, PredicateError> {
        if self.depth == DEPTH_MAX {
            let message = format!("a predicate nests at most {DEPTH_MAX} deep");
            return Err(PredicateError::new(self.column(), message));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn any(&mut self) -> Result<Expression, PredicateError> {
        self.chain("||", Self::all, Form::Any)
    }

    fn all(&mut self) -> Result<Expression, PredicateError> {
        self.chain("&&", Self::comparison, Form::All)
    }

    /// Operands with the same operator between them.
    fn chain(
        &mut self,
        symbol: &str,
        operand: fn(&mut Self) -> Result<Expression, PredicateError>,
        form: fn(Vec<Expression>) -> Form,
    ) -> Result<Expression, PredicateError> {
        let first = operand(self)?;
        let column = first.column;
        let mut operands = vec![first];
        while self.take(symbol) {
            operands.push(operand(self)?);
        }
        if operands.len() == 1 {
            return Ok(operands.remove(0));
        }
        Ok(Expression { form: form(operands), column })
    }

    fn comparison(&mut self) -> Result<Expression, PredicateError> {
        let left = Box::new(self.unary()?);
        let column = left.column;
        let form = if *self.peek() == Token::Name("in".to_owned()) {
            self.next();
            Form::In(left, Box::new(self.unary()?))
        } else if let Some(relation) = self.relation() {
            Form::Compare(left, relation, Box::new(self.unary()?))
        } else {
            return Ok(*left);
        };
        let at = self.column();
        if self.relation().is_some() {
            return Err(PredicateError::new(at, "a comparison follows a comparison")
                .hint("put && between them, or parentheses around the first"));
        }
        Ok(Expression { form, column })
    }

    fn relation(&mut self) -> Option<Relation> {
        let relation = match self.peek() {
            Token::Symbol("==") => Relation::Equal,
            Token::Symbol("!=") => Relation::Unequal,
            Token::Symbol("<") => Relation::Below,
            Token::Symbol("<=") => Relation::AtMost,
            Token::Symbol(">") => Relation::Above,
            Token::Symbol(">=") => Relation::AtLeast,
            _ => return None,
        };
        self.next();
        Some(relation)
    }

    fn unary(&mut self) -> Result<Expression, PredicateError> {
        let column = self.column();
        if self.take("!") {
            let inner = self.deeper(Self::unary)?;
            return Ok(Expression { form: Form::Not(Box::new(inner)), column });
        }
        if self.take("-") {
            let form = Form::Literal(self.negative(column)?);
            return Ok(Expression { form, column });
        }
        self.member()
    }

    fn negative(&mut self, column: usize) -> Result<Literal, PredicateError> {
        match self.next() {
            Token::Int(size) => 0_i64
                .checked_sub_unsigned(size)
                .map(Literal::Int)
                .ok_or_else(|| too_large(column, &format!("-{size}"))),
            Token::Double(value) => Ok(Literal::Double(-value)),
            _ => Err(PredicateError::new(column, "a minus stands before something but a number")
                .hint("a predicate compares and does not calculate")),
        }
    }

    fn member(&mut self) -> Result<Expression, PredicateError> {
        let mut inner = self.primary()?;
        loop {
            if self.take(".") {
                inner = self.field_or_method(inner)?;
            } else if self.take("[") {
                inner = self.indexed(inner)?;
            } else {
                return Ok(inner);
            }
        }
    }

    fn field_or_method(&mut self, inner: Expression) -> Result<Expression, PredicateError> {
        let name = self.name("a field or a method")?;
        let column = inner.column;
        if self.take("(") {
            if !matches!(inner.form, Form::Path(_) | Form::Literal(_)) {
                let message = format!("{} is asked of a field or a value", name.text);
                return Err(PredicateError::new(name.column, message));
            }
            let arguments = self.deeper(|parser| parser.list(")"))?;
            return Ok(Expression { form: Form::Method(Box::new(inner), name, arguments), column });
        }
        match inner.form {
            Form::Path(mut segments) => {
                segments.push(Segment::Field(name));
                Ok(Expression { form: Form::Path(segments), column })
            }
            _ => Err(PredicateError::new(name.column, "only a message has fields")),
        }
    }

    /// The brackets behind a field; the opening one is taken.
    fn indexed(&mut self, inner: Expression) -> Result<Expression, PredicateError> {
        let column = self.column();
        let minus = if self.take("-") { "-" } else { "" };
        let text = match self.next() {
            Token::Int(position) | Token::Uint(position) => format!("{minus}{position}"),
            Token::Text(key) if minus.is_empty() => quoted(&key),
            Token::Name(key) if minus.is_empty() && (key == "true" || key == "false") => {
                quoted(&key)
            }
            _ => {
                return Err(PredicateError::new(
                    column,
                    "expected a position such as 0, -1 for the last, or a map's key",
                ));
            }
        };
        self.demand("]")?;
        match inner.form {
            Form::Path(mut segments) => {
                segments.push(Segment::Index(Name { text, column }));
                Ok(Expression { form: Form::Path(segments), column: inner.column })
            }
            _ => Err(PredicateError::new(column, "only a repeated field or a map has elements")),
        }
    }

    fn primary(&mut self) -> Result<Expression, PredicateError> {
        let column = self.column();
        let literal = |literal| Ok(Expression { form: Form::Literal(literal), column });
        match self.peek().clone() {
            Token::Name(name) => self.named(name),
            Token::Symbol("(") => {
                self.next();
                let inner = self.deeper(Self::any)?;
                self.demand(")")?;
                Ok(inner)
            }
            Token::Symbol("[") => {
                self.next();
                let items = self.deeper(|parser| parser.list("]"))?;
                Ok(Expression { form: Form::List(items), column })
            }
            Token::Symbol(_) | Token::End => Err(self.expected("a field, a value or a function")),
            Token::Int(size) => {
                self.next();
                let value = i64::try_from(size).map_err(|_| {
                    too_large(column, &size.to_string()).hint(format!("write {size}u"))
                })?;
                literal(Literal::Int(value))
            }
            Token::Uint(value) => {
                self.next();
                literal(Literal::Uint(value))
            }
            Token::Double(value) => {
                self.next();
                literal(Literal::Double(value))
            }
            Token::Text(text) => {
                self.next();
                literal(Literal::Text(text))
            }
            Token::Bytes(bytes) => {
                self.next();
                literal(Literal::Bytes(bytes))
            }
        }
    }

    fn named(&mut self, text: String) -> Result<Expression, PredicateError> {
        let column = self.column();
        self.next();
        let form = match text.as_str() {
            "true" | "false" => Form::Literal(Literal::Bool(text == "true")),
            "null" => {
                return Err(PredicateError::new(column, "fields are never null")
                    .hint("ask has(FIELD), or !has(FIELD)"));
            }
            "in" => {
                return Err(PredicateError::new(column, "`in` stands between a value and a list"));
            }
            _ if self.take("(") => {
                let arguments = self.deeper(|parser| parser.list(")"))?;
                Form::Call(Name { text, column }, arguments)
            }
            _ => Form::Path(vec![Segment::Field(Name { text, column })]),
        };
        Ok(Expression { form, column })
    }

    /// Expressions up to `end`; the opening bracket is taken.
    fn list(&mut self, end: &str) -> Result<Vec<Expression>, PredicateError> {
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(self.any()?);
            if !self.take(",") {
                self.demand(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn name(&mut self, wanted: &str) -> Result<Name, PredicateError> {
        let column = self.column();
        match self.peek().clone() {
            Token::Name(text) => {
                self.next();
                Ok(Name { text, column })
            }
            _ => Err(self.expected(wanted)),
        }
    }

    fn expected(&self, what: &str) -> PredicateError {
        let found = match self.peek() {
            Token::End => "the end of the predicate".to_owned(),
            Token::Name(name) => format!("\"{name}\""),
            Token::Symbol(symbol) => format!("\"{symbol}\""),
            Token::Text(_) | Token::Bytes(_) => "a string".to_owned(),
            Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".to_owned(),
        };
        PredicateError::new(self.column(), format!("found {found}, expected {what}"))
    }
}

fn too_large(column: usize, number: &str) -> PredicateError {
    PredicateError::new(column, format!("{number} is not a signed number of 64 bits"))
}

/// A key as a path writes it.
fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}
