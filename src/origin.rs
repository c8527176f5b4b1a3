//! Where a command that shows types takes them from: a server, a descriptor set, or sources.
//!
//! How a server is reached is written down as a pipeline file's source is, and read by the same
//! code: so a command reaches every server that a pipeline reaches, and a mistake on the command
//! line is told in the same words.

use crate::args::Origin;
use crate::exit::{Exit, Failed};
use crate::learn::inquiry;
use crate::load::Text;
use crate::run;
use headwater_engine::spec::{Diagnostics, Loaded, Outline, Severity};
use headwater_operators::source::grpc::{InquiryError, Learned};
use headwater_proto::nearest::nearest_few;
use headwater_proto::{DescriptorInput, Descriptors};
use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;
use std::path::Path;
use tokio::runtime::Runtime;

/// Names that are listed where one is not known.
const NAMES_MAX: usize = 20;

/// What diagnostics call the file that is made of the command line.
const NAME: &str = "command line";

/// Types, or who tells them.
pub(crate) enum Types {
    /// From files.
    Here(Descriptors),
    /// From a server.
    Server(Box<Server>),
}

/// A server that can be asked.
pub(crate) struct Server {
    outline: Outline,
    runtime: Runtime,
}

impl Origin {
    /// Whether nothing is to be contacted.
    pub(crate) fn is_local(&self) -> bool {
        self.descriptors.is_some() || !self.proto.is_empty()
    }

    /// The URL that an endpoint on the command line means.
    pub(crate) fn url(&self, endpoint: &str) -> String {
        match (endpoint.contains("://"), self.plaintext) {
            (true, _) => endpoint.to_owned(),
            (false, true) => format!("http://{endpoint}"),
            (false, false) => format!("https://{endpoint}"),
        }
    }

    /// The types of files.
    pub(crate) fn read(&self) -> Result<Descriptors, Failed> {
        let input = match &self.descriptors {
            Some(file) => DescriptorInput::File(file.clone()),
            None => DescriptorInput::Protos {
                files: self.proto.clone(),
                includes: self.include.clone(),
            },
        };
        Descriptors::load(&input).map_err(|error| Exit::Mistake.because(error))
    }

    /// Who tells the types.
    pub(crate) fn types(&self, endpoint: &str) -> Result<Types, Failed> {
        if self.is_local() {
            return self.read().map(Types::Here);
        }
        let text = Text::made(NAME, self.file(endpoint).to_string());
        match text.outline() {
            Ok((Loaded::Outline(outline), _)) => {
                Ok(Types::Server(Box::new(Server { outline, runtime: run::start_runtime()? })))
            }
            Ok((Loaded::Plan(_), _)) => unreachable!("the server alone knows the types"),
            Err(mistakes) => Err(Exit::Mistake.saying(told(&mistakes))),
        }
    }

    /// The keys of a source by which the server is reached.
    pub(crate) fn source(&self, endpoint: &str) -> Map<String, Json> {
        let mut source = Map::new();
        source.insert("endpoint".to_owned(), json!(self.url(endpoint)));
        if !self.metadata.is_empty() {
            let metadata: Map<String, Json> =
                self.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            source.insert("metadata".to_owned(), Json::Object(metadata));
        }
        let files = [
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ];
        let given = files.iter().filter_map(|(key, file)| Some((*key, file.as_ref()?)));
        let mut tls: Map<String, Json> =
            given.map(|(key, file)| (key.to_owned(), json!(file))).collect();
        if let Some(name) = &self.server_name {
            tls.insert("server_name".to_owned(), json!(name));
        }
        if !tls.is_empty() {
            source.insert("tls".to_owned(), Json::Object(tls));
        }
        source
    }

    fn file(&self, endpoint: &str) -> Json {
        let mut source = self.source(endpoint);
        source.insert("kind".to_owned(), json!("grpc"));
        source.insert("method".to_owned(), json!("any.Service/Method"));
        source.insert("descriptors".to_owned(), json!({ "reflection": true }));
        json!({
            "pipeline": "describe",
            "sources": { "server": source },
            "decoders": { "decoder": { "kind": "protobuf", "from": "server", "to": "json" } },
            "sinks": { "out": { "kind": "discard", "from": "decoder" } },
        })
    }
}

impl Server {
    /// The names of its services.
    pub(crate) fn services(&self) -> Result<Vec<String>, Failed> {
        let inquiry = inquiry(&self.outline.questions()[0]);
        self.runtime.block_on(inquiry.services()).map_err(failed)
    }

    /// The types that one of `symbols` needs: the first one that it knows.
    pub(crate) fn learn(&self, symbols: &[&str]) -> Result<Learned, Failed> {
        let inquiry = inquiry(&self.outline.questions()[0]);
        for symbol in symbols {
            match self.runtime.block_on(inquiry.symbol(symbol)) {
                Err(error) if error.is_unknown => {}
                told => return told.map_err(failed),
            }
        }
        let wanted = symbols.first().copied().unwrap_or_default();
        Err(unknown(wanted, &self.services()?))
    }
}

/// Nothing of this name is there; what is most like it, or all if that is a short list.
pub(crate) fn unknown(name: &str, known: &[String]) -> Failed {
    let mut text = format!("{name:?} is not known");
    let near = nearest_few(name, known.iter().map(String::as_str), 3);
    let _ = match (near.as_slice(), known.len()) {
        ([], 0) => Ok(()),
        ([], 1..=NAMES_MAX) => write!(text, "; there are {}", known.join(", ")),
        ([], count) => write!(text, "; there are {count} services: leave the name out to see them"),
        (near, _) => write!(text, "; did you mean {}?", near.join(" or ")),
    };
    Exit::Mistake.saying(text)
}

fn failed(error: InquiryError) -> Failed {
    let hint = match error.text.contains("https://") && error.may_heal {
        true => "; if the server speaks without TLS, write http:// or add --plaintext",
        false => "",
    };
    Exit::Unavailable.saying(format!("{}{hint}", error.text))
}

/// The mistakes of the command line, each on a line.
fn told(mistakes: &Diagnostics) -> String {
    let errors = mistakes.iter().filter(|it| it.severity == Severity::Error);
    let line = |it: &headwater_engine::spec::Diagnostic| {
        let hint = it.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
        let details = it.details.iter().fold(String::new(), |all, it| format!("{all}; {it}"));
        format!("{}{details}{hint}", it.message)
    };
    errors.map(line).collect::<Vec<_>>().join("\nerror: ")
}

/// Writes a file that must not be there yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    let written = options.write(true).create_new(true).open(path);
    let written = written.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "; it is not overwritten",
            _ => "",
        };
        Exit::Mistake.saying(format!("{}: {error}{hint}", path.display()))
    })
}
