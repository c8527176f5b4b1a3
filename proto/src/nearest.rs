//! The nearest known name to one that is not known, for hints.

/// How alike two names must be (Jaro-Winkler, 0 to 1) to be worth a hint.
const LIKENESS_MIN: f64 = 0.75;

/// The candidate most like `name`, if any is like it at all.
pub(crate) fn nearest(
    name: &str,
    candidates: impl IntoIterator<Item = impl AsRef<str>>,
) -> Option<String> {
    let wanted = name.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (likeness(&wanted, candidate.as_ref()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

/// Every candidate, the most alike first, at most `limit` of them and only those worth a hint.
pub fn nearest_few<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    limit: usize,
) -> Vec<String> {
    let wanted = name.to_ascii_lowercase();
    let mut ranked: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (likeness(&wanted, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .collect();
    ranked.sort_by(|left, right| right.0.total_cmp(&left.0));
    ranked.into_iter().take(limit).map(|(_, candidate)| candidate.to_owned()).collect()
}

fn likeness(wanted: &str, candidate: &str) -> f64 {
    strsim::jaro_winkler(wanted, &candidate.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let known = ["sequence", "site", "payload"];
        assert_eq!(nearest("sequnce", known), Some("sequence".to_owned()));
    }

    #[test]
    fn a_foreign_name_finds_nothing() {
        assert_eq!(nearest("xyzzy", ["sequence", "site"]), None);
    }
}
