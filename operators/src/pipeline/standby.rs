//! What an instance does that a newer one has replaced.
//!
//! Two instances of one pipeline are common: a rolling deploy starts the new one before it stops
//! the old one, and a mistake runs two replicas. The one that started last runs the pipeline. The
//! other one closes its calls and stands by; when the first falls silent it takes over. So neither
//! writes twice, and they do not take the pipeline from each other in turns.

use crate::pipeline::assemble::assemble;
use crate::pipeline::run::RunContext;
use crate::pipeline::state::Phase;
use crate::sink::kafka::{Place, wait_for_silence};
use headwater_engine::failure::FailureReason;
use headwater_engine::spec::{Plan, WhenSuperseded};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// What comes after.
pub(super) enum Verdict {
    /// The newer instance fell silent.
    TakeOver,
    /// This one was asked to stop.
    Stopped,
    /// The pipeline file says that it ends.
    Exit,
}

/// Waits for the newer instance's silence, if the pipeline file wants that.
pub(super) async fn stand_by(plan: &Plan, context: &RunContext, reason: &FailureReason) -> Verdict {
    let settings = &plan.settings().takeover;
    if settings.when_superseded == WhenSuperseded::Exit {
        return Verdict::Exit;
    }
    let after = Duration::from_millis(settings.after_ms);
    context.status.set(Phase::Standby(reason.to_string()));
    let after_ms = settings.after_ms;
    tracing::warn!(event = "pipeline_standby", pipeline = plan.name(), after_ms, "{reason}");
    let outlet = assemble(plan, &context.incarnation()).outlet;
    let place = Place::of(&outlet.expect("only a Kafka pipeline has an owner"));
    tokio::select! {
        silence = listen(plan.name(), place, after, context.stop.clone()) => match silence {
            Ok(true) => {
                tracing::warn!(event = "pipeline_takeover", pipeline = plan.name(), after_ms);
                Verdict::TakeOver
            }
            Ok(false) => Verdict::Stopped,
            Err(_) => {
                tracing::error!(event = "standby_panicked", pipeline = plan.name());
                Verdict::Exit
            }
        },
        () = context.stop.cancelled() => Verdict::Stopped,
    }
}

/// Waits for silence on a thread of its own, which a stop leaves behind: while Kafka is away it may
/// wait longer for an answer than a stop may take.
fn listen(
    pipeline: &str,
    place: Place,
    after: Duration,
    stop: CancellationToken,
) -> oneshot::Receiver<bool> {
    let (told, silence) = oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("standby:{pipeline}"));
    let listen = move || {
        // After a stop nobody wants to know.
        let _ = told.send(wait_for_silence(&place, after, &stop));
    };
    thread.spawn(listen).expect("the system has room for a thread per pipeline");
    silence
}
