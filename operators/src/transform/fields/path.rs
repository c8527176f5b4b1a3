//! The path of a field as Kafka Connect writes it in its second version of field syntax (KIP-821):
//! names with dots between them; a name that holds a dot stands in backticks, and a backtick that
//! would end it is written with a backslash before it.

const QUOTE: u8 = b'`';

/// A path does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backtick at character {} has no partner", .at + 1)]
pub(super) struct Unpaired {
    pub(super) at: usize,
}

/// The names that `path` consists of.
pub(super) fn parse(path: &str) -> Result<Vec<String>, Unpaired> {
    let mut names = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if rest.as_bytes()[0] != QUOTE {
            let (name, after) = rest.split_once('.').unwrap_or((rest, ""));
            names.push(name.to_owned());
            rest = after;
            continue;
        }
        let at = path.len() - rest.len();
        let (name, length) = quoted(&rest[1..]).ok_or(Unpaired { at })?;
        names.push(name);
        rest = rest[1 + length..].strip_prefix('.').unwrap_or("");
    }
    if path.ends_with('.') {
        names.push(String::new());
    }
    Ok(names)
}

/// A name up to the backtick that ends it, and how long it is with that one. Only one at the end of
/// the path or before a dot ends a name.
fn quoted(text: &str) -> Option<(String, usize)> {
    let (mut name, mut start) = (String::new(), 0);
    for (at, _) in text.match_indices('`') {
        let is_escaped = text[..at].ends_with('\\');
        let is_last = at + 1 == text.len();
        let is_before_dot = text.as_bytes().get(at + 1) == Some(&b'.');
        if is_last && is_escaped {
            return None;
        }
        if is_last || (is_before_dot && !is_escaped) {
            name.push_str(&text[start..at]);
            return Some((name, at + 1));
        }
        if is_before_dot {
            name.push_str(&text[start..at - 1]);
            name.push('`');
            start = at + 1;
        }
    }
    None
}

/// The path that means the one field `name`, whatever is in it; none for a name that no path means.
#[must_use]
pub fn literal(name: &str) -> Option<String> {
    if !name.is_empty() && !name.contains('.') && !name.starts_with('`') {
        return Some(name.to_owned());
    }
    let path = format!("`{}`", name.replace("`.", "\\`."));
    let is_meant = parse(&path).is_ok_and(|names| names == [name]);
    is_meant.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_between_dots_or_in_backticks() {
        let cases: [(&str, &[&str]); 10] = [
            ("a", &["a"]),
            ("a.b.c", &["a", "b", "c"]),
            ("`a.b`.c", &["a.b", "c"]),
            ("a.`b.c`", &["a", "b.c"]),
            ("`a`b`", &["a`b"]),
            ("`a\\`.b`", &["a`.b"]),
            ("a.", &["a", ""]),
            (".a", &["", "a"]),
            ("a`b", &["a`b"]),
            ("`größe`.x", &["größe", "x"]),
        ];
        for (path, names) in cases {
            assert_eq!(parse(path).as_deref(), Ok(&names.map_owned()[..]), "{path}");
        }
        for (path, at) in [("`a", 0), ("a.`b", 2), ("`a\\`", 0), ("`", 0)] {
            assert_eq!(parse(path), Err(Unpaired { at }), "{path}");
        }
    }

    #[test]
    fn any_name_can_be_written_as_a_path() {
        for name in ["a", "a.b", "`a", "a`.b", "a`b", "größe", "a..b", "`"] {
            let path = literal(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(parse(&path), Ok(vec![name.to_owned()]), "{name}");
        }
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|name| (*name).to_owned()).collect()
        }
    }
}
