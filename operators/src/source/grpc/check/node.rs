//! The whole node, key by key.

use super::super::config::Config;
use super::super::source::GrpcSource;
use super::super::tls::TlsMaterial;
use super::{resume, shards, types};
use headwater_engine::spec::{
    Checked, Encoding, KindEntry, NodeView, Report, Role, StreamType, schema_of,
};
use std::sync::Arc;

/// The kind's entry in the registry.
#[must_use]
pub fn entry() -> KindEntry {
    KindEntry {
        role: Role::Source,
        name: "grpc",
        summary: "Calls a server-streaming gRPC method and takes its messages as they are.",
        schema: schema_of::<Config>,
        check,
    }
}

fn check(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let source = Arc::new(read(view, report)?);
    let message = source.message.clone();
    let output = StreamType {
        encoding: Encoding::Messages,
        name: message.full_name().to_owned(),
        schema: Some(Arc::new(message)),
    };
    Some(Checked { config: source, output: Some(output) })
}

/// The source, if the node has no mistake.
pub(super) fn read(view: &NodeView<'_>, report: &mut Report) -> Option<GrpcSource> {
    let config: Config = view.parse(report)?;
    let sizes = check_sizes(&config, view, report);
    let tls = check_tls(&config, view, report);
    let method = types::method(&config, view, report);
    let plan = method.as_ref().map(|method| resume::check(&config, method, view, report));
    let shards = shards::Shards { config: &config, view, tls, method: method.as_ref() };
    // Requests are checked even where the cursor mapping is wrong; the result is then not used.
    let targets = shards.check(plan.as_ref().and_then(|plan| plan.as_ref()?.as_ref()), report);
    let (specs, targets) = targets?.into_iter().unzip();
    let (method, plan) = (method?, plan??);
    sizes?;
    Some(GrpcSource {
        name: view.name.to_owned(),
        method: method.path().parse().expect("a method's name is a valid URL path"),
        message: method.output(),
        shards: specs,
        targets,
        message_bytes_max: usize::try_from(config.message_bytes_max).unwrap_or(usize::MAX),
        reconnect: config.reconnect,
        on_end: config.on_end,
        resume: plan.map(|plan| plan.plan),
    })
}

fn check_sizes(config: &Config, view: &NodeView<'_>, report: &mut Report) -> Option<()> {
    let mut fine = Some(());
    if config.reconnect.backoff_max_ms < config.reconnect.backoff_min_ms {
        report
            .error(
                &view.at(&["reconnect", "backoff_max_ms"]),
                "the longest wait is below the first",
            )
            .hint("make backoff_max_ms at least backoff_min_ms");
        fine = None;
    }
    let http2 = &config.http2;
    if !http2.adaptive_window && http2.connection_window_bytes < http2.stream_window_bytes {
        report
            .warning(
                &view.at(&["http2", "connection_window_bytes"]),
                "the connection's window is smaller than the stream's, which can never fill",
            )
            .hint("make connection_window_bytes at least stream_window_bytes");
    }
    fine
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
