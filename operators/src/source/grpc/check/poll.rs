//! Polling: paths that exist in the answer, a request that takes the token, and what of `resume`
//! makes sense where a server is asked for answers and not for a stream.
//!
//! Invariant: without the method, all is checked that needs none.

use super::super::config::{Config, PageConfig, PollConfig, PositionKind, ResumeConfig};
use super::super::poll::{PagePlan, PollPlan, TOKEN};
use headwater_engine::spec::{NodeView, Report};
use headwater_proto::{
    CursorComponent, FieldPath, ItemsPath, LeafKind, MessageDescriptor, Method, Overlay, PathError,
    RequestTemplate,
};
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

/// Outside `None` after an error, inside `None` without a `poll` block.
pub(super) fn check(
    config: &Config,
    method: Option<&Method>,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Option<PollPlan>> {
    let Some(poll) = &config.poll else { return Some(None) };
    if let Some(resume) = &config.resume {
        check_resume(resume, view, report);
        if poll.page.is_some() {
            report
                .error(&view.at_key(&["poll", "page"]), "`page` does not go with `resume`")
                .detail("a restart would go on from the cursor and know nothing of the page")
                .hint("take the token into `resume.cursor`, and say `more` where it is");
        }
    }
    let (input, output) = (method?.input(), method?.output());
    let items = path(poll.items.as_deref(), "items", view, report, |text| {
        ItemsPath::compile(&output, text)
    });
    let more =
        path(poll.more.as_deref(), "more", view, report, |text| FieldPath::compile(&output, text));
    let page = match &poll.page {
        None => Some(None),
        Some(page) => page_plan(page, &input, &output, view, report).map(Some),
    };
    Some(Some(plan(poll, items?, more?, page?)))
}

fn plan(
    poll: &PollConfig,
    items: Option<ItemsPath>,
    more: Option<FieldPath>,
    page: Option<PagePlan>,
) -> PollPlan {
    PollPlan {
        interval: Duration::from_millis(poll.interval_ms),
        timeout: Duration::from_millis(poll.timeout_ms),
        items,
        more,
        page,
        skip_unchanged: poll.skip_unchanged,
        without_cursor: poll.without_cursor,
    }
}

/// Outside `None` after an error, inside `None` where none is given.
fn path<T>(
    text: Option<&str>,
    key: &str,
    view: &NodeView<'_>,
    report: &mut Report,
    compile: impl FnOnce(&str) -> Result<T, PathError>,
) -> Option<Option<T>> {
    let Some(text) = text else { return Some(None) };
    match compile(text) {
        Ok(path) => Some(Some(path)),
        Err(error) => {
            refuse(&error, &["poll", key], view, report);
            None
        }
    }
}

fn refuse(error: &PathError, at: &[&str], view: &NodeView<'_>, report: &mut Report) {
    let finding = report.error(&view.at(at), error.to_string());
    if let Some(hint) = &error.hint {
        finding.hint(hint.clone());
    }
}

fn page_plan(
    page: &PageConfig,
    input: &MessageDescriptor,
    output: &MessageDescriptor,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<PagePlan> {
    let from = match FieldPath::compile(output, &page.from) {
        Ok(from) => from,
        Err(error) => {
            refuse(&error, &["poll", "page", "from"], view, report);
            return None;
        }
    };
    if matches!(from.kind(), LeafKind::Bool | LeafKind::Float) {
        let place = view.at(&["poll", "page", "from"]);
        report
            .error(&place, format!("field {:?} cannot be a page's token", page.from))
            .detail("expected: a text, bytes, a whole number or a message");
        return None;
    }
    let token = CursorComponent::of_path(TOKEN, &from);
    let empty = RequestTemplate::compile(input, &Json::Null).ok()?;
    match Overlay::compile_with(input, &nested(&page.set), &[], &[token]) {
        Ok(set) => Some(PagePlan { from, empty, set }),
        Err(errors) => {
            for error in errors {
                report.error(&view.at(&["poll", "page", "set"]), error.to_string());
            }
            None
        }
    }
}

/// `a.b` as a request would set it.
fn nested(path: &str) -> Json {
    let value = json!(format!("${{cursor.{TOKEN}}}"));
    path.rsplit('.').fold(value, |inner, name| {
        let mut map = Map::new();
        map.insert(name.to_owned(), inner);
        Json::Object(map)
    })
}

/// Keys of `resume` that speak of the messages of a stream, and why they do not go with answers.
const OF_STREAMS: [(&str, &str); 9] = [
    ("mode", "a restart goes on from the answer's cursor, or not at all"),
    ("boundary", GROUP),
    ("id", GROUP),
    ("sequence", ORDER),
    ("on_gap", ORDER),
    ("on_out_of_order", ORDER),
    ("verify", ORDER),
    ("heartbeat", GROUP),
    ("loss", GROUP),
];
const GROUP: &str = "an answer is one group: a restart begins in front of it or behind it";
const ORDER: &str = "the cursor is the answer's, and nothing is known of the messages within";

fn check_resume(resume: &ResumeConfig, view: &NodeView<'_>, report: &mut Report) {
    let mut refuse = |key: &str, why: &str| {
        report
            .error(&view.at_key(&["resume", key]), format!("`{key}` does not go with `poll`"))
            .detail(why)
            .hint("leave it out");
    };
    let is_given = |key: &str| view.value["resume"].get(key).is_some();
    for (key, why) in OF_STREAMS.into_iter().filter(|(key, _)| is_given(key)) {
        refuse(key, why);
    }
    let components = resume.cursor.values().flat_map(|component| component.from.as_slice());
    let is_of_call = |text: &str| text.starts_with("@metadata:") || text.starts_with("@trailer:");
    if components.into_iter().any(|text| is_of_call(text)) {
        refuse("cursor", "the cursor must stand in the answer's message");
    }
    if resume.position == PositionKind::At && view.knows(&["resume", "position"]) {
        refuse(
            "position",
            "the server must go on behind the cursor, or at the value that follows it (`next`)",
        );
    }
}
