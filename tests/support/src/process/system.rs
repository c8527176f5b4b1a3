//! What Linux tells of a process: memory and CPU; and signals to it.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Memory in RAM now.
    pub rss_bytes: u64,
    /// The most it ever was.
    pub rss_bytes_max: u64,
    /// CPU time of all threads, user and system.
    pub cpu: Duration,
}

/// The unit of CPU times in `/proc`: fixed at 100 per second by Linux's interface.
const TICK: Duration = Duration::from_millis(10);

/// What process `pid` has used so far.
pub fn usage(pid: u32) -> Result<Usage> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).with_context(|| format!("{path}: has it ended?"))
    };
    let status = read("status")?;
    Ok(Usage {
        rss_bytes: kib(&status, "VmRSS:")? << 10,
        rss_bytes_max: kib(&status, "VmHWM:")? << 10,
        cpu: cpu(&read("stat")?)?,
    })
}

/// Sends a signal by its name without SIG: `TERM`, `KILL`, `STOP`, `CONT`, `INT`.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    // The shell's own `kill`: no package is needed for it, and no unsafe code.
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -s \"$0\" \"$1\"", name]).arg(pid.to_string());
    let status = shell.status().context("cannot run sh")?;
    ensure!(status.success(), "cannot send SIG{name} to process {pid}");
    Ok(())
}

/// An address of loopback that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn kib(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix(name));
    let number = line.and_then(|it| it.split_whitespace().next());
    number.with_context(|| format!("/proc status has no {name}"))?.parse().context("a number of kB")
}

/// `utime` and `stime` are fields 14 and 15; the name, field 2, stands in brackets and may hold
/// anything.
fn cpu(stat: &str) -> Result<Duration> {
    let (_, behind_name) = stat.rsplit_once(')').context("/proc stat has no name")?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let mut ticks = 0;
    for _ in 0..2 {
        ticks += fields.next().context("/proc stat is short")?.parse::<u32>()?;
    }
    Ok(TICK * ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_uses_cpu_and_memory() {
        let before = usage(std::process::id()).unwrap();
        let block = vec![1_u8; 32 << 20];
        let mut noise = 1_u64;
        crate::wait::until("a tenth of a second of CPU", Duration::from_secs(30), || {
            noise = (0..1_000_000).fold(noise, |it, n| std::hint::black_box(it ^ n));
            let now = usage(std::process::id()).unwrap();
            now.cpu >= before.cpu + Duration::from_millis(100)
        })
        .unwrap();
        let after = usage(std::process::id()).unwrap();
        assert!(after.rss_bytes_max >= 32 << 20, "{} of {noise}", block.len());
        assert!(after.rss_bytes <= after.rss_bytes_max);
    }

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let stat = "7 (a) b (c) R 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 1 1 1";
        assert_eq!(cpu(stat).unwrap(), Duration::from_secs(3));
    }

    #[test]
    fn a_signal_ends_a_process() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        signal(child.id(), "TERM").unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(signal(child.id(), "TERM").is_err(), "it is gone");
    }
}
