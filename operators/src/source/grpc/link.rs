//! The bytes of a connection, TLS included, and why the other side ends it.
//!
//! Why a connector of our own. With TLS 1.3 the client's handshake is over before the server has
//! seen its certificate ([RFC 8446 §2](https://www.rfc-editor.org/rfc/rfc8446#section-2)): a
//! refusal comes as an alert when the call is already under way. Which error reaches the call then
//! depends on who is faster: the alert, the end of the connection or a write that fails. The
//! library below keeps only the last two, and "connection closed" tells nobody to look at a
//! certificate. In the same way it forgets why HTTP/2 ends a connection: see `frames.rs`.
//!
//! Invariants
//! 1. What TLS said first is kept for the call, whichever error the call meets.
//! 2. A write that failed is followed by a look at what can still be read: the alert came before
//!    the server closed.
//! 3. What HTTP/2 says is known before the library below acts upon it.
//!
//! Next: `channel.rs` opens HTTP/2 on it.

use super::frames::{Frames, GoAway};
use super::reload::TlsMaterial;
use super::route::{Conduit, Route};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::BoxError;

/// HTTP/2 in TLS's list of protocols, RFC 9113 §3.2.
pub(super) const ALPN_H2: &[u8] = b"h2";

/// HTTP/1.1 in the same list, RFC 7301 §6.
pub(super) const ALPN_HTTP1: &[u8] = b"http/1.1";

/// How often a stream is read after a write failed; an alert comes with the first.
const READS_AFTER_FAILURE_MAX: usize = 8;

/// Why the other side ends a connection, if it does; shared by the connection and the call on it.
#[derive(Clone, Default)]
pub(super) struct LinkEnd(Arc<Said>);

#[derive(Default)]
struct Said {
    tls: OnceLock<rustls::Error>,
    goaway: Mutex<Option<GoAway>>,
    is_going: Notify,
}

/// A stream that remembers what the other side said about its end.
pub(super) struct Link<S> {
    stream: S,
    frames: Frames,
    end: LinkEnd,
}

/// The handshake succeeded with a server that speaks something else than HTTP/2.
#[derive(Debug, thiserror::Error)]
#[error("the server does not offer HTTP/2 (`h2`) over TLS; check that `endpoint` is a gRPC server")]
struct NotHttp2;

/// Connects by `route`; with `tls` it shakes hands as one who calls `uri`.
///
/// # Errors
/// What the route or TLS says; a server without HTTP/2.
pub(super) async fn connect(
    route: &Route,
    tls: Option<(&TlsMaterial, &Uri)>,
    end: LinkEnd,
) -> Result<TokioIo<Link<Conduit>>, BoxError> {
    let stream = match tls {
        None => route.connect().await?,
        Some((tls, uri)) => {
            let stream = connect_tls(route, tls, uri, ALPN_H2, &end).await?;
            if stream.get_ref().1.alpn_protocol() != Some(ALPN_H2) {
                return Err(NotHttp2.into());
            }
            Box::new(stream)
        }
    };
    Ok(TokioIo::new(Link { stream, frames: Frames::default(), end }))
}

/// Connects by `route` and shakes hands as one who speaks `protocol` with `uri`.
///
/// # Errors
/// What the route or TLS says.
pub(super) async fn connect_tls(
    route: &Route,
    tls: &TlsMaterial,
    uri: &Uri,
    protocol: &'static [u8],
    end: &LinkEnd,
) -> Result<TlsStream<Conduit>, BoxError> {
    let name = tls.server_name(uri)?;
    let tls = tls.clone();
    // Reading certificates, the system's authorities among them, blocks.
    let config = tokio::task::spawn_blocking(move || tls.client(protocol)).await;
    let config = config.expect("reading certificates does not panic")?;
    let stream = route.connect().await?;
    Ok(shake_hands(config, name, stream, end).await?)
}

async fn shake_hands(
    config: rustls::ClientConfig,
    name: ServerName<'static>,
    stream: Conduit,
    end: &LinkEnd,
) -> io::Result<TlsStream<Conduit>> {
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    handshake.await.inspect_err(|error| end.note(error))
}

impl LinkEnd {
    /// What TLS said, if it ended the connection.
    pub(super) fn tls(&self) -> Option<&rustls::Error> {
        self.0.tls.get()
    }

    /// What HTTP/2 said last, if the server ends the connection.
    pub(super) fn goaway(&self) -> Option<GoAway> {
        self.0.goaway.lock().expect("storing a frame does not panic").clone()
    }

    /// Done when the server wants its clients to go, and nothing is wrong.
    pub(super) async fn going_away(&self) {
        loop {
            // Asked for before it is looked at: what is said in between is not missed.
            let said = self.0.is_going.notified();
            if self.goaway().is_some_and(|goaway| goaway.is_graceful()) {
                return;
            }
            said.await;
        }
    }

    fn note(&self, error: &io::Error) {
        let said = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(said) = said {
            // What was said first is the reason; what follows is its consequence.
            let _ = self.0.tls.set(said.clone());
        }
    }

    fn note_goaway(&self, goaway: GoAway) {
        *self.0.goaway.lock().expect("storing a frame does not panic") = Some(goaway);
        self.0.is_going.notify_waiters();
    }
}

impl<S: AsyncRead + Unpin> Link<S> {
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled {
            self.end.note(error);
            self.look_for_an_alert(context);
        }
        polled
    }

    fn look_for_an_alert(&mut self, context: &mut Context<'_>) {
        for _ in 0..READS_AFTER_FAILURE_MAX {
            let mut scratch = [0; 1024];
            let mut scratch = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut scratch) {
                Poll::Ready(Ok(())) if !scratch.filled().is_empty() => {}
                Poll::Ready(Err(error)) => return self.end.note(&error),
                Poll::Ready(Ok(())) | Poll::Pending => return,
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Link<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if let Some(goaway) = self.frames.see(&buffer.filled()[before..]) {
            self.end.note_goaway(goaway);
        }
        Poll::Ready(read.inspect_err(|error| self.end.note(error)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Link<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::AlertDescription::UnknownCA;
    use std::future::poll_fn;
    use std::task::Waker;

    /// Takes no byte any more, and has an alert to read.
    struct Refused;

    impl AsyncRead for Refused {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let alert = rustls::Error::AlertReceived(UnknownCA);
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, alert)))
        }
    }

    impl AsyncWrite for Refused {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn link() -> Link<Refused> {
        Link { stream: Refused, frames: Frames::default(), end: LinkEnd::default() }
    }

    #[test]
    fn an_alert_behind_a_broken_pipe_is_found() {
        let mut link = link();
        let mut context = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut link).poll_write(&mut context, b"PRI * HTTP/2.0");
        assert!(matches!(written, Poll::Ready(Err(it)) if it.kind() == io::ErrorKind::BrokenPipe));
        assert_eq!(link.end.tls(), Some(&rustls::Error::AlertReceived(UnknownCA)));
    }

    #[tokio::test]
    async fn an_alert_that_is_read_is_kept_and_what_follows_does_not_replace_it() {
        let mut link = link();
        let mut buffer = [0; 8];
        let mut buffer = ReadBuf::new(&mut buffer);
        let read = poll_fn(|context| Pin::new(&mut link).poll_read(context, &mut buffer)).await;
        assert!(read.is_err());
        let later = rustls::Error::General("later".to_owned());
        link.end.note(&io::Error::other(later));
        assert_eq!(link.end.tls(), Some(&rustls::Error::AlertReceived(UnknownCA)));
    }
}
