//! Rights on a broker with an authorizer: denied and given back, by requests of our own, because
//! the client library of the tests has none for them.
//!
//! The requests are version 1 of `CreateAcls` and `DeleteAcls`, which is spelt out in a few lines.

use anyhow::{Context, Result, ensure};

use crate::wire::{ask, put};

/// Settings of a broker that grants everything it was not told to deny.
pub const AUTHORIZER: [(&str, &str); 2] = [
    ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
    ("allow.everyone.if.no.acl.found", "true"),
];

/// Something that a right is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A transactional id.
    TransactionalId,
}

const CREATE: i16 = 30;
const DELETE: i16 = 31;
const VERSION: i16 = 1;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const OPERATION_WRITE: i8 = 4;
const DENY: i8 = 2;

/// Denies everybody to write to `name`; of transactional ids to all that begin with it.
pub fn deny(bootstrap: &str, resource: Resource, name: &str) -> Result<()> {
    request(bootstrap, CREATE, resource, name)
}

/// Takes a [`deny`] back.
pub fn allow(bootstrap: &str, resource: Resource, name: &str) -> Result<()> {
    request(bootstrap, DELETE, resource, name)
}

/// Both requests hold one and the same binding, once as an order and once as a filter.
fn request(bootstrap: &str, api: i16, resource: Resource, name: &str) -> Result<()> {
    let (kind, pattern) = match resource {
        Resource::Topic => (2, LITERAL),
        Resource::TransactionalId => (5, PREFIXED),
    };
    let mut body = 1_i32.to_be_bytes().to_vec();
    body.extend(i8::to_be_bytes(kind));
    put(&mut body, name);
    body.extend(pattern.to_be_bytes());
    put(&mut body, "User:ANONYMOUS");
    put(&mut body, "*");
    body.extend([OPERATION_WRITE, DENY].map(|it| it.to_be_bytes()[0]));
    let answer = ask(bootstrap, api, VERSION, &body)?;
    // Throttle time, one result, its error.
    let error = answer.get(8..10).context("an answer with a result")?;
    ensure!(error == [0, 0], "the broker refuses to change rights: {answer:?}");
    Ok(())
}
