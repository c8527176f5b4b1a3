//! The text of a predicate, cut into tokens by CEL's rules.
//!
//! Not here: strings in triple quotes, which only serve to span lines.
//!
//! Next: `parse.rs` builds expressions of them.

use super::{PredicateError, TEXT_BYTES_MAX};

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name, `in`, `true` and the like included.
    Name(String),
    /// A whole number without its sign.
    Int(u64),
    /// A whole number with a `u` behind it.
    Uint(u64),
    /// A number with a point or an exponent.
    Double(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

/// A token and the byte offset where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) column: usize,
}

/// The longer ones first.
const SYMBOLS: [&str; 16] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ".", ",", "-"];

/// Cuts `text` into tokens; the last one is the end.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, PredicateError> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("a predicate has at most {TEXT_BYTES_MAX} bytes");
        return Err(PredicateError::new(TEXT_BYTES_MAX, message));
    }
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let column = lexer.at;
        let token = lexer.token()?;
        let is_end = token == Token::End;
        tokens.push(Placed { token, column });
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|found| !wanted(found)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// White space and comments, which run to the end of their line.
    fn skip_space(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|found| found != '\n');
        }
    }

    fn token(&mut self) -> Result<Token, PredicateError> {
        let Some(first) = self.peek() else { return Ok(Token::End) };
        if first.is_ascii_digit() || self.is_bare_fraction() {
            return self.number();
        }
        if let Some(prefix) = self.string_prefix() {
            return self.string(&prefix);
        }
        if is_word(first) {
            return Ok(Token::Name(self.take_while(is_word).to_owned()));
        }
        let symbol = SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol));
        match symbol {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
            None => Err(self.foreign(first)),
        }
    }

    /// `.5`
    fn is_bare_fraction(&self) -> bool {
        let mut letters = self.rest().chars();
        letters.next() == Some('.') && letters.next().is_some_and(|next| next.is_ascii_digit())
    }

    fn number(&mut self) -> Result<Token, PredicateError> {
        let start = self.at;
        let rest = self.rest();
        let token = match rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            Some(_) => {
                self.at += 2;
                let digits = self.take_while(|found| found.is_ascii_hexdigit());
                self.whole(u64::from_str_radix(digits, 16).ok())
            }
            None => self.decimal(start),
        };
        if self.peek().is_some_and(is_word) {
            self.take_while(is_word);
            return Err(self.not_a_number(start));
        }
        token.ok_or_else(|| self.not_a_number(start))
    }

    fn decimal(&mut self, start: usize) -> Option<Token> {
        let is_digit = |found: char| found.is_ascii_digit();
        self.take_while(is_digit);
        let mut is_whole = true;
        if self.is_bare_fraction() {
            self.at += 1;
            self.take_while(is_digit);
            is_whole = false;
        }
        let exponent = self.rest().trim_start_matches(['e', 'E']);
        if exponent.len() + 1 == self.rest().len() {
            let digits = exponent.trim_start_matches(['+', '-']);
            if digits.starts_with(is_digit) {
                self.at += 1 + (exponent.len() - digits.len());
                self.take_while(is_digit);
                is_whole = false;
            }
        }
        let text = &self.text[start..self.at];
        match is_whole {
            true => self.whole(text.parse().ok()),
            false => text.parse().ok().map(Token::Double),
        }
    }

    fn whole(&mut self, value: Option<u64>) -> Option<Token> {
        if self.rest().starts_with(['u', 'U']) {
            self.at += 1;
            return value.map(Token::Uint);
        }
        value.map(Token::Int)
    }

    fn not_a_number(&self, start: usize) -> PredicateError {
        let text = &self.text[start..self.at];
        PredicateError::new(start, format!("{text} is not a number of 64 bits"))
    }

    /// The letters before a quote, with the quote, if a string begins here.
    fn string_prefix(&self) -> Option<String> {
        let mut prefix = String::new();
        for letter in self.rest().chars().take(3) {
            match letter.to_ascii_lowercase() {
                quote @ ('"' | '\'') => {
                    prefix.push(quote);
                    return Some(prefix);
                }
                letter @ ('r' | 'b') if !prefix.contains(letter) => prefix.push(letter),
                _ => return None,
            }
        }
        None
    }

    fn string(&mut self, prefix: &str) -> Result<Token, PredicateError> {
        let start = self.at;
        let (is_raw, is_bytes) = (prefix.contains('r'), prefix.contains('b'));
        let quote = prefix.chars().last().expect("a prefix ends in its quote");
        self.at += prefix.len();
        let mut bytes = Vec::new();
        loop {
            let at = self.at;
            let Some(letter) = self.peek() else {
                return Err(PredicateError::new(start, "the string has no closing quote"));
            };
            self.at += letter.len_utf8();
            match letter {
                _ if letter == quote => break,
                '\\' if !is_raw => self.escape(at, is_bytes, &mut bytes)?,
                _ => push(letter, &mut bytes),
            }
        }
        if is_bytes {
            return Ok(Token::Bytes(bytes));
        }
        Ok(Token::Text(String::from_utf8(bytes).expect("letters and escapes of a text are UTF-8")))
    }

    /// What follows a backslash at `at`.
    fn escape(
        &mut self,
        at: usize,
        is_bytes: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), PredicateError> {
        let letter = self.peek();
        self.at += letter.map_or(0, char::len_utf8);
        let (digits, radix) = match letter {
            Some('x' | 'X') => (2, 16),
            Some('u') if !is_bytes => (4, 16),
            Some('U') if !is_bytes => (8, 16),
            Some('0'..='3') => {
                self.at -= 1;
                (3, 8)
            }
            Some(letter) => {
                let plain = plain_escape(letter).ok_or_else(|| bad_escape(at))?;
                out.push(plain);
                return Ok(());
            }
            None => return Err(bad_escape(at)),
        };
        let text = self.rest().get(..digits).ok_or_else(|| bad_escape(at))?;
        let is_number = text.chars().all(|digit| digit.is_digit(radix));
        let value = u32::from_str_radix(text, radix).ok().filter(|_| is_number);
        let value = value.ok_or_else(|| bad_escape(at))?;
        self.at += digits;
        match u8::try_from(value) {
            Ok(byte) if is_bytes => out.push(byte),
            _ => push(char::from_u32(value).ok_or_else(|| bad_escape(at))?, out),
        }
        Ok(())
    }

    fn foreign(&self, found: char) -> PredicateError {
        let error =
            PredicateError::new(self.at, format!("found \"{found}\", expected a predicate"));
        match found {
            '=' => error.hint("write == to compare"),
            '&' => error.hint("write && for \"and\""),
            '|' => error.hint("write || for \"or\""),
            '+' | '*' | '/' | '%' => error.hint("a predicate compares and does not calculate"),
            '?' | ':' => error.hint("write conditions with && and ||"),
            _ => error,
        }
    }
}

fn push(letter: char, out: &mut Vec<u8>) {
    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn plain_escape(letter: char) -> Option<u8> {
    Some(match letter {
        '\\' | '\'' | '"' | '`' | '?' => letter as u8,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'v' => 0x0b,
        _ => return None,
    })
}

fn bad_escape(at: usize) -> PredicateError {
    PredicateError::new(at, "a backslash stands before something that is no escape")
        .hint("write \\\\ for a backslash, or r\"…\" for a text without escapes")
}
