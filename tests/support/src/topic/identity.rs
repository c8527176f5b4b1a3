//! Which message of which shard a record is.

use anyhow::{Context, Result};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::event;

/// The shard by its own name, from the header that `headers: { provenance: true }` writes, and the
/// event's number.
pub fn identity(message: &BorrowedMessage<'_>) -> Result<(String, u64)> {
    let headers = message.headers().context("a record has headers")?;
    let shard = headers.iter().find(|it| it.key == "headwater-shard");
    let key = std::str::from_utf8(shard.and_then(|it| it.value).context("a record has a shard")?)?;
    let sequence = event::sequence(message.payload().unwrap_or_default());
    let name = key.rsplit('/').next().unwrap_or_default();
    Ok((name.to_owned(), sequence.context("a record is an event")?))
}
