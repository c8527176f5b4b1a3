//! The shapes of answers: JSON, and for every error the same object.
//!
//! Errors have Kafka Connect's shape, `error_code` and `message`, with what else is known beside
//! it.

use crate::serve::control::Refusal;
use crate::serve::document::Mistake;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use headwater_operators::sink::kafka::{Leader, WriteError};
use schemars::JsonSchema;
use serde::Serialize;

/// An answer on its way out.
pub(crate) type Answer = Response<Body>;

/// Something that was not done.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// The status code.
    error_code: u16,
    /// What is wrong, and what to do.
    message: String,
    /// All mistakes of a document, by their place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<Mistake>,
    /// Where the instance can be asked that makes changes, if another one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    /// Headers of the answer.
    #[serde(skip)]
    headers: Vec<(HeaderName, String)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Problem {
            error_code: status.as_u16(),
            message: message.into(),
            mistakes: Vec::new(),
            leader: None,
            headers: Vec::new(),
        }
    }

    /// A request that cannot be meant so.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, message)
    }

    /// No more than what the status says, in the words of Kafka Connect.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        Problem::new(status, format!("HTTP {} {reason}", status.as_u16()))
    }

    pub(crate) fn with(mut self, header: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    /// Names the instance that leads.
    pub(crate) fn of_leader(mut self, leader: &Leader) -> Self {
        self.leader.clone_from(&leader.address);
        self
    }

    pub(crate) fn answer(&self) -> Answer {
        let status = StatusCode::from_u16(self.error_code).expect("a problem has a status");
        let mut answer = json(status, self);
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let status = match &refusal {
            Refusal::Unknown(..) => StatusCode::NOT_FOUND,
            Refusal::Exists(..) | Refusal::Changed(..) | Refusal::Full | Refusal::Fixed => {
                StatusCode::CONFLICT
            }
            Refusal::TooLarge(..) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Mistakes(_) => StatusCode::BAD_REQUEST,
            Refusal::Unwritten(WriteError::Unknown(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Reading(_) | Refusal::NotLeading(_) | Refusal::Unwritten(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let mut problem = Problem::new(status, message);
        match refusal {
            Refusal::Mistakes(mistakes) => problem.mistakes = mistakes.list,
            Refusal::NotLeading(leader) => problem.leader = leader.and_then(|it| it.address),
            _ => {}
        }
        match status {
            StatusCode::SERVICE_UNAVAILABLE => problem.with(header::RETRY_AFTER, "2"),
            _ => problem,
        }
    }
}

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let mut text = serde_json::to_vec(body).expect("answers are plain data");
    text.push(b'\n');
    typed(status, "application/json", text)
}

/// An answer with a body of this type.
pub(crate) fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Nothing here is for a cache, or for a browser to guess at.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// An answer that says no more than its status.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}
