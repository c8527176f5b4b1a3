//! The program under test as a child process, and what can be seen of it from outside.

mod headwater;
mod http;
mod metrics;
mod system;

pub use headwater::{Headwater, Launch};
pub use http::{Answer, get, request, send};
pub use metrics::{Histogram, Metrics};
pub use system::{Usage, free_address, signal, usage};
