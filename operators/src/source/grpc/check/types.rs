//! The method and its types.

use super::super::config::{Config, DescriptorsConfig};
use headwater_engine::spec::{NodeView, Report, Step};
use headwater_proto::descriptors::split_method;
use headwater_proto::{DescriptorError, DescriptorInput, Descriptors, Method};
use std::error::Error;
use std::path::{Path, PathBuf};

/// What is known of the method and its types.
pub(super) enum Types {
    /// All.
    Known(Method),
    /// The server is to be asked; the service of the method.
    AtServer { service: String },
    /// Nothing, after a mistake.
    Unknown,
}

impl Types {
    /// The method, if it is known.
    pub(super) fn method(&self) -> Option<&Method> {
        match self {
            Types::Known(method) => Some(method),
            Types::AtServer { .. } | Types::Unknown => None,
        }
    }
}

/// The method named, if it is there and answers with a stream; or whom to ask for it.
pub(super) fn find(config: &Config, view: &NodeView<'_>, report: &mut Report) -> Types {
    let extra = extra(&config.descriptors, view, report);
    match origin(&config.descriptors, view, report) {
        None => Types::Unknown,
        Some(Origin::Server) => at_server(config, view, report),
        Some(Origin::Here(input)) => {
            let types = load(&input, &config.descriptors, view, report);
            let joined = types.and_then(|types| join(types, extra?, view, report));
            let method = joined.and_then(|types| named(&types, config, view, report));
            method.map_or(Types::Unknown, Types::Known)
        }
    }
}

/// What can be said of a method before its server was asked is the form of its name.
fn at_server(config: &Config, view: &NodeView<'_>, report: &mut Report) -> Types {
    if !view.knows(&["method"]) {
        return Types::Unknown;
    }
    match split_method(&config.method) {
        Ok((service, _)) => Types::AtServer { service: service.to_owned() },
        Err(error) => {
            report.error(&view.at(&["method"]), error.to_string());
            Types::Unknown
        }
    }
}

fn load(
    input: &DescriptorInput,
    config: &DescriptorsConfig,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Descriptors> {
    match Descriptors::load(input) {
        Ok(descriptors) => Some(descriptors),
        Err(error) => {
            report_load(&error, config, view, report);
            None
        }
    }
}

/// The further sets; none after a mistake.
fn extra(
    config: &DescriptorsConfig,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Vec<Descriptors>> {
    let sets = config.extra.iter().enumerate().map(|(index, file)| {
        let input = DescriptorInput::File(view.base_dir().join(file));
        let failed = |error: DescriptorError| {
            let at = [Step::Key("descriptors"), Step::Key("extra"), Step::Index(index)];
            let finding = report.error(&view.at(&at), error.to_string());
            if let Some(source) = error.source() {
                finding.detail(source.to_string());
            }
        };
        Descriptors::load(&input).map_err(failed).ok()
    });
    // All of them are looked at, also behind one that is wrong.
    let sets: Vec<Option<Descriptors>> = sets.collect();
    sets.into_iter().collect()
}

fn join(
    types: Descriptors,
    extra: Vec<Descriptors>,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Descriptors> {
    let mut all = types;
    for (index, set) in extra.iter().enumerate() {
        let at = [Step::Key("descriptors"), Step::Key("extra"), Step::Index(index)];
        all = match all.joined(set) {
            Ok(joined) => joined,
            Err(error) => {
                report
                    .error(&view.at(&at), error.to_string())
                    .hint("leave the types that are known already out of the extra set");
                return None;
            }
        };
    }
    Some(all)
}

fn named(
    types: &Descriptors,
    config: &Config,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<Method> {
    match types.method(&config.method) {
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
        (_, true) if !is_polled => return Some(method),
        (false, false) if is_polled => return Some(method),
        (false, true) => "server-streaming: it answers with a stream of messages",
        (true, true) => "bidirectional: it answers with a stream of messages",
        (false, false) => "unary: it answers with one message",
        (true, false) => "client-streaming: it answers a stream of requests with one message",
    };
    let is_unary = !method.client_streaming() && !method.server_streaming();
    let expected = match is_polled {
        true => "expected with `poll`: a unary method, `rpc …(Request) returns (Message)`",
        false => "expected: a method that answers with a stream, `rpc … returns (stream Message)`",
    };
    let name = method.path().trim_start_matches('/');
    let finding = report.error(&view.at(&["method"]), format!("method {name:?} is {shape}"));
    finding.detail(expected);
    if is_unary {
        finding.hint("to call it again and again, add `poll: {}`");
    }
    None
}

/// Where the types come from.
enum Origin {
    /// From what the file names.
    Here(DescriptorInput),
    /// From the server.
    Server,
}

fn origin(config: &DescriptorsConfig, view: &NodeView<'_>, report: &mut Report) -> Option<Origin> {
    let base = view.base_dir();
    let is_other = config.file.is_some() || config.base64.is_some() || config.reflection;
    if is_other && config.protos.is_none() && !config.includes.is_empty() {
        report
            .error(&view.at(&["descriptors", "includes"]), "`includes` is for `protos`")
            .hint("leave it out: a descriptor set holds its imports");
    }
    let origin = match (&config.file, &config.base64, &config.protos, config.reflection) {
        (Some(file), None, None, false) => Origin::Here(DescriptorInput::File(base.join(file))),
        (None, Some(text), None, false) => Origin::Here(DescriptorInput::Base64(text.clone())),
        (None, None, Some(protos), false) => Origin::Here(DescriptorInput::Protos {
            files: joined(protos, base),
            includes: joined(&config.includes, base),
        }),
        (None, None, None, true) => Origin::Server,
        _ => {
            report_number(config, view, report);
            return None;
        }
    };
    // What is compiled without some of its folders and sources misses more than it says.
    let is_whole = ["protos", "includes"].iter().all(|key| view.knows(&["descriptors", key]));
    let is_known = view.knows(&["descriptors", "reflection"]);
    Some(origin).filter(|_| is_known && (config.protos.is_none() || is_whole))
}

/// None or several were named.
fn report_number(config: &DescriptorsConfig, view: &NodeView<'_>, report: &mut Report) {
    let place = view.at(&["descriptors"]);
    let is_none = config.file.is_none() && config.base64.is_none() && config.protos.is_none();
    let (problem, expected) = match is_none && !config.reflection {
        true => ("no descriptors are named", "one of"),
        false => ("descriptors are named twice", "exactly one of"),
    };
    report
        .error(&place, problem)
        .detail(format!("expected: {expected} `file`, `base64`, `protos` and `reflection: true`"));
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
