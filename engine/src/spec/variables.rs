//! Where `${env:…}` and `${file:…}` get their text from.
//!
//! Why a trait: tests and tools resolve a file against a table of their own, and the loader
//! itself reads neither the environment nor the disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::limits::VARIABLE_FILE_BYTES_MAX;

/// The outside world as a pipeline file may refer to it.
pub trait Variables {
    /// The value of an environment variable, if it is set.
    fn env(&self, name: &str) -> Option<String>;

    /// The whole text of a file. The path is absolute or relative to the working directory;
    /// the loader has already joined it to the pipeline file's folder.
    ///
    /// # Errors
    /// When the file cannot be read, is not UTF-8 or is too large.
    fn file(&self, path: &Path) -> io::Result<String>;
}

/// The process environment and the file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemVariables;

impl Variables for SystemVariables {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        let read = File::open(path)?.take(VARIABLE_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if read as u64 > VARIABLE_FILE_BYTES_MAX {
            let limit = format!("larger than {VARIABLE_FILE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, limit));
        }
        Ok(text)
    }
}
