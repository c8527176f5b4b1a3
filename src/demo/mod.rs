//! `headwater demo`: a gRPC stream arriving in Kafka exactly once, with nothing to set up.
//!
//! One process holds a sample server, a development broker, the pipeline of
//! `examples/pipelines/demo.yaml` and a `read_committed` reader. Nothing is simulated: the server
//! is a real gRPC server, the broker speaks Kafka's protocol, the reader is an ordinary Kafka
//! client.
//!
//! | file | what |
//! |---|---|
//! | `command` | brings it all up, watches, takes it down in the right order |
//! | `world` | server, broker and plan |
//! | `reader` | the thread that reads the topic |
//! | `ledger` | what it has seen: missing, twice, out of order, how late |
//! | `verdict` | whether what was read is what was sent |
//! | `view` | what is printed |
//!
//! Next: `src/demo/command.rs`.

mod command;
mod ledger;
mod reader;
mod verdict;
mod view;
mod world;

pub(crate) use command::demo;
