//! The development broker as a process of its own, so that a test can kill it.
//!
//! Prints its address on standard output and nothing else there.

use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use headwater_broker::{Broker, BrokerConfig, Journal};

/// One-node Kafka broker for development and tests, never for production.
#[derive(Debug, Parser)]
struct Arguments {
    /// Listen on this port of 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Keep data in this file; without it, in memory.
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Answer a request only when it is on disk.
    #[arg(long)]
    fsync: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(is_terminal).init();
    let config = BrokerConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)),
        journal: arguments.journal.map_or(Journal::Memory, Journal::File),
        fsync: arguments.fsync,
    };
    match Broker::start(config).await {
        Ok(broker) => serve(broker).await,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(broker: Broker) -> ExitCode {
    eprintln!("headwater-dev-broker is for development, not for production");
    println!("{}", broker.bootstrap());
    // A reader behind a pipe waits for this line.
    std::io::stdout().flush().ok();
    tokio::signal::ctrl_c().await.ok();
    broker.shutdown().await;
    ExitCode::SUCCESS
}
