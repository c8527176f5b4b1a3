//! Tokens of an OAuth 2.0 server: client credentials,
//! [RFC 6749 §4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4).
//!
//! All shards that name the same endpoint share one token. It is renewed when a call is opened and
//! the token is about to expire, or was refused; a renewal that fails leaves a token in use that
//! still lives.
//!
//! Invariants
//! 1. At most one request for a token is under way; who waits for it takes what it brings, be it a
//!    failure.
//! 2. A token that was refused is not sent again, and one that came after it is not forgotten.
//!
//! Next: `answer.rs` reads what the endpoint says.

use super::super::config::ClientAuth;
use super::super::http1;
use super::super::link::{ALPN_HTTP1, LinkEnd, connect_tls};
use super::super::reload::TlsMaterial;
use super::super::route::{Conduit, Route, authority};
use super::super::status::{CallError, Healing};
use super::answer::{Answer, Refusal, read};
use super::secret::Secret;
use crate::limits::{TOKEN_ANSWER_BYTES_MAX, TOKEN_LIFE_MAX, TOKEN_LIFE_UNKNOWN};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tonic::metadata::AsciiMetadataValue;
use tower::BoxError;

/// What a form's values may not hold as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What to do about a client that an authorization server refuses.
const ADVICE: &str = "correct `auth.oauth2`";

/// How a token is asked for.
pub(in crate::source::grpc) struct TokenClient {
    /// The endpoint.
    pub(in crate::source::grpc) uri: Uri,
    /// The way to it.
    pub(in crate::source::grpc) route: Route,
    /// For `https://`.
    pub(in crate::source::grpc) tls: Option<TlsMaterial>,
    pub(in crate::source::grpc) client_id: String,
    pub(in crate::source::grpc) client_secret: Secret,
    pub(in crate::source::grpc) client_auth: ClientAuth,
    /// What is asked for, beside who asks: names and values.
    pub(in crate::source::grpc) parameters: Vec<(String, String)>,
    /// Of one request.
    pub(in crate::source::grpc) timeout: Duration,
    /// How long before its end a token is renewed.
    pub(in crate::source::grpc) refresh_before: Duration,
    /// Whether calls are replaced when their token is renewed.
    pub(in crate::source::grpc) reopens: bool,
}

/// The tokens of one client, one after the other.
pub(in crate::source::grpc) struct Tokens {
    client: TokenClient,
    state: Mutex<State>,
}

/// Names one token of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::grpc) struct TokenId(u64);

/// A token.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) id: TokenId,
    /// What is sent.
    pub(super) value: AsciiMetadataValue,
    /// When a call that bears it shall be replaced.
    pub(super) reopen_at: Option<Instant>,
    fresh_until: Instant,
    expires_at: Instant,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// How many there were.
    count: u64,
    failed: Option<(Instant, CallError)>,
}

impl Tokens {
    /// None is asked for yet.
    pub(in crate::source::grpc) fn new(client: TokenClient) -> Self {
        Tokens { client, state: Mutex::default() }
    }

    /// A token that may be sent now.
    ///
    /// # Errors
    /// There is none, and the endpoint gives none.
    pub(super) async fn token(&self) -> Result<Token, CallError> {
        let begun = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(token) = state.token.as_ref().filter(|token| token.is_fresh()) {
            return Ok(token.clone());
        }
        match &state.failed {
            Some((at, error)) if *at >= begun => return Err(error.clone()),
            _ => {}
        }
        match self.client.ask().await {
            Ok(answer) => state.take(answer, &self.client),
            Err(error) => state.fail(error),
        }
    }

    /// A server refused `used`.
    pub(super) async fn forget(&self, used: TokenId) {
        let mut state = self.state.lock().await;
        state.token = state.token.take().filter(|token| token.id != used);
    }
}

impl Token {
    fn is_fresh(&self) -> bool {
        Instant::now() < self.fresh_until
    }
}

impl State {
    fn take(&mut self, answer: Answer, client: &TokenClient) -> Result<Token, CallError> {
        let value: Result<AsciiMetadataValue, _> = format!("Bearer {}", answer.token).parse();
        let Ok(mut value) = value else {
            let text = client.said("its token is not printable ASCII");
            return self.fail(CallError::of_credentials(text));
        };
        value.set_sensitive(true);
        let life = answer.life.unwrap_or(TOKEN_LIFE_UNKNOWN).min(TOKEN_LIFE_MAX);
        let now = Instant::now();
        let fresh_until = now + life - client.refresh_before.min(life / 2);
        self.count += 1;
        let token = Token {
            id: TokenId(self.count),
            value,
            reopen_at: client.reopens.then_some(fresh_until),
            fresh_until,
            expires_at: now + life,
        };
        let life_s = life.as_secs();
        tracing::info!(event = "token_received", endpoint = client.shown(), life_s);
        self.token = Some(token.clone());
        self.failed = None;
        Ok(token)
    }

    /// A token that still lives is used all the same.
    fn fail(&mut self, error: CallError) -> Result<Token, CallError> {
        let now = Instant::now();
        self.failed = Some((now, error.clone()));
        let alive = self.token.as_ref().filter(|token| now < token.expires_at);
        let Some(token) = alive else { return Err(error) };
        tracing::warn!(event = "token_not_renewed", reason = error.text);
        Ok(Token { reopen_at: None, ..token.clone() })
    }
}

impl TokenClient {
    async fn ask(&self) -> Result<Answer, CallError> {
        let secret = self.client_secret.read().await;
        let secret = secret.map_err(|problem| CallError::of_credentials(problem.to_string()))?;
        let response = match timeout(self.timeout, self.exchange(&secret)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(CallError::of_token(&*error).about(&self.name())),
            Err(_) => {
                let text = format!("no answer within {} ms", self.timeout.as_millis());
                return Err(CallError::of_credentials(self.said(&text)));
            }
        };
        read(&response, &secret).map_err(|refusal| self.refused(&refusal))
    }

    async fn exchange(&self, secret: &str) -> Result<Response<Bytes>, BoxError> {
        let request = self.request(secret)?;
        let conduit: Conduit = match &self.tls {
            None => self.route.connect().await?,
            Some(tls) => {
                let end = LinkEnd::default();
                Box::new(connect_tls(&self.route, tls, &self.uri, ALPN_HTTP1, &end).await?)
            }
        };
        http1::exchange(conduit, request, TOKEN_ANSWER_BYTES_MAX).await
    }

    fn request(&self, secret: &str) -> Result<Request<Full<Bytes>>, http::Error> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut parameters = vec![("grant_type", "client_credentials")];
        let mut request = Request::post(path)
            .header(HOST, self.uri.authority().map_or("", |authority| authority.as_str()))
            .header(USER_AGENT, super::super::channel::USER_AGENT)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        match self.client_auth {
            ClientAuth::Basic => {
                let pair = format!("{}:{}", encoded(&self.client_id), encoded(secret));
                let basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
                let mut basic = HeaderValue::try_from(basic)?;
                basic.set_sensitive(true);
                request = request.header(AUTHORIZATION, basic);
            }
            ClientAuth::Post => {
                parameters.push(("client_id", &self.client_id));
                parameters.push(("client_secret", secret));
            }
        }
        parameters.extend(self.parameters.iter().map(|(name, value)| (&**name, &**value)));
        let form: Vec<String> = parameters
            .into_iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        request.body(Full::from(form.join("&")))
    }

    fn refused(&self, refusal: &Refusal) -> CallError {
        let text = self.said(&refusal.text);
        let healing = match (refusal.is_final, self.client_secret.is_file()) {
            (false, _) => Healing::Retry,
            (true, true) => Healing::Renew(ADVICE),
            (true, false) => Healing::Never(ADVICE),
        };
        CallError { healing, ..CallError::of_credentials(text) }
    }

    fn said(&self, text: &str) -> String {
        format!("{}: {text}", self.name())
    }

    fn name(&self) -> String {
        format!("the token endpoint {}", self.shown())
    }

    fn shown(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        self.uri.port_u16().map_or_else(|| host.to_owned(), |port| authority(host, port))
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::super::route::Address;
    use super::*;

    fn client(refresh_before: Duration) -> TokenClient {
        let address = Address::Tcp("localhost".to_owned(), 1);
        TokenClient {
            uri: Uri::from_static("http://localhost:1/token"),
            route: Route { address, proxy: None, timeout: Duration::from_secs(1) },
            tls: None,
            client_id: "me".to_owned(),
            client_secret: Secret::Text("secret".to_owned()),
            client_auth: ClientAuth::Basic,
            parameters: Vec::new(),
            timeout: Duration::from_secs(1),
            refresh_before,
            reopens: true,
        }
    }

    fn answer(life: Option<Duration>) -> Answer {
        Answer { token: "t".to_owned(), life }
    }

    fn away() -> CallError {
        CallError::of_credentials("away".to_owned())
    }

    #[test]
    fn a_token_that_cannot_be_renewed_is_used_while_it_lives_and_no_longer() {
        let mut state = State::default();
        assert_eq!(state.fail(away()).err(), Some(away()), "there is none yet");
        let hour = Some(Duration::from_secs(3_600));
        let token = state.take(answer(hour), &client(Duration::ZERO)).expect("a token");
        assert!(token.reopen_at.is_some());
        let again = state.fail(away()).expect("it lives");
        assert_eq!((again.id, again.reopen_at), (token.id, None));
        let dead = state.take(answer(Some(Duration::ZERO)), &client(Duration::ZERO));
        assert!(!dead.expect("a token").is_fresh());
        assert_eq!(state.fail(away()).err(), Some(away()));
    }

    #[test]
    fn a_token_is_fresh_for_half_of_its_life_at_least_and_for_a_while_if_none_is_told() {
        let mut state = State::default();
        let mut fresh = |life, before| {
            let begun = Instant::now();
            let token = state.take(answer(life), &client(before)).expect("a token");
            token.fresh_until.duration_since(begun).as_secs()
        };
        let minute = Duration::from_secs(60);
        assert_eq!(fresh(Some(Duration::from_secs(3_600)), minute), 3_540);
        assert_eq!(fresh(Some(Duration::from_secs(40)), minute), 20);
        assert_eq!(fresh(None, minute), 240);
        assert_eq!(fresh(Some(Duration::MAX), minute), TOKEN_LIFE_MAX.as_secs() - 60);
    }

    #[tokio::test]
    async fn only_the_token_that_was_refused_is_forgotten() {
        let tokens = Tokens::new(client(Duration::ZERO));
        let hour = Some(Duration::from_secs(3_600));
        let take = |state: &mut State| state.take(answer(hour), &tokens.client).expect("one");
        let old = take(&mut *tokens.state.lock().await);
        let new = take(&mut *tokens.state.lock().await);
        tokens.forget(old.id).await;
        assert_eq!(tokens.token().await.ok().map(|token| token.id), Some(new.id));
        tokens.forget(new.id).await;
        assert!(tokens.state.lock().await.token.is_none());
    }

    #[test]
    fn nothing_that_is_logged_of_a_request_shows_the_secret() {
        let request = client(Duration::ZERO).request("secret").expect("valid");
        let headers = format!("{:?}", request.headers());
        assert!(headers.contains("Sensitive"), "{headers}");
    }
}
