//! Standard error, shared by log lines and the live lines below them.
//!
//! On a terminal the live lines stay at the bottom: whoever writes above them clears them first and
//! draws them again. Elsewhere nothing is live, and this is plain standard error.
//!
//! Invariant: one lock orders all of it, so that no line is torn.

use crate::words::cut;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Columns of a terminal that does not tell.
const COLUMNS_DEFAULT: usize = 80;

/// Standard error and what stands at its bottom.
#[derive(Clone, Debug)]
pub(crate) struct Screen(Arc<Mutex<Bottom>>);

#[derive(Debug)]
struct Bottom {
    is_live: bool,
    lines: Vec<String>,
}

/// Holds back one log line until it is whole, then puts it above the live lines.
pub(crate) struct LineWriter {
    screen: Screen,
    line: Vec<u8>,
}

impl Screen {
    /// Live only on a terminal, and only if `wants_live`.
    pub(crate) fn new(wants_live: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_live = wants_live && io::stderr().is_terminal() && !is_dumb;
        Screen(Arc::new(Mutex::new(Bottom { is_live, lines: Vec::new() })))
    }

    /// Whether lines at the bottom can be drawn anew.
    pub(crate) fn is_live(&self) -> bool {
        self.lock().is_live
    }

    /// Replaces the live lines; does nothing where nothing is live.
    pub(crate) fn set(&self, lines: Vec<String>) {
        let mut bottom = self.lock();
        if bottom.is_live {
            let clear = bottom.clear();
            let columns = columns();
            bottom.lines = lines.iter().map(|line| cut(line, columns)).collect();
            show(&format!("{clear}{}", bottom.draw()));
        }
    }

    /// Leaves the live lines where they are and goes on below them.
    pub(crate) fn settle(&self) {
        self.lock().lines.clear();
    }

    /// Writes whole lines above the live ones.
    pub(crate) fn print(&self, text: &str) {
        let bottom = self.lock();
        show(&format!("{}{text}{}", bottom.clear(), bottom.draw()));
    }

    fn lock(&self) -> MutexGuard<'_, Bottom> {
        self.0.lock().expect("drawing does not panic")
    }
}

impl Bottom {
    /// Moves to the first live line and clears from there.
    fn clear(&self) -> String {
        match self.lines.len() {
            0 => String::new(),
            lines => format!("\x1b[{lines}F\x1b[J"),
        }
    }

    fn draw(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter { screen: self.clone(), line: Vec::new() }
    }
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.screen.print(&String::from_utf8_lossy(&self.line));
    }
}

/// Nobody is left to be told if standard error is closed.
fn show(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stderr());
    size.map_or(COLUMNS_DEFAULT, |(width, _)| usize::from(width.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_lines_are_cleared_as_often_as_they_were_drawn() {
        let bottom = Bottom { is_live: true, lines: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(bottom.draw(), "a\nb\n");
        assert_eq!(bottom.clear(), "\x1b[2F\x1b[J");
        assert_eq!(Bottom { is_live: true, lines: Vec::new() }.clear(), "");
    }
}
