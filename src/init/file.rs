//! The text of a first pipeline file.
//!
//! Invariant: no value of metadata is written; a file is often shared.

use super::fields;
use crate::args::Init;
use crate::page::{Page, flow};
use headwater_engine::spec::Preset;
use headwater_proto::Method;
use headwater_proto::guess::{self, Guess};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// The longest name of a pipeline.
const NAME_CHARS_MAX: usize = 60;

/// What a first file is made from.
pub(super) struct File<'a> {
    pub(super) options: &'a Init,
    pub(super) method: &'a Method,
    pub(super) preset: Option<&'static Preset>,
}

impl File<'_> {
    /// The whole file.
    pub(super) fn text(&self) -> String {
        let mut page = Page::default();
        let guesses = guess::cursors(self.method);
        page.comment(0, "A first pipeline file, made by `headwater init`.");
        if self.preset.is_none() {
            page.comment(0, "What it says of resuming is a guess: read it before you rely on it.");
        }
        let online = if self.options.origin.is_local() { "" } else { " --online" };
        page.comment(
            0,
            format!("Next: `headwater explain{online} FILE`, then `headwater run FILE`."),
        );
        page.line(0, format!("pipeline: {}", self.pipeline_name()));
        page.line(0, "");
        self.source(&guesses, &mut page);
        page.line(0, "");
        page.line(0, "decoders:");
        page.line(2, format!("json: {{ kind: protobuf, from: {}, to: json }}", self.node()));
        page.line(0, "");
        self.sinks(&mut page);
        page.into_text()
    }

    fn source(&self, guesses: &[Guess], page: &mut Page) {
        page.line(0, "sources:");
        page.line(2, format!("{}:", self.node()));
        page.line(4, "kind: grpc");
        for (key, value) in self.options.origin.source(&self.options.endpoint) {
            match key.as_str() {
                "metadata" => self.metadata(page),
                "tls" => page.key(4, &key, &self.near(value)),
                _ => page.key(4, &key, &value),
            }
        }
        page.key(4, "method", &json!(self.method.path().trim_start_matches('/')));
        self.descriptors(page);
        self.request(page);
        if self.method.client_streaming() && self.preset.is_none() {
            page.comment(4, "The method takes a stream of requests: this one opens it. What the");
            page.comment(4, "server wants to hear then, such as answers to pings, credit or acks,");
            page.comment(4, "is said under `stream`.");
            page.comment(4, "stream: {}");
        }
        match self.preset {
            Some(preset) => self.use_preset(preset, page),
            None => self.resume(guesses, page),
        }
    }

    /// Values that were given as `${…}` stand for themselves; others are taken from the
    /// environment.
    fn metadata(&self, page: &mut Page) {
        page.line(4, "metadata:");
        for (key, value) in &self.options.origin.metadata {
            let is_reference = value.contains("${env:") || value.contains("${file:");
            if is_reference {
                page.key(6, &json!(key).to_string(), &json!(value));
                continue;
            }
            let is_letter = |c: char| c.is_ascii_alphanumeric();
            let name = key.replace(|c: char| !is_letter(c), "_").to_ascii_uppercase();
            page.comment(6, format!("The value is not written here: set {name} to it."));
            page.key(6, &json!(key).to_string(), &json!(format!("${{env:{name}}}")));
        }
    }

    fn descriptors(&self, page: &mut Page) {
        let origin = &self.options.origin;
        let value = match (&origin.descriptors, origin.proto.as_slice()) {
            (Some(file), _) => json!({ "file": self.path(file) }),
            (None, []) => {
                page.comment(4, "The server tells its types whenever the pipeline starts.");
                json!({ "reflection": true })
            }
            (None, protos) if origin.include.is_empty() => json!({ "protos": self.paths(protos) }),
            (None, protos) => {
                json!({ "protos": self.paths(protos), "includes": self.paths(&origin.include) })
            }
        };
        page.key(4, "descriptors", &value);
    }

    fn request(&self, page: &mut Page) {
        let request = self.method.input();
        let fields = fields::lines(&request);
        page.line(0, "");
        if fields.is_empty() {
            page.comment(4, format!("The request, {}, has no fields.", request.full_name()));
        } else {
            page.comment(
                4,
                format!("The request. {} has these fields; write those", request.full_name()),
            );
            page.comment(4, "that you need under `request:`, in the place of `{}`:");
            fields.iter().for_each(|line| page.comment(4, format!("  {line}")));
        }
        page.line(4, "request: {}");
        page.line(0, "");
    }

    fn resume(&self, guesses: &[Guess], page: &mut Page) {
        match guesses.split_first() {
            Some((best, others)) if !best.to.is_empty() => {
                page.comment(4, "A guess at how a new call goes on where the last one ended. Ask:");
                page.comment(4, "does the server keep what follows the cursor, and for how long?");
                self.guessed(best, others, page);
            }
            _ => self.unguessed(guesses, page),
        }
    }

    /// What is known of the API needs no guess.
    fn use_preset(&self, preset: &Preset, page: &mut Page) {
        let comments = preset.text.lines().take_while(|line| line.starts_with('#'));
        comments.for_each(|line| page.line(4, line));
        page.comment(4, "");
        let name = preset.name;
        page.comment(
            4,
            format!("`headwater presets {name}` prints the keys that it gives; those of"),
        );
        page.comment(4, "this file count before them.");
        page.line(4, format!("preset: {name}"));
        for need in preset.needs() {
            page.comment(4, format!("It needs `{need}`: give it above, `validate` asks for it."));
        }
    }

    /// The best guess, and with it those fields that the request takes by the same names: they
    /// make one cursor. What may lose messages as it stands is for a person to switch on.
    fn guessed(&self, guess: &Guess, others: &[Guess], page: &mut Page) {
        let (with, less): (Vec<&Guess>, Vec<&Guess>) =
            others.iter().partition(|other| is_named_alike(guess) && is_named_alike(other));
        for part in [guess].into_iter().chain(with.iter().copied()) {
            page.comment(4, format!("`{}` may be the cursor: {}.", part.from, reasons(part)));
        }
        if let Some(doubt) = guess.doubt {
            page.comment(4, format!("It stands here as a comment, because {doubt}."));
        }
        let parts: Vec<&Guess> = [guess].into_iter().chain(with).collect();
        page.comment(4, position_words(guess.position));
        let of = |part: &&Guess| (component(part), json!({ "from": part.from }));
        let cursor: serde_json::Map<String, Json> = parts.iter().map(of).collect();
        let mut set_all = json!({});
        parts.iter().for_each(|part| put_in(&mut set_all, set(part)));
        let mut lines = vec!["resume:".to_owned()];
        let cursor =
            cursor.iter().map(|(name, from)| format!("    {}: {}", flow(&json!(name)), flow(from)));
        lines.push("  cursor:".to_owned());
        lines.extend(cursor);
        let position = if parts.len() > 1 { "after" } else { guess.position };
        lines.push(format!("  position: {position}"));
        lines.push("  restart:".to_owned());
        lines.push(format!("    set: {}", flow(&set_all)));
        for line in lines {
            match guess.doubt {
                None => page.line(4, line),
                Some(_) => page.line(4, format!("# {line}")),
            }
        }
        page.comment(6, "If values never fall, say so; else a step back counts as repeated:");
        page.comment(6, "sequence: monotone");
        page.comment(6, "A server that may begin a new call elsewhere is found out by this:");
        page.comment(6, "verify: strict");
        for other in less {
            page.comment(6, format!("Less likely: {}.", words(other)));
        }
    }

    fn unguessed(&self, guesses: &[Guess], page: &mut Page) {
        page.comment(4, "No field of the request looks as if it takes a cursor. Without `resume`,");
        page.comment(4, "what the server sends while no call is open is lost.");
        for guess in guesses {
            page.comment(4, format!("A field to look at: {}.", words(guess)));
        }
        let example = guesses.first().map_or("FIELD", |guess| guess.from.as_str());
        for line in [
            "resume:".to_owned(),
            format!("  cursor: {{ at: {{ from: \"{example}\" }} }}"),
            "  position: after".to_owned(),
            "  restart: { set: { FIELD_OF_THE_REQUEST: \"${cursor.at}\" } }".to_owned(),
        ] {
            page.comment(4, line);
        }
    }

    fn sinks(&self, page: &mut Page) {
        page.comment(
            0,
            "To standard output for a first look. For Kafka, exactly once, take this in",
        );
        page.comment(0, "the place of the line with `out` below:");
        page.comment(0, "  out:");
        for line in [
            "kind: kafka".to_owned(),
            "from: json".to_owned(),
            "brokers: localhost:9092".to_owned(),
            format!("topic: {}", self.pipeline_name()),
            "create: { partitions: 1, replication: 1 }".to_owned(),
        ] {
            page.comment(0, format!("    {line}"));
        }
        page.comment(0, "    # key: FIELD   # what belongs together, in order, in one partition");
        page.line(0, "sinks:");
        page.line(2, "out: { kind: stdout, from: json }");
    }

    /// The source's name: the method's.
    fn node(&self) -> String {
        let method = self.method.path().rsplit('/').next().unwrap_or_default();
        method.to_ascii_lowercase()
    }

    /// Service and method without what no name may hold.
    fn pipeline_name(&self) -> String {
        let path = self.method.path().trim_start_matches('/');
        let (service, method) = path.split_once('/').unwrap_or((path, ""));
        let service = service.rsplit('.').next().unwrap_or_default();
        let name = format!("{service}-{method}").to_ascii_lowercase();
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-';
        name.replace(|c: char| !is_letter(c), "-").chars().take(NAME_CHARS_MAX).collect()
    }

    fn paths(&self, paths: &[PathBuf]) -> Vec<PathBuf> {
        paths.iter().map(|path| self.path(path)).collect()
    }

    /// A path for a file that may stand in another folder than the one we are in.
    fn path(&self, path: &Path) -> PathBuf {
        let folder = self.options.output.as_ref().and_then(|output| output.parent());
        let is_here = folder.is_none_or(|folder| folder.as_os_str().is_empty());
        match is_here {
            true => path.to_owned(),
            false => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        }
    }

    /// The files of a `tls` block.
    fn near(&self, tls: Json) -> Json {
        let Json::Object(mut tls) = tls else { return tls };
        for (key, value) in &mut tls {
            if let (true, Some(file)) = (key.ends_with("_file"), value.as_str()) {
                *value = json!(self.path(Path::new(file)));
            }
        }
        Json::Object(tls)
    }
}

/// The name of the cursor's component: the last field of its path.
pub(crate) fn component(guess: &Guess) -> String {
    let last = guess.from.rsplit('.').next().unwrap_or_default();
    last.split('[').next().unwrap_or_default().to_owned()
}

/// The request's changes, nested where the field is.
pub(crate) fn set(guess: &Guess) -> Json {
    let value = json!(format!("${{cursor.{}}}", component(guess)));
    guess.to.iter().rev().fold(value, |inner, step| json!({ step.as_str(): inner }))
}

/// Whether the request has a field of the message field's own name for it.
fn is_named_alike(guess: &Guess) -> bool {
    guess.to.last().is_some_and(|to| *to == component(guess))
}

/// Puts one change of the request beside others.
fn put_in(all: &mut Json, one: Json) {
    match (all, one) {
        (Json::Object(all), Json::Object(one)) => {
            for (key, value) in one {
                put_in(all.entry(key).or_insert_with(|| json!({})), value);
            }
        }
        (all, one) => *all = one,
    }
}

pub(crate) fn reasons(guess: &Guess) -> String {
    guess.reasons.join("; ")
}

pub(crate) fn words(guess: &Guess) -> String {
    format!("`{}` ({})", guess.from, reasons(guess))
}

pub(crate) fn position_words(position: &str) -> &'static str {
    match position {
        "next" => "The request names the first value that is wanted: the last one plus one.",
        "at" => "The request names a value that is sent again; what is there already is dropped.",
        _ => "The request names what was received last; what follows it is sent.",
    }
}
