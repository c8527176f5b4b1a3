//! Numbers as Java reads them, and topics as Kafka Connect's `RegexRouter` renames them:
//! what an existing configuration relies on. Numbers as Java prints them are the transcoder's.

use regex::Regex;

/// The whole number that a text is to `Long.parseLong` and its kin.
pub(crate) fn parse_int<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// The number that a text is to `Double.parseDouble`; hexadecimal ones are not read.
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    decimal(text)?.parse().ok()
}

/// The same for `Float.parseFloat`, which rounds once.
pub(crate) fn parse_float(text: &str) -> Option<f32> {
    decimal(text)?.parse().ok()
}

/// What Rust's own parser reads like Java's: blanks around and a type's letter behind are not part
/// of the number, and infinity has one name.
fn decimal(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return Some(text);
    }
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let is_plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    (text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().all(is_plain)).then_some(text)
}

/// A decimal number as `BigDecimal` reads it, as a whole number whose upper bits are cut off, and
/// as a double.
pub(crate) fn parse_decimal(text: &str) -> Option<(i64, f64)> {
    const EXPONENT_MAX: i32 = 4_096;
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    if exponent.abs() > EXPONENT_MAX {
        return None;
    }
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat(b'0'));
    let count = i32::try_from(whole.len()).ok()?.saturating_add(exponent);
    let count = usize::try_from(count.max(0)).expect("it is not negative");
    let value = digits
        .take(count)
        .fold(0_i64, |value, digit| value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')));
    let value = if mantissa.starts_with('-') { value.wrapping_neg() } else { value };
    Some((value, text.parse().ok()?))
}

/// A regular expression or a replacement that is not understood here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RouteError(String);

/// The topic that Kafka Connect's `RegexRouter` makes of `topic`: where the whole name matches
/// `regex`, its first match is replaced.
///
/// # Errors
/// If the expression uses what the regex crate does not know (looking around, back references), or
/// if the replacement names a group that is not there.
pub fn route_topic(topic: &str, regex: &str, replacement: &str) -> Result<String, RouteError> {
    let whole = Regex::new(&format!(r"\A(?:{regex})\z"));
    let whole = whole.map_err(|error| RouteError(error.to_string()))?;
    let regex = Regex::new(regex).map_err(|error| RouteError(error.to_string()))?;
    if !whole.is_match(topic) {
        return Ok(topic.to_owned());
    }
    let Some(found) = regex.captures(topic) else { return Ok(topic.to_owned()) };
    let range = found.get(0).expect("a match has a whole").range();
    let mut routed = topic[..range.start].to_owned();
    expand(replacement, &regex, &found, &mut routed)?;
    routed.push_str(&topic[range.end..]);
    Ok(routed)
}

/// Java's replacement: `$1`, `${name}`, and a backslash before what stands for itself.
fn expand(
    replacement: &str,
    regex: &Regex,
    found: &regex::Captures<'_>,
    out: &mut String,
) -> Result<(), RouteError> {
    let refuse = |what: &str| Err(RouteError(format!("replacement `{replacement}`: {what}")));
    let mut rest = replacement;
    while let Some(at) = rest.find(['$', '\\']) {
        out.push_str(&rest[..at]);
        let is_escape = rest.as_bytes()[at] == b'\\';
        rest = &rest[at + 1..];
        let Some(next) = rest.chars().next() else {
            return refuse("nothing follows the last character");
        };
        if is_escape {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        } else if let Some(named) = rest.strip_prefix('{') {
            let Some((name, after)) = named.split_once('}') else {
                return refuse("a brace is not closed");
            };
            if !regex.capture_names().flatten().any(|known| known == name) {
                return refuse(&format!("there is no group `{name}`"));
            }
            out.push_str(found.name(name).map_or("", |group| group.as_str()));
            rest = after;
        } else {
            let (group, length) = match group_number(rest, regex.captures_len()) {
                Some(found) => found,
                None => return refuse("`$` is followed by no group"),
            };
            out.push_str(found.get(group).map_or("", |group| group.as_str()));
            rest = &rest[length..];
        }
    }
    out.push_str(rest);
    Ok(())
}

/// As many digits as still name a group; and how many those are.
fn group_number(text: &str, groups: usize) -> Option<(usize, usize)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    let mut number = None;
    for (place, digit) in digits.enumerate() {
        let before = number.map_or(0, |(number, _): (usize, usize)| number);
        let next = before.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
        if next >= groups {
            break;
        }
        number = Some((next, place + 1));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_lose_their_fraction_and_their_upper_bits() {
        let whole = |text| parse_decimal(text).map(|(whole, _)| whole);
        assert_eq!(whole("-7.9"), Some(-7));
        assert_eq!(whole("1.5e2"), Some(150));
        assert_eq!(whole("1e-3"), Some(0));
        assert_eq!(whole(".5"), Some(0));
        assert_eq!(whole("9223372036854775808"), Some(i64::MIN));
        for text in ["", ".", "e1", "1e", " 1", "0x1", "1_0", "--1", "NaN"] {
            assert_eq!(parse_decimal(text), None, "{text:?}");
        }
    }
}
