//! Which transactional ids the broker knows, and what it has given them: `ListTransactions`, which
//! the client library of the tests does not speak. Its version 0 is spelt out; it is flexible.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::wire::{ask, take, take_array};

const LIST_TRANSACTIONS: i16 = 66;

/// Tags of the header, no filter by state, none by producer, tags of the body.
const ALL: [u8; 4] = [0, 1, 1, 0];

/// The producer id of each transactional id whose coordinator is this broker.
pub fn transactional_ids(broker: &str) -> Result<BTreeMap<String, i64>> {
    let answer = ask(broker, LIST_TRANSACTIONS, 0, &ALL)?;
    parse(&answer).with_context(|| format!("an answer to ListTransactions: {answer:?}"))
}

fn parse(answer: &[u8]) -> Result<BTreeMap<String, i64>> {
    // Tags of the header, throttle time, error.
    let error = answer.get(5..7).context("an error code")?;
    ensure!(error == [0, 0], "the broker does not tell its transactions");
    let mut rest = &answer[7..];
    for _ in 0..count(&mut rest)? {
        text(&mut rest)?;
    }
    let mut ids = BTreeMap::new();
    for _ in 0..count(&mut rest)? {
        let id = text(&mut rest)?;
        let producer = take_array(&mut rest)?;
        let _state = text(&mut rest)?;
        let tags = take(&mut rest, 1)?;
        ensure!(tags == [0], "version 0 has no tags");
        ids.insert(id, i64::from_be_bytes(producer));
    }
    Ok(ids)
}

/// The length of what follows; it is written with one added, for zero means that nothing is there.
fn count(rest: &mut &[u8]) -> Result<usize> {
    let mut count = 0;
    for shift in (0..).step_by(7).take(5) {
        let byte = take(rest, 1)?[0];
        count |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return count.checked_sub(1).context("nothing where something must be");
        }
    }
    anyhow::bail!("a length without an end")
}

fn text(rest: &mut &[u8]) -> Result<String> {
    let length = count(rest)?;
    Ok(String::from_utf8(take(rest, length)?.to_vec())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_with_their_producers_and_half_an_answer_is_none() {
        let answer = b"\0\0\0\0\0\0\0\x01\x03\
            \x02a\0\0\0\0\0\0\0\x07\x06Empty\0\
            \x02b\0\0\0\0\0\0\0\x08\x02X\0\0";
        let ids = parse(answer).unwrap();
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 7), ("b".to_owned(), 8)]);
        assert!((0..answer.len() - 1).all(|length| parse(&answer[..length]).is_err()));
        assert!(parse(b"\0\0\0\0\0\0\x0e\x01\x01\0").is_err(), "it is still loading");
    }
}
