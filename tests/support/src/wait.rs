//! Waiting for a condition, within a bound.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; fails, naming `what`, when it does not within `timeout`.
pub fn until(what: &str, timeout: Duration, condition: impl FnMut() -> bool) -> Result<()> {
    let mut condition = condition;
    until_ok(what, timeout, || Ok(condition()))
}

/// As [`until`], for a condition that may fail for good.
pub fn until_ok(
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + timeout;
    while !condition()? {
        if Instant::now() >= deadline {
            bail!("waited {timeout:?} in vain for: {what}");
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut looks = 0;
        until("the third look", Duration::from_secs(5), || {
            looks += 1;
            looks == 3
        })
        .unwrap();
    }

    #[test]
    fn a_wait_in_vain_says_what_it_waited_for() {
        let error = until("the moon", Duration::from_millis(10), || false).unwrap_err();
        assert!(error.to_string().contains("the moon"), "{error}");
    }
}
