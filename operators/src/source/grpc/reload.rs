//! TLS material that follows its files: a connection that is made after they changed uses what they
//! hold then.
//!
//! The files are read again when a connection is made, and used anew if their bytes differ. Times
//! and names are not trusted: a mounted secret changes by a link that is moved, and a file that is
//! written twice in a second keeps its time. Files are small and connections rare, so this costs
//! less than the handshake that follows.
//!
//! A certificate and its key are two files, and whoever renews them writes one after the other. A
//! pair that does not fit is therefore no reason to stop: what was read before stays in use, it is
//! said once, and the next connection looks again.
//!
//! Invariants
//! 1. Material in use was read and tried as a whole.
//! 2. What cannot be used changes nothing.
//!
//! Next: `link.rs` shakes hands with it.

use super::config::TlsConfig;
use super::tls::{BadHost, NoSystemRoots, Parts, TlsError};
use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// TLS material and where it comes from; cheap to clone. Clones follow the files together.
#[derive(Clone)]
pub(super) struct TlsMaterial(Arc<Followed>);

struct Followed {
    config: TlsConfig,
    base_dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    parts: Arc<Parts>,
    /// Of the files that `parts` were read from.
    in_use: Digest,
    /// Of files that cannot be used.
    refused: Option<Digest>,
}

/// Of the bytes of all files of a `tls` block.
type Digest = [u8; 32];

impl TlsMaterial {
    /// Reads and tries what `config` names; relative paths are relative to `base_dir`.
    ///
    /// # Errors
    /// Every problem found.
    pub(super) fn read(config: &TlsConfig, base_dir: &Path) -> Result<Self, Vec<TlsError>> {
        // In this order: what changes in between is read again.
        let in_use = digest(config, base_dir);
        let parts = Arc::new(Parts::read(config, base_dir)?);
        Ok(Self::of(config.clone(), base_dir.to_owned(), State { parts, in_use, refused: None }))
    }

    fn of(config: TlsConfig, base_dir: PathBuf, state: State) -> Self {
        TlsMaterial(Arc::new(Followed { config, base_dir, state: Mutex::new(state) }))
    }

    /// The client configuration of one who speaks `protocol`, from what the files hold now. Reads
    /// files.
    ///
    /// # Errors
    /// No authority is named, and the system has none.
    pub(super) fn client(&self, protocol: &[u8]) -> Result<ClientConfig, NoSystemRoots> {
        self.parts().client(protocol)
    }

    /// The name that the certificate of the server at `uri` must bear.
    ///
    /// # Errors
    /// None is set, and the host of `uri` cannot be one.
    pub(super) fn server_name(&self, uri: &Uri) -> Result<ServerName<'static>, BadHost> {
        let state = self.0.state.lock().expect("reading files does not panic");
        state.parts.server_name(uri)
    }

    fn parts(&self) -> Arc<Parts> {
        let Followed { config, base_dir, state } = &*self.0;
        let mut state = state.lock().expect("reading files does not panic");
        let found = digest(config, base_dir);
        if found == state.in_use {
            state.refused = None;
        } else if state.refused != Some(found) {
            state.change(found, Parts::read(config, base_dir));
        }
        state.parts.clone()
    }
}

impl Default for TlsMaterial {
    /// Without files: the system's authorities.
    fn default() -> Self {
        let config = TlsConfig::default();
        let in_use = digest(&config, Path::new(""));
        let state = State { parts: Arc::default(), in_use, refused: None };
        Self::of(config, PathBuf::new(), state)
    }
}

impl State {
    fn change(&mut self, found: Digest, read: Result<Parts, Vec<TlsError>>) {
        match read {
            Ok(parts) => {
                self.parts = Arc::new(parts);
                self.in_use = found;
                self.refused = None;
                tracing::info!(
                    event = "tls_reloaded",
                    "certificate files have changed and are used from now on"
                );
            }
            Err(errors) => {
                self.refused = Some(found);
                let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
                tracing::warn!(
                    event = "tls_reload_refused",
                    reason = reasons.join("; "),
                    "certificate files have changed and cannot be used; what was read before stays \
                     in use"
                );
            }
        }
    }
}

/// A file that cannot be read counts with the reason.
fn digest(config: &TlsConfig, base_dir: &Path) -> Digest {
    let mut digest = Sha256::new();
    let files = [&config.ca_file, &config.certificate_file, &config.key_file];
    for path in files.into_iter().flatten() {
        let (kind, bytes) = match fs::read(base_dir.join(path)) {
            Ok(bytes) => (0_u8, bytes),
            Err(error) => (1, error.kind().to_string().into_bytes()),
        };
        digest.update([kind]);
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    }
    digest.finalize().into()
}
