//! Reads Java properties files, the form in which Kafka tools keep their credentials.
//!
//! The rules are those of `java.util.Properties`: `#` and `!` begin comments, the first `=`,
//! `:` or white space ends a key, a backslash escapes, and at the end of a line joins the next.

/// The entries of a properties file, in order; of a repeated key the last one counts.
#[must_use]
pub fn parse(text: &str) -> Vec<(String, String)> {
    logical_lines(text).iter().filter_map(|line| entry(line)).collect()
}

fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut joined = String::new();
    let mut is_joined = false;
    for line in text.lines() {
        let line = line.trim_start();
        if !is_joined && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        is_joined = backslashes % 2 == 1;
        joined.push_str(if is_joined { &line[..line.len() - 1] } else { line });
        if !is_joined {
            lines.push(std::mem::take(&mut joined));
        }
    }
    if !joined.is_empty() {
        lines.push(joined);
    }
    lines
}

fn entry(line: &str) -> Option<(String, String)> {
    let mut is_escaped = false;
    let end = line.find(|c: char| {
        let ends = !is_escaped && (matches!(c, '=' | ':') || c.is_whitespace());
        is_escaped = !is_escaped && c == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    (!line.is_empty()).then(|| (unescape(key), unescape(value)))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next != '\\' {
            out.push(next);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                out.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_follow_the_rules_of_java() {
        let text = "# comment\n! too\n\n a = 1\nb:2\nc 3\nd\\=e=f=g\nlong = x\\\n   y\n\
                    path=C:\\\\dir\nuni=\\u00e9\nempty=\nalone\r\n";
        let expected = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d=e", "f=g"),
            ("long", "xy"),
            ("path", "C:\\dir"),
            ("uni", "é"),
            ("empty", ""),
            ("alone", ""),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn a_file_that_ends_in_a_backslash_keeps_its_last_entry() {
        assert_eq!(parse("a=b\\"), [("a".to_owned(), "b".to_owned())]);
    }
}
