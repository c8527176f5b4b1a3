//! The one runtime behind the blocking face of this crate.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

/// Never dropped: servers and brokers of all tests of a process run on it.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(2).thread_name("test-support").enable_all();
    builder.build().expect("a runtime of two threads can be made")
});
