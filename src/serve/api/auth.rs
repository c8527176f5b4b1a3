//! Who may ask.
//!
//! With tokens, whoever shows one; with certificates, whoever the TLS handshake let in; with
//! neither, whoever is on this machine, but no page in a browser of it: a page may send requests to
//! any address, and a name of its own may lead to this one.

use super::answer::Problem;
use super::credentials::Tokens;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
}

/// Who may ask.
pub(crate) enum Access {
    /// Whoever shows a token.
    Token(Tokens),
    /// Whoever has a connection: its handshake demanded a certificate, or it was said that anybody
    /// may ask.
    Connected,
    /// Programs of this machine.
    Local,
}

impl Access {
    /// Refuses whoever may not ask.
    pub(crate) fn demand(&self, head: &Parts) -> Result<(), Problem> {
        match self {
            Access::Token(tokens) => demand_token(tokens, &head.headers),
            Access::Connected => Ok(()),
            Access::Local => demand_local(&head.headers),
        }
    }
}

fn demand_token(tokens: &Tokens, headers: &HeaderMap) -> Result<(), Problem> {
    let shown = headers.get(header::AUTHORIZATION).map(|it| it.as_bytes());
    let token = shown.and_then(|it| {
        let (scheme, token) = it.split_at_checked(b"Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
    });
    let problem = match token {
        Some(token) if tokens.holds(token) => return Ok(()),
        Some(_) => "the bearer token is not valid",
        None => "show a bearer token: `Authorization: Bearer TOKEN`",
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, problem);
    Err(problem.with(header::WWW_AUTHENTICATE, "Bearer"))
}

fn demand_local(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |why: &str| Err(Problem::new(StatusCode::FORBIDDEN, why));
    if headers.contains_key(header::ORIGIN) {
        return refused(
            "a page in a browser may not ask an API without authentication; see --token-file",
        );
    }
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    if host.is_some_and(|host| !is_local(host)) {
        return refused("the host is not this machine; see --token-file");
    }
    Ok(())
}

/// Whether a `Host` header names this machine by what no name server can change.
fn is_local(host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    let name = without_port.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/pipelines");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn ask(access: &Access, headers: &[(&str, &str)]) -> Result<(), u16> {
        let asked = access.demand(&head(headers));
        asked.map_err(|problem| problem.answer().status().as_u16())
    }

    #[test]
    fn whoever_shows_a_token_may_ask_and_nobody_else() {
        let tokens = Tokens::read("first-token-0123456789\n\n  second-token-0123456789\n").unwrap();
        let access = Access::Token(tokens);
        for good in ["Bearer first-token-0123456789", "bearer second-token-0123456789"] {
            assert_eq!(ask(&access, &[("authorization", good)]), Ok(()));
        }
        for bad in [
            "Bearer first-token-012345678",
            "Bearer first-token-01234567890",
            "Bearer ",
            "Bearer",
            "Basic first-token-0123456789",
            "first-token-0123456789",
            "Bearer first-token-0123456789\tx",
        ] {
            assert_eq!(ask(&access, &[("authorization", bad)]), Err(401), "{bad}");
        }
        assert_eq!(ask(&access, &[]), Err(401));
    }

    #[test]
    fn without_authentication_no_page_of_a_browser_may_ask() {
        let access = Access::Local;
        for host in ["127.0.0.1:8083", "localhost:8083", "localhost", "[::1]:8083"] {
            assert_eq!(ask(&access, &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(ask(&access, &[("host", "evil.example:8083")]), Err(403));
        let page = [("host", "localhost:8083"), ("origin", "http://evil.example")];
        assert_eq!(ask(&access, &page), Err(403));
    }
}
