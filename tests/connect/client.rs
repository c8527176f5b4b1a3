//! Sends one request as it stands, over a connection of its own, and reads the answer.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::case::{Answer, Call, HEADERS};

/// A server by its address; calls block.
pub struct Client {
    runtime: Runtime,
    /// `host:port`.
    authority: String,
}

const ANSWER_MAX: Duration = Duration::from_secs(100);
const BODY_BYTES_MAX: usize = 8 << 20;

impl Client {
    /// A base URL is `http://host:port`; a path behind it would be no Connect.
    pub fn new(base_url: &str) -> Result<Client> {
        let authority =
            base_url.strip_prefix("http://").context("a base URL is http://HOST:PORT")?;
        let authority = authority.trim_end_matches('/').to_owned();
        ensure!(!authority.contains('/'), "a base URL is http://HOST:PORT, without a path");
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Client { runtime, authority })
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends a call that has been filled with what the player gives.
    pub fn send(&self, call: &Call) -> Result<Answer> {
        let sent = async { tokio::time::timeout(ANSWER_MAX, self.answer(call)).await };
        let answer = self.runtime.block_on(sent).context("no answer in time").and_then(|it| it);
        answer.with_context(|| format!("{} {} of {}", call.method, call.path, self.authority))
    }

    /// A call without a body, for what belongs to no case.
    pub fn plain(&self, method: &str, path: &str) -> Result<Answer> {
        let call = serde_json::json!({"method": method, "path": path});
        self.send(&serde_json::from_value(call)?)
    }

    async fn answer(&self, call: &Call) -> Result<Answer> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(self.request(call)?).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        connection.abort();
        let body = body.map_err(|error| anyhow::anyhow!("the answer's body: {error}"))?;
        let mut headers = BTreeMap::new();
        for name in HEADERS {
            if let Some(value) = head.headers.get(name) {
                headers.insert(name.to_owned(), value.to_str()?.to_owned());
            }
        }
        Ok(Answer::new(head.status.as_u16(), headers, &body.to_bytes()))
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>> {
        let method = Method::from_bytes(call.method.as_bytes())?;
        let mut request = Request::builder().method(method).uri(&call.path);
        request = request.header("host", &self.authority).header("connection", "close");
        if call.body.is_some() && !call.headers.contains_key("content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let body = match (&call.body, &call.text) {
            (Some(body), _) => body.to_string(),
            (None, Some(text)) => text.clone(),
            (None, None) => String::new(),
        };
        Ok(request.body(Full::new(Bytes::from(body)))?)
    }
}
