//! What tests and benches share: a world around the program under test.
//!
//! - [`grpc`]: a real gRPC server that misbehaves by script, and keeps a ledger of what it did.
//! - [`etcd`]: a real etcd, which can be killed and restarted.
//! - [`tls`]: a certificate authority for one test.
//! - [`kafka`]: a broker, embedded or real, that can be killed, restarted and frozen.
//! - [`nodes`]: real Kafka of three brokers, each of which can be hurt by itself.
//! - [`proxy`]: stands between a client and a broker; holds, drops, doubles and cuts by rule.
//! - [`topic`]: reads a topic from start to end, and checks what was read.
//! - [`pipeline`]: writes pipeline files.
//! - [`process`]: the `headwater` binary as a child: its logs, metrics, memory, CPU and end.
//! - [`transactional`]: which transactional ids a broker knows.
//! - [`wait`]: waits for a condition, never for a time.
//!
//! Everything here blocks: a test is a plain `#[test]` that reads from top to bottom. What is
//! asynchronous inside runs on one runtime of this crate; none of it may be called from within
//! another runtime.

pub mod acl;
pub mod etcd;
pub mod grpc;
pub mod kafka;
pub mod nodes;
pub mod pipeline;
pub mod process;
pub mod proxy;
pub mod tls;
pub mod topic;
pub mod transactional;
pub mod wait;

mod runtime;
mod wire;
