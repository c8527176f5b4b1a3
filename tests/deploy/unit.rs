//! Goal: the unit is one that systemd takes, it is well shut in, and it is restarted where that
//! helps; the Debian package brings it and leaves no trace of itself.
//! Method: `systemd-analyze` judges the file; exit codes are compared with the program's own table;
//! the package is installed, used, upgraded and removed in a copy of this machine's file system.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::tools::{is_real, read, root, run};

const UNIT: &str = "deploy/systemd/headwater.service";

/// What `systemd-analyze security` may find at most, of 10; docs/DEPLOY.md names the figure.
const EXPOSURE_MAX: &str = "12";

/// The exit codes after which the unit is not started again.
fn never_again(unit: &str) -> Vec<String> {
    let line = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    line.unwrap_or_default().split(' ').map(str::to_owned).collect()
}

#[test]
fn the_unit_starts_again_what_a_restart_heals_and_nothing_else() -> Result<()> {
    let unit = read(UNIT)?;
    ensure!(unit.contains("\nRestart=on-failure\n"));
    ensure!(never_again(&unit) == ["64", "65", "76"], "{:?}", never_again(&unit));
    // The guide says of each code whether to restart; the program's help has the same codes.
    let guide = read("docs/GUIDE.md")?;
    let help = run(Command::new(env!("CARGO_BIN_EXE_headwater")).arg("--help"))?;
    for (code, again) in [("64", "no"), ("65", "no"), ("69", "yes"), ("70", "yes"), ("75", "yes")] {
        let row = guide.lines().find(|line| line.starts_with(&format!("| {code} |")));
        ensure!(row.is_some_and(|row| row.contains(&format!("| {again}"))), "{code}: {row:?}");
        ensure!(help.contains(&format!(" {code}  ")), "{help}");
        ensure!((again == "no") == never_again(&unit).contains(&code.to_owned()));
    }
    Ok(())
}

#[test]
fn systemd_takes_the_unit_and_finds_it_well_shut_in() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let analyze = |arguments: &[&str]| {
        run(Command::new("systemd-analyze").args(["--no-pager"]).args(arguments).arg(UNIT))
    };
    analyze(&["verify", "--man=no"])?;
    let said = analyze(&["security", "--offline=yes", "--threshold", EXPOSURE_MAX])?;
    let overall = said.lines().find(|line| line.contains("Overall exposure level"));
    let figure =
        overall.and_then(|line| line.split_whitespace().find(|it| it.parse::<f64>().is_ok()));
    let page = read("docs/DEPLOY.md")?;
    let figure = figure.unwrap_or_default();
    let is_named = page.contains(&format!("exposure level {figure}"));
    ensure!(is_named, "docs/DEPLOY.md does not say `exposure level {figure}`: {overall:?}");
    Ok(())
}

#[test]
fn the_package_is_installed_used_upgraded_and_removed() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let script = root().join("scripts/package");
    let package = run(Command::new(&script).args(["build", "--profile", "dev", "--no-build"]))?;
    run(Command::new(&script).args(["try", package.trim()]))?;
    Ok(())
}
