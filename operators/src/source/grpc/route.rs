//! How bytes get to a server: over TCP, through an HTTP proxy, or over a Unix socket.
//!
//! What a route leads to is one stream of bytes; nothing above it knows which way they take. A host
//! with several addresses is connected to as [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305)
//! says, all of them within the time that connecting may take.
//!
//! Next: `link.rs` speaks TLS on it.

use super::proxy::Proxy;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tower::{BoxError, Service as _};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// Over TCP: a name or an IP address (IPv6 without brackets), and a port.
    Tcp(String, u16),
    /// A socket of this machine.
    Unix(PathBuf),
}

/// A way to one address.
#[derive(Clone)]
pub(super) struct Route {
    /// Where it leads.
    pub(super) address: Address,
    /// What stands in between.
    pub(super) proxy: Option<Proxy>,
    /// How long all attempts at a host's addresses may take together.
    pub(super) timeout: Duration,
}

/// A stream of bytes in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Whatever stream a route leads to.
pub(super) type Conduit = Box<dyn Duplex>;

/// No socket can be connected to.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to the socket {}: {source}", path.display())]
struct NoSocket {
    path: PathBuf,
    source: io::Error,
}

impl Route {
    /// Connects.
    ///
    /// # Errors
    /// What TCP, the proxy or the socket says.
    pub(super) async fn connect(&self) -> Result<Conduit, BoxError> {
        match (&self.address, &self.proxy) {
            (Address::Unix(path), _) => {
                let stream = UnixStream::connect(path).await;
                let no_socket = |source| NoSocket { path: path.clone(), source };
                Ok(Box::new(stream.map_err(no_socket)?))
            }
            (Address::Tcp(host, port), None) => self.connect_tcp(host, *port).await,
            (Address::Tcp(host, port), Some(proxy)) => {
                let conduit = self.connect_tcp(proxy.host(), proxy.port()).await;
                let conduit = conduit.map_err(|error| proxy.unreachable(error))?;
                Ok(proxy.tunnel(conduit, &authority(host, *port)).await?)
            }
        }
    }

    async fn connect_tcp(&self, host: &str, port: u16) -> Result<Conduit, BoxError> {
        let uri =
            Uri::builder().scheme("http").authority(authority(host, port)).path_and_query("/");
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.timeout));
        Ok(Box::new(connector.call(uri.build()?).await?.into_inner()))
    }
}

/// As a URL writes it, IPv6 in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) => f.write_str(&authority(host, *port)),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}
