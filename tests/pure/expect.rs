//! Files that say what is expected, and how they are written anew.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether expected files are to be written instead of compared.
pub(crate) fn is_update() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

/// The files of a folder with one ending, in order.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut found: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|it| it == ending)).collect();
    found.sort();
    found
}

/// Compares with a file, or writes it; the difference if there is one.
pub(crate) fn difference(path: &Path, actual: &str) -> Option<String> {
    if is_update() {
        fs::write(path, actual).expect("an expected file is writable");
        return None;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let is_same = expected == actual;
    let name = path.display();
    (!is_same).then(|| format!("{name}\n--- expected\n{expected}\n--- actual\n{actual}"))
}

/// Fails with all differences at once.
pub(crate) fn demand_none(differences: &[String]) {
    let count = differences.len();
    assert!(differences.is_empty(), "{count} differ:\n\n{}", differences.join("\n\n"));
}
