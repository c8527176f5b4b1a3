//! A secret: given in the pipeline file, or in a file that is read each time it is needed.
//!
//! Invariant: what is shown of it is where it stands.

use crate::limits::METADATA_BYTES_MAX;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A password, a token or a key.
#[derive(Clone)]
pub(in crate::source::grpc) enum Secret {
    /// From the pipeline file.
    Text(String),
    /// From a file of its own, without its last line end.
    File(PathBuf),
}

/// A file holds no secret.
#[derive(Debug, thiserror::Error)]
pub(in crate::source::grpc) enum SecretProblem {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is empty", path.display())]
    Empty { path: PathBuf },
    #[error("{} is longer than {METADATA_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{} is not text", path.display())]
    NotText { path: PathBuf },
}

impl Secret {
    /// Whether it may be another one the next time.
    pub(in crate::source::grpc) fn is_file(&self) -> bool {
        matches!(self, Secret::File(_))
    }

    /// Its text as it is now.
    ///
    /// # Errors
    /// The file holds none.
    pub(in crate::source::grpc) async fn read(&self) -> Result<String, SecretProblem> {
        match self {
            Secret::Text(text) => Ok(text.clone()),
            Secret::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.expect("reading a file does not panic")
            }
        }
    }

    /// As [`Secret::read`], blocking.
    ///
    /// # Errors
    /// The file holds none.
    pub(in crate::source::grpc) fn read_now(&self) -> Result<String, SecretProblem> {
        match self {
            Secret::Text(text) => Ok(text.clone()),
            Secret::File(path) => read_file(path),
        }
    }
}

/// Where it stands.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Text(_) => f.write_str("the value of `auth`"),
            Secret::File(path) => write!(f, "{}", path.display()),
        }
    }
}

fn read_file(path: &Path) -> Result<String, SecretProblem> {
    let read = |source| SecretProblem::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(read)?;
    let mut bytes = Vec::new();
    file.take(METADATA_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() > METADATA_BYTES_MAX {
        return Err(SecretProblem::TooLong { path: path.to_owned() });
    }
    let not_text = |_| SecretProblem::NotText { path: path.to_owned() };
    let text = String::from_utf8(bytes).map_err(not_text)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(SecretProblem::Empty { path: path.to_owned() });
    }
    Ok(text.to_owned())
}
