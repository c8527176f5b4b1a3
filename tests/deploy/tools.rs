//! Programs of others that judge what is in `deploy/`, by way of `scripts/tools`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use anyhow::{Context, Result, bail, ensure};

const SKIPPED: &str = "SKIPPED: what needs Prometheus, Helm and other programs is tested with \
                       HEADWATER_DEPLOY=real (scripts/test sets it)";

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether these programs are wanted; says once that such tests are skipped otherwise.
pub(crate) fn is_real() -> bool {
    static SAID: Once = Once::new();
    let is_real = std::env::var("HEADWATER_DEPLOY").is_ok_and(|it| it == "real");
    if !is_real {
        // Past the test harness, which swallows what a passing test prints.
        SAID.call_once(|| drop(writeln!(std::io::stderr(), "\n{SKIPPED}\n")));
    }
    is_real
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// Where a program is that `scripts/tools` knows.
pub(crate) fn tool(name: &str) -> Result<PathBuf> {
    let printed = run(Command::new(root().join("scripts/tools")).args(["path", name]))?;
    Ok(PathBuf::from(printed.trim()))
}

/// Runs a command in the root of the repository; what it printed, if all went well.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.current_dir(root()).stdin(Stdio::null()).output();
    let output = output.with_context(|| shown.clone())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{shown}: {}\n{stdout}\n{stderr}", output.status);
    Ok(stdout)
}

/// Compares with a file, or writes it where `UPDATE_EXPECT` is set.
pub(crate) fn demand_same(path: &str, actual: &str) -> Result<()> {
    let full = root().join(path);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return std::fs::write(&full, actual).with_context(|| path.to_owned());
    }
    let expected = std::fs::read_to_string(&full).unwrap_or_default();
    let Some(line) = first_difference(&expected, actual) else { return Ok(()) };
    bail!("{path} is not what is made now, from line {line} on; UPDATE_EXPECT=1 writes it anew")
}

fn first_difference(expected: &str, actual: &str) -> Option<usize> {
    if expected == actual {
        return None;
    }
    let same = expected.lines().zip(actual.lines()).take_while(|(one, other)| one == other);
    Some(same.count() + 1)
}
