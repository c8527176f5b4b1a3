//! The connections of a server, each of which can be cut.
//!
//! Why: tonic ends a server by waiting for its streams, and a stream without end never ends. A
//! server that must stop, or a test that must break the network, cuts the socket instead. A cut
//! link resets the connection (no FIN, no GOAWAY), as a crashed peer or a dropped route does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// The accepted connections of a listener, until `down` is cancelled.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    down: CancellationToken,
    wake: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// One accepted connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    cut: CancellationToken,
    wake: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What a call can reach of its connection: found in the request's extensions.
#[derive(Debug, Clone)]
pub struct LinkHandle {
    cut: CancellationToken,
}

impl Incoming {
    /// Accepts from `listener`; cancelling `down` closes it and cuts every connection it gave.
    pub fn new(listener: TcpListener, down: CancellationToken) -> Incoming {
        let wake = Box::pin(down.clone().cancelled_owned());
        Incoming { listener, down, wake }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Link>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.wake.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        let accepted = ready!(this.listener.poll_accept(context));
        Poll::Ready(Some(accepted.and_then(|(stream, _)| Link::new(stream, &this.down))))
    }
}

impl LinkHandle {
    /// Cuts the connection.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}

impl Link {
    fn new(stream: TcpStream, down: &CancellationToken) -> io::Result<Link> {
        stream.set_nodelay(true)?;
        let cut = down.child_token();
        let wake = Box::pin(cut.clone().cancelled_owned());
        Ok(Link { stream, cut, wake })
    }

    /// Fails once the link is cut; wakes the task when that happens later.
    fn poll_whole(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.wake.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        // With nothing to linger for, closing the socket sends a reset.
        self.stream.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Connected for Link {
    type ConnectInfo = LinkHandle;

    fn connect_info(&self) -> LinkHandle {
        LinkHandle { cut: self.cut.clone() }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_whole(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_whole(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_whole(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
