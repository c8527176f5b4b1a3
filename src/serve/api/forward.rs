//! Takes requests to the leader, for an instance that stands by.
//!
//! Why: behind one address for several instances a client meets any of them, and clients of Kafka
//! Connect know that each worker answers for all. So what concerns pipelines and connectors is
//! asked of the leader, and its answer handed on.
//!
//! Invariants
//! 1. A request is taken further once: an instance that no longer leads says so, and the client
//!    asks again. Two that take each other for the leader send nothing in circles.
//! 2. A change whose answer is lost is told as one that may have been made, and is not sent again.
//! 3. Who asks has been let in here first. The leader judges the same credentials again; in place
//!    of a client's certificate it sees this instance's.
//!
//! The leader is found at the URL in its record: who may write to the config topic is trusted with
//! the tokens of clients, too. An instance that answers over TLS asks no other one without it.
//!
//! Next: `listen.rs` of the leader.

use super::answer::{Answer, Problem};
use super::limits::{FORWARD_CONNECT_MAX, FORWARDS_MAX};
use super::listen::Tls;
use axum::body::Body;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use bytes::Bytes;
use headwater_operators::sink::kafka::Leader;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;

/// Says which instance has taken a request further.
const FORWARDED_BY: HeaderName = HeaderName::from_static("headwater-forwarded-by");

/// What a client says that matters to the leader. `Host` is where the client found this program;
/// places in answers begin with it.
const HANDED_ON: [HeaderName; 5] =
    [header::ACCEPT, header::AUTHORIZATION, header::CONTENT_TYPE, header::HOST, header::ORIGIN];

/// What an answer says of its own connection.
const OF_CONNECTION: [HeaderName; 3] =
    [header::CONNECTION, header::TRANSFER_ENCODING, HeaderName::from_static("keep-alive")];

/// Takes requests to the leader.
pub(crate) struct Forward {
    instance: String,
    tls: Tls,
    turns: Arc<Semaphore>,
}

/// Where an instance can be asked: scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    is_tls: bool,
    host: String,
    port: u16,
}

/// A request as it came.
pub(crate) struct Asked<'r> {
    pub(crate) method: &'r Method,
    pub(crate) uri: &'r Uri,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) body: &'r [u8],
}

/// The leader's answer is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It was not asked.
    #[error("it cannot be reached: {0}")]
    Unreached(String),
    /// It was asked.
    #[error("its answer was lost: {0}; what was asked may have been done")]
    Lost(String),
}

impl Forward {
    pub(crate) fn new(instance: &str, tls: Tls) -> Self {
        let turns = Arc::new(Semaphore::new(FORWARDS_MAX));
        Forward { instance: instance.to_owned(), tls, turns }
    }

    /// Whether another instance has taken this request further already.
    pub(crate) fn is_second(headers: &HeaderMap) -> bool {
        headers.contains_key(FORWARDED_BY)
    }

    /// Asks the instance at `origin`, and hands its answer on as it comes.
    pub(crate) async fn ask(
        &self,
        origin: &Origin,
        asked: &Asked<'_>,
    ) -> Result<Answer, Unanswered> {
        let unreached = |why: String| Unanswered::Unreached(why);
        let turn = self.turns.clone().try_acquire_owned();
        let turn = turn.map_err(|_| unreached(format!("{FORWARDS_MAX} requests wait for it")))?;
        let connected = tokio::time::timeout(FORWARD_CONNECT_MAX, self.connect(origin, turn));
        let late = || format!("no connection in {} s", FORWARD_CONNECT_MAX.as_secs());
        let connected = connected.await.map_err(|_| unreached(late()))?;
        let mut sender = connected.map_err(|error| unreached(error.to_string()))?;
        tracing::debug!(event = "api_forwarded", method = %asked.method, path = asked.uri.path());
        let answer = sender.send_request(self.request(asked)).await;
        Ok(handed_on(answer.map_err(|error| Unanswered::Lost(error.to_string()))?.map(Body::new)))
    }

    async fn connect(&self, origin: &Origin, turn: Turn) -> io::Result<Sender> {
        if !origin.is_tls && self.tls.is_some() {
            let why = "its URL is without TLS, and credentials would be seen on their way";
            return Err(io::Error::other(why));
        }
        let stream = TcpStream::connect(origin.authority()).await?;
        stream.set_nodelay(true)?;
        if !origin.is_tls {
            return drive(stream, turn).await;
        }
        let name = origin.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let config = self.client_config()?;
        drive(TlsConnector::from(config).connect(name, stream).await?, turn).await
    }

    fn client_config(&self) -> io::Result<Arc<ClientConfig>> {
        let sides = self.tls.as_ref().map(|tls| tls.borrow().client.clone());
        sides.ok_or_else(|| io::Error::other("this instance has no --tls-certificate for it"))
    }

    fn request(&self, asked: &Asked<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::from(asked.body.to_vec()));
        *request.method_mut() = asked.method.clone();
        let path = asked.uri.path_and_query().map_or("/", |it| it.as_str());
        *request.uri_mut() = path.parse().expect("it was parsed before");
        let headers = request.headers_mut();
        for name in HANDED_ON {
            if let Some(value) = asked.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let by = HeaderValue::from_str(&self.instance);
        headers.insert(FORWARDED_BY, by.unwrap_or(HeaderValue::from_static("?")));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        request
    }
}

type Sender = SendRequest<Full<Bytes>>;
type Turn = OwnedSemaphorePermit;

/// Speaks HTTP on a connection until its answer has ended, or nobody reads it any more.
async fn drive(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    turn: Turn,
) -> io::Result<Sender> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        // How it ends, its request's answer tells.
        let _ = connection.await;
        drop(turn);
    });
    Ok(sender)
}

fn handed_on(mut answer: Response<Body>) -> Answer {
    for name in OF_CONNECTION {
        answer.headers_mut().remove(name);
    }
    answer
}

impl Origin {
    /// None for what is no URL of a scheme, a host and perhaps a port.
    pub(crate) fn read(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let is_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let is_bare = uri.path_and_query().is_none_or(|it| it.as_str() == "/")
            && !uri.authority()?.as_str().contains('@');
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        is_bare.then(|| Origin { is_tls, host: uri.host().unwrap_or_default().to_owned(), port })
    }

    /// `host:port`, as Kafka Connect names workers.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Unanswered {
    /// What the client is told of a change.
    pub(crate) fn problem(&self, leader: &Leader) -> Problem {
        let message = format!("instance `{}` leads, and {self}", leader.instance);
        match self {
            Unanswered::Unreached(_) => {
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, message);
                problem.of_leader(leader).with(header::RETRY_AFTER, "2")
            }
            Unanswered::Lost(_) => Problem::new(StatusCode::BAD_GATEWAY, message).of_leader(leader),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_an_instance_is_and_nothing_else() {
        let authority = |url: &str| Origin::read(url).map(|it| (it.is_tls, it.authority()));
        for (url, is_tls, told) in [
            ("http://a", false, "a:80"),
            ("https://a.example/", true, "a.example:443"),
            ("http://127.0.0.1:8083", false, "127.0.0.1:8083"),
            ("https://[::1]:1", true, "[::1]:1"),
        ] {
            assert_eq!(authority(url), Some((is_tls, told.to_owned())), "{url}");
        }
        for url in ["", "a", "a:80", "ftp://a", "http://a/b", "http://a?b", "http://u:p@a", "/a"] {
            assert_eq!(authority(url), None, "{url}");
        }
    }

    #[test]
    fn what_was_taken_further_is_marked_and_says_what_the_client_said() {
        let forward = Forward::new("me", None);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("any:1"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b"));
        assert!(!Forward::is_second(&headers));
        let uri = "http://any:1/connectors?expand=status".parse().unwrap();
        let asked = Asked { method: &Method::PUT, uri: &uri, headers: &headers, body: b"{}" };
        let request = forward.request(&asked);
        assert_eq!(request.uri(), "/connectors?expand=status");
        assert_eq!(request.method(), Method::PUT);
        assert_eq!(request.headers()[header::HOST], "any:1");
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer x");
        assert!(!request.headers().contains_key(header::COOKIE));
        assert!(Forward::is_second(request.headers()));
    }
}
