//! `telemetry-server`: the sample server as a process of its own.

use std::io::Write;
use std::net::SocketAddr;

use clap::Parser;
use headwater_telemetry::TelemetryServer;

/// Streams telemetry of a made-up fleet: bench.v1.Telemetry/Subscribe.
///
/// Prints the address it listens on, then serves until it is interrupted. A request may set
/// from_sequence, count, rate, payload_bytes, and a site as filter ("idle" sends nothing).
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,

    /// Events per second for requests that name no rate; 0 for as fast as the client reads.
    #[arg(long, value_name = "N", default_value_t = 0)]
    rate: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let server = match TelemetryServer::start_paced(arguments.listen, arguments.rate).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("telemetry-server: {error}");
            std::process::exit(1);
        }
    };
    println!("{}", server.local_addr());
    std::io::stdout().flush()?;
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
