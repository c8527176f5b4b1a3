//! TLS material: read and tried when the pipeline file is checked, so that a wrong file is a
//! diagnostic with a reason and not a handshake that fails at night.
//!
//! Invariants
//! 1. No `Debug` form and no error holds key material.
//! 2. Material that was read makes a client configuration; what can still fail is the handshake.
//!
//! Next: `reload.rs` reads it again when its files have changed.

use super::config::TlsConfig;
use http::Uri;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a TLS client needs, as it was read.
#[derive(Default)]
pub(super) struct Parts {
    roots: Option<Arc<RootCertStore>>,
    identity: Option<Identity>,
    server_name: Option<ServerName<'static>>,
}

/// PEM files of a client of its own, outside of pipeline files. A certificate and its key come
/// together or not at all.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    /// Certificate authorities to trust instead of the system's.
    pub authorities: Option<PathBuf>,
    /// The client's certificate, with its chain.
    pub certificate: Option<PathBuf>,
    /// The key of it.
    pub key: Option<PathBuf>,
}

/// Why a client without authorities of its own cannot be made.
const NO_SYSTEM_ROOTS: &str = "this system has no certificate authorities to trust; install the \
                               package `ca-certificates`, or name a file of them";

/// Who this client is: a chain of certificates, the own one first, and the key of it.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// The system has no certificate authority to trust.
#[derive(Debug, thiserror::Error)]
#[error(
    "this system has no certificate authorities to trust; install the package `ca-certificates`, or \
     name a file of them in `tls.ca_file`"
)]
pub(super) struct NoSystemRoots;

/// The host of a URL is no name that a certificate can bear.
#[derive(Debug, thiserror::Error)]
#[error("no certificate can bear the name {host:?}; set `tls.server_name`")]
pub(super) struct BadHost {
    host: String,
}

/// A key of the `tls` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsKey {
    CaFile,
    CertificateFile,
    KeyFile,
    ServerName,
}

/// A key of the `tls` block cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(super) struct TlsError {
    /// Which one.
    pub(super) key: TlsKey,
    /// Why.
    pub(super) problem: TlsProblem,
}

/// Why TLS material cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsProblem {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not valid PEM: {reason}", path.display())]
    Pem { path: PathBuf, reason: String },
    #[error("{} holds no certificate; expected a PEM block `BEGIN CERTIFICATE`", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds no usable private key: {reason}", path.display())]
    NoKey { path: PathBuf, reason: String },
    #[error("certificate {number} in {} cannot be used: {reason}", path.display())]
    BadCertificate { path: PathBuf, number: usize, reason: String },
    #[error("{} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch { key: PathBuf, certificate: PathBuf },
    #[error("the client certificate in {} cannot be used: {reason}", path.display())]
    BadIdentity { path: PathBuf, reason: String },
    #[error("`{given}` needs `{missing}` beside it")]
    Alone { given: &'static str, missing: &'static str },
    #[error("{name:?} is neither a host name nor an IP address")]
    ServerName { name: String },
}

impl Parts {
    /// Reads and tries what `config` names; relative paths are relative to `base_dir`.
    ///
    /// # Errors
    /// Every problem found.
    pub(super) fn read(config: &TlsConfig, base_dir: &Path) -> Result<Self, Vec<TlsError>> {
        let mut errors = Vec::new();
        let roots = config.ca_file.as_ref().map(|path| read_ca(&base_dir.join(path)));
        let roots = keep(roots.transpose(), TlsKey::CaFile, &mut errors).map(Arc::new);
        let identity = read_identity(config, base_dir, &mut errors);
        let server_name = config.server_name.as_deref().map(check_name).transpose();
        let server_name = keep(server_name, TlsKey::ServerName, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Parts { roots, identity, server_name })
    }

    /// The client configuration of one who speaks `protocol`; without an own CA it trusts the
    /// system's, which are read here.
    ///
    /// # Errors
    /// The system has none.
    pub(super) fn client(&self, protocol: &[u8]) -> Result<ClientConfig, NoSystemRoots> {
        let Parts { roots, identity, .. } = self;
        let roots = match roots {
            Some(roots) => roots.clone(),
            None => Arc::new(system_roots()?),
        };
        let builder = builder().with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .expect("the pair was tried when it was read"),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    /// The name that the certificate of the server at `uri` must bear.
    ///
    /// # Errors
    /// None is set, and the host of `uri` cannot be one.
    pub(super) fn server_name(&self, uri: &Uri) -> Result<ServerName<'static>, BadHost> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        let host = uri.host().unwrap_or_default();
        // In a URL an IPv6 address stands in brackets, in a certificate it does not.
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned());
        name.map_err(|_| BadHost { host: host.to_owned() })
    }
}

impl ClientFiles {
    /// The configuration of a client; which protocol it speaks is left to who uses it.
    ///
    /// # Errors
    /// Every problem found, for a person to read.
    pub fn client(&self) -> Result<ClientConfig, Vec<String>> {
        let ClientFiles { authorities, certificate, key } = self;
        let config = TlsConfig {
            ca_file: authorities.clone(),
            certificate_file: certificate.clone(),
            key_file: key.clone(),
            server_name: None,
        };
        let told = |error: TlsError| error.to_string();
        let parts = Parts::read(&config, Path::new(""));
        let parts = parts.map_err(|errors| errors.into_iter().map(told).collect::<Vec<_>>())?;
        let mut client = parts.client(b"").map_err(|_| vec![NO_SYSTEM_ROOTS.to_owned()])?;
        client.alpn_protocols.clear();
        Ok(client)
    }
}

impl TlsKey {
    /// Its name in the pipeline file.
    pub(super) fn name(self) -> &'static str {
        match self {
            TlsKey::CaFile => "ca_file",
            TlsKey::CertificateFile => "certificate_file",
            TlsKey::KeyFile => "key_file",
            TlsKey::ServerName => "server_name",
        }
    }
}

fn keep<T>(
    read: Result<Option<T>, TlsProblem>,
    key: TlsKey,
    errors: &mut Vec<TlsError>,
) -> Option<T> {
    read.unwrap_or_else(|problem| {
        errors.push(TlsError { key, problem });
        None
    })
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
}

fn system_roots() -> Result<RootCertStore, NoSystemRoots> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(event = "system_certificates", %error);
    }
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(found.certs) {
        (0, _) => Err(NoSystemRoots),
        _ => Ok(roots),
    }
}

fn read_ca(path: &Path) -> Result<RootCertStore, TlsProblem> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in read_certificates(path)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| TlsProblem::BadCertificate {
            path: path.to_owned(),
            number: index + 1,
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn read_identity(
    config: &TlsConfig,
    base_dir: &Path,
    errors: &mut Vec<TlsError>,
) -> Option<Identity> {
    let (certificate, key) = match (&config.certificate_file, &config.key_file) {
        (None, None) => return None,
        (Some(certificate), Some(key)) => (base_dir.join(certificate), base_dir.join(key)),
        (Some(certificate), None) => {
            let problem = TlsProblem::Alone { given: "certificate_file", missing: "key_file" };
            errors.push(TlsError { key: TlsKey::CertificateFile, problem });
            let chain = read_certificates(&base_dir.join(certificate));
            keep(chain.map(Some), TlsKey::CertificateFile, errors);
            return None;
        }
        (None, Some(key)) => {
            let problem = TlsProblem::Alone { given: "key_file", missing: "certificate_file" };
            errors.push(TlsError { key: TlsKey::KeyFile, problem });
            keep(read_key(&base_dir.join(key)).map(Some), TlsKey::KeyFile, errors);
            return None;
        }
    };
    let chain = keep(read_certificates(&certificate).map(Some), TlsKey::CertificateFile, errors);
    let secret = keep(read_key(&key).map(Some), TlsKey::KeyFile, errors);
    let identity = Identity { chain: chain?, key: secret? };
    let fits = try_identity(&identity, &certificate, &key);
    keep(fits.map(Some), TlsKey::KeyFile, errors)?;
    Some(identity)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates
        .map_err(|error| TlsProblem::Pem { path: path.to_owned(), reason: pem_words(&error) })?;
    if certificates.is_empty() {
        return Err(TlsProblem::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| TlsProblem::NoKey {
        path: path.to_owned(),
        reason: key_words(&pem, &error),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsProblem> {
    fs::read(path).map_err(|source| TlsProblem::Read { path: path.to_owned(), source })
}

/// Builds a client with the pair, which is what the handshake will do.
fn try_identity(identity: &Identity, certificate: &Path, key: &Path) -> Result<(), TlsProblem> {
    let Identity { chain, key: secret } = identity;
    let builder = builder().with_root_certificates(RootCertStore::empty());
    match builder.with_client_auth_cert(chain.clone(), secret.clone_key()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsProblem::Mismatch { key: key.to_owned(), certificate: certificate.to_owned() })
        }
        Err(error) => {
            Err(TlsProblem::BadIdentity { path: certificate.to_owned(), reason: error.to_string() })
        }
    }
}

fn check_name(name: &str) -> Result<ServerName<'static>, TlsProblem> {
    let checked = ServerName::try_from(name.to_owned());
    checked.map_err(|_| TlsProblem::ServerName { name: name.to_owned() })
}

/// The parser's own words may quote the file, so only its kind of complaint is told.
fn pem_words(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => "a block has no end line".to_owned(),
        PemError::IllegalSectionStart { .. } => "a block begins with a malformed line".to_owned(),
        PemError::Base64Decode(_) => "a block is not base64".to_owned(),
        PemError::NoItemsFound => "it holds no PEM block".to_owned(),
        _ => "it cannot be parsed".to_owned(),
    }
}

fn key_words(pem: &[u8], error: &PemError) -> String {
    let text = String::from_utf8_lossy(pem);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return "the key is encrypted; decrypt it with `openssl pkey -in KEY -out PLAIN`"
            .to_owned();
    }
    match error {
        PemError::NoItemsFound => {
            "expected a PEM block `BEGIN PRIVATE KEY`, `BEGIN RSA PRIVATE KEY` or \
             `BEGIN EC PRIVATE KEY`"
                .to_owned()
        }
        other => pem_words(other),
    }
}
