//! Finds the known word a person probably meant.
//!
//! Why not distance alone: `keepAliveMs` and `keep-alive-ms` are five edits away from
//! `keepalive_ms`, and the same word to a person. Case and separators are ignored first.

use strsim::damerau_levenshtein;

/// The candidate nearest to a word, if one is near enough to suggest.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = folded(word);
    let distances = candidates.into_iter().map(|candidate| {
        let folded = folded(candidate);
        let bound = word.chars().count().max(folded.chars().count()) / 3;
        (damerau_levenshtein(&word, &folded), bound.max(1), candidate)
    });
    // A word of one letter is one edit away from every other one: it suggests nothing.
    let near = distances.filter(|(distance, bound, candidate)| {
        *distance == 0 || (distance <= bound && candidate.chars().count() > 1)
    });
    near.min_by_key(|(distance, ..)| *distance).map(|(.., candidate)| candidate)
}

/// Cut so that a hostile key does not cost a quadratic comparison.
fn folded(word: &str) -> String {
    let letters = word.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' '));
    letters.take(80).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_a_different_word_is_not() {
        let known = ["keepalive_ms", "topic", "to", "endpoint"];
        assert_eq!(nearest("keepAliveMs", known), Some("keepalive_ms"));
        assert_eq!(nearest("keepalive", known), Some("keepalive_ms"));
        assert_eq!(nearest("topik", known), Some("topic"));
        assert_eq!(nearest("ot", known), Some("to"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest("", known), None);
    }
}
