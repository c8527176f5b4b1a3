//! The table of operations, and which of them a request means.
//!
//! Requests are looked up in the same table that the OpenAPI document is made of, so neither can
//! have what the other lacks.
//!
//! Invariants
//! 1. A path is taken apart before its parts are decoded, so an encoded slash never makes a part.
//! 2. A part that decodes to no text, to control characters, `.` or `..` is refused, not mended.
//! 3. A query parameter that the operation does not have is refused.
//!
//! Operations of Kafka Connect have that program's manners instead where clients rely on them
//! ([`Manners::Connect`]): they pass over parameters that they do not know, answer `OPTIONS`,
//! demand JSON of bodies and of `accept`, and say `HTTP 404 Not Found` and no more.

use super::answer::{Answer, Problem};
use super::dispatch::Api;
use super::limits::{PATH_BYTES_MAX, SEGMENTS_MAX};
use axum::http::{Method, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use schemars::Schema;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

/// What a handler is given.
pub(crate) struct Call {
    pub(crate) api: Arc<Api>,
    /// The parts of the path that stand for something, by name.
    pub(crate) parts: BTreeMap<&'static str, String>,
    pub(crate) query: BTreeMap<String, String>,
    /// Empty where the operation takes none.
    pub(crate) body: Vec<u8>,
    /// All parameters of the query in their order, for an operation of Kafka Connect.
    pub(crate) pairs: Vec<(String, String)>,
    /// Where the client found this program: scheme and authority.
    pub(crate) base: String,
}

/// What a handler comes to.
pub(crate) type Outcome = Result<Answer, Problem>;

/// Answers calls.
pub(crate) type Handler =
    Box<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// One operation.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// `/pipelines/{name}`
    pub(crate) path: &'static str,
    /// Its name in the OpenAPI document.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) query: &'static [Parameter],
    /// What the body is, if it takes one.
    pub(crate) body: Option<&'static str>,
    pub(crate) answers: Vec<Reply>,
    pub(crate) handler: Handler,
    pub(crate) manners: Manners,
    pub(crate) answered_by: AnsweredBy,
}

/// Which instance of several answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnsweredBy {
    /// Whichever is asked.
    Any,
    /// The one that leads: it makes the changes, and knows what runs.
    Leader,
    /// The same where this parameter of the query has this value.
    LeaderIf(&'static str, &'static str),
}

/// How an operation takes its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Strictly: what it does not know is refused.
    Own,
    /// As Kafka Connect does.
    Connect,
}

/// A query parameter.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// All values that it may have; none: a number, or any text.
    pub(crate) values: &'static [&'static str],
}

/// A good answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) summary: &'static str,
    pub(crate) content: Content,
}

/// What an answer holds.
pub(crate) enum Content {
    Nothing,
    /// JSON of this shape, under this name.
    Json(&'static str, Schema),
    /// Something else.
    Other(&'static str),
}

/// Makes a handler of an asynchronous function.
pub(crate) fn handler<F>(function: impl Fn(Call) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Outcome> + Send + 'static,
{
    Box::new(move |call| Box::pin(function(call)))
}

/// JSON of the type `T`.
pub(crate) fn shape<T: schemars::JsonSchema>(name: &'static str) -> Content {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|it| {
        it.inline_subschemas = true;
        it.meta_schema = None;
    });
    Content::Json(name, settings.into_generator().into_root_schema_for::<T>())
}

/// What an operation is called, and what it does in one line.
pub(crate) type Told = (&'static str, &'static str);

impl Operation {
    pub(crate) fn new(
        method: Method,
        path: &'static str,
        (id, summary): Told,
        handler: Handler,
    ) -> Self {
        Operation {
            method,
            path,
            id,
            summary,
            query: &[],
            body: None,
            answers: Vec::new(),
            handler,
            manners: Manners::Own,
            answered_by: AnsweredBy::Any,
        }
    }

    /// It has Kafka Connect's manners.
    pub(crate) fn of_connect(self) -> Self {
        Operation { manners: Manners::Connect, ..self }
    }

    /// Its answer is the leader's.
    pub(crate) fn by_leader(self) -> Self {
        Operation { answered_by: AnsweredBy::Leader, ..self }
    }

    /// Its answer is the leader's where the query says `key=value`.
    pub(crate) fn by_leader_if(self, key: &'static str, value: &'static str) -> Self {
        Operation { answered_by: AnsweredBy::LeaderIf(key, value), ..self }
    }

    /// It has these query parameters.
    pub(crate) fn asks(self, query: &'static [Parameter]) -> Self {
        Operation { query, ..self }
    }

    /// It takes a body.
    pub(crate) fn takes(self, body: &'static str) -> Self {
        Operation { body: Some(body), ..self }
    }

    /// It has this good answer.
    pub(crate) fn replies(
        mut self,
        status: StatusCode,
        summary: &'static str,
        content: Content,
    ) -> Self {
        self.answers.push(Reply { status, summary, content });
        self
    }

    /// It has this good answer, with status 200.
    pub(crate) fn answers(self, summary: &'static str, content: Content) -> Self {
        self.replies(StatusCode::OK, summary, content)
    }
}

impl AnsweredBy {
    /// Whether it is the leader, for a request with these parameters.
    pub(crate) fn is_leader(self, pairs: &[(String, String)]) -> bool {
        match self {
            AnsweredBy::Any => false,
            AnsweredBy::Leader => true,
            AnsweredBy::LeaderIf(key, value) => pairs.iter().any(|it| it.0 == key && it.1 == value),
        }
    }
}

/// Which operation a request means, and what its path's parts are.
pub(crate) fn find<'o>(
    operations: &'o [Operation],
    method: &Method,
    uri: &Uri,
) -> Result<(&'o Operation, BTreeMap<&'static str, String>), Problem> {
    let mut found = at(operations, uri)?;
    if found.is_empty() {
        return Err(nothing_at(uri));
    }
    // Who is asked for the head of an answer makes the answer.
    let wanted = if method == Method::HEAD { &Method::GET } else { method };
    let place = found.iter().position(|(it, _)| it.method == *wanted);
    let Some(place) = place else {
        let mut methods: Vec<&str> = found.iter().map(|(it, _)| it.method.as_str()).collect();
        methods.dedup();
        if found[0].0.manners == Manners::Connect {
            return Err(Problem::of_status(StatusCode::METHOD_NOT_ALLOWED));
        }
        let message = format!("{} takes {}, not {method}", uri.path(), methods.join(", "));
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, message);
        return Err(problem.with(header::ALLOW, methods.join(", ")));
    };
    Ok(found.swap_remove(place))
}

/// The operations at a path; those with a word in a place before those with anything there.
fn at<'o>(operations: &'o [Operation], uri: &Uri) -> Result<Vec<Found<'o>>, Problem> {
    let parts = split(uri.path())?;
    let mut found: Vec<_> =
        operations.iter().filter_map(|it| Some((it, it.matches(&parts)?))).collect();
    found.sort_by_key(|(_, parts)| parts.len());
    Ok(found)
}

/// An operation with the parts of its path that stand for something.
type Found<'o> = (&'o Operation, BTreeMap<&'static str, String>);

/// Clients of Kafka Connect know what it says of an unknown path; people are told more where there
/// are only our own.
fn nothing_at(uri: &Uri) -> Problem {
    if !uri.path().starts_with("/pipelines") {
        return Problem::of_status(StatusCode::NOT_FOUND);
    }
    let message = format!("there is nothing at {}; /openapi.json lists all paths", uri.path());
    Problem::new(StatusCode::NOT_FOUND, message)
}

/// What `OPTIONS` asks for: the methods of a path of Kafka Connect, in the order in which that
/// tells them.
pub(crate) fn methods(operations: &[Operation], uri: &Uri) -> Option<Vec<&'static str>> {
    const ORDER: [&str; 7] = ["HEAD", "DELETE", "POST", "GET", "OPTIONS", "PUT", "PATCH"];
    let found = at(operations, uri).ok()?;
    let of_connect = || found.iter().filter(|(it, _)| it.manners == Manners::Connect);
    let has = |method: &str| of_connect().any(|(it, _)| it.method == method);
    let is_there = |method: &&str| match *method {
        "HEAD" => has("GET"),
        "OPTIONS" => true,
        method => has(method),
    };
    of_connect().next()?;
    Some(ORDER.into_iter().filter(is_there).collect())
}

/// The query's parameters in their order.
pub(crate) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?))
    };
    pairs.map(pair).collect()
}

/// The query's parameters, which must be `operation`'s.
pub(crate) fn query(
    operation: &Operation,
    pairs: Vec<(String, String)>,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut query = BTreeMap::new();
    for (name, value) in pairs {
        let Some(parameter) = operation.query.iter().find(|it| it.name == name) else {
            let known: Vec<&str> = operation.query.iter().map(|it| it.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Problem::bad(format!("there is no parameter `{name}` here, only {known}")));
        };
        if !parameter.values.is_empty() && !parameter.values.contains(&value.as_str()) {
            let values = parameter.values.join(", ");
            return Err(Problem::bad(format!("`{name}` is one of {values}, not `{value}`")));
        }
        if query.insert(name, value).is_some() {
            return Err(Problem::bad(format!("`{}` is given twice", parameter.name)));
        }
    }
    Ok(query)
}

impl Operation {
    /// The parts that stand for something, if the path is of this operation.
    fn matches(&self, parts: &[String]) -> Option<BTreeMap<&'static str, String>> {
        let pattern: Vec<&'static str> = self.path[1..].split('/').collect();
        if pattern.len() != parts.len() {
            return None;
        }
        let mut named = BTreeMap::new();
        for (pattern, part) in pattern.into_iter().zip(parts) {
            match pattern.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => drop(named.insert(name, part.clone())),
                None if pattern == part => {}
                None => return None,
            }
        }
        Some(named)
    }
}

/// A path's parts, decoded; a slash at its end does not count.
fn split(path: &str) -> Result<Vec<String>, Problem> {
    if path.len() > PATH_BYTES_MAX {
        let message = format!("a path has at most {PATH_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::URI_TOO_LONG, message));
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > SEGMENTS_MAX {
        let message = format!("a path has at most {SEGMENTS_MAX} parts");
        return Err(Problem::new(StatusCode::NOT_FOUND, message));
    }
    let part = |part: &&str| {
        let part = decoded(part)?;
        match part == "." || part == ".." {
            true => Err(Problem::bad("a path has no `.` or `..`")),
            false => Ok(part),
        }
    };
    parts.iter().map(part).collect()
}

/// Percent-encoded text without control characters.
fn decoded(text: &str) -> Result<String, Problem> {
    let escapes = text.split('%').skip(1);
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.clone().all(is_escape) {
        return Err(Problem::bad("`%` is followed by two hexadecimal digits"));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| Problem::bad("what is percent-encoded is no UTF-8"))?;
    match decoded.chars().any(char::is_control) {
        true => Err(Problem::bad("control characters stand for nothing here")),
        false => Ok(decoded.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::api::answer::empty;

    fn operation(method: Method, path: &'static str) -> Operation {
        const RATE: Parameter = Parameter { name: "rate", summary: "", values: &["1", "2"] };
        let handler = handler(|_| async { Ok(empty(StatusCode::OK)) });
        Operation::new(method, path, ("test", ""), handler).asks(&[RATE])
    }

    fn all() -> Vec<Operation> {
        vec![
            operation(Method::GET, "/pipelines"),
            operation(Method::GET, "/pipelines/{name}"),
            operation(Method::PUT, "/pipelines/{name}"),
            operation(Method::POST, "/pipelines/validate"),
            operation(Method::GET, "/pipelines/{name}/status"),
        ]
    }

    fn look(method: Method, path: &str) -> Result<(&'static str, Option<String>), u16> {
        let operations = all();
        let uri = path.parse().unwrap();
        let found = find(&operations, &method, &uri);
        let found = found.map(|(it, mut parts)| (it.path, parts.remove("name")));
        found.map_err(|problem| problem.answer().status().as_u16())
    }

    #[test]
    fn a_path_means_one_operation_and_its_parts_are_decoded_once() {
        let named = |path, name: &str| Ok((path, Some(name.to_owned())));
        assert_eq!(look(Method::GET, "/pipelines"), Ok(("/pipelines", None)));
        assert_eq!(look(Method::GET, "/pipelines/"), Ok(("/pipelines", None)));
        assert_eq!(look(Method::GET, "/pipelines/a"), named("/pipelines/{name}", "a"));
        assert_eq!(look(Method::HEAD, "/pipelines/a"), named("/pipelines/{name}", "a"));
        assert_eq!(look(Method::GET, "/pipelines/a%2Fb"), named("/pipelines/{name}", "a/b"));
        assert_eq!(look(Method::GET, "/pipelines/a%252Fb"), named("/pipelines/{name}", "a%2Fb"));
        assert_eq!(look(Method::POST, "/pipelines/validate"), Ok(("/pipelines/validate", None)));
        assert_eq!(
            look(Method::GET, "/pipelines/validate"),
            named("/pipelines/{name}", "validate")
        );
    }

    #[test]
    fn tricks_with_paths_are_refused() {
        let long = format!("/pipelines/{}", "a".repeat(PATH_BYTES_MAX));
        for (path, status) in [
            ("/", 404),
            ("/pipelines/../etc/passwd", 400),
            ("/pipelines/%2e%2e/status", 400),
            ("/pipelines/.", 400),
            ("/pipelines/a%00", 400),
            ("/pipelines/a%0d%0aX:y", 400),
            ("/pipelines/%ff%fe", 400),
            ("/pipelines/%zz", 400),
            ("/pipelines/a%2", 400),
            ("/pipelines//status/x", 404),
            ("/a/b/c/d/e/f/g/h/i/j", 404),
            (long.as_str(), 414),
        ] {
            assert_eq!(look(Method::GET, path), Err(status), "{path}");
        }
        assert_eq!(look(Method::DELETE, "/pipelines/a/status"), Err(405));
    }

    #[test]
    fn what_kafka_connect_answers_is_told_of_its_paths_only() {
        let mut operations = all();
        operations.push(operation(Method::GET, "/connectors").of_connect());
        operations.push(operation(Method::POST, "/connectors").of_connect());
        let methods = |path: &str| methods(&operations, &path.parse().unwrap());
        assert_eq!(methods("/connectors").unwrap(), ["HEAD", "POST", "GET", "OPTIONS"]);
        assert_eq!(methods("/pipelines"), None);
        assert_eq!(methods("/none"), None);
        let told = |method, path: &str| {
            let found = find(&operations, &method, &path.parse().unwrap());
            let answer = found.err().unwrap().answer();
            (answer.status().as_u16(), answer.headers().contains_key(header::ALLOW))
        };
        assert_eq!(told(Method::PUT, "/connectors"), (405, false));
        assert_eq!(told(Method::PATCH, "/pipelines"), (405, true));
    }

    #[test]
    fn parameters_are_those_of_the_operation() {
        let operation = operation(Method::GET, "/x");
        let ask = |uri: &str| {
            let pairs = pairs(&uri.parse().unwrap()).map_err(|_| ())?;
            query(&operation, pairs).map_err(|_| ())
        };
        assert_eq!(ask("/x?rate=%31").unwrap()["rate"], "1");
        for wrong in ["/x?speed=1", "/x?rate=3", "/x?rate=1&rate=2", "/x?rate=%zz", "/x?rate"] {
            assert_eq!(ask(wrong), Err(()), "{wrong}");
        }
    }
}
