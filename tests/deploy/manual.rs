//! Goal: completions and man pages are made by the binary itself and know every command.
//! Method: the commands are read off the program's own help, at every depth; each must have a page
//! of its own and be named by the completion script of every shell.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::tools::run;

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "elvish", "powershell"];

fn headwater(arguments: &[&str]) -> Result<String> {
    run(Command::new(env!("CARGO_BIN_EXE_headwater")).args(arguments))
}

/// The commands below `path`, as its help lists them.
fn below(path: &[&str]) -> Result<Vec<String>> {
    let help = headwater(&[path, &["--help"]].concat())?;
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Ok(Vec::new()) };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    Ok(names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect())
}

/// Every command with what stands before it.
fn all() -> Result<BTreeSet<Vec<String>>> {
    let mut found = BTreeSet::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(path) = open.pop() {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        for name in below(&parts)? {
            let command = [path.clone(), vec![name]].concat();
            open.push(command.clone());
            found.insert(command);
        }
    }
    Ok(found)
}

#[test]
fn each_command_has_a_man_page_and_no_page_is_without_a_command() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().to_string_lossy().into_owned();
    headwater(&["man", &path])?;
    let commands = all()?;
    ensure!(commands.len() >= 14, "{commands:?}");
    let named = |command: &Vec<String>| format!("headwater-{}.1", command.join("-"));
    let mut expected: BTreeSet<String> = commands.iter().map(named).collect();
    expected.insert("headwater.1".to_owned());
    let entries = fs::read_dir(folder.path())?;
    let names = entries.map(|it| Ok(it?.file_name().to_string_lossy().into_owned()));
    let pages = names.collect::<Result<BTreeSet<String>>>()?;
    ensure!(pages == expected, "{pages:?} instead of {expected:?}");
    for command in commands {
        let page = fs::read_to_string(folder.path().join(named(&command)))?;
        let synopsis = page.split(".SH SYNOPSIS").nth(1).unwrap_or_default();
        let synopsis = synopsis.replace('\\', "");
        let called = format!("headwater {}", command.join(" "));
        ensure!(synopsis.contains(&called), "{}: {synopsis}", named(&command));
    }
    let first = fs::read_to_string(folder.path().join("headwater.1"))?;
    ensure!(first.contains("Exit codes"), "what the exit codes mean:\n{first}");
    Ok(())
}

#[test]
fn the_completions_of_every_shell_know_each_command() -> Result<()> {
    let commands = all()?;
    for shell in SHELLS {
        let script = headwater(&["completions", shell])?;
        for command in &commands {
            let name = command.last().expect("a command has a name");
            ensure!(script.contains(name.as_str()), "{shell} does not know {command:?}");
        }
        ensure!(script.contains("log-format"), "{shell} knows no options");
    }
    Ok(())
}

/// The script is not only words: bash itself completes with it.
#[test]
fn bash_completes_a_command_by_the_script() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("headwater.bash");
    fs::write(&file, headwater(&["completions", "bash"])?)?;
    let ask = "source \"$1\"; COMP_WORDS=(headwater off); COMP_CWORD=1; \
               _headwater headwater off headwater; echo \"${COMPREPLY[@]}\"";
    let answer = run(Command::new("bash").args(["-c", ask, "bash"]).arg(&file))?;
    ensure!(answer.trim() == "offsets", "{answer}");
    Ok(())
}
