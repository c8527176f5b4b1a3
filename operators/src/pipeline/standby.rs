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
    let stop = context.stop.clone();
    // It blocks in the Kafka client, for a tenth of a second at a time.
    let watch = tokio::task::spawn_blocking(move || wait_for_silence(&place, after, &stop));
    match watch.await {
        Ok(true) => {
            tracing::warn!(event = "pipeline_takeover", pipeline = plan.name(), after_ms);
            Verdict::TakeOver
        }
        Ok(false) => Verdict::Stopped,
        Err(error) => {
            tracing::error!(event = "standby_panicked", pipeline = plan.name(), %error);
            Verdict::Exit
        }
    }
}
