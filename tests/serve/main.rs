//! `headwater serve`: pipelines that come and go while the process runs, and what they lose by it:
//! nothing.
//!
//! Goal: what is asked for over REST is kept in Kafka and done, whatever dies in between; pipelines
//! beside it do not notice; who may not ask gets nothing.
//! Method: the real binary between a scripted gRPC server and a broker, driven over its API as a
//! client would. A fresh `read_committed` reader is compared with the server's ledger.
//!
//! The broker is chosen as in `tests/delivery`, with which this shares its judge.
//!
//! | file | goal |
//! |---|---|
//! | `lifecycle` | made, watched, paused, resumed, replaced, kept over a restart, deleted |
//! | `connectors`, `connector` | the same for a connector, over Kafka Connect's paths |
//! | `client` | a public client of Kafka Connect drives a connector |
//! | `configs` | what the config topic must be, and what is kept in it |
//! | `instances` | of two instances one runs everything, and the other takes over |
//! | `forwarded` | the other takes to the first what that alone can answer |
//! | `many` | 200 pipelines at once; pipelines that come and go beside a busy one |
//! | `hostile`, `hostile_connectors` | requests too large, malformed, slow, full of tricks |
//! | `security` | who may ask |
//! | `faults` | the program dies in the middle of a change |

mod client;
mod configs;
mod connector;
mod connectors;
#[cfg(feature = "failpoints")]
mod faults;
mod forwarded;
mod hostile;
mod hostile_connectors;
mod instances;
mod lifecycle;
mod many;
mod security;
mod served;
#[allow(dead_code, reason = "the judge of exactly once, with more in it than is needed here")]
#[path = "../delivery/world.rs"]
mod world;
