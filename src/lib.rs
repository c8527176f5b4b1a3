//! The program: command line, console, logs and HTTP around the engine and the operators.
//!
//! It decides nothing about records. A command reads pipeline files, hands plans to
//! `headwater_operators::pipeline` and shows people and machines how it goes:
//!
//! | file | what |
//! |---|---|
//! | `args` | the command line, as types |
//! | `exit` | every exit code, and which end of a pipeline means which |
//! | `load` | files → plans, or all mistakes of all files |
//! | `learn` | files that leave types to their servers: the servers are asked |
//! | `run` | `headwater run`: from plans to an exit code |
//! | `serve` | `headwater serve`: pipelines that come and go while the process runs |
//! | `pipelines` | all pipelines of one process, on one set of workers |
//! | `signals` | the first asks, the second leaves |
//! | `logs`, `screen`, `console` | log lines, and the live line below them |
//! | `http` | `/metrics`, `/healthz`, `/readyz` |
//! | `otlp` | traces and metrics for an OpenTelemetry collector |
//! | `check` | `headwater validate`: a summary of sound files |
//! | `origin`, `describe`, `init` | what a server offers, and a first file for it |
//! | `connect` | the configuration of the Java connector: checked, and made a pipeline file |
//! | `convert` | a connector's configuration → a pipeline file |
//! | `presets` | keys for known APIs, listed or printed |
//! | `explain`, `graph` | the plan in words, and as a picture |
//! | `offsets` | what Kafka remembers of a pipeline |
//! | `demo` | server, broker, pipeline and reader in one process |
//! | `bench` | how fast a pipeline goes here, and how late its records are |
//! | `plot` | latencies by percentile, as SVG; the benchmarks draw with it too |
//! | `series` | every series of `/metrics`, for people |
//! | `memory` | the allocator, and why it is not the system's |
//! | `events` | the Java connector's log events, and what they are called here |
//! | `figures` | a line of figures in the log, for those who ask for it |
//! | `manual` | completions and man pages, from the command line's types |
//! | `page` | pipeline files as this program writes them |
//! | `output` | standard output, for results |
//! | `words` | numbers, bytes and durations for people |
//!
//! Invariants
//! 1. Nothing is contacted and no port is opened before all files are sound, as far as that can be
//!    known without asking their servers.
//! 2. Standard output belongs to results and to the `stdout` sink; all else goes to standard error.
//! 3. No value of metadata, of a property or of a static header is ever printed.
//!
//! Next: `src/run.rs`.

mod args;
mod bench;
mod check;
pub mod connect;
mod console;
mod convert;
mod demo;
mod describe;
mod events;
mod exit;
mod explain;
mod figures;
mod graph;
mod http;
mod init;
mod learn;
mod load;
mod logs;
mod manual;
#[cfg(target_os = "linux")]
mod memory;
mod offsets;
mod origin;
mod otlp;
mod output;
mod page;
mod pipelines;
pub mod plot;
mod presets;
mod run;
mod schema;
mod screen;
mod series;
mod serve;
mod signals;
mod subject;
mod transactions;
mod words;

use args::{Arguments, Command};
use clap::Parser as _;
use exit::{Exit, Outcome};
use std::process::ExitCode;

/// Runs the program with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    if bench::is_child() {
        return told(bench::child()).into();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error).into(),
    };
    if let Err(error) = headwater_engine::fault::arm() {
        eprintln!("error: {error}");
        return Exit::Mistake.into();
    }
    told(dispatch(arguments.command)).into()
}

/// What an outcome means for the process; an error that nobody has told yet is told.
fn told(outcome: Outcome) -> Exit {
    outcome.unwrap_or_else(|failed| {
        if let Some(error) = failed.error {
            eprintln!("error: {error:#}");
        }
        failed.exit
    })
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Run(options) => run::run(&options),
        Command::Serve(options) => serve::serve(&options),
        Command::Validate(options) => check::validate(&options),
        Command::Explain(options) => explain::explain(&options),
        Command::Graph(options) => graph::graph(&options),
        Command::Describe(options) => describe::describe(&options),
        Command::Init(options) => init::init(&options),
        Command::Convert(options) => convert::convert(&options),
        Command::Presets(options) => presets::presets(&options),
        Command::Schema => schema::print(),
        Command::Reference { about: args::About::Pipelines } => schema::print_reference(),
        Command::Reference { about: args::About::Metrics } => series::print(),
        Command::Reference { about: args::About::Logs } => events::print(),
        Command::Transactions(args::Transactions::List(options)) => transactions::list(&options),
        Command::Transactions(args::Transactions::Abort(options)) => transactions::abort(&options),
        Command::Offsets(args::Offsets::Show(options)) => offsets::show(&options),
        Command::Offsets(args::Offsets::Reset(options)) => offsets::reset(&options),
        Command::Demo(options) => demo::demo(&options),
        Command::Bench(options) => bench::bench(&options),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::pages(&folder),
    }
}

/// Help and version are results; anything else is a mistake on the command line.
fn usage(error: &clap::Error) -> Exit {
    // A closed pipe is the reader's choice.
    let _ = error.print();
    if error.use_stderr() { Exit::Mistake } else { Exit::Done }
}
