//! Connections: frames in, frames out, one request at a time in the order they came.
//!
//! What is malformed closes its connection with a log line and touches nothing else.
//!
//! Next: `api/mod.rs` answers a frame.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::api::{self, Refused};
use crate::core::{Core, Stopped};
use crate::limits::{CONNECTIONS_MAX, FRAME_BYTES_FIRST, FRAME_BYTES_MAX, TICK};

/// How long to wait when the system has no more file handles for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a connection was closed by the broker.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("a frame of {size} bytes was announced; the limit is {FRAME_BYTES_MAX}")]
    FrameSize { size: i32 },
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the connection broke: {0}")]
    Broke(#[from] io::Error),
}

/// Serves until it is dropped, which drops every connection.
pub(crate) async fn run(listener: TcpListener, core: Core) {
    let mut tasks = JoinSet::new();
    tasks.spawn(tick(core.clone()));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                let core = core.clone();
                tasks.spawn(async move {
                    let _place = place;
                    report(peer, serve(stream, &core).await);
                });
            }
            Err(error) => {
                tracing::warn!(event = "accept_failed", %error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
}

async fn tick(core: Core) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        match core.run(crate::state::State::tick).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(event = "cleaning_failed", %error),
            Err(Stopped) => return,
        }
    }
}

/// Serves one connection until the client closes it.
async fn serve(mut stream: TcpStream, core: &Core) -> Result<(), Closed> {
    stream.set_nodelay(true)?;
    while let Some(frame) = read(&mut stream).await? {
        if let Some(response) = api::answer(frame, core).await? {
            stream.write_all(&response).await?;
        }
    }
    Ok(())
}

/// Reads a frame; `None` is the end between two frames.
async fn read(stream: &mut TcpStream) -> Result<Option<Bytes>, Closed> {
    let size = match stream.read_i32().await {
        Ok(size) => size,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let length = usize::try_from(size).ok().filter(|it| *it <= FRAME_BYTES_MAX);
    let length = length.ok_or(Closed::FrameSize { size })?;
    let mut frame = BytesMut::with_capacity(length.min(FRAME_BYTES_FIRST));
    let mut rest = stream.take(length as u64);
    while frame.len() < length {
        if rest.read_buf(&mut frame).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(Some(frame.freeze()))
}

fn report(peer: SocketAddr, served: Result<(), Closed>) {
    match served {
        Ok(()) | Err(Closed::Refused(Refused::Stopped(_))) => {}
        // Clients that are killed break their connections; that is no news.
        Err(Closed::Broke(error)) => {
            tracing::debug!(event = "connection_broke", %peer, %error);
        }
        Err(reason) => tracing::warn!(event = "connection_closed", %peer, %reason),
    }
}
