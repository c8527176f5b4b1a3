//! Standard output, for results.
//!
//! Why not `print!`: it panics when the reader has gone, as `headwater explain FILE | head` does. A
//! reader that has seen enough is no failure, and nobody is left to show anything to: the program
//! leaves. Nothing that is kept depends on it; a pipeline's own records go through the `stdout`
//! sink, which stops the pipeline instead.

use crate::exit::Exit;
use std::io::Write as _;

/// Writes text, or leaves if nobody reads it.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    if written.is_err() {
        std::process::exit(Exit::Done.code().into());
    }
}

/// Writes a line, or leaves if nobody reads it.
pub(crate) fn line(text: &str) {
    print(&format!("{text}\n"));
}
