//! How much the server may send: granted when the pipeline has taken what came.
//!
//! A grant goes out once half of the window is used, so that the server never waits for one while
//! there is room, and a busy stream costs one message per half window. Nothing is granted while a
//! batch waits for the engine's credit: that is the real back-pressure, and this passes it on.
//!
//! Invariant: what is granted and not yet taken never exceeds the window.

/// What a server was allowed and has not used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    size: u64,
    /// Allowed and not yet taken by the pipeline.
    open: u64,
}

impl Window {
    /// A call whose first grant is the whole window.
    pub(super) fn new(size: u64) -> Self {
        Window { size, open: size }
    }

    /// The pipeline has taken so many. A server that sends more than it was allowed gains nothing.
    pub(super) fn taken(&mut self, units: u64) {
        self.open = self.open.saturating_sub(units);
    }

    /// Whether a grant is due.
    pub(super) fn is_due(&self) -> bool {
        self.open <= self.size / 2
    }

    /// Fills the window up; how much that is.
    pub(super) fn grant(&mut self) -> u64 {
        self.size - std::mem::replace(&mut self.open, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_due_at_half_the_window_and_never_opens_more_than_it() {
        let mut window = Window::new(10);
        window.taken(4);
        assert!(!window.is_due());
        window.taken(1);
        assert!(window.is_due());
        assert_eq!(window.grant(), 5);
        assert!(!window.is_due());
        window.taken(25);
        assert_eq!(window.grant(), 10, "what came beyond the window is not granted again");
    }

    #[test]
    fn a_window_of_one_is_due_after_each() {
        let mut window = Window::new(1);
        assert!(!window.is_due());
        for _ in 0..3 {
            window.taken(1);
            assert!(window.is_due());
            assert_eq!(window.grant(), 1);
        }
    }
}
