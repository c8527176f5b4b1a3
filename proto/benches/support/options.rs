//! The options of a benchmark of this package, named as those of the program's benchmarks.
//!
//! Why by hand: four options are no reason for the package to build an argument parser.
//!
//! Next: `../transcode.rs` measures as it is told.

use std::fs;
use std::path::PathBuf;

/// What is to be measured, and where the results go.
#[derive(Debug, Default)]
pub struct Options {
    /// Only cases whose name contains this.
    only: Option<String>,
    /// A size that shows that the benchmark works, and measures nothing.
    toy: bool,
    /// Writes the results here, for machines.
    json: Option<PathBuf>,
    /// Whether a shape that is too slow is a failure.
    check: bool,
    /// Given by `cargo bench`; without it (`cargo test --benches`) the size is toy.
    bench: bool,
}

impl Options {
    /// Reads the command line; a panic tells what is wrong with it.
    pub fn parse() -> Self {
        let mut options = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value behind it"));
            match argument.as_str() {
                "--only" => options.only = Some(value()),
                "--json" => options.json = Some(value().into()),
                "--toy" => options.toy = true,
                "--check" => options.check = true,
                "--bench" => options.bench = true,
                _ => panic!("{argument} is unknown; expected --only, --json, --toy or --check"),
            }
        }
        options
    }

    /// Whether nothing is to be measured.
    pub fn is_toy(&self) -> bool {
        self.toy || !self.bench || std::env::var_os("HEADWATER_BENCH_TOY").is_some()
    }

    /// Whether a shape that is too slow is a failure.
    pub fn is_checked(&self) -> bool {
        self.check && !self.is_toy()
    }

    /// Whether a case is to be run.
    pub fn wants(&self, case: &str) -> bool {
        self.only.as_ref().is_none_or(|it| case.contains(it))
    }

    /// Writes the results for machines, if they were asked for.
    pub fn write_json(&self, results: &serde_json::Value) {
        let Some(path) = &self.json else { return };
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = parent.and_then(|()| fs::write(path, format!("{results:#}\n")));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
