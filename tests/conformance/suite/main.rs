//! What Headwater needs of a Kafka broker, as checks that know nothing of the broker behind the
//! address: each runs against the embedded broker and, with `HEADWATER_KAFKA=real`, against
//! Apache Kafka, with the same expectations. What the embedded broker passes here is what a test
//! on it may rely on.
//!
//! The checks are grouped by subject under `checks/`; `clients.rs` holds the librdkafka clients
//! and `cluster.rs` the two clusters.

mod checks {
    pub(crate) mod crashes;
    pub(crate) mod groups;
    pub(crate) mod records;
    pub(crate) mod topics;
    pub(crate) mod transactions;
}
mod clients;
mod cluster;

use checks::{crashes, groups, records, topics, transactions};

/// Makes of each check one test on each broker.
macro_rules! conformance {
    ($($cluster:ident: $($module:ident::$check:ident),+;)+) => {
        mod embedded {
            use super::*;
            $($(#[test]
            fn $check() -> anyhow::Result<()> {
                cluster::embedded::$cluster(|cluster| $module::$check(cluster))
            })+)+
        }
        mod real {
            use super::*;
            $($(#[test]
            fn $check() -> anyhow::Result<()> {
                cluster::real::$cluster(stringify!($check), |cluster| $module::$check(cluster))
            })+)+
        }
    };
}

conformance! {
    steady:
        topics::topics_are_created_grown_and_deleted,
        topics::a_compacted_topic_keeps_the_newest_of_each_key,
        topics::a_message_over_the_topics_limit_is_refused,
        records::keys_headers_times_and_offsets_are_kept,
        records::every_codec_is_kept,
        records::an_idempotent_producer_keeps_its_order,
        transactions::a_commit_shows_all_topics_at_once,
        transactions::an_abort_stays_invisible,
        transactions::an_open_transaction_holds_the_stable_offset,
        transactions::a_zombie_with_an_open_transaction_is_fenced,
        transactions::a_zombie_that_begins_later_is_fenced,
        transactions::a_fenced_producer_does_not_come_back,
        transactions::an_overdue_transaction_is_aborted,
        transactions::random_commits_aborts_and_takeovers_leave_what_was_committed,
        groups::offsets_commit_with_their_transaction_and_roll_back,
        groups::two_members_share_and_one_takes_over,
        groups::a_stale_generation_cannot_commit;
    crashing:
        crashes::a_restart_keeps_the_data_and_aborts_what_was_open,
        crashes::exactly_once_holds_under_repeated_kills;
}

/// Not a check: the process that the crash checks kill. It runs only when `cluster.rs` starts it.
#[test]
#[ignore = "the broker process that the crash checks start and kill"]
fn broker_process() -> anyhow::Result<()> {
    cluster::embedded::serve_until_killed()
}
