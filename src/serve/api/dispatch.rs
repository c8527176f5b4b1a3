//! From a request to its answer.
//!
//! Order: rate, then who asks, then what is meant, then its body, then the handler. So who may not
//! ask learns nothing, and nothing is read for whom nothing is done.

use super::Readers;
use super::answer::{Answer, Problem, typed};
use super::auth::{Access, Peer};
use super::forward::{Asked, Forward, Origin, Unanswered};
use super::limits::{
    ANSWER_TIMEOUT, BODY_BYTES_MAX, BODY_DROPPED_MAX, BODY_TIMEOUT, FORWARD_CHANGE_MAX,
    FORWARD_LOOK_MAX, KAFKA_REQUESTS_MAX,
};
use super::operation::{Call, Manners, Operation, Outcome, find, methods, pairs, query};
use super::rate::Rates;
use crate::http::Shown;
use crate::serve::connector::ConnectorFiles;
use crate::serve::control::{Control, Role};
use crate::serve::document::PipelineFiles;
use axum::body::Body;
use axum::http::request::Parts as Head;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use headwater_operators::sink::kafka::{Lead, Leader};
use http_body_util::BodyExt as _;
use std::collections::BTreeMap;
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
    pub(crate) connectors: Arc<ConnectorFiles>,
    /// `host:port` of this instance, as others reach it.
    pub(crate) authority: String,
    /// The id of the config topic's cluster, once it was asked for.
    pub(crate) cluster_id: tokio::sync::OnceCell<String>,
    pub(crate) openapi: String,
    is_tls: bool,
    operations: Vec<Operation>,
    access: Access,
    rates: Rates,
    forward: Forward,
}

/// What an API is made of.
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) shown: Arc<Shown>,
    pub(crate) readers: Readers,
    pub(crate) authority: String,
    pub(crate) is_tls: bool,
    pub(crate) access: Access,
    pub(crate) rates: Rates,
    pub(crate) forward: Forward,
}

impl Api {
    pub(crate) fn new(parts: Parts, operations: Vec<Operation>) -> Arc<Self> {
        let Parts { control, shown, readers, authority, is_tls, access, rates, forward } = parts;
        let Readers { files, connectors } = readers;
        Arc::new(Api {
            control,
            kafka_turns: Arc::new(Semaphore::new(KAFKA_REQUESTS_MAX)),
            shown,
            files,
            connectors,
            authority,
            cluster_id: tokio::sync::OnceCell::new(),
            openapi: super::openapi::document(&operations),
            is_tls,
            operations,
            access,
            rates,
            forward,
        })
    }

    /// Answers a request; every refusal has the shape of an error.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Body>, peer: Peer) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let is_head = method == Method::HEAD;
        let outcome = self.outcome(request, &peer).await;
        let mut answer = outcome.unwrap_or_else(|problem| problem.answer());
        let status = answer.status().as_u16();
        let changes = !matches!(method, Method::GET | Method::HEAD);
        let client = peer.address.ip();
        match changes {
            true => tracing::info!(event = "api_request", %client, %method, path, status),
            false => tracing::debug!(event = "api_request", %client, %method, path, status),
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
        if head.method == Method::OPTIONS
            && let Some(methods) = methods(&self.operations, &head.uri)
        {
            return Ok(options(&methods));
        }
        let (operation, parts) = find(&self.operations, &head.method, &head.uri)?;
        if operation.manners == Manners::Connect {
            demand_json(operation, &head.headers)?;
        }
        let pairs = pairs(&head.uri)?;
        let query = match operation.manners {
            Manners::Own => query(operation, pairs.clone())?,
            Manners::Connect => BTreeMap::new(),
        };
        let body = match operation.body {
            Some(_) => read(body).await?,
            None => Vec::new(),
        };
        let base = self.base(&head.headers);
        let call = Call { api: self.clone(), parts, query, body, pairs, base };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.handled(operation, &head, call));
        answer.await.unwrap_or_else(|_| {
            let seconds = ANSWER_TIMEOUT.as_secs();
            let message = format!("no answer within {seconds} s; what was asked may still be done");
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, message))
        })
    }

    /// Answers a call here, or has the leader answer it.
    async fn handled(&self, operation: &Operation, head: &Head, call: Call) -> Outcome {
        if let Some((leader, origin)) = self.elsewhere(operation, head, &call.pairs) {
            let Head { method, uri, headers, .. } = head;
            let asked = Asked { method, uri, headers, body: &call.body };
            let changes = operation.method != Method::GET;
            let within = if changes { FORWARD_CHANGE_MAX } else { FORWARD_LOOK_MAX };
            let answer = tokio::time::timeout(within, self.forward.ask(&origin, &asked)).await;
            match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if changes => return Err(error.problem(&leader)),
                // It is never made here as well.
                Err(_) if changes => {
                    let why = format!("nothing came in {} s", within.as_secs());
                    return Err(Unanswered::Lost(why).problem(&leader));
                }
                // What stands in the config topic is known here as well.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        (operation.handler)(call).await
    }

    /// The instance that is to answer, if it is another one and can be found.
    fn elsewhere(
        &self,
        operation: &Operation,
        head: &Head,
        pairs: &[(String, String)],
    ) -> Option<(Leader, Origin)> {
        if !operation.answered_by.is_leader(pairs) || Forward::is_second(&head.headers) {
            return None;
        }
        let Role::Of(Lead::Other(leader)) = self.control.role() else { return None };
        let leader = leader?;
        let origin = Origin::read(leader.address.as_deref()?)?;
        Some((leader, origin))
    }
}

impl Api {
    /// Where the client found this program.
    fn base(&self, headers: &HeaderMap) -> String {
        let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
        let authority = host.filter(|it| it.parse::<Authority>().is_ok());
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", authority.unwrap_or(&self.authority))
    }
}

/// The methods of a path, as header and as text.
fn options(methods: &[&str]) -> Answer {
    let mut answer = typed(StatusCode::OK, "text/plain", methods.join(", "));
    if let Ok(allow) = HeaderValue::from_str(&methods.join(",")) {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}

/// Kafka Connect speaks JSON and nothing else.
fn demand_json(operation: &Operation, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|it| it.to_str().unwrap_or("?"));
    if !text(header::ACCEPT).is_none_or(accepts_json) {
        return Err(Problem::of_status(StatusCode::NOT_ACCEPTABLE));
    }
    let is_json = |kind: &str| essence(kind).eq_ignore_ascii_case("application/json");
    if operation.body.is_some() && !text(header::CONTENT_TYPE).is_some_and(is_json) {
        return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    Ok(())
}

/// A media type without its parameters.
fn essence(kind: &str) -> &str {
    kind.split(';').next().unwrap_or_default().trim()
}

fn accepts_json(accept: &str) -> bool {
    let is_refused = |range: &str| {
        let quality = range.split(';').filter_map(|it| it.trim().strip_prefix("q="));
        quality.filter_map(|it| it.trim().parse::<f32>().ok()).any(|it| it <= 0.0)
    };
    let fits = |range: &str| {
        let kind = essence(range).to_ascii_lowercase();
        ["*/*", "application/*", "application/json"].contains(&kind.as_str())
    };
    accept.split(',').any(|range| fits(range) && !is_refused(range))
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
