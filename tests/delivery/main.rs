//! The promise itself: what a reader of the topic finds after everything that can go wrong did.
//!
//! Goal: every message once and in order per shard, and nothing lost, whatever dies.
//! Method: the real binary between a scripted gRPC server and a broker. The server keeps a ledger,
//! a fresh `read_committed` reader is compared with it, and each test proves that its fault hit.
//!
//! With `HEADWATER_KAFKA=real` the broker is Apache Kafka, started by `scripts/kafka`, as CI does;
//! without it the embedded one serves wherever it can be had the fault with, and the rest says
//! aloud that it was skipped. The fail points of `faults` are built into the program by
//! `--features failpoints` only, which `scripts/test` gives.
//!
//! | file | goal |
//! |---|---|
//! | `acks` | what is acknowledged is committed, and what is not comes again |
//! | `kills` | kill -9 at random moments loses nothing and repeats nothing |
//! | `instances` | a second instance takes over, and the first one leaves |
//! | `broker` | a broker that dies, freezes and comes back |
//! | `cluster` | coordinators and leaders that move, and too few copies in sync |
//! | `disk` | a broker whose disk is full |
//! | `expiry` | pauses longer than the broker keeps transactional ids |
//! | `partitions` | partitions that are added to a topic under a pipeline |
//! | `proxied` | requests and answers of a commit that are lost, doubled or late |
//! | `server` | cuts, ends, statuses, overlaps and gaps of the gRPC server |
//! | `gaps` | where messages are missing is written down once |
//! | `converted` | a converted connector brings the bytes of the connector |
//! | `dead_letters` | what cannot be decoded is kept once, or stops the pipeline |
//! | `refusals` | what Kafka refuses is kept once, or stops the pipeline, and nothing is lost |
//! | `rights` | a missing right is named, and once granted nothing is lost |
//! | `topics` | a missing topic is told, and no topic is made unasked |
//! | `demo` | the demo on a cluster of the visitor's |
//! | `stopping` | a stop commits what was received |
//! | `tls` | mutual TLS, and what is said where it fails |
//! | `fleet` | servers that join and leave while records flow |
//! | `upstreams` | one feed from two servers, each of which may die |
//! | `shapes` | both deliveries, fan-out, many shards |
//! | `transforms` | what a filter leaves is in the topics that timestamps name, once |
//! | `faults` | the program dies, panics or stalls at a named point of a record's way |
//! | `resumes` | the ways a source goes on after that |
//! | `resumable` | groups, replayed streams and known keys, killed at random moments |
//! | `polling` | a unary method that is asked page by page, killed at random moments |
//! | `mutations` | the judge of all this turns red when the promise is broken |
//! | `sabotage` | the same, where a protection of the program is taken away |

#[cfg(feature = "failpoints")]
mod acks;
mod broker;
mod cluster;
mod converted;
mod dead_letters;
mod demo;
mod disk;
mod expiry;
#[cfg(feature = "failpoints")]
mod faults;
mod fleet;
mod gaps;
mod instances;
mod kills;
mod mutations;
mod partitions;
mod polling;
mod proxied;
mod refusals;
mod resumable;
#[cfg(feature = "failpoints")]
mod resumes;
mod rights;
#[cfg(feature = "failpoints")]
mod sabotage;
mod server;
mod shapes;
mod stopping;
mod tls;
mod topics;
mod transactions;
mod transforms;
mod upstreams;
mod world;
