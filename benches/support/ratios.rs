//! The ratios a change may not make worse: CPU per message against a rival of the same run.
//!
//! Why ratios: a time holds for one machine and one hour. What the same work costs two programs
//! that take turns beside each other moves together, so their ratio can be kept in the repository.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// Where they are kept, for whoever has to raise or lower one.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ratios.json");

/// So much of a stored ratio is noise of a shared machine.
const TOLERANCE: f64 = 0.15;

/// What is stored for one benchmark: by case, the highest ratio that is right.
pub fn stored(bench: &str) -> Result<BTreeMap<String, f64>> {
    let text = std::fs::read_to_string(FILE).context(FILE)?;
    let mut all: BTreeMap<String, BTreeMap<String, f64>> = serde_json::from_str(&text)?;
    all.remove(bench).with_context(|| format!("{FILE} has nothing for {bench:?}"))
}

/// Compares what was measured with what is stored; every case that is too dear is named.
pub fn check(bench: &str, measured: &BTreeMap<String, f64>) -> Result<()> {
    let stored = stored(bench)?;
    let mut failed = Vec::new();
    for (case, stored) in &stored {
        let measured = measured.get(case).with_context(|| format!("{case:?} was not measured"))?;
        let most = stored * (1.0 + TOLERANCE);
        let word = if *measured > most { "TOO DEAR" } else { "right" };
        println!("{case}: ratio {measured:.2}, stored {stored:.2}, at most {most:.2}: {word}");
        if *measured > most {
            failed.push(case.as_str());
        }
    }
    ensure!(failed.is_empty(), "dearer than stored in {FILE}: {}", failed.join(", "));
    Ok(())
}
