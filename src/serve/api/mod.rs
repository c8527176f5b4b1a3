//! The REST API of `headwater serve`.
//!
//! ```text
//!   connection ─ listen ─► rate ─► auth ─► operation (path, method, query, body) ─► handler
//!                (TLS, limits)                  │
//!                                               └─ the same table makes the OpenAPI document
//! ```
//!
//! - `listen` accepts connections: TLS, limits, timeouts;
//! - `door` what is opened at the start: address, credentials;
//! - `credentials` and `auth` who may ask at all;
//! - `rate` how often one client may;
//! - `operation` the table of operations, and which of them a request means;
//! - `dispatch` from a request to an answer;
//! - `forward` what the leader alone can answer, taken to it;
//! - `answer` the shapes of answers, errors among them;
//! - `pipelines`, `shapes` what can be done with pipelines, `state` what is asked of the process;
//! - `tail` records as they pass by;
//! - `connect` the paths of Kafka Connect;
//! - `openapi` the document.

mod answer;
mod auth;
mod connect;
mod credentials;
mod dispatch;
pub(crate) mod door;
pub(crate) mod forward;
mod limits;
mod listen;
mod openapi;
mod operation;
mod pipelines;
mod rate;
mod shapes;
mod state;
mod tail;

use crate::connect::Worker;
use crate::serve::connector::ConnectorFiles;
use crate::serve::document::PipelineFiles;
use dispatch::Api;
use operation::Operation;
use std::sync::Arc;

/// What reads documents for requests.
#[derive(Clone)]
pub(crate) struct Readers {
    /// Those of pipelines whose name is not known yet.
    pub(crate) files: Arc<PipelineFiles>,
    pub(crate) connectors: Arc<ConnectorFiles>,
}

/// All operations of this program.
fn operations() -> Vec<Operation> {
    let mut all = pipelines::operations();
    all.extend(state::operations());
    all.extend(connect::operations());
    all
}

impl Readers {
    /// Those of a process that runs files: what is put is refused, whatever it is.
    pub(crate) fn of_files() -> Self {
        let base_dir = std::path::PathBuf::from(".");
        let connectors = ConnectorFiles::new(base_dir.clone(), Worker::default());
        Readers { files: Arc::new(PipelineFiles { base_dir }), connectors: Arc::new(connectors) }
    }
}
