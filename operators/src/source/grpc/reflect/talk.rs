//! One conversation with a server's reflection service.
//!
//! Servers differ in how they say that they lack something: most answer with an error and go on,
//! some end the stream with `NOT_FOUND`. Both are the same answer here; after the second the stream
//! is opened again for the questions behind it. Answers come in the order of the questions.
//!
//! Next: `proto/src/reflection/collect.rs` gathers what is answered.

use super::super::codec::RawCodec;
use super::super::link::LinkEnd;
use super::super::source::Target;
use super::super::status::{CallError, Healing};
use crate::limits::{
    REFLECTION_ASKS_MAX, REFLECTION_BYTES_MAX, REFLECTION_FILES_MAX, REFLECTION_IMPORTS_MAX,
    REFLECTION_TIMEOUT,
};
use bytes::Bytes;
use headwater_proto::reflection::{
    Answer, Ask, Bounds, CollectError, Collected, Collector, ErrorAnswer, METHODS,
    ReflectionRequest, ReflectionResponse,
};
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

/// Why a conversation came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum TalkError {
    /// The call failed.
    #[error("{}", .0.text)]
    Call(CallError),
    /// The server does not have the symbol.
    #[error("the server does not know {0:?}")]
    UnknownSymbol(String),
    /// It answers what it must not.
    #[error("its reflection service {0}")]
    Nonsense(String),
    /// What it gives cannot be used.
    #[error("its reflection service cannot be used: {0}")]
    Collect(#[from] CollectError),
    /// It takes too long.
    #[error("its reflection service took longer than {} s", REFLECTION_TIMEOUT.as_secs())]
    Late,
}

/// What a conversation is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Topic<'a> {
    /// The file that defines this symbol, with all that it imports.
    Symbol(&'a str),
    /// The names of all services.
    Services,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Told {
    Types(Box<Collected>),
    Services(Vec<String>),
}

/// A conversation in one version of the protocol.
struct Talk {
    client: Grpc<Channel>,
    end: LinkEnd,
    /// Metadata and credentials.
    known: MetadataMap,
    method: PathAndQuery,
    open: Option<Open>,
}

struct Open {
    asks: mpsc::Sender<Bytes>,
    answers: Streaming<Bytes>,
}

/// Asks `peer`, in the newer version of the protocol and after any failure in the older one; which
/// one it was comes with what was told.
///
/// # Errors
/// The failure of the version that the server seems to have.
pub(super) async fn ask(
    peer: &Target,
    topic: Topic<'_>,
) -> Result<(Told, &'static str), TalkError> {
    let [v1, v1alpha] = METHODS;
    let first = match in_time(peer, v1, topic).await {
        Ok(told) => return Ok((told, "v1")),
        Err(error) => error,
    };
    match in_time(peer, v1alpha, topic).await {
        Ok(told) => Ok((told, "v1alpha")),
        Err(second) if first.is_unimplemented() => Err(second),
        Err(_) => Err(first),
    }
}

async fn in_time(peer: &Target, method: &'static str, topic: Topic<'_>) -> Result<Told, TalkError> {
    let talk = async {
        let mut talk = Talk::connect(peer, method).await?;
        match topic {
            Topic::Symbol(symbol) => Ok(Told::Types(Box::new(talk.types(symbol).await?))),
            Topic::Services => Ok(Told::Services(talk.services().await?)),
        }
    };
    tokio::time::timeout(REFLECTION_TIMEOUT, talk).await.unwrap_or(Err(TalkError::Late))
}

impl TalkError {
    pub(super) fn is_unimplemented(&self) -> bool {
        matches!(self, TalkError::Call(error) if error.code == Code::Unimplemented)
    }

    /// Whether asking again may help; what to do instead, where it cannot.
    pub(super) fn healing(&self) -> Healing {
        match self {
            TalkError::Call(error) if self.is_unimplemented() && error.is_servers_word => {
                Healing::Never(
                    "it does not serve reflection; name `file`, `base64` or `protos` in \
                     `descriptors`",
                )
            }
            TalkError::Call(error) => match error.healing {
                // Nothing was accepted before.
                Healing::RetryIfAcceptedBefore => Healing::Never("check `tls`"),
                healing => healing,
            },
            TalkError::Late => Healing::Retry,
            TalkError::UnknownSymbol(_) => Healing::Never("check `method`"),
            TalkError::Nonsense(_) | TalkError::Collect(_) => {
                Healing::Never("name `file`, `base64` or `protos` in `descriptors`")
            }
        }
    }
}

impl Talk {
    async fn connect(peer: &Target, method: &'static str) -> Result<Self, TalkError> {
        let grant = peer.credentials.grant(&peer.metadata).await.map_err(TalkError::Call)?;
        let mut approach = peer.dial.approach(0, rand::random());
        let connected = peer.dial.connect(&mut approach, &grant.metadata).await;
        let (channel, end) = connected.map_err(TalkError::Call)?;
        let mut client = Grpc::new(channel).max_decoding_message_size(REFLECTION_BYTES_MAX);
        let ready = client.ready().await;
        ready.map_err(|error| TalkError::Call(CallError::of_connect(&error).because_of(&end)))?;
        let method = PathAndQuery::from_static(method);
        Ok(Talk { client, end, known: grant.metadata, method, open: None })
    }

    async fn services(&mut self) -> Result<Vec<String>, TalkError> {
        let mut answers = self.exchange(&[Ask::Services("*".to_owned())]).await?;
        match answers.pop() {
            Some(Ok(Answer::Services(answer))) => {
                let mut names: Vec<String> = answer
                    .services
                    .into_iter()
                    .map(|service| service.name)
                    .filter(|name| is_name(name))
                    .collect();
                names.sort();
                names.dedup();
                Ok(names)
            }
            Some(Err(error)) => Err(TalkError::Nonsense(refusal(&error))),
            _ => Err(TalkError::Nonsense("answers something else than services".to_owned())),
        }
    }

    async fn types(&mut self, symbol: &str) -> Result<Collected, TalkError> {
        let bounds = Bounds {
            files_max: REFLECTION_FILES_MAX,
            bytes_max: REFLECTION_BYTES_MAX,
            imports_max: REFLECTION_IMPORTS_MAX,
        };
        let mut collector = Collector::new(bounds);
        let mut answers = self.exchange(&[Ask::FileOfSymbol(symbol.to_owned())]).await?;
        match answers.pop() {
            Some(Ok(Answer::Files(answer))) => {
                answer.files.into_iter().try_for_each(|file| collector.add(file))?;
            }
            Some(Err(error)) if error.code == Code::NotFound as i32 => {
                return Err(TalkError::UnknownSymbol(symbol.to_owned()));
            }
            Some(Err(error)) => return Err(TalkError::Nonsense(refusal(&error))),
            _ => return Err(TalkError::Nonsense("answers something else than files".to_owned())),
        }
        loop {
            let wanted = collector.wanted(REFLECTION_ASKS_MAX);
            if wanted.is_empty() {
                // Much work for large files, and this thread serves other calls.
                let built = tokio::task::spawn_blocking(move || collector.finish()).await;
                return Ok(built.expect("building types does not panic")?);
            }
            let asks: Vec<Ask> = wanted.into_iter().map(Ask::File).collect();
            // A file that the server cannot give may be one that no type needs.
            for answer in self.exchange(&asks).await?.into_iter().flatten() {
                if let Answer::Files(answer) = answer {
                    answer.files.into_iter().try_for_each(|file| collector.add(file))?;
                }
            }
        }
    }

    /// The answers to `asks`, in their order; an error is the server's answer to that one alone.
    async fn exchange(
        &mut self,
        asks: &[Ask],
    ) -> Result<Vec<Result<Answer, ErrorAnswer>>, TalkError> {
        debug_assert!(asks.len() <= REFLECTION_ASKS_MAX, "all fit into the channel");
        let mut answers = Vec::with_capacity(asks.len());
        while answers.len() < asks.len() {
            let rest = &asks[answers.len()..];
            if let Err(status) = self.pass(rest, &mut answers).await? {
                // The first question without an answer ended the stream.
                self.open = None;
                let message = status.message().to_owned();
                answers.push(Err(ErrorAnswer { code: Code::NotFound as i32, message }));
            }
        }
        Ok(answers)
    }

    /// Asks, and adds the answers as they come. Inside an error: the status `NOT_FOUND` that ended
    /// the stream.
    async fn pass(
        &mut self,
        asks: &[Ask],
        answers: &mut Vec<Result<Answer, ErrorAnswer>>,
    ) -> Result<Result<(), Status>, TalkError> {
        let encoded = asks.iter().map(|ask| {
            let request = ReflectionRequest { ask: Some(ask.clone()) };
            Bytes::from(request.encode_to_vec())
        });
        let mut open = match self.open.take() {
            Some(open) => {
                for ask in encoded {
                    // A stream that has ended tells why below.
                    let _ = open.asks.send(ask).await;
                }
                open
            }
            None => match self.open(encoded).await? {
                Ok(open) => open,
                Err(status) => return Ok(Err(status)),
            },
        };
        for _ in asks {
            match open.answers.message().await {
                Ok(Some(wire)) => answers.push(read(wire)?),
                Ok(None) => {
                    return Err(TalkError::Nonsense("ends the stream without answers".to_owned()));
                }
                Err(status) => return self.ended(status).map(Err),
            }
        }
        self.open = Some(open);
        Ok(Ok(()))
    }

    /// Opens the stream; some servers accept it only with the first question at hand.
    async fn open(
        &mut self,
        asks: impl Iterator<Item = Bytes>,
    ) -> Result<Result<Open, Status>, TalkError> {
        let (sender, receiver) = mpsc::channel(REFLECTION_ASKS_MAX);
        for ask in asks {
            sender.try_send(ask).expect("the channel has room for all questions");
        }
        let mut request = Request::new(ReceiverStream::new(receiver));
        *request.metadata_mut() = self.known.clone();
        self.client
            .ready()
            .await
            .map_err(|error| TalkError::Call(CallError::of_connect(&error)))?;
        match self.client.streaming(request, self.method.clone(), RawCodec).await {
            Ok(response) => Ok(Ok(Open { asks: sender, answers: response.into_inner() })),
            Err(status) => self.ended(status).map(Err),
        }
    }

    /// The status that ended a stream, if it is an answer.
    fn ended(&self, status: Status) -> Result<Status, TalkError> {
        let error = CallError::of_status(&status).because_of(&self.end);
        if error.code == Code::NotFound && error.is_servers_word {
            return Ok(status);
        }
        Err(TalkError::Call(error))
    }
}

fn read(wire: Bytes) -> Result<Result<Answer, ErrorAnswer>, TalkError> {
    let response = ReflectionResponse::decode(wire)
        .map_err(|error| TalkError::Nonsense(format!("answers no ReflectionResponse: {error}")))?;
    match response.answer {
        Some(Answer::Error(error)) => Ok(Err(error)),
        Some(answer) => Ok(Ok(answer)),
        None => Err(TalkError::Nonsense("answers nothing".to_owned())),
    }
}

/// Whether a service may be called so; others could not be asked for.
fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.');
    !name.is_empty() && name.chars().all(is_letter)
}

fn refusal(error: &ErrorAnswer) -> String {
    let code = super::super::status::name(Code::from_i32(error.code));
    format!("refuses: {code}: {}", super::super::status::escaped(&error.message))
}
