//! Several upstreams of one feed: what must be so that the first copy to arrive can be passed on.

use super::super::config::{Boundary, Config};
use super::resume::CheckedResume;
use headwater_engine::spec::{NodeView, Report};

/// Reports what does not go with `dedupe.scope: upstreams`.
pub(super) fn check(
    config: &Config,
    resume: Option<&CheckedResume>,
    view: &NodeView<'_>,
    report: &mut Report,
) {
    let Some(plan) = resume.map(|resume| &resume.plan) else { return };
    if !plan.dedupe.as_ref().is_some_and(|dedupe| dedupe.is_shared) {
        return;
    }
    if config.endpoint.is_some() {
        report
            .error(&view.at(&["resume", "dedupe", "scope"]), "one endpoint is no several upstreams")
            .detail("expected with `scope: upstreams`: `endpoints` or `targets`");
    }
    if plan.rules.boundary != Boundary::Message {
        report
            .error(
                &view.at_key(&["resume", "boundary"]),
                "groups do not go with `dedupe.scope: upstreams`",
            )
            .detail(
                "of a group that one upstream holds back, another would drop its copies, and rely \
                 on what may be forgotten",
            )
            .hint("leave `boundary` out");
    }
}
