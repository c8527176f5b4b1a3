//! Polling: what is looked for in an answer, and what the next request says.
//!
//! An answer stands for a group of messages: those of its list, or itself. Its cursor, where the
//! source resumes, is the answer's own: it says where to go on behind all of them, and counts when
//! all of them are in the batch. So a restart begins in front of an answer or behind it.
//!
//! Next: `shard/poll.rs` asks.

use super::config::WithoutCursor;
use crate::source::Resumability;
use bytes::{BufMut as _, Bytes, BytesMut};
use headwater_proto::{
    CursorScalar, FieldPath, ItemsPath, Leaf, Overlay, OverlayError, RequestTemplate, WireError,
};
use std::time::Duration;

/// How a unary method is called again and again.
pub(super) struct PollPlan {
    /// Between an answer and the next call.
    pub(super) interval: Duration,
    /// What an answer may take.
    pub(super) timeout: Duration,
    /// Where the messages are; without it the answer is one.
    pub(super) items: Option<ItemsPath>,
    /// What says that the next call follows at once.
    pub(super) more: Option<FieldPath>,
    /// Where pages are.
    pub(super) page: Option<PagePlan>,
    /// Whether an answer like the last one is passed over.
    pub(super) skip_unchanged: bool,
    /// What an answer without a cursor means.
    pub(super) without_cursor: WithoutCursor,
}

/// How pages follow each other.
pub(super) struct PagePlan {
    /// Where the token of the next one is.
    pub(super) from: FieldPath,
    /// An empty request.
    pub(super) empty: RequestTemplate,
    /// The request's field that takes the token.
    pub(super) set: Overlay,
}

/// The name of the token in [`PagePlan::set`].
pub(super) const TOKEN: &str = "token";

/// An answer, looked through.
pub(super) struct Answer {
    /// Its messages.
    pub(super) items: Vec<Bytes>,
    /// Whether the next call may follow at once.
    pub(super) has_more: bool,
    /// What the next request takes over from it.
    pub(super) page: Option<CursorScalar>,
}

impl PollPlan {
    /// Looks through an answer.
    ///
    /// # Errors
    /// [`WireError`] if it is not a message.
    pub(super) fn read(&self, answer: &Bytes) -> Result<Answer, WireError> {
        let items = match &self.items {
            None => vec![answer.clone()],
            Some(path) => {
                let found = path.find(answer)?;
                found.into_iter().map(|item| answer.slice_ref(item)).collect()
            }
        };
        let page = match &self.page {
            None => None,
            Some(page) => page.from.find(answer)?.filter(is_set).and_then(|it| token(&it)),
        };
        let more = match &self.more {
            None => None,
            Some(path) => path.find(answer)?.filter(is_set),
        };
        Ok(Answer { items, has_more: more.is_some() || page.is_some(), page })
    }

    /// `request`, asking for the page of `token`. A field that is sent twice has its last value, so
    /// the token stands behind the rest.
    ///
    /// # Errors
    /// [`OverlayError`] if the token does not fit its field.
    pub(super) fn turn(
        &self,
        request: Bytes,
        token: Option<&CursorScalar>,
    ) -> Result<Bytes, OverlayError> {
        let (Some(page), Some(token)) = (&self.page, token) else { return Ok(request) };
        let set = page.set.apply(&page.empty, &|name| (name == TOKEN).then(|| token.clone()))?;
        let mut whole = BytesMut::with_capacity(request.len() + set.len());
        whole.put(request);
        whole.put(set);
        Ok(whole.freeze())
    }

    /// How exact a restart is, where the source resumes.
    pub(super) fn resumability(&self) -> Resumability {
        match self.without_cursor {
            WithoutCursor::Stop => Resumability::Exact,
            WithoutCursor::LastPage => Resumability::Weakened {
                field: "poll.without_cursor",
                because:
                    "the messages of the last page are told apart by counting, which is right \
                          only if the server lists them in the same order and adds at the end"
                        .into(),
            },
        }
    }

    /// What `explain` says of it.
    pub(super) fn describe(&self) -> String {
        let messages = match &self.items {
            None => "each answer is a message".to_owned(),
            Some(items) => format!("the elements of {items} are the messages"),
        };
        let at_once = match (&self.page, &self.more) {
            (None, None) => "",
            (Some(_), _) => "; pages follow at once",
            (None, Some(_)) => "; the next call follows at once while there is more",
        };
        format!("every {} ms; {messages}{at_once}", self.interval.as_millis())
    }
}

/// Whether a field has another value than none.
fn is_set(leaf: &Leaf<'_>) -> bool {
    match leaf {
        Leaf::Bool(value) => *value,
        Leaf::Int(value) => *value != 0,
        Leaf::Uint(value) => *value != 0,
        Leaf::Float(value) => *value != 0.0,
        Leaf::Enum(value) => *value != 0,
        Leaf::Text(text) => !text.is_empty(),
        Leaf::Bytes(bytes) => !bytes.is_empty(),
        Leaf::Message(wire) => !wire.is_empty(),
    }
}

/// A token as the request takes it; it outlives the answer.
fn token(leaf: &Leaf<'_>) -> Option<CursorScalar> {
    Some(match leaf {
        Leaf::Int(value) => CursorScalar::Int(*value),
        Leaf::Enum(value) => CursorScalar::Int((*value).into()),
        Leaf::Uint(value) => CursorScalar::Uint(*value),
        Leaf::Text(text) => CursorScalar::Text((*text).to_owned()),
        Leaf::Bytes(bytes) => CursorScalar::Bytes(Bytes::copy_from_slice(bytes)),
        Leaf::Message(wire) => CursorScalar::Message(Bytes::copy_from_slice(wire)),
        // The check of the pipeline file refuses such fields.
        Leaf::Bool(_) | Leaf::Float(_) => return None,
    })
}
