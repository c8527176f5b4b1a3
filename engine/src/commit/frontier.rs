//! The frontier over all sinks and workers: the least of what each stage operator reported.

use crate::ids::Epoch;

/// Below this, nothing more will come from anywhere.
#[derive(Clone, Debug)]
pub struct Frontier {
    uppers: Vec<Option<Epoch>>,
}

/// How far all inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Upper {
    /// Nothing below this epoch will come.
    At(Epoch),
    /// Nothing will come at all.
    End,
}

impl Frontier {
    /// `inputs` stage operators, all of them at the beginning.
    ///
    /// # Panics
    /// Without inputs there would be no frontier.
    #[must_use]
    pub fn new(inputs: usize) -> Self {
        assert!(inputs > 0, "a pipeline has a sink");
        Frontier { uppers: vec![Some(Epoch(0)); inputs] }
    }

    /// Input `input` reached `upper`; `None` is its end.
    pub fn advance(&mut self, input: usize, upper: Option<Epoch>) {
        let before = self.uppers[input];
        debug_assert!(
            upper.is_none() || before.is_some_and(|before| upper >= Some(before)),
            "a frontier never goes back"
        );
        self.uppers[input] = upper;
    }

    /// The least of all inputs.
    #[must_use]
    pub fn upper(&self) -> Upper {
        self.uppers.iter().flatten().min().map_or(Upper::End, |epoch| Upper::At(*epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_input_holds_the_frontier_and_an_ended_one_does_not() {
        let mut frontier = Frontier::new(2);
        frontier.advance(0, Some(Epoch(5)));
        assert_eq!(frontier.upper(), Upper::At(Epoch(0)));
        frontier.advance(1, Some(Epoch(3)));
        assert_eq!(frontier.upper(), Upper::At(Epoch(3)));
        frontier.advance(1, None);
        assert_eq!(frontier.upper(), Upper::At(Epoch(5)));
        frontier.advance(0, None);
        assert_eq!(frontier.upper(), Upper::End);
    }
}
