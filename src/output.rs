//! Standard output, for results.
//!
//! Why not `print!`: it panics when the reader has gone, as `headwater explain FILE | head` does. A
//! reader that has seen enough is no failure, and nobody is left to show anything to: the program
//! leaves. Nothing that is kept depends on it; a pipeline's own records go through the `stdout`
//! sink, which stops the pipeline instead.
//!
//! Invariant: what a server said cannot steer the terminal. Results are plain text; whatever else
//! is in them is shown and not done.

use crate::exit::Exit;
use std::borrow::Cow;
use std::io::Write as _;

/// Writes text, or leaves if nobody reads it.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let text = shown(text);
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    if written.is_err() {
        std::process::exit(Exit::Done.code().into());
    }
}

/// Writes a line, or leaves if nobody reads it.
pub(crate) fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// The text with whatever a terminal would obey written out.
fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_steering) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match is_steering(letter) {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}

/// Control characters but line ends and tabs, and what turns the direction of text.
fn is_steering(letter: char) -> bool {
    let is_turn = matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_turn || (letter.is_control() && !matches!(letter, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_result_steers_the_terminal() {
        assert_eq!(shown("a\tb\n  ü"), "a\tb\n  ü");
        let hostile = "// hi\r\u{1b}[31mred\u{9b}2J\u{7f}\u{202e}x\n";
        let harmless = "// hi\\r\\u{1b}[31mred\\u{9b}2J\\u{7f}\\u{202e}x\n";
        assert_eq!(shown(hostile), harmless);
    }
}
