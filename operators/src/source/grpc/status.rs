//! Why a call ended, and whether calling again can heal it.
//!
//! The rule. A status that speaks of the request (its fields, its credentials, its method) comes
//! again however often the same request is sent, so the shard stops and says what to change. A
//! status that speaks of the moment (overload, a restart, a lost connection) is waited out. gRPC's
//! own [table](https://grpc.io/docs/guides/status-codes/) draws the line the same way, with one
//! exception: `INTERNAL` and `UNKNOWN` are waited out, because proxies and libraries also report
//! lost connections with them.
//!
//! A refused certificate heals by itself only if it was accepted before (a renewal under way), so
//! it stops a shard that has never had a connection and is waited out by one that had.
//!
//! Next: `shard.rs` acts on it.

use super::link::LinkEnd;
use std::error::Error;
use std::io;
use std::time::Duration;
use tonic::{Code, Status};

/// How much of a server's own text is passed on.
const SERVER_TEXT_CHARS_MAX: usize = 300;

/// How far a chain of causes is followed.
const CAUSES_MAX: usize = 16;

/// How tonic begins its complaint about a message above the limit; a test holds it in place.
const TOO_LARGE: &str = "decoded message length too large: found ";

/// How tonic complains about one that is above it once it is unpacked; a test holds it in place.
const TOO_LARGE_UNPACKED: &str = "exceeded while decompressing message";

/// Why a call ended otherwise than with status OK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallError {
    /// The status code, or what stands for it where no server spoke.
    pub(super) code: Code,
    /// What happened, for a person to read.
    pub(super) text: String,
    /// Whether calling again may heal it.
    pub(super) healing: Healing,
    /// Whether a server said it, and not this end of the connection.
    pub(super) is_servers_word: bool,
    /// What it said, word for word; empty where no server spoke.
    pub(super) said: Box<Said>,
}

/// A server's own words at the end of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The status' text.
    pub(super) message: String,
    /// The trailers.
    pub(super) trailers: http::HeaderMap,
}

/// What calling again may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Healing {
    /// It may help.
    Retry,
    /// It may help only if a connection was accepted before.
    RetryIfAcceptedBefore,
    /// It may help with other credentials, which the next call bears if there are any; what to do
    /// if they are refused again and again.
    Renew(&'static str),
    /// It cannot help; what to do instead.
    Never(&'static str),
}

impl CallError {
    /// From the status that ended a call.
    pub(super) fn of_status(status: &Status) -> Self {
        if let Some(size) = oversize(status) {
            return Self::too_large(size);
        }
        if is_local_timeout(status) {
            let code = Code::DeadlineExceeded;
            return CallError { code, ..Self::of_transport(code, status) };
        }
        match status.source() {
            // No server spoke: the library wraps what happened to the connection.
            Some(source) => Self::of_transport(status.code(), source),
            None => CallError {
                code: status.code(),
                text: format!("{}: {}", name(status.code()), escaped(status.message())),
                healing: healing(status.code()),
                is_servers_word: true,
                said: Box::new(Said {
                    message: status.message().to_owned(),
                    trailers: status.metadata().clone().into_headers(),
                }),
            },
        }
    }

    /// An answer did not come in time.
    pub(super) fn late(timeout: Duration) -> Self {
        Self::of_ours(
            Code::DeadlineExceeded,
            format!("no answer within {} ms", timeout.as_millis()),
        )
    }

    /// An answer that is not what its type says.
    pub(super) fn of_answer(reason: &str) -> Self {
        Self::of_ours(Code::Internal, format!("the answer cannot be read: {}", escaped(reason)))
    }

    /// From a connection that could not be made.
    pub(super) fn of_connect(error: &tonic::transport::Error) -> Self {
        Self::of_transport(Code::Unavailable, error)
    }

    /// From credentials that there are none of now.
    pub(super) fn of_credentials(text: String) -> Self {
        Self::of_ours(Code::Unauthenticated, text)
    }

    /// From a token endpoint that cannot be asked.
    pub(super) fn of_token(error: &(dyn Error + 'static)) -> Self {
        Self::of_transport(Code::Unauthenticated, error)
    }

    /// From a server that is not well.
    pub(super) fn of_health(text: String) -> Self {
        Self::of_ours(Code::Unavailable, text)
    }

    /// From what this end noticed, and may pass.
    fn of_ours(code: Code, text: String) -> Self {
        let (healing, is_servers_word) = (Healing::Retry, false);
        CallError { code, text, healing, is_servers_word, said: Box::default() }
    }

    /// The same call, ended by what the other side said where that is known: it is the reason, and
    /// the broken connection that the call met its consequence.
    pub(super) fn because_of(self, end: &LinkEnd) -> Self {
        if self.is_servers_word {
            return self;
        }
        match (end.tls(), end.goaway()) {
            (Some(said), _) => Self::of_transport(self.code, said),
            (None, Some(goaway)) if !matches!(self.healing, Healing::Never(_)) => {
                self.about(&format!("the server closes the connection ({goaway})"))
            }
            _ => self,
        }
    }

    /// The same, and what it is about.
    pub(super) fn about(mut self, what: &str) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// The same call, where the next one may bear other credentials.
    pub(super) fn renewable(mut self) -> Self {
        if let (Code::Unauthenticated, Healing::Never(advice)) = (self.code, self.healing)
            && self.is_servers_word
        {
            self.healing = Healing::Renew(advice);
        }
        self
    }

    fn of_transport(code: Code, error: &(dyn Error + 'static)) -> Self {
        let causes = causes(error);
        let is_refused = causes.iter().any(|cause| is_certificate_refused(cause));
        let healing = if is_refused { Healing::RetryIfAcceptedBefore } else { Healing::Retry };
        let (text, said) = (readable(&causes), Box::default());
        CallError { code, text, healing, is_servers_word: false, said }
    }

    fn too_large(size: &str) -> Self {
        CallError {
            code: Code::OutOfRange,
            text: format!(
                "the server sent a message larger than `message_bytes_max` allows: {size}"
            ),
            healing: Healing::Never("raise `message_bytes_max` above the size named"),
            is_servers_word: false,
            said: Box::default(),
        }
    }
}

/// What calling again may do about a status that a server sent.
pub(super) fn healing(code: Code) -> Healing {
    match code {
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable => Healing::Retry,
        Code::InvalidArgument => Healing::Never("correct `request`, or what `resume` sets in it"),
        Code::NotFound => Healing::Never(
            "check what `request` names; if the server no longer knows the cursor, reset it with \
             `headwater offsets reset`",
        ),
        Code::AlreadyExists => {
            Healing::Never("check `request`: the server holds such a call already")
        }
        Code::PermissionDenied => {
            Healing::Never("give the caller of `auth`, `metadata` or `tls` the right")
        }
        Code::Unauthenticated => {
            Healing::Never("renew the credentials in `auth`, `metadata` or `tls`")
        }
        Code::FailedPrecondition => Healing::Never(
            "the server refuses the call in its state; if it speaks of the cursor, reset it with \
             `headwater offsets reset`",
        ),
        Code::OutOfRange => Healing::Never(
            "the server no longer has what follows the cursor; reset it with `headwater offsets \
             reset` to go on without the missing messages",
        ),
        Code::Unimplemented => {
            Healing::Never("check `endpoint` and `method`: this server does not serve it")
        }
        Code::DataLoss => Healing::Never("the server has lost data; ask its operators"),
    }
}

/// A code's name as gRPC writes it.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The sizes, if the library refused a message for its size. A server may use the same code, never
/// the same words.
fn oversize(status: &Status) -> Option<&str> {
    let said = Some(status.message()).filter(|_| status.metadata().is_empty())?;
    match status.code() {
        Code::OutOfRange => said.split_once(TOO_LARGE).map(|(_, sizes)| sizes),
        Code::ResourceExhausted => {
            let sizes = said.strip_suffix(TOO_LARGE_UNPACKED)?.rsplit(": ").next()?;
            Some(sizes.trim_end_matches([',', ' ']))
        }
        _ => None,
    }
}

/// Whether the library gave the call up because its time was over.
fn is_local_timeout(status: &Status) -> bool {
    let first: &(dyn Error + 'static) = status;
    let causes = std::iter::successors(Some(first), |cause: &&(dyn Error + 'static)| {
        let cause: &(dyn Error + 'static) = *cause;
        cause.source()
    });
    causes.take(CAUSES_MAX).any(|cause| cause.is::<tonic::TimeoutExpired>())
}

/// A server's text on one line, without control characters, cut at a bound.
pub(super) fn escaped(text: &str) -> String {
    let mut shown: String = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == SERVER_TEXT_CHARS_MAX {
            shown.push('…');
            break;
        }
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    if shown.is_empty() { "(no text)".to_owned() } else { shown }
}

/// The texts of an error and its causes, the outermost first. An `io::Error` hides the error it
/// wraps from `source`, so it is opened by hand.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next.filter(|_| texts.len() < CAUSES_MAX) {
        texts.push(error.to_string());
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    texts
}

/// The causes as one text; a cause that only repeats the next one is left out.
fn readable(causes: &[String]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in causes {
        let cause = escaped(cause);
        if !parts.iter().any(|part| part.contains(&cause)) {
            parts.retain(|part| !cause.contains(part.as_str()));
            parts.push(cause);
        }
    }
    let text = parts.join(": ");
    match certificate_words(&text) {
        Some(words) => format!("{words} ({text})"),
        None => text,
    }
}

fn is_certificate_refused(cause: &str) -> bool {
    cause.contains("invalid peer certificate") || certificate_alert(cause).is_some()
}

/// The alerts by which a server refuses this client's certificate.
fn certificate_alert(text: &str) -> Option<&'static str> {
    const ALERTS: [(&str, &str); 9] = [
        ("CertificateRequired", "the server demands a client certificate"),
        ("BadCertificate", "the server refuses the client certificate"),
        ("UnsupportedCertificate", "the server refuses the kind of client certificate"),
        ("CertificateRevoked", "the client certificate is revoked"),
        ("CertificateExpired", "the client certificate has expired"),
        ("CertificateUnknown", "the server does not accept the client certificate"),
        ("UnknownCA", "the server does not know the authority of the client certificate"),
        ("DecryptError", "the server cannot verify the signature of the client certificate"),
        ("AccessDenied", "the server denies access to the client certificate"),
    ];
    let (_, alert) = text.split_once("received fatal alert: ")?;
    let found = ALERTS.iter().find(|(name, _)| alert.starts_with(name));
    found.map(|(_, words)| *words)
}

fn certificate_words(text: &str) -> Option<&'static str> {
    if let Some(words) = certificate_alert(text) {
        return Some(words);
    }
    let (_, reason) = text.split_once("invalid peer certificate: ")?;
    let reason = reason.to_ascii_lowercase();
    Some(if reason.starts_with("unknownissuer") {
        "the server's certificate comes from an authority that is not trusted; check `tls.ca_file`"
    } else if reason.contains("expired") {
        "the server's certificate has expired"
    } else if reason.contains("not valid yet") || reason.contains("notvalidyet") {
        "the server's certificate is not valid yet"
    } else if reason.contains("not valid for name") || reason.contains("notvalidforname") {
        "the server's certificate bears another name; check the URL, or set `tls.server_name`"
    } else {
        "the server's certificate cannot be accepted"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_speak_of_the_request_never_heal_and_the_others_are_waited_out() {
        let heals = |number: i32| healing(Code::from_i32(number)) == Healing::Retry;
        let healing: Vec<i32> = (0..=16).filter(|number| heals(*number)).collect();
        // OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL,
        // UNAVAILABLE.
        assert_eq!(healing, [0, 1, 2, 4, 8, 10, 13, 14]);
    }

    #[test]
    fn a_servers_text_cannot_forge_a_log_line_or_fill_it() {
        let error = CallError::of_status(&Status::not_found("a\nevent=commit\u{1b}[31m"));
        assert_eq!(error.text, "NOT_FOUND: a\\nevent=commit\\u{1b}[31m");
        let long = CallError::of_status(&Status::internal("x".repeat(10_000)));
        assert!(long.text.chars().count() < SERVER_TEXT_CHARS_MAX + 20);
        let silent = CallError::of_status(&Status::unavailable(""));
        assert_eq!(silent.text, "UNAVAILABLE: (no text)");
    }

    #[test]
    fn a_wrapped_cause_is_found_behind_an_io_error() {
        let inner = io::Error::other("received fatal alert: CertificateRequired");
        let outer = io::Error::other(inner);
        let status = Status::from_error(Box::new(outer));
        let error = CallError::of_status(&status);
        assert_eq!(error.healing, Healing::RetryIfAcceptedBefore);
        assert!(
            error.text.starts_with("the server demands a client certificate"),
            "{}",
            error.text
        );
    }

    #[test]
    fn a_lost_connection_is_waited_out_whatever_code_the_library_gives_it() {
        let lost = io::Error::new(io::ErrorKind::PermissionDenied, "no route");
        let status = Status::from_error(Box::new(lost));
        assert_eq!(CallError::of_status(&status).healing, Healing::Retry);
    }

    #[test]
    fn refused_certificates_are_told_in_words() {
        let cases = [
            ("invalid peer certificate: UnknownIssuer", "tls.ca_file"),
            ("invalid peer certificate: certificate expired: verification time", "has expired"),
            ("invalid peer certificate: certificate not valid for name \"a\"", "tls.server_name"),
            ("received fatal alert: UnknownCA", "authority of the client certificate"),
        ];
        for (text, expected) in cases {
            let words = certificate_words(text).expect(text);
            assert!(words.contains(expected), "{text}: {words}");
            assert!(is_certificate_refused(text));
        }
        assert!(!is_certificate_refused("received fatal alert: InternalError"));
        assert!(!is_certificate_refused("connection refused"));
    }
}
