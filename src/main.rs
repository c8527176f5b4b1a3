//! The `headwater` binary; everything it does is in the library beside it.
//!
//! Next: `src/lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    headwater::main()
}
