//! The whole node, key by key.

use super::super::config::{Config, Windows};
use super::super::reload::TlsMaterial;
use super::super::source::GrpcSource;
use super::super::watch::Life;
use super::{fleet, inquiry, poll, reach, resume, shards, stream, types, upstreams};
use crate::stand_in;
use headwater_engine::spec::{
    Checked, Encoding, KindEntry, NodeView, Report, Role, StreamFacts, schema_of,
};
use headwater_proto::{MessageDescriptor, Method};
use http::uri::PathAndQuery;
use std::sync::Arc;

/// The kind's entry in the registry.
#[must_use]
pub fn entry() -> KindEntry {
    KindEntry {
        role: Role::Source,
        name: "grpc",
        summary: "Calls a gRPC method that answers with a stream, takes its messages as they are.",
        schema: schema_of::<Config>,
        check,
    }
}

/// A source is made of whatever was understood: after a mistake it only serves to check the nodes
/// behind it and the plan.
fn check(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let mut config: Config = view.parse(report)?;
    fleet::complete(&mut config);
    check_sizes(&config, view, report);
    reach::check_life(&config, view, report);
    let tls = check_tls(&config, view, report);
    let types = types::find(&config, view, report);
    let method = types.method();
    let resume = resume::check(&config, method, view, report);
    let known = resume.as_ref().and_then(Option::as_ref);
    let stream = stream::check(&config, method, view, report);
    upstreams::check(&config, known, view, report);
    let shards_min = fleet::shards_min(&config);
    let known_tls = tls.clone();
    let shards = shards::Shards { config: &config, view, tls, method, shards_min };
    let (specs, targets) = shards.check(known, report).into_iter().flatten().unzip();
    let inquiry = inquiry::inquiry(&types, &shards, report);
    let watch = fleet::watch(&config, method, known_tls.as_ref(), view, report);
    let poll = poll::check(&config, method, view, report);
    let items = poll.as_ref().and_then(Option::as_ref).and_then(|poll| poll.items.as_ref());
    let message = method.map(Method::output);
    let is_listed = config.poll.as_ref().is_some_and(|poll| poll.items.is_some());
    let message = if is_listed { items.map(|items| items.message().clone()) } else { message };
    let output = facts(message.as_ref());
    let is_resume_known = resume.is_some();
    let source = GrpcSource {
        name: view.name.to_owned(),
        method: method.map_or_else(|| PathAndQuery::from_static("/"), path),
        message: message.unwrap_or_else(stand_in::message),
        shards: specs,
        targets,
        watch,
        message_bytes_max: usize::try_from(config.message_bytes_max).unwrap_or(usize::MAX),
        life: Life::new(&config),
        compression: config.compression,
        reconnect: config.reconnect,
        on_end: config.on_end,
        poll: poll.flatten(),
        resume: resume.flatten().map(|resume| resume.plan),
        stream,
    };
    let checked = Checked::new(source, output);
    let checked = if is_resume_known { checked } else { checked.without("resume") };
    Some(match inquiry {
        Some(inquiry) => checked.asking(inquiry),
        None => checked,
    })
}

fn path(method: &Method) -> PathAndQuery {
    method.path().parse().expect("a method's name is a valid URL path")
}

fn facts(message: Option<&MessageDescriptor>) -> StreamFacts {
    StreamFacts {
        encoding: Some(Encoding::Messages),
        name: message.map(|message| message.full_name().to_owned()),
        schema: message.map(|message| Arc::new(message.clone()) as _),
    }
}

fn check_sizes(config: &Config, view: &NodeView<'_>, report: &mut Report) {
    let is_known = view.knows(&["reconnect", "backoff_min_ms"]);
    if is_known && config.reconnect.backoff_max_ms < config.reconnect.backoff_min_ms {
        report
            .error(
                &view.at(&["reconnect", "backoff_max_ms"]),
                "the longest wait is below the first",
            )
            .hint("make backoff_max_ms at least backoff_min_ms");
    }
    let http2 = &config.http2;
    let is_known =
        ["adaptive_window", "stream_window_bytes"].map(|key| view.knows(&["http2", key]));
    let Windows { stream_bytes, connection_bytes } = http2.windows(1);
    if is_known == [true; 2] && !http2.adaptive_window && connection_bytes < stream_bytes {
        report
            .warning(
                &view.at(&["http2", "connection_window_bytes"]),
                "the connection's window is smaller than the stream's, which can never fill",
            )
            .hint("make connection_window_bytes at least stream_window_bytes");
    }
}

/// The material, read and tried; outside `None` after an error.
fn check_tls(
    config: &Config,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Option<TlsMaterial>> {
    let Some(tls) = &config.tls else { return Some(None) };
    match TlsMaterial::read(tls, view.base_dir()) {
        Ok(material) => Some(Some(material)),
        Err(errors) => {
            for error in errors {
                report.error(&view.at(&["tls", error.key.name()]), error.to_string());
            }
            None
        }
    }
}
