//! What is kept in Kafka, shown and taken back: `transactions` and `offsets`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Transactions {
    /// Show the transactional ids of a pipeline, and where readers are held back.
    ///
    /// Kafka's client cannot say whose an open transaction is: only the progress topic has no other
    /// writer.
    #[command(after_help = "Example:\n  headwater transactions list orders.yaml")]
    List(ListTransactions),

    /// Take every transactional id of a pipeline, which aborts what is open.
    ///
    /// An instance that runs loses its producers; it takes the pipeline over again by itself and
    /// sends the open epoch again.
    #[command(after_help = "Examples:\n  \
        headwater transactions abort orders.yaml           # says what it would abort\n  \
        headwater transactions abort orders.yaml --yes")]
    Abort(AbortTransactions),
}

#[derive(Debug, Args)]
pub(crate) struct ListTransactions {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AbortTransactions {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Do it; without, only say what would be done.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Offsets {
    /// Show where each shard of a pipeline stands.
    #[command(after_help = "Example:\n  headwater offsets show orders.yaml")]
    Show(Show),

    /// Forget where shards stand, so that the next start begins anew.
    ///
    /// Records that the server then sends again are written to the topic again. Stop the pipeline
    /// first.
    #[command(after_help = "Examples:\n  \
        headwater offsets reset orders.yaml                       # says what it would forget\n  \
        headwater offsets reset orders.yaml --shard feed/eu --yes")]
    Reset(Reset),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// A shard to forget, as `offsets show` names it; may be given several times. Left out: all.
    #[arg(long = "shard", value_name = "KEY")]
    pub(crate) shards: Vec<String>,

    /// Really forget.
    #[arg(long)]
    pub(crate) yes: bool,

    /// Forget although an instance seems to run.
    #[arg(long, requires = "yes")]
    pub(crate) force: bool,
}
