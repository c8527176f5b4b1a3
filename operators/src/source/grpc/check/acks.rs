//! Acks beside `resume`: keys by which what comes again could be known.

use super::super::config::Mode;
use super::super::outgoing::StreamPlan;
use super::resume::CheckedResume;
use headwater_engine::spec::{NodeView, Report};

/// Warns of a key that is another one at each delivery.
pub(super) fn check(
    stream: Option<&StreamPlan>,
    resume: Option<&CheckedResume>,
    view: &NodeView<'_>,
    report: &mut Report,
) {
    let ack = stream.and_then(|stream| stream.ack.as_ref());
    let plan = resume.map(|resume| &resume.plan).filter(|plan| plan.mode == Mode::Ack);
    let Some((ack, dedupe)) = ack.zip(plan.and_then(|plan| plan.dedupe.as_ref())) else { return };
    if dedupe.covers(&ack.from) {
        report
            .warning(
                &view.at(&["resume", "dedupe", "key"]),
                "the key holds what `stream.ack.from` names, which most servers give anew to each \
                 delivery: no message would be known again",
            )
            .hint("name fields that stay as they are when a message is sent again");
    }
}
