//! Who the caller is: the metadata that a call bears beside what is fixed, made anew for each call.
//!
//! ```text
//!   file ───read──► secret ──┐
//!                            ├──► grant ──► the call's metadata
//!   token endpoint ─► token ─┘                │
//!         ▲                                   ▼
//!         └────── forgotten ◄──── UNAUTHENTICATED
//! ```
//!
//! Why a refusal is no reason to stop where something can be renewed: a token may expire between
//! two looks, or be revoked. So UNAUTHENTICATED is a reconnect with fresh credentials there, as
//! often in a row as [`AUTH_REFUSALS_MAX`] allows; where all is fixed, the same would be refused
//! again.
//!
//! Invariants
//! 1. No `Debug` form and no error holds a secret; every value is marked sensitive.
//! 2. A token that was refused is not sent again.
//! 3. What is read or asked for has a bound in size and time.
//!
//! [`AUTH_REFUSALS_MAX`]: crate::limits::AUTH_REFUSALS_MAX
//!
//! Next: `secret.rs`, `token.rs`; `../call.rs` sends the grant.

mod answer;
mod secret;
mod token;

pub(super) use secret::{Secret, SecretProblem};
pub(super) use token::{TokenClient, TokenId, Tokens};

use super::metadata::{MetadataProblem, add};
use super::status::CallError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::sync::Arc;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// The metadata key of a token or a password, RFC 9110 §11.6.2.
pub(super) const AUTHORIZATION: &str = "authorization";

/// What makes a call's own metadata.
#[derive(Clone, Default)]
pub(super) struct Credentials {
    /// What each entry is made from.
    pub(super) entries: Vec<Entry>,
}

/// One entry of the metadata.
#[derive(Clone)]
pub(super) enum Entry {
    /// `authorization: Bearer …`.
    Bearer(Secret),
    /// `authorization: Basic …`.
    Basic {
        /// The user's name.
        username: String,
        /// The user's password.
        password: Secret,
    },
    /// A value as it is.
    Value {
        /// The metadata key.
        key: String,
        /// Its value.
        value: Secret,
    },
    /// `authorization: Bearer …`, from a token endpoint.
    OAuth2(Arc<Tokens>),
}

/// What one call may send.
#[derive(Default)]
pub(super) struct Grant {
    /// What is sent.
    pub(super) metadata: MetadataMap,
    /// The token in it.
    pub(super) token: Option<TokenId>,
    /// When the call shall have been replaced by one with another token.
    pub(super) reopen_at: Option<Instant>,
}

impl Credentials {
    /// Whether another call may bear other credentials than the last one.
    pub(super) fn is_renewable(&self) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Bearer(secret)
            | Entry::Basic { password: secret, .. }
            | Entry::Value { value: secret, .. } => secret.is_file(),
            Entry::OAuth2(_) => true,
        })
    }

    /// What the next call sends: `fixed`, and what is read or asked for now.
    ///
    /// # Errors
    /// A file cannot be read or its value not be sent; the token endpoint gives no token.
    pub(super) async fn grant(&self, fixed: &MetadataMap) -> Result<Grant, CallError> {
        let mut grant = Grant { metadata: fixed.clone(), ..Grant::default() };
        for entry in &self.entries {
            entry.add_to(&mut grant).await?;
        }
        Ok(grant)
    }

    /// The server refused a call that bore `token`.
    pub(super) async fn refused(&self, token: Option<TokenId>) {
        for entry in &self.entries {
            if let (Entry::OAuth2(tokens), Some(token)) = (entry, token) {
                tokens.forget(token).await;
            }
        }
    }

    /// What kinds there are, for people.
    pub(super) fn words(&self) -> Option<String> {
        let words: Vec<&str> = self.entries.iter().map(Entry::words).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl Entry {
    async fn add_to(&self, grant: &mut Grant) -> Result<(), CallError> {
        let (key, value, secret) = match self {
            Entry::Bearer(secret) => {
                (AUTHORIZATION, format!("Bearer {}", read(secret).await?), secret)
            }
            Entry::Basic { username, password } => {
                let pair = format!("{username}:{}", read(password).await?);
                let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
                (AUTHORIZATION, value, password)
            }
            Entry::Value { key, value } => (key.as_str(), read(value).await?, value),
            Entry::OAuth2(tokens) => {
                let token = tokens.token().await?;
                grant.metadata.insert(AUTHORIZATION, token.value.clone());
                grant.token = Some(token.id);
                grant.reopen_at = token.reopen_at;
                return Ok(());
            }
        };
        add(&mut grant.metadata, key, &value).map_err(|problem| not_sent(secret, problem))
    }

    fn words(&self) -> &'static str {
        match self {
            Entry::Bearer(secret) if secret.is_file() => "a bearer token from a file",
            Entry::Bearer(_) => "a bearer token",
            Entry::Basic { .. } => "a user and a password",
            Entry::Value { value, .. } if value.is_file() => "a metadata value from a file",
            Entry::Value { .. } => "an API key",
            Entry::OAuth2(_) => "OAuth 2.0 client credentials",
        }
    }
}

async fn read(secret: &Secret) -> Result<String, CallError> {
    secret.read().await.map_err(|problem| CallError::of_credentials(problem.to_string()))
}

/// The value is never told.
fn not_sent(secret: &Secret, problem: MetadataProblem) -> CallError {
    CallError::of_credentials(format!("{secret} {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Secret {
        Secret::Text(text.to_owned())
    }

    #[tokio::test]
    async fn each_kind_makes_its_entry_and_none_shows_its_value() {
        let bearer = Credentials { entries: vec![Entry::Bearer(text("tok"))] };
        let mut fixed = MetadataMap::new();
        fixed.insert("x", "y".parse().expect("ASCII"));
        let grant = bearer.grant(&fixed).await.expect("a token");
        assert_eq!(grant.metadata.get(AUTHORIZATION).expect("set"), "Bearer tok");
        assert_eq!(grant.metadata.get("x").expect("kept"), "y");
        assert!(!format!("{:?}", grant.metadata).contains("tok"));
        let basic = Entry::Basic { username: "me".to_owned(), password: text("p:w") };
        let key = Entry::Value { key: "x-api-key".to_owned(), value: text("k") };
        let both = Credentials { entries: vec![basic, key] };
        let grant = both.grant(&MetadataMap::new()).await.expect("both");
        assert_eq!(grant.metadata.get(AUTHORIZATION).expect("set"), "Basic bWU6cDp3");
        assert_eq!(grant.metadata.get("x-api-key").expect("set"), "k");
        assert!(!both.is_renewable());
        assert_eq!(both.words().expect("two"), "a user and a password, an API key");
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_named_by_its_file_and_not_by_its_value() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("token");
        let bearer = Credentials { entries: vec![Entry::Bearer(Secret::File(path.clone()))] };
        assert!(bearer.is_renewable());
        for (content, expected) in [(None, "cannot read"), (Some("se\ncret"), "printable ASCII")] {
            if let Some(content) = content {
                std::fs::write(&path, content).expect("writable");
            }
            let error = bearer.grant(&MetadataMap::new()).await.err().expect("nothing to send");
            assert!(error.text.contains(expected), "{}", error.text);
            assert!(error.text.contains("token") && !error.text.contains("cret"), "{}", error.text);
        }
    }
}
