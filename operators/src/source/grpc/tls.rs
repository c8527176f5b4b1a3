//! TLS material: read and tried when the pipeline file is checked, so that a wrong file is a
//! diagnostic with a reason and not a handshake that fails at night.
//!
//! Invariants
//! 1. No `Debug` form and no error holds key material.
//! 2. Material that was read makes a client configuration; what can still fail is the handshake.
//!
//! Next: `channel.rs` connects with it.

use super::config::TlsConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// What a TLS client needs; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct TlsMaterial(Arc<Parts>);

#[derive(Default)]
struct Parts {
    ca: Option<Certificate>,
    identity: Option<Identity>,
    server_name: Option<String>,
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

impl TlsMaterial {
    /// Reads and tries what `config` names; relative paths are relative to `base_dir`.
    ///
    /// # Errors
    /// Every problem found.
    pub(super) fn read(config: &TlsConfig, base_dir: &Path) -> Result<Self, Vec<TlsError>> {
        let mut errors = Vec::new();
        let ca = config.ca_file.as_ref().map(|path| read_ca(&base_dir.join(path)));
        let ca = keep(ca.transpose(), TlsKey::CaFile, &mut errors);
        let identity = read_identity(config, base_dir, &mut errors);
        let server_name = config.server_name.as_deref().map(check_name).transpose();
        let server_name = keep(server_name, TlsKey::ServerName, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(TlsMaterial(Arc::new(Parts { ca, identity, server_name })))
    }

    /// The client configuration; without an own CA it trusts the system's.
    pub(super) fn client(&self, handshake_timeout: Option<Duration>) -> ClientTlsConfig {
        let Parts { ca, identity, server_name } = &*self.0;
        let mut config = match ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(ca.clone()),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some(identity) = identity {
            config = config.identity(identity.clone());
        }
        if let Some(name) = server_name {
            config = config.domain_name(name);
        }
        match handshake_timeout {
            Some(timeout) => config.timeout(timeout),
            None => config,
        }
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

fn read_ca(path: &Path) -> Result<Certificate, TlsProblem> {
    let (pem, certificates) = read_certificates(path)?;
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| TlsProblem::BadCertificate {
            path: path.to_owned(),
            number: index + 1,
            reason: error.to_string(),
        })?;
    }
    Ok(Certificate::from_pem(pem))
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
    let (chain_pem, chain) = chain?;
    let (key_pem, secret) = secret?;
    let fits = try_identity(chain, secret, &certificate, &key);
    keep(fits.map(Some), TlsKey::KeyFile, errors)?;
    Some(Identity::from_pem(chain_pem, key_pem))
}

fn read_certificates(path: &Path) -> Result<(Vec<u8>, Vec<CertificateDer<'static>>), TlsProblem> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates
        .map_err(|error| TlsProblem::Pem { path: path.to_owned(), reason: pem_words(&error) })?;
    if certificates.is_empty() {
        return Err(TlsProblem::NoCertificate { path: path.to_owned() });
    }
    Ok((pem, certificates))
}

fn read_key(path: &Path) -> Result<(Vec<u8>, PrivateKeyDer<'static>), TlsProblem> {
    let pem = read(path)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| TlsProblem::NoKey {
        path: path.to_owned(),
        reason: key_words(&pem, &error),
    })?;
    Ok((pem, key))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsProblem> {
    fs::read(path).map_err(|source| TlsProblem::Read { path: path.to_owned(), source })
}

/// Builds a client with the pair, which is what the handshake would do.
fn try_identity(
    chain: Vec<CertificateDer<'static>>,
    secret: PrivateKeyDer<'static>,
    certificate: &Path,
    key: &Path,
) -> Result<(), TlsProblem> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(RootCertStore::empty());
    match builder.with_client_auth_cert(chain, secret) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsProblem::Mismatch { key: key.to_owned(), certificate: certificate.to_owned() })
        }
        Err(error) => {
            Err(TlsProblem::BadIdentity { path: certificate.to_owned(), reason: error.to_string() })
        }
    }
}

fn check_name(name: &str) -> Result<String, TlsProblem> {
    match ServerName::try_from(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err(TlsProblem::ServerName { name: name.to_owned() }),
    }
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
