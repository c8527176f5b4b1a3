//! What a token endpoint says, RFC 6749 §5: a token, or why there is none and whether asking again
//! may help.
//!
//! Invariant: no text made here holds a token or the client's secret.

use super::super::status::escaped;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value as Json;
use std::time::Duration;

/// A token.
#[derive(PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) token: String,
    /// How long it lives, where the server says so.
    pub(super) life: Option<Duration>,
}

/// There is no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) text: String,
    /// Whether the same request is refused again.
    pub(super) is_final: bool,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Json>,
}

#[derive(Default, Deserialize)]
struct Refused {
    error: Option<String>,
    error_description: Option<String>,
}

/// Reads an answer; `secret` is what was sent, which a server may repeat.
///
/// # Errors
/// It holds no token that can be sent as `Bearer`.
pub(super) fn read(response: &Response<Bytes>, secret: &str) -> Result<Answer, Refusal> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refusal(status, response.body(), secret));
    }
    let Ok(granted) = serde_json::from_slice::<Granted>(response.body()) else {
        return Err(finally("it answers without `access_token` in a JSON object"));
    };
    let kind = granted.token_type.as_deref().unwrap_or("Bearer");
    if !kind.eq_ignore_ascii_case("bearer") {
        let text = format!("its token is of type {:?}, expected \"Bearer\"", escaped(kind));
        return Err(finally(&text));
    }
    if granted.access_token.is_empty() {
        return Err(finally("its `access_token` is empty"));
    }
    let life = granted.expires_in.as_ref().and_then(seconds).map(Duration::from_secs);
    Ok(Answer { token: granted.access_token, life })
}

/// Some servers write the number as a text.
fn seconds(written: &Json) -> Option<u64> {
    match written {
        Json::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|it| it as u64)),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn refusal(status: StatusCode, body: &[u8], secret: &str) -> Refusal {
    let Refused { error, error_description } = serde_json::from_slice(body).unwrap_or_default();
    let passes =
        matches!(error.as_deref(), Some("temporarily_unavailable" | "server_error" | "slow_down"));
    let is_busy = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT;
    let said: Vec<String> = [error, error_description].into_iter().flatten().collect();
    let mut text = format!("it answers {status}");
    if !said.is_empty() {
        text.push_str(": ");
        // Before it is cut: a part of a secret is not found any more.
        text.push_str(&escaped(&said.join(": ").replace(secret, "…")));
    }
    Refusal { text, is_final: !(passes || is_busy) }
}

fn finally(text: &str) -> Refusal {
    Refusal { text: text.to_owned(), is_final: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<(String, Option<u64>), Refusal> {
        let response = Response::builder().status(status).body(Bytes::from(body.to_owned()));
        let answer = read(&response.expect("valid"), "s3cr3t")?;
        Ok((answer.token, answer.life.map(|life| life.as_secs())))
    }

    #[test]
    fn a_token_is_read_with_its_life_however_it_is_written() {
        for (life, expected) in [("3600", Some(3_600)), ("\"60\"", Some(60)), ("59.9", Some(59))] {
            let body =
                format!(r#"{{"access_token":"t","token_type":"bearer","expires_in":{life}}}"#);
            assert_eq!(answer(200, &body), Ok(("t".to_owned(), expected)));
        }
        assert_eq!(answer(200, r#"{"access_token":"t"}"#), Ok(("t".to_owned(), None)));
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let is_final = |status, body| answer(status, body).expect_err("no token").is_final;
        assert!(is_final(400, r#"{"error":"invalid_client"}"#));
        assert!(is_final(302, ""));
        assert!(is_final(200, "<html>login</html>"));
        assert!(is_final(200, r#"{"access_token":"t","token_type":"mac"}"#));
        for status in [429, 408, 500, 503] {
            assert!(!is_final(status, "busy"), "{status}");
        }
        assert!(!is_final(400, r#"{"error":"temporarily_unavailable"}"#));
    }

    #[test]
    fn a_refusal_says_what_the_server_said_on_one_line() {
        let body = r#"{"error":"invalid_scope","error_description":"no\nsuch"}"#;
        let refusal = answer(400, body).expect_err("refused");
        assert_eq!(refusal.text, "it answers 400 Bad Request: invalid_scope: no\\nsuch");
        let body = r#"{"error":"invalid_client","error_description":"bad s3cr3t"}"#;
        let refusal = answer(401, body).expect_err("refused");
        assert_eq!(refusal.text, "it answers 401 Unauthorized: invalid_client: bad …");
    }
}
