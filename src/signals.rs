//! Ctrl-C and SIGTERM: the first asks to stop, the second leaves at once.

use crate::exit::{Exit, Failed};
use crate::screen::Screen;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What comes so soon after the first signal is the same request: `timeout` and other wrappers send
/// theirs to the process and to its group.
const SAME_REQUEST: Duration = Duration::from_millis(200);

/// The signals a stop is asked for with.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over; from here on they no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failed> {
        let listen = |kind| signal(kind).map_err(|error| Exit::Internal.because(error));
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Signals { interrupt, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one; its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Cancels `stop` at the first signal and ends the process at the second.
    pub(crate) async fn obey(mut self, stop: CancellationToken, screen: Screen) {
        let signal = self.next().await;
        tracing::info!(event = "stop_requested", signal, "a second signal leaves at once");
        stop.cancel();
        let asked = Instant::now();
        let mut signal = self.next().await;
        while asked.elapsed() < SAME_REQUEST {
            signal = self.next().await;
        }
        screen.settle();
        tracing::warn!(
            event = "interrupted",
            signal,
            "the next start goes on behind the last commit"
        );
        std::process::exit(Exit::Interrupted.code().into());
    }
}
