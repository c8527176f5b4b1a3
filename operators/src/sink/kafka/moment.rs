//! Moments as part of a topic's name: a subset of the patterns of Java's `SimpleDateFormat`, in
//! UTC, as Kafka Connect's `TimestampRouter` uses them.
//!
//! Only what Java prints the same in every language: numbers.

use std::io::Write;

/// The longest run of one letter.
const WIDTH_MAX: usize = 9;

const DAY_MS: i64 = 86_400_000;

/// A pattern, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A number with at least so many digits.
    Number(Unit, usize),
    /// The last two digits of the year.
    ShortYear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
}

/// A pattern that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct PatternError {
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Letters of the pattern language that are not understood here.
    pub(super) fn parse(text: &str) -> Result<Pattern, PatternError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                rest = quoted(rest, &mut parts)?;
                continue;
            }
            let length = rest.chars().take_while(|next| *next == first).count();
            let bytes = length * first.len_utf8();
            if first.is_ascii_alphabetic() {
                parts.push(Part::of(first, length)?);
            } else {
                add_text(&mut parts, &rest[..bytes]);
            }
            rest = &rest[bytes..];
        }
        Ok(Pattern(parts))
    }

    /// What stands in the pattern as it is.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Appends the moment, given in milliseconds since 1970-01-01T00:00:00Z; none before that is.
    pub(super) fn write(&self, unix_ms: i64, out: &mut Vec<u8>) {
        let (day, of_day) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS));
        let date = Date::of(day);
        for part in &self.0 {
            let written = match part {
                Part::Text(text) => out.write_all(text.as_bytes()),
                Part::ShortYear => write!(out, "{:02}", date.year.rem_euclid(100)),
                Part::Number(unit, width) => {
                    let value = match unit {
                        Unit::Year => date.year,
                        Unit::Month => date.month,
                        Unit::Day => date.day,
                        Unit::DayOfYear => date.day_of_year,
                        Unit::Hour => of_day / 3_600_000,
                        Unit::Minute => of_day / 60_000 % 60,
                        Unit::Second => of_day / 1_000 % 60,
                        Unit::Millisecond => of_day % 1_000,
                    };
                    write!(out, "{value:0width$}")
                }
            };
            written.expect("a Vec takes everything");
        }
    }
}

impl Part {
    fn of(letter: char, width: usize) -> Result<Part, PatternError> {
        let unit = match letter {
            'y' if width == 2 => return Ok(Part::ShortYear),
            'y' => Unit::Year,
            'M' if width > 2 => {
                let hint = "write `M` or `MM`: names of months depend on a language";
                return Err(refusal(letter, width, Some(hint)));
            }
            'M' => Unit::Month,
            'd' => Unit::Day,
            'D' => Unit::DayOfYear,
            'H' => Unit::Hour,
            'm' => Unit::Minute,
            's' => Unit::Second,
            'S' => Unit::Millisecond,
            'Y' | 'w' | 'W' | 'u' => {
                let hint =
                    "weeks begin on another day in each country: use `yyyy`, `MM`, `dd`, `DDD`";
                return Err(refusal(letter, width, Some(hint)));
            }
            'h' | 'K' | 'k' | 'a' => {
                return Err(refusal(letter, width, Some("hours are written `HH`, from 00 to 23")));
            }
            _ => return Err(refusal(letter, width, None)),
        };
        if width > WIDTH_MAX {
            return Err(refusal(letter, width, Some("write at most nine of one letter")));
        }
        Ok(Part::Number(unit, width))
    }
}

fn refusal(letter: char, width: usize, hint: Option<&'static str>) -> PatternError {
    let run: String = std::iter::repeat_n(letter, width.min(WIDTH_MAX + 1)).collect();
    PatternError { message: format!("`{run}` is not understood in a pattern of a moment"), hint }
}

/// Text in quotes stands for itself, two quotes for one; gives what follows.
fn quoted<'t>(text: &'t str, parts: &mut Vec<Part>) -> Result<&'t str, PatternError> {
    if let Some(rest) = text.strip_prefix("''") {
        add_text(parts, "'");
        return Ok(rest);
    }
    let mut rest = &text[1..];
    loop {
        let Some((inner, after)) = rest.split_once('\'') else {
            let message = "a quote in the pattern of a moment is not closed".to_owned();
            return Err(PatternError { message, hint: None });
        };
        add_text(parts, inner);
        match after.strip_prefix('\'') {
            Some(more) => {
                add_text(parts, "'");
                rest = more;
            }
            None => return Ok(after),
        }
    }
}

fn add_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(before)) => before.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// A date of the Gregorian calendar.
struct Date {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
}

impl Date {
    /// The date of a day counted from 1970-01-01. A year is taken to begin in March, so that the
    /// leap day is its last.
    fn of(day: i64) -> Date {
        let shifted = day + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let in_march_year =
            if month <= 2 { of_year - 306 } else { of_year + 59 + i64::from(is_leap) };
        Date {
            year,
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            day_of_year: in_march_year + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    fn print(pattern: &str, unix_ms: i64) -> String {
        let mut out = Vec::new();
        Pattern::parse(pattern).expect("a sound pattern").write(unix_ms, &mut out);
        String::from_utf8(out).expect("text")
    }

    /// What Kafka Connect's own router made of each pattern and moment.
    #[test]
    fn moments_are_printed_as_by_connects_router() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transforms/cases/timestamp_router.json");
        let text = std::fs::read_to_string(path).expect("the cases are there");
        let cases: Vec<Json> = serde_json::from_str(&text).expect("cases");
        assert!(cases.len() > 100, "{}", cases.len());
        for case in cases.iter().filter(|case| case.get("to").is_none()) {
            let (pattern, moment) = (&case["pattern"], &case["timestamp"]);
            let ours = print(pattern.as_str().expect("a text"), moment.as_i64().expect("a moment"));
            assert_eq!(Json::from(format!("orders-{ours}")), case["expected"]["topic"], "{case}");
        }
    }

    #[test]
    fn the_last_moment_of_a_kafka_timestamp_can_be_printed() {
        assert_eq!(print("yyyy-MM-dd", 253_402_300_799_999), "9999-12-31");
        assert!(print("yyyyDDD", i64::MAX).len() > 7);
    }

    #[test]
    fn what_depends_on_a_language_is_refused() {
        for (pattern, words) in [
            ("MMM", "`MMM` is not understood"),
            ("YYYY", "`YYYY`"),
            ("hh", "`hh`"),
            ("x", "`x`"),
            ("'a", "not closed"),
            ("yyyyyyyyyyyy", "`yyyyyyyyyy`"),
        ] {
            let error = Pattern::parse(pattern).expect_err(pattern);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
