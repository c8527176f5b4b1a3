//! What is wanted otherwise than a real worker does it: `deviations.json`, beside this file.
//!
//! Each names a call of a case, says why, and holds the answer that is given here, which is
//! compared like a recorded one. A call that comes to be answered as the worker does must lose its
//! deviation: that fails too.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::case::{Answer, Call, Case, root};

/// One call that is answered otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// The case's name.
    case: String,
    /// Which call of it, from 1.
    call: usize,
    /// Why.
    because: String,
    /// What the call is repeated for, in place of what the case says.
    #[serde(default)]
    pub until: BTreeMap<String, Value>,
    pub answer: Answer,
    /// Calls that make up for what the deviation has done, so that the case can go on.
    #[serde(default)]
    pub then: Vec<Call>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Deviations(Vec<Deviation>);

const FILE: &str = "tests/connect/deviations.json";

impl Deviations {
    /// Reads the file; each of them must be of a call that there is.
    pub fn load(cases: &[Case]) -> Result<Deviations> {
        let text = fs::read_to_string(root().join(FILE))?;
        let all: Vec<Deviation> = serde_json::from_str(&text).context(FILE)?;
        for (place, one) in all.iter().enumerate() {
            let Deviation { case, call, because, .. } = one;
            ensure!(!because.is_empty(), "{case}, call {call} deviates for no reason");
            let is_twice = all[..place].iter().any(|it| it.case == *case && it.call == *call);
            ensure!(!is_twice, "{case}, call {call} deviates twice");
            if let Some(found) = cases.iter().find(|it| it.name == *case) {
                let count = found.scenario.calls.len();
                ensure!((1..=count).contains(call), "{case} has no call {call}");
            }
        }
        Ok(Deviations(all))
    }

    /// That of a call, if it deviates.
    pub fn of(&self, case: &str, index: usize) -> Option<&Deviation> {
        self.0.iter().find(|it| it.case == case && it.call == index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::load_all;

    #[test]
    fn every_deviation_is_of_a_call_of_a_case() {
        let cases = load_all(&[]).unwrap();
        let deviations = Deviations::load(&cases).unwrap();
        for one in &deviations.0 {
            assert!(cases.iter().any(|it| it.name == one.case), "{}", one.case);
        }
    }
}
