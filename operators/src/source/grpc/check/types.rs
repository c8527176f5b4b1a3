//! The method and its types.

use super::super::config::{Config, DescriptorsConfig};
use headwater_engine::spec::{NodeView, Report};
use headwater_proto::{DescriptorError, DescriptorInput, Descriptors, Method};
use std::error::Error;
use std::path::{Path, PathBuf};

/// The method named, if it is there and answers one request with a stream.
pub(super) fn method(config: &Config, view: &NodeView<'_>, report: &mut Report) -> Option<Method> {
    let input = input(&config.descriptors, view, report)?;
    let descriptors = match Descriptors::load(&input) {
        Ok(descriptors) => descriptors,
        Err(error) => {
            report_load(&error, &config.descriptors, view, report);
            return None;
        }
    };
    match descriptors.method(&config.method) {
        Ok(method) => check_shape(method, config.poll.is_some(), view, report),
        Err(error) => {
            report.error(&view.at(&["method"]), error.to_string());
            None
        }
    }
}

fn check_shape(
    method: Method,
    is_polled: bool,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Method> {
    let shape = match (method.client_streaming(), method.server_streaming()) {
        (false, true) if !is_polled => return Some(method),
        (false, false) if is_polled => return Some(method),
        (false, true) => "server-streaming: it answers with a stream of messages",
        (false, false) => "unary: it answers with one message",
        (true, false) => "client-streaming: it answers a stream of requests with one message",
        (true, true) => "bidirectional: it expects a stream of requests",
    };
    let is_unary = !method.client_streaming() && !method.server_streaming();
    let expected = match is_polled {
        true => "expected with `poll`: a unary method, `rpc …(Request) returns (Message)`",
        false => "expected: a server-streaming method, `rpc …(Request) returns (stream Message)`",
    };
    let name = method.path().trim_start_matches('/');
    let finding = report.error(&view.at(&["method"]), format!("method {name:?} is {shape}"));
    finding.detail(expected);
    if is_unary {
        finding.hint("to call it again and again, add `poll: {}`");
    }
    None
}

fn input(
    config: &DescriptorsConfig,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<DescriptorInput> {
    let base = view.base_dir();
    let place = view.at(&["descriptors"]);
    let is_set = config.file.is_some() || config.base64.is_some();
    if is_set && config.protos.is_none() && !config.includes.is_empty() {
        report
            .error(&view.at(&["descriptors", "includes"]), "`includes` is for `protos`")
            .hint("leave it out: a descriptor set holds its imports");
    }
    let input = match (&config.file, &config.base64, &config.protos) {
        (Some(file), None, None) => Some(DescriptorInput::File(base.join(file))),
        (None, Some(text), None) => Some(DescriptorInput::Base64(text.clone())),
        (None, None, Some(protos)) => Some(DescriptorInput::Protos {
            files: joined(protos, base),
            includes: joined(&config.includes, base),
        }),
        (None, None, None) => {
            report
                .error(&place, "no descriptors are named")
                .detail("expected: one of `file`, `base64` and `protos`");
            None
        }
        _ => {
            report
                .error(&place, "descriptors are named twice")
                .detail("expected: exactly one of `file`, `base64` and `protos`");
            None
        }
    }?;
    // What is compiled without some of its folders and sources misses more than it says.
    let is_whole = ["protos", "includes"].iter().all(|key| view.knows(&["descriptors", key]));
    Some(input).filter(|_| config.protos.is_none() || is_whole)
}

fn joined(paths: &[PathBuf], base: &Path) -> Vec<PathBuf> {
    paths.iter().map(|path| base.join(path)).collect()
}

fn report_load(
    error: &DescriptorError,
    config: &DescriptorsConfig,
    view: &NodeView<'_>,
    report: &mut Report,
) {
    let key = match (&config.file, &config.base64) {
        (Some(_), _) => "file",
        (_, Some(_)) => "base64",
        _ => "protos",
    };
    let text = match error {
        DescriptorError::Compile { .. } => "the .proto sources do not compile".to_owned(),
        other => other.to_string(),
    };
    let finding = report.error(&view.at(&["descriptors", key]), text);
    if let DescriptorError::Compile { text } = error {
        text.lines().for_each(|line| {
            finding.detail(line);
        });
    } else if let Some(source) = error.source() {
        finding.detail(source.to_string());
    }
}
