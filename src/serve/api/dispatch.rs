//! From a request to its answer.
//!
//! Order: rate, then who asks, then what is meant, then its body, then the handler. So who may not
//! ask learns nothing, and nothing is read for whom nothing is done.

use super::answer::{Answer, Problem};
use super::auth::{Access, Peer};
use super::limits::{
    ANSWER_TIMEOUT, BODY_BYTES_MAX, BODY_DROPPED_MAX, BODY_TIMEOUT, KAFKA_REQUESTS_MAX,
};
use super::operation::{Call, Operation, find, query};
use super::rate::Rates;
use crate::http::Shown;
use crate::serve::control::Control;
use crate::serve::document::PipelineFiles;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The API.
pub(crate) struct Api {
    pub(crate) control: Control,
    /// What requests about Kafka wait for.
    pub(crate) kafka_turns: Arc<Semaphore>,
    pub(crate) shown: Arc<Shown>,
    /// Reads documents whose name is not known yet.
    pub(crate) files: Arc<PipelineFiles>,
    pub(crate) openapi: String,
    operations: Vec<Operation>,
    access: Access,
    rates: Rates,
}

/// What an API is made of.
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) shown: Arc<Shown>,
    pub(crate) files: Arc<PipelineFiles>,
    pub(crate) access: Access,
    pub(crate) rates: Rates,
}

impl Api {
    pub(crate) fn new(parts: Parts, operations: Vec<Operation>) -> Arc<Self> {
        let Parts { control, shown, files, access, rates } = parts;
        let openapi = super::openapi::document(&operations);
        let kafka_turns = Arc::new(Semaphore::new(KAFKA_REQUESTS_MAX));
        Arc::new(Api { control, kafka_turns, shown, files, openapi, operations, access, rates })
    }

    /// Answers a request; every refusal has the shape of an error.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Body>, peer: Peer) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let is_head = method == Method::HEAD;
        let outcome = self.outcome(request, &peer).await;
        let mut answer = outcome.unwrap_or_else(|problem| problem.answer());
        let status = answer.status().as_u16();
        let changes = !matches!(method, Method::GET | Method::HEAD);
        if changes {
            let client = peer.address.ip();
            tracing::info!(event = "api_request", %client, %method, path, status);
        }
        if is_head {
            *answer.body_mut() = Body::empty();
        }
        answer
    }

    async fn outcome(
        self: Arc<Self>,
        request: Request<Body>,
        peer: &Peer,
    ) -> Result<Answer, Problem> {
        self.rates.admit(peer.address.ip())?;
        let (head, body) = request.into_parts();
        self.access.demand(&head)?;
        let (operation, parts) = find(&self.operations, &head.method, &head.uri)?;
        let query = query(operation, &head.uri)?;
        let body = match operation.body {
            Some(_) => read(body).await?,
            None => Vec::new(),
        };
        let call = Call { api: self.clone(), parts, query, body };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, (operation.handler)(call)).await;
        answer.unwrap_or_else(|_| {
            let seconds = ANSWER_TIMEOUT.as_secs();
            let message = format!("no answer within {seconds} s; what was asked may still be done");
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, message))
        })
    }
}

/// A request's body, as far as it is not too long and does not take too long.
async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let problem = |status, message: String| {
        Err(Problem::new(status, message).with(header::CONNECTION, "close"))
    };
    match tokio::time::timeout(BODY_TIMEOUT, collect(body)).await {
        Ok(Ok(Some(whole))) => Ok(whole),
        Ok(Ok(None)) => {
            let message = format!("a body has at most {BODY_BYTES_MAX} bytes");
            problem(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
        Ok(Err(_)) => Err(Problem::bad("the body ended early, or is no body")),
        Err(_) => {
            let message = format!("the body did not come within {} s", BODY_TIMEOUT.as_secs());
            problem(StatusCode::REQUEST_TIMEOUT, message)
        }
    }
}

/// All of a body; none if it is too long. Some of what is too much is read and dropped, because who
/// is cut off while it writes may not read why.
async fn collect(mut body: Body) -> Result<Option<Vec<u8>>, axum::Error> {
    let (mut whole, mut bytes) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        bytes += data.len();
        if bytes > BODY_DROPPED_MAX {
            break;
        }
        match bytes > BODY_BYTES_MAX {
            true => whole = Vec::new(),
            false => whole.extend_from_slice(&data),
        }
    }
    Ok((bytes <= BODY_BYTES_MAX).then_some(whole))
}
