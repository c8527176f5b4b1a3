//! `headwater completions` and `headwater man`: made of the types that read the command line.
//!
//! Why at run time and not by a build script: the binary that is installed tells about itself, and
//! a build needs no second compilation of the command line.

use crate::args::Arguments;
use crate::exit::{Exit, Failed, Outcome};
use crate::output;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use std::fs;
use std::io;
use std::path::Path;

/// Prints the completion script of `shell`.
pub(crate) fn completions(shell: Shell) -> Outcome {
    let mut command = Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "headwater", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

/// Writes `headwater.1`, `headwater-run.1`, `headwater-offsets-show.1` and so on into `folder`.
pub(crate) fn pages(folder: &Path) -> Outcome {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let written = fs::create_dir_all(folder).and_then(|()| write(&command, "headwater", folder));
    written.map(|()| Exit::Done).map_err(|error| refused(folder, &error))
}

/// Writes the page of `command`, which is called `name`, and those of the commands below it.
fn write(command: &Command, name: &str, folder: &Path) -> io::Result<()> {
    let page = command.clone().display_name(name.to_owned());
    let mut text = Vec::new();
    Man::new(page).render(&mut text)?;
    fs::write(folder.join(format!("{name}.1")), text)?;
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    below
        .into_iter()
        .try_for_each(|below| write(below, &format!("{name}-{}", below.get_name()), folder))
}

fn refused(folder: &Path, error: &io::Error) -> Failed {
    Exit::Mistake
        .saying(format!("{}: {error}; name a folder that can be written", folder.display()))
}
