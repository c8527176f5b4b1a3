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
//! - `answer` the shapes of answers, errors among them;
//! - `pipelines`, `shapes` what can be done with pipelines, `state` what is asked of the process;
//! - `tail` records as they pass by;
//! - `openapi` the document.
//!
//! Another family of paths (`/connectors`) brings operations of its own and uses
//! [`crate::serve::control::Control`] as `pipelines` does.

mod answer;
mod auth;
mod credentials;
mod dispatch;
pub(crate) mod door;
mod limits;
mod listen;
mod openapi;
mod operation;
mod pipelines;
mod rate;
mod shapes;
mod state;
mod tail;

use dispatch::Api;

use operation::Operation;

/// All operations of this program.
fn operations() -> Vec<Operation> {
    let mut all = pipelines::operations();
    all.extend(state::operations());
    all
}
