//! What a pipeline file may say about who the caller is.
//!
//! What stands in files is read anew for each call, so that a token which is renewed beside the
//! program is taken without a restart. What stands in the pipeline file itself is fixed.
//!
//! Next: `../check/auth.rs` makes [`Credentials`](crate::source::grpc::auth::Credentials) of it.

use super::TlsConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Who the caller is: exactly one of `bearer`, `basic`, `api_key` and `oauth2`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::source::grpc) struct AuthConfig {
    /// A token, sent as `authorization: Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) bearer: Option<BearerConfig>,

    /// A user and a password, sent as `authorization: Basic …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) basic: Option<BasicConfig>,

    /// A key, sent as a metadata entry of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) api_key: Option<ApiKeyConfig>,

    /// A token from an OAuth 2.0 server (client credentials, RFC 6749 section 4.4), sent as
    /// `authorization: Bearer …` and renewed before it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) oauth2: Option<OAuth2Config>,
}

/// A bearer token: either `token` or `file`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::source::grpc) struct BearerConfig {
    /// The token. Write `${env:NAME}` to keep it out of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) token: Option<String>,

    /// A file that holds the token and nothing else. It is read anew for each call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) file: Option<PathBuf>,
}

/// A user with either `password` or `password_file`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct BasicConfig {
    /// The user's name, without a colon.
    pub(in crate::source::grpc) username: String,

    /// The password. Write `${env:NAME}` to keep it out of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) password: Option<String>,

    /// A file that holds the password and nothing else. It is read anew for each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) password_file: Option<PathBuf>,
}

/// An API key: either `value` or `file`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct ApiKeyConfig {
    /// The metadata key that bears it, for example `x-api-key` or `x-token`.
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) key: String,

    /// The API key. Write `${env:NAME}` to keep it out of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) value: Option<String>,

    /// A file that holds the API key and nothing else. It is read anew for each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) file: Option<PathBuf>,
}

/// How a token is got from an OAuth 2.0 server. Shards of a source that name the same one share it.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct OAuth2Config {
    /// The token endpoint, as `https://HOST/PATH`.
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) token_url: String,

    /// The client's identifier.
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) client_id: String,

    /// The client's secret. Write `${env:NAME}` to keep it out of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) client_secret: Option<String>,

    /// A file that holds the client's secret and nothing else. It is read anew for each token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) client_secret_file: Option<PathBuf>,

    /// What the token shall allow; sent as `scope`, joined by blanks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::source::grpc) scopes: Vec<String>,

    /// Whom the token is for; sent as `audience`, which several authorization servers demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) audience: Option<String>,

    /// Further parameters of the token request, for example `resource`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::source::grpc) parameters: BTreeMap<String, String>,

    /// How the client says who it is.
    #[serde(default)]
    pub(in crate::source::grpc) client_auth: ClientAuth,

    /// A token is renewed when a call is opened and the token has no more than this to live, in
    /// milliseconds; for tokens that live shorter than twice of it, half their life.
    #[serde(default = "defaults::refresh_before_ms")]
    #[schemars(range(min = 0, max = 86_400_000))]
    pub(in crate::source::grpc) refresh_before_ms: u64,

    /// Ends an open call before its token expires and opens another one with a new token, as
    /// `call.reopen_after_ms` does. For servers that cut calls whose token has expired.
    #[serde(default)]
    pub(in crate::source::grpc) reopen_before_expiry: bool,

    /// How long one request for a token may take, connecting included, in milliseconds.
    #[serde(default = "defaults::timeout_ms")]
    #[schemars(range(min = 100, max = 600_000))]
    pub(in crate::source::grpc) timeout_ms: u64,

    /// TLS settings for the token endpoint. Left out: the system's certificate authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) tls: Option<TlsConfig>,

    /// The proxy to the token endpoint, as the source's `proxy`. Left out: the source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) proxy: Option<String>,
}

/// How a client says who it is, RFC 6749 section 2.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum ClientAuth {
    /// In the header `Authorization: Basic …`.
    #[default]
    Basic,
    /// In the request's body, as `client_id` and `client_secret`.
    Post,
}

mod defaults {
    pub(super) fn refresh_before_ms() -> u64 {
        60_000
    }

    pub(super) fn timeout_ms() -> u64 {
        10_000
    }
}
