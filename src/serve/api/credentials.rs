//! Tokens and certificates from files, read again while the process runs.
//!
//! A file that cannot be used any more leaves what it held before in force, and is told: whoever
//! replaces a file in two steps must not lock everybody out, and nobody in.
//!
//! Invariant: a token is kept as its digest, and compared in constant time with all there are.

use super::limits::{CREDENTIAL_FILE_BYTES_MAX, RELOAD_EVERY, TOKEN_CHARS_MIN, TOKENS_MAX};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::sync::watch;

/// The tokens that are valid now; clones are the same.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<RwLock<Vec<[u8; 32]>>>);

/// What TLS connections are made with.
#[derive(Clone)]
pub(crate) struct Sides {
    /// Those that are accepted.
    pub(crate) server: Arc<ServerConfig>,
    /// Those to the instance that leads.
    pub(crate) client: Arc<ClientConfig>,
}

/// Where certificates are.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The authorities of clients, which then need a certificate.
    pub(crate) client_ca: Option<PathBuf>,
}

impl Tokens {
    /// Reads tokens, one a line.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        Ok(Tokens(Arc::new(RwLock::new(digests(text)?))))
    }

    /// Reads a file, and again and again for as long as the process lives.
    pub(crate) fn watch(path: &Path) -> Result<Self, String> {
        let told = |why| format!("{}: {why}", path.display());
        let text = text(path).map_err(told)?;
        let tokens = Tokens::read(&text).map_err(told)?;
        tokio::spawn(tokens.clone().keep_reading(path.to_owned(), text));
        Ok(tokens)
    }

    /// Whether this is one of them.
    pub(crate) fn holds(&self, token: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(token).into();
        let known = self.0.read().expect("nothing panics while it holds the tokens");
        // All of them, so that the time tells nothing.
        let mut found = Choice::from(0);
        for digest in known.iter() {
            found |= digest.ct_eq(&shown);
        }
        found.into()
    }

    async fn keep_reading(self, path: PathBuf, first: String) {
        let mut last = Ok(first);
        loop {
            tokio::time::sleep(RELOAD_EVERY).await;
            let own = path.clone();
            let now = tokio::task::spawn_blocking(move || text(&own)).await;
            let now = now.unwrap_or_else(|error| Err(error.to_string()));
            if now == last {
                continue;
            }
            let path = path.display();
            match now.as_deref().map_err(ToOwned::to_owned).and_then(digests) {
                Ok(digests) => {
                    *self.0.write().expect("nothing panics while it holds the tokens") = digests;
                    tracing::info!(event = "tokens_read", %path);
                }
                Err(why) => {
                    tracing::warn!(event = "tokens_kept", %path, "{why}; the earlier ones stay");
                }
            }
            last = now;
        }
    }
}

impl TlsFiles {
    /// Reads the files, and again and again for as long as the process lives.
    pub(crate) fn watch(self) -> Result<watch::Receiver<Sides>, String> {
        let contents = self.contents()?;
        // Once, before anybody is served: these are files as well, and they seldom change.
        let system = rustls_native_certs::load_native_certs().certs;
        let (sender, receiver) = watch::channel(sides(&contents, &system)?);
        tokio::spawn(self.keep_reading(sender, contents, system));
        Ok(receiver)
    }

    async fn keep_reading(self, sender: watch::Sender<Sides>, first: Contents, system: System) {
        let mut last = Ok(first);
        while !sender.is_closed() {
            tokio::time::sleep(RELOAD_EVERY).await;
            let own = self.clone();
            let now = tokio::task::spawn_blocking(move || own.contents()).await;
            let now = now.unwrap_or_else(|error| Err(error.to_string()));
            if now == last {
                continue;
            }
            match now.as_ref().map_err(Clone::clone).and_then(|it| sides(it, &system)) {
                Ok(sides) => {
                    sender.send_replace(sides);
                    tracing::info!(event = "certificates_read");
                }
                Err(why) => {
                    tracing::warn!(event = "certificates_kept", "{why}; the earlier ones stay");
                }
            }
            last = now;
        }
    }

    fn contents(&self) -> Result<Contents, String> {
        let read = |path: &Path| text(path).map_err(|why| format!("{}: {why}", path.display()));
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }
}

/// What the files held when they were read.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: String,
    key: String,
    client_ca: Option<String>,
}

/// Both sides of this instance's certificate: it answers with it, and asks the leader with it.
fn sides(contents: &Contents, system: &System) -> Result<Sides, String> {
    let server = Arc::new(server_config(contents)?);
    Ok(Sides { server, client: Arc::new(client_config(contents, system)?) })
}

/// Trusts the authorities of clients, this instance's own certificate, which instances may share,
/// and what the system trusts.
fn client_config(contents: &Contents, system: &System) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for pem in contents.client_ca.iter().chain([&contents.certificate]) {
        roots.add_parsable_certificates(certificates("certificate", pem)?);
    }
    roots.add_parsable_certificates(system.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|it| it.to_string())?;
    let (chain, key) = identity(contents)?;
    let config = builder.with_root_certificates(roots).with_client_auth_cert(chain, key);
    config.map_err(|error| error.to_string())
}

fn server_config(contents: &Contents) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|it| it.to_string())?;
    let builder = match &contents.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("client authorities", ca)? {
                let added = roots.add(certificate);
                added.map_err(|error| format!("client authorities: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.build().map_err(|it| format!("client authorities: {it}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key) = identity(contents)?;
    let mut config = builder.with_single_cert(chain, key).map_err(|it| it.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn identity(contents: &Contents) -> Result<Identity, String> {
    let chain = certificates("certificate", &contents.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(contents.key.as_bytes());
    let key = key.map_err(|_| "the key file holds no private key in PEM".to_owned())?;
    Ok((chain, key))
}

/// The authorities that the system trusts.
type System = Vec<CertificateDer<'static>>;

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certificates(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|error| format!("{what}: {error}"))?;
    match all.is_empty() {
        true => Err(format!("{what}: the file holds no certificate in PEM")),
        false => Ok(all),
    }
}

fn digests(text: &str) -> Result<Vec<[u8; 32]>, String> {
    let tokens: Vec<&str> = text.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    if tokens.is_empty() {
        return Err("it holds no token".to_owned());
    }
    if tokens.len() > TOKENS_MAX {
        return Err(format!("it holds {} tokens; at most {TOKENS_MAX} are kept", tokens.len()));
    }
    if tokens.iter().any(|it| it.chars().count() < TOKEN_CHARS_MIN) {
        return Err(format!("a token has at least {TOKEN_CHARS_MIN} characters"));
    }
    Ok(tokens.iter().map(|it| Sha256::digest(it.as_bytes()).into()).collect())
}

fn text(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(CREDENTIAL_FILE_BYTES_MAX + 1).read_to_string(&mut text);
    let read = read.map_err(|error| error.to_string())?;
    match read as u64 > CREDENTIAL_FILE_BYTES_MAX {
        true => Err(format!("it is larger than {CREDENTIAL_FILE_BYTES_MAX} bytes")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_tokens_that_cannot_be_used_is_told() {
        for (text, words) in [
            ("", "no token"),
            ("\n  \n", "no token"),
            ("short", "at least"),
            (&"a-long-enough-token\n".repeat(TOKENS_MAX + 1), "at most"),
        ] {
            let why = Tokens::read(text).err().unwrap();
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn files_that_hold_no_certificates_are_told() {
        let contents = |certificate: &str, key: &str| Contents {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            client_ca: None,
        };
        assert!(server_config(&contents("", "")).unwrap_err().contains("no certificate"));
    }
}
