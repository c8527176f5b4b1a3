//! Every bound of `headwater bench` by its name.

use std::time::Duration;

/// How long the first message may take to arrive; a pipeline that cannot start would try for ever.
pub(super) const FIRST_MESSAGE_MAX: Duration = Duration::from_secs(60);

/// How long a generator or broker may take to start.
pub(super) const CHILD_START_MAX: Duration = Duration::from_secs(60);

/// The longest latency that is told apart.
pub(super) const LATENCY_MAX: Duration = Duration::from_secs(3_600);

/// Different messages that a generator sends in turn.
pub(super) const POOL_MESSAGES: usize = 256;

/// How deep messages nest in a generated message.
pub(super) const NESTED_MAX: u32 = 3;

/// Values in a generated message, over all its depths: types may nest widely.
pub(super) const VALUES_MAX: usize = 400;

/// Characters that a name may have, of a pipeline and of a Kafka topic.
pub(super) const PIPELINE_CHARS_MAX: usize = headwater_engine::spec::NAME_CHARS_MAX;
pub(super) const TOPIC_CHARS_MAX: usize = 249;

/// Partitions of a topic that exists nowhere and of which nobody says how many it has.
pub(super) const PARTITIONS_DEFAULT: i32 = 4;
