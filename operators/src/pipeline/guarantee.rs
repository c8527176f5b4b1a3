//! What each stream is promised, derived from its source and sink, and never more.
//!
//! A stream is one way from a source to a sink. The weakest part decides; the field that weakens it
//! is named, so that a person knows what to change.

use crate::sink::kafka::KafkaSink;
use crate::source::Resumability;
use crate::source::grpc::GrpcSource;
use headwater_engine::spec::{Plan, PlanNode, Role};
use std::fmt;

/// What readers of a sink may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// Nothing outlives the process.
    None,
    /// A cursor is declared, but what it says leaves a doubt: messages may be lost or repeated in
    /// the case that the weakening field names, and nothing reports it.
    BestEffort,
    /// No duplicates of our making; what the server sends while nobody listens is lost, and each
    /// such place is reported.
    NoDuplicatesWithReportedGaps,
    /// No loss; a crash repeats what was not yet followed by its progress.
    AtLeastOnce,
    /// No loss; a message that the server sends again is known among the newest ones, and one that
    /// comes again later is written twice.
    ExactlyOnceWithinWindow,
    /// Every message once, in order, for readers with `isolation.level=read_committed`.
    ExactlyOnce,
}

/// One way from a source to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamGuarantee {
    /// The source's name.
    pub source: String,
    /// The sink's name.
    pub sink: String,
    /// What is promised.
    pub guarantee: Guarantee,
    /// The fields that weaken it, and what each costs; empty for [`Guarantee::ExactlyOnce`].
    pub weakened_by: Vec<Weakness>,
}

/// A field that weakens a guarantee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// The field, as `node.key`.
    pub field: String,
    /// What it costs.
    pub because: String,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guarantee::None => "none",
            Guarantee::BestEffort => "best_effort",
            Guarantee::NoDuplicatesWithReportedGaps => "no_duplicates_with_reported_gaps",
            Guarantee::AtLeastOnce => "at_least_once",
            Guarantee::ExactlyOnceWithinWindow => "exactly_once_within_window",
            Guarantee::ExactlyOnce => "exactly_once",
        })
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.because)
    }
}

/// Every way from a source to a sink, in the order of the file.
#[must_use]
pub fn streams(plan: &Plan) -> Vec<StreamGuarantee> {
    let sources: Vec<&PlanNode> = plan.of_role(Role::Source).collect();
    let mut streams = Vec::new();
    for source in sources {
        for sink in plan.of_role(Role::Sink).filter(|sink| reaches(plan, source, sink)) {
            streams.push(derive(source, sink));
        }
    }
    streams
}

/// Whether what `from` gives comes to `to`.
pub(super) fn reaches(plan: &Plan, from: &PlanNode, to: &PlanNode) -> bool {
    ways(plan, from, to) > 0
}

/// How many ways lead from one node to another. Every node stands behind its inputs in a plan, so
/// one walk counts, however the graph forks and joins.
pub(super) fn ways(plan: &Plan, from: &PlanNode, to: &PlanNode) -> usize {
    let mut ways = vec![0_usize; plan.nodes().len()];
    ways[from.index] = 1;
    for node in &plan.nodes()[from.index + 1..] {
        let of_inputs = plan.inputs(node).map(|input| ways[input.index]);
        ways[node.index] = of_inputs.fold(0, usize::saturating_add);
    }
    ways[to.index]
}

fn derive(source: &PlanNode, sink: &PlanNode) -> StreamGuarantee {
    let (of_source, source_weakness) = source_part(source);
    let (of_sink, sink_weakness) = sink_part(sink);
    StreamGuarantee {
        source: source.name.clone(),
        sink: sink.name.clone(),
        guarantee: of_source.min(of_sink),
        weakened_by: source_weakness.into_iter().chain(sink_weakness).collect(),
    }
}

/// What a source promises, and what weakens it.
pub(super) fn source_part(source: &PlanNode) -> (Guarantee, Option<Weakness>) {
    let weakness = |field: &str, because: &str| {
        Some(Weakness { field: format!("{}.{field}", source.name), because: because.to_owned() })
    };
    match source.config::<GrpcSource>().resumability() {
        Resumability::Exact => (Guarantee::ExactlyOnce, None),
        Resumability::Weakened { field, because } => {
            (Guarantee::BestEffort, weakness(field, &because))
        }
        Resumability::Acknowledged { window: Some(window) } => {
            let because = format!(
                "a message that the server sends again is known among the newest {window}, and \
                 written again if it comes later"
            );
            (Guarantee::ExactlyOnceWithinWindow, weakness("resume.dedupe", &because))
        }
        Resumability::Acknowledged { window: None } => (
            Guarantee::AtLeastOnce,
            weakness(
                "stream.ack",
                "messages are acknowledged behind their commit, so the server sends again what was \
                 committed when a call or the process ended before the acknowledgement arrived",
            ),
        ),
        Resumability::None => (
            Guarantee::NoDuplicatesWithReportedGaps,
            weakness(
                "resume",
                "not declared: what the server sends while no call is open, and what was received but \
                 not committed at a crash, is lost; each such place is reported; what the server \
                 itself sends again at a new call is passed on",
            ),
        ),
    }
}

/// What a sink promises, and what weakens it.
pub(super) fn sink_part(sink: &PlanNode) -> (Guarantee, Option<Weakness>) {
    let weakness = |field: &str, because: &str| {
        Some(Weakness { field: format!("{}.{field}", sink.name), because: because.to_owned() })
    };
    if sink.kind != "kafka" {
        return (Guarantee::None, weakness("kind", "this sink keeps nothing"));
    }
    if sink.config::<KafkaSink>().is_transactional() {
        return (Guarantee::ExactlyOnce, None);
    }
    let because = "progress follows its records instead of sharing their transaction: a crash \
                   repeats what lies between";
    (Guarantee::AtLeastOnce, weakness("delivery", because))
}
