//! What can be generated for a source: which fields of its messages are new in each, and how.
//!
//! Next: `src/bench/sample.rs` encodes such messages.

use crate::bench::sample::{Live, What, can_tell, number_max};
use headwater_engine::spec::{Plan, PlanNode, Role};
use headwater_operators::sink::kafka::KafkaSink;
use headwater_operators::source::grpc::{CursorField, GrpcSource};
use headwater_proto::{FieldPath, MessageDescriptor};
use prost_reflect::FieldDescriptor;

/// The part that a generator plays for one source.
pub(super) struct Part {
    pub(super) message: MessageDescriptor,
    pub(super) live: Vec<Live>,
    /// The highest number that all fields of the cursor can bear.
    pub(super) number_max: u64,
    /// The names of fields that are keys of records.
    pub(super) keys: Vec<String>,
}

/// Why nothing can be generated for some source of a plan, if that is so.
pub(super) fn objection(plan: &Plan) -> Option<String> {
    plan.of_role(Role::Source).find_map(|node| Part::of(plan, node).err())
}

impl Part {
    /// What can be generated for the source at `node`; why not, for people.
    pub(super) fn of(plan: &Plan, node: &PlanNode) -> Result<Part, String> {
        let source = node.config::<GrpcSource>();
        if source.is_polled() {
            return Err(format!(
                "source `{}` is polled, and a generator only streams; leave --generate out",
                node.name
            ));
        }
        if source.takes_stream() {
            return Err(format!(
                "source `{}`: its method is bidirectional, and a generator plays servers that take \
                 one request; leave --generate out",
                node.name
            ));
        }
        let message = source.message().clone();
        let mut part = Part { message, live: Vec::new(), number_max: u64::MAX, keys: Vec::new() };
        for field in source.cursor_fields() {
            part.add_cursor(&node.name, &field)?;
        }
        for sink in sinks_behind(plan, node) {
            part.add_time(sink);
            let paths = sink.key.iter().flat_map(|key| key.paths());
            part.keys.extend(paths.filter_map(last_name));
        }
        Ok(part)
    }

    fn add_cursor(&mut self, source: &str, field: &CursorField) -> Result<(), String> {
        let numbers = field.path.numbers();
        let leaf = numbers.as_ref().and_then(|numbers| leaf(&self.message, numbers));
        let Some(leaf) = leaf.filter(|leaf| can_tell(leaf, What::Number)) else {
            return Err(format!(
                "source `{source}`: no messages can be generated whose cursor `{}` ascends in \
                 `{}`: expected a number, a text, bytes or a timestamp, in no map and in no later \
                 element of a list; leave --generate out, or take `resume` out of a copy of the \
                 file",
                field.name, field.path
            ));
        };
        self.number_max = self.number_max.min(number_max(&leaf));
        self.live.push(Live { numbers: numbers.unwrap_or_default(), what: What::Number });
        Ok(())
    }

    /// Records bear the time they were sent, or retention would take them at once. What cannot tell
    /// it keeps what is drawn; so does a field on the way to, or behind, one that is told already.
    fn add_time(&mut self, sink: &KafkaSink) {
        let Some((path, unit)) = &sink.timestamp else { return };
        let path = FieldPath::compile(&self.message, path).ok();
        let Some(numbers) = path.and_then(|path| path.numbers()) else { return };
        let what = What::Time(*unit);
        let is_taken =
            |live: &Live| live.numbers.starts_with(&numbers) || numbers.starts_with(&live.numbers);
        let can_tell = leaf(&self.message, &numbers).is_some_and(|leaf| can_tell(&leaf, what));
        if can_tell && !self.live.iter().any(is_taken) {
            self.live.push(Live { numbers, what });
        }
    }
}

/// The field at the end of a way that leads through messages only.
fn leaf(message: &MessageDescriptor, numbers: &[u32]) -> Option<FieldDescriptor> {
    let (first, rest) = numbers.split_first()?;
    let field = message.get_field(*first)?;
    if rest.is_empty() {
        return Some(field);
    }
    let is_message = !field.is_map() && !field.is_group();
    leaf(field.kind().as_message().filter(|_| is_message)?, rest)
}

/// The Kafka sinks that a source's messages get to.
fn sinks_behind<'p>(plan: &'p Plan, source: &'p PlanNode) -> Vec<&'p KafkaSink> {
    let mut reached = vec![source];
    let mut at = 0;
    while let Some(node) = reached.get(at).copied() {
        let next =
            plan.outputs(node).filter(|next| !reached.iter().any(|it| it.index == next.index));
        let next: Vec<&PlanNode> = next.collect();
        reached.extend(next);
        at += 1;
    }
    let kafka = reached.into_iter().filter(|node| node.kind == "kafka");
    kafka.map(|node| node.config::<KafkaSink>()).collect()
}

/// The name of the field at the end of a path.
fn last_name(path: &str) -> Option<String> {
    let last = path.rsplit('.').next()?;
    Some(last.split('[').next().unwrap_or(last).to_owned())
}
