//! What a pipeline file may cost to read.
//!
//! A file is written by a person; these bounds are far above any such file and far below what
//! would hurt, so that a generated or hostile file ends in a diagnostic.

/// The largest pipeline file.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// How deep lists and maps may be nested, aliases included.
pub const DEPTH_MAX: usize = 64;

/// How many values a file may hold once its aliases and merges are written out.
pub const VALUES_MAX: usize = 100_000;

/// The largest file a `${file:…}` may name.
pub const VARIABLE_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How many bytes all interpolations of a file may resolve to, together.
pub const RESOLVED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest pipeline or node name, in characters: names stand in metrics and topic names.
pub const NAME_CHARS_MAX: usize = 100;

/// How many characters of a source line a diagnostic quotes.
pub const QUOTED_CHARS_MAX: usize = 120;

/// How many known keys or values a hint lists.
pub const LISTED_MAX: usize = 16;

/// How many findings are printed; the count line counts all of them.
pub const DIAGNOSTICS_MAX: usize = 200;

/// How many bytes the aliases of a file may stand for, together.
pub const ALIASED_BYTES_MAX: usize = 16 * 1024 * 1024;
