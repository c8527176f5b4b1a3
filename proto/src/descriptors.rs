//! Where message types come from: a descriptor set, its base64 form, or `.proto` sources.
//!
//! Why all three: a build system hands out `.desc` files, a configuration store hands out text,
//! and a person at a desk has the sources. Whatever the form, the result is one pool, so nothing
//! after this file knows the difference.
//!
//! Invariant: a pool that was loaded is complete; an import that is missing is an error here and
//! never a surprise later.
//!
//! Next: `request/mod.rs` builds the request of the method found here.

mod sound;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::Message as _;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use prost_types::FileDescriptorSet;

use crate::nearest::nearest_few;

/// How many near names an error gives.
const NEAREST_MAX: usize = 3;

/// Padding is optional: configuration stores often strip it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where to take descriptors from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DescriptorInput {
    /// A serialized `FileDescriptorSet` with its imports, as `protoc --include_imports` writes it.
    File(PathBuf),
    /// The same bytes as base64 text, white space allowed.
    Base64(String),
    /// `.proto` sources, compiled here.
    Protos {
        /// The sources to compile.
        files: Vec<PathBuf>,
        /// Where imports are looked for; when empty, beside each source.
        includes: Vec<PathBuf>,
    },
}

/// Every message type and service of one input.
#[derive(Clone, Debug)]
pub struct Descriptors(DescriptorPool);

/// One gRPC method.
#[derive(Clone, Debug)]
pub struct Method {
    path: String,
    descriptor: MethodDescriptor,
}

/// Descriptors could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// The descriptor file could not be read.
    #[error("cannot read the descriptor set {}", path.display())]
    Read {
        /// The file named.
        path: PathBuf,
        /// Why it could not be read.
        source: std::io::Error,
    },
    /// The text is not base64.
    #[error("the descriptor text is not base64")]
    Base64 {
        /// Where the text went wrong.
        source: base64::DecodeError,
    },
    /// The bytes are not a complete descriptor set.
    #[error(
        "{origin} is not a complete FileDescriptorSet: {reason}; write it with \
         `protoc --include_imports --descriptor_set_out=FILE`"
    )]
    Set {
        /// The file, or words for the base64 text.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A `.proto` source does not compile.
    #[error("{text}")]
    Compile {
        /// The compiler's own words, with file, line and column.
        text: String,
    },
    /// Two inputs cannot be joined.
    #[error("the types do not fit together: {reason}")]
    Join {
        /// What is wrong.
        reason: String,
    },
    /// No source was named.
    #[error("no .proto file was named; expected at least one")]
    NoFiles,
}

/// A method could not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// The text is not of the form `package.Service/Method`.
    #[error("\"{path}\" is not a method; expected package.Service/Method")]
    Form {
        /// The text given.
        path: String,
    },
    /// No such service.
    #[error("service \"{service}\" is not in the descriptors{}", hint(nearest))]
    UnknownService {
        /// The service asked for.
        service: String,
        /// The services most like it, best first; all of them if there are few.
        nearest: Vec<String>,
    },
    /// The service has no such method.
    #[error("service \"{service}\" has no method \"{method}\"{}", hint(nearest))]
    UnknownMethod {
        /// The service, which is known.
        service: String,
        /// The method asked for.
        method: String,
        /// The methods most like it, best first; all of them if there are few.
        nearest: Vec<String>,
    },
}

impl Descriptors {
    /// Loads every descriptor of `input`.
    pub fn load(input: &DescriptorInput) -> Result<Self, DescriptorError> {
        match input {
            DescriptorInput::File(path) => load_file(path),
            DescriptorInput::Base64(text) => load_base64(text),
            DescriptorInput::Protos { files, includes } => compile(files, includes),
        }
    }

    /// These types and those of `other`. Of a file that both hold, this one counts.
    ///
    /// # Errors
    /// They contradict each other: files of other names define the same type.
    pub fn joined(&self, other: &Descriptors) -> Result<Self, DescriptorError> {
        let set = other.0.encode_to_vec();
        let mut pool = self.0.clone();
        sound::guarded(move || pool.decode_file_descriptor_set(set.as_slice()).map(|()| pool))
            .and_then(|pool| pool.map_err(|error| error.to_string()))
            .map(Self)
            .map_err(|reason| DescriptorError::Join { reason })
    }

    /// The pool of all types.
    pub fn pool(&self) -> &DescriptorPool {
        &self.0
    }

    /// Finds a method by `package.Service/Method`; a leading `/` is allowed.
    pub fn method(&self, path: &str) -> Result<Method, MethodError> {
        let (service_name, method_name) = split_method(path)?;
        let service = self
            .0
            .get_service_by_name(service_name)
            .ok_or_else(|| self.unknown_service(service_name))?;
        let found = service.methods().find(|method| method.name() == method_name);
        let descriptor = found.ok_or_else(|| MethodError::UnknownMethod {
            service: service_name.to_owned(),
            method: method_name.to_owned(),
            nearest: near(
                method_name,
                service.methods().map(|method| method.name().to_owned()).collect(),
            ),
        })?;
        Ok(Method { path: format!("/{service_name}/{method_name}"), descriptor })
    }

    fn unknown_service(&self, service: &str) -> MethodError {
        let names = self.0.services().map(|service| service.full_name().to_owned()).collect();
        MethodError::UnknownService { service: service.to_owned(), nearest: near(service, names) }
    }
}

impl From<DescriptorPool> for Descriptors {
    fn from(pool: DescriptorPool) -> Self {
        Self(pool)
    }
}

impl Method {
    /// The path as gRPC puts it into the request: `/package.Service/Method`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The request's type.
    pub fn input(&self) -> MessageDescriptor {
        self.descriptor.input()
    }

    /// The response's type.
    pub fn output(&self) -> MessageDescriptor {
        self.descriptor.output()
    }

    /// Whether the server answers with a stream.
    pub fn server_streaming(&self) -> bool {
        self.descriptor.is_server_streaming()
    }

    /// Whether the client sends a stream.
    pub fn client_streaming(&self) -> bool {
        self.descriptor.is_client_streaming()
    }
}

fn load_file(path: &Path) -> Result<Descriptors, DescriptorError> {
    let bytes =
        fs::read(path).map_err(|source| DescriptorError::Read { path: path.to_owned(), source })?;
    decode_set(&bytes, || path.display().to_string())
}

fn load_base64(text: &str) -> Result<Descriptors, DescriptorError> {
    let compact: String = text.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(compact).map_err(|source| DescriptorError::Base64 { source })?;
    decode_set(&bytes, || "the base64 text".to_owned())
}

pub(crate) fn decode_set(
    bytes: &[u8],
    origin: impl Fn() -> String,
) -> Result<Descriptors, DescriptorError> {
    let refused = |reason: String| DescriptorError::Set { origin: origin(), reason };
    if bytes.is_empty() {
        return Err(refused("it is empty".to_owned()));
    }
    let set = FileDescriptorSet::decode(bytes).map_err(|error| refused(error.to_string()))?;
    sound::check(&set).map_err(refused)?;
    let pool = sound::guarded(|| DescriptorPool::decode(bytes))
        .and_then(|pool| pool.map_err(|error| error.to_string()))
        .map_err(refused)?;
    Ok(Descriptors(pool))
}

fn compile(files: &[PathBuf], includes: &[PathBuf]) -> Result<Descriptors, DescriptorError> {
    if files.is_empty() {
        return Err(DescriptorError::NoFiles);
    }
    let failed = |error: protox::Error| DescriptorError::Compile { text: compiler_text(&error) };
    let roots = include_paths(files, includes);
    let mut compiler = protox::Compiler::new(roots).map_err(failed)?;
    compiler.include_imports(true);
    // The words of their authors, for those who ask what a field is.
    compiler.include_source_info(true);
    compiler.open_files(files).map_err(failed)?;
    Ok(Descriptors(compiler.descriptor_pool()))
}

/// Without include paths each source is looked for beside itself, which is what a person with one
/// `.proto` file expects.
fn include_paths(files: &[PathBuf], includes: &[PathBuf]) -> Vec<PathBuf> {
    if !includes.is_empty() {
        return includes.to_vec();
    }
    let mut roots: Vec<PathBuf> = Vec::new();
    for file in files {
        let parent = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        if !roots.contains(&parent) {
            roots.push(parent);
        }
    }
    roots
}

/// The compiler's `Debug` form is the rendered diagnostic with file, line and column; where the
/// source ends too early it has no place to show, and so no file.
fn compiler_text(error: &protox::Error) -> String {
    let text = format!("{error:?}");
    let text = text.trim_end();
    match error.file() {
        Some(file) if !text.contains(file) => format!("{file}: {text}"),
        _ => text.to_owned(),
    }
}

/// The service and the name of a method written as `package.Service/Method`; a leading `/` is
/// allowed.
///
/// # Errors
/// It is not written so.
pub fn split_method(path: &str) -> Result<(&str, &str), MethodError> {
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    match trimmed.split_once('/') {
        Some((service, method))
            if !service.is_empty() && !method.is_empty() && !method.contains('/') =>
        {
            Ok((service, method))
        }
        _ => Err(MethodError::Form { path: path.to_owned() }),
    }
}

/// The names most like `wanted`; where none is, all of them if that is a short list.
fn near(wanted: &str, names: Vec<String>) -> Vec<String> {
    let alike = nearest_few(wanted, names.iter().map(String::as_str), NEAREST_MAX);
    if alike.is_empty() && names.len() <= NEAREST_MAX { names } else { alike }
}

fn hint(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        [one] => format!("; did you mean \"{one}\"?"),
        several => format!("; did you mean one of {}?", several.join(", ")),
    }
}

#[cfg(test)]
mod tests;
