//! CPU and memory of this process, as Linux tells them.

use crate::exit::{Exit, Failed};
use procfs::process::Process;
use std::time::Duration;

/// What this process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// User and system, of all threads.
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
    pub(super) resident_bytes_max: u64,
}

impl Usage {
    /// Asks the system.
    pub(super) fn now() -> Result<Usage, Failed> {
        read().map_err(|error| Exit::Internal.saying(format!("/proc/self: {error}")))
    }
}

fn read() -> procfs::ProcResult<Usage> {
    let process = Process::myself()?;
    let (stat, status) = (process.stat()?, process.status()?);
    let ticks = (stat.utime + stat.stime) as f64;
    let bytes = |kib: Option<u64>| kib.unwrap_or(0) * 1024;
    Ok(Usage {
        cpu: Duration::from_secs_f64(ticks / procfs::ticks_per_second() as f64),
        resident_bytes: bytes(status.vmrss),
        resident_bytes_max: bytes(status.vmhwm),
    })
}
