//! One HTTP/1.1 exchange on a connection of its own: what a proxy and a token endpoint are asked.
//!
//! Why no client with a pool: such an exchange is rare, and its connection goes with it.
//!
//! Invariants
//! 1. An answer is read up to a bound.
//! 2. Redirects are not followed: they could carry credentials elsewhere.
//!
//! Next: `proxy.rs`, `auth/token.rs`.

use super::route::Conduit;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::Body;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tower::BoxError;

/// Sends a request and reads the whole answer, of at most `body_bytes_max`.
///
/// # Errors
/// What the connection or HTTP says; an answer that is longer.
pub(super) async fn exchange(
    conduit: Conduit,
    request: Request<Full<Bytes>>,
    body_bytes_max: usize,
) -> Result<Response<Bytes>, BoxError> {
    let mut sender = open(conduit).await?;
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, body_bytes_max).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}

/// Sends a CONNECT; what is behind it once the answer is a success, else the answer's status.
///
/// # Errors
/// What the connection or HTTP says.
pub(super) async fn upgrade(
    conduit: Conduit,
    request: Request<()>,
) -> Result<Result<Conduit, StatusCode>, BoxError> {
    let mut sender = open(conduit).await?;
    let response = sender.send_request(request.map(|()| Empty::<Bytes>::new())).await?;
    if !response.status().is_success() {
        return Ok(Err(response.status()));
    }
    let upgraded = hyper::upgrade::on(response).await?;
    Ok(Ok(Box::new(TokioIo::new(upgraded))))
}

/// The connection runs beside the exchange and ends with it.
async fn open<B>(conduit: Conduit) -> Result<SendRequest<B>, hyper::Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (sender, connection) = handshake(TokioIo::new(conduit)).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}
