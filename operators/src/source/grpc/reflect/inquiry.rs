//! Which servers to ask for the types of which method, and what they told.
//!
//! All endpoints of a source serve the same method, so any of them will do: a few are asked at a
//! time, in the order of the file, and after these failed the next ones, with the pauses of
//! `reconnect`.

use super::super::backoff::Backoff;
use super::super::check::WatchedPeers;
use super::super::config::ReconnectConfig;
use super::super::source::Target;
use super::super::status::{Healing, escaped};
use super::talk::{TalkError, Told, Topic, ask};
use crate::limits::REFLECTION_PEERS_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_engine::spec::Values;
use headwater_proto::Descriptors;
use headwater_proto::reflection::stubs;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A question about the types of a method, for its servers.
pub struct Inquiry {
    pub(in crate::source::grpc) peers: Peers,
    /// The service of the method.
    pub(in crate::source::grpc) service: String,
    pub(in crate::source::grpc) reconnect: ReconnectConfig,
    /// How many servers were asked and failed.
    pub(in crate::source::grpc) failed: AtomicUsize,
}

/// The servers of a source.
pub(in crate::source::grpc) enum Peers {
    /// They stand in the file.
    Listed(Vec<Target>),
    /// They stand in a list that changes.
    Watched(Box<WatchedPeers>),
}

/// What a server told.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The types.
    pub descriptors: Descriptors,
    /// The same as an encoded `FileDescriptorSet`, in the order of imports.
    pub set: Vec<u8>,
    /// Who told it.
    pub server: String,
    /// In which version of the protocol.
    pub version: &'static str,
    /// How many files the set holds.
    pub files: usize,
    /// Imports that the server could not give, and that no type needs.
    pub absent: Vec<String>,
}

/// All servers failed to answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct InquiryError {
    /// What happened, for a person to read.
    pub text: String,
    /// Whether asking again may help.
    pub may_heal: bool,
    /// Whether a server answered that it does not have the symbol.
    pub is_unknown: bool,
}

/// No server has answered yet; the next attempt follows.
#[derive(Clone, Debug)]
pub struct Away {
    /// Why the last attempt failed.
    pub reason: String,
    /// Which attempt is next, from 1.
    pub attempt: u32,
    /// How long until then.
    pub delay: Duration,
}

/// There will be no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It was asked to stop before there was one.
    Stopped,
    /// Asking again cannot help; why, and what to do.
    Refused(String),
}

/// Puts types that were learned into a file's values, for the source `node`, in the place of
/// `reflection: true`.
pub fn put_types(values: &mut Values<'_>, node: &str, base64: &str) {
    let at = |key| ["sources", node, "descriptors", key];
    values.remove(&at("reflection"));
    values.set(&at("base64"), &json!(base64));
}

impl Inquiry {
    /// Asks until there is an answer; `told` hears of each attempt that failed.
    ///
    /// # Errors
    /// It was asked to stop, or a server gave an answer that will not change.
    pub async fn answered(
        &self,
        stop: &CancellationToken,
        mut told: impl FnMut(&Away),
    ) -> Result<Learned, NoAnswer> {
        let mut backoff = Backoff::new(&self.reconnect);
        loop {
            let asked = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(NoAnswer::Stopped),
                asked = self.types() => asked,
            };
            let error = match asked {
                Ok(learned) => return Ok(learned),
                Err(error) if !error.may_heal => return Err(NoAnswer::Refused(error.text)),
                Err(error) => error,
            };
            let wait = backoff
                .next(rand::random::<f64>())
                .map_err(|gave_up| NoAnswer::Refused(format!("{}; {gave_up}", error.text)))?;
            told(&Away { reason: error.text, attempt: wait.attempt, delay: wait.delay });
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(NoAnswer::Stopped),
                () = tokio::time::sleep(wait.delay) => {}
            }
        }
    }

    /// The types of the method, asked for once. Where no server has the service, the answer holds
    /// the names of those it has: the check of the file then says which one may be meant.
    ///
    /// # Errors
    /// No server answers.
    pub async fn types(&self) -> Result<Learned, InquiryError> {
        match self.symbol(&self.service).await {
            Err(error) if error.is_unknown => self.service_names(error).await,
            told => told,
        }
    }

    /// The types that a symbol needs: a service, a message, an enum or a method by its full name.
    ///
    /// # Errors
    /// No server answers, or none has it.
    pub async fn symbol(&self, symbol: &str) -> Result<Learned, InquiryError> {
        let (told, server, version) = self.ask(Topic::Symbol(symbol)).await?;
        let Told::Types(collected) = told else { unreachable!("a symbol is asked for its types") };
        let collected = *collected;
        Ok(Learned {
            descriptors: collected.descriptors,
            set: collected.set,
            server,
            version,
            files: collected.files,
            absent: collected.absent,
        })
    }

    /// The names of all services, in order.
    ///
    /// # Errors
    /// No server answers.
    pub async fn services(&self) -> Result<Vec<String>, InquiryError> {
        let (told, ..) = self.ask(Topic::Services).await?;
        let Told::Services(names) = told else { unreachable!("services are asked for") };
        Ok(names)
    }

    async fn service_names(&self, unknown: InquiryError) -> Result<Learned, InquiryError> {
        let Ok((Told::Services(names), server, version)) = self.ask(Topic::Services).await else {
            return Err(unknown);
        };
        let set = stubs(&names);
        let pool = headwater_proto::DescriptorPool::decode(set.as_slice());
        let Ok(pool) = pool.map_err(drop) else { return Err(unknown) };
        Ok(Learned { descriptors: pool.into(), set, server, version, files: 0, absent: Vec::new() })
    }

    /// The first server that answers, and what it told; else the failure of the first one, unless
    /// asking another one again may help.
    async fn ask(&self, topic: Topic<'_>) -> Result<(Told, String, &'static str), InquiryError> {
        let mut failed: Option<InquiryError> = None;
        let watched = match &self.peers {
            Peers::Watched(list) => list.look().await.map_err(InquiryError::without_servers)?,
            Peers::Listed(_) => Vec::new(),
        };
        let peers = match &self.peers {
            Peers::Watched(_) => &watched,
            Peers::Listed(peers) => peers,
        };
        let begin = self.failed.load(Ordering::Relaxed) % peers.len().max(1);
        for peer in peers[begin..].iter().chain(&peers[..begin]).take(REFLECTION_PEERS_MAX) {
            let shown = peer.dial.shown();
            match ask(peer, topic).await {
                Ok((told, version)) => return Ok((told, shown.to_owned(), version)),
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    let error = InquiryError::of(shown, &error);
                    if failed.as_ref().is_none_or(|first| !first.may_heal && error.may_heal) {
                        failed = Some(error);
                    }
                }
            }
        }
        let none = || InquiryError::without_servers("the list of targets is empty".to_owned());
        Err(failed.unwrap_or_else(none))
    }
}

impl InquiryError {
    /// Nobody can be asked now; the list may be another one soon.
    fn without_servers(text: String) -> Self {
        InquiryError { text, may_heal: true, is_unknown: false }
    }

    fn of(server: &str, error: &TalkError) -> Self {
        let (advice, may_heal) = match error.healing() {
            // What was shown was made a moment ago: made anew it would be the same.
            Healing::Never(advice) | Healing::Renew(advice) => (format!("; {advice}"), false),
            Healing::Retry | Healing::RetryIfAcceptedBefore => (String::new(), true),
        };
        InquiryError {
            text: format!("{server}: {}{advice}", escaped(&error.to_string())),
            may_heal,
            is_unknown: matches!(error, TalkError::UnknownSymbol(_)),
        }
    }
}

impl Learned {
    /// The set as text, as `descriptors.base64` takes it.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.set)
    }

    /// SHA-256 of the set, in hex: it is the same for the same files.
    #[must_use]
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.set).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What was learned, on one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let Learned { server, version, files, .. } = self;
        let (bytes, sha256) = (self.set.len(), self.sha256());
        format!("{server}, reflection {version}: {files} files, {bytes} bytes, sha256 {sha256}")
    }
}
