//! A token endpoint, RFC 6749 §4.4, that answers as a test says and remembers what it was asked.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub authorization: String,
    pub content_type: String,
    pub form: String,
}

type Script = Arc<dyn Fn(usize) -> (u16, String) + Send + Sync>;

pub struct Issuer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Clone)]
struct Shared {
    script: Script,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Issuer {
    /// `script` gives status and body of the answer to each request, from 0.
    pub async fn start(script: impl Fn(usize) -> (u16, String) + Send + Sync + 'static) -> Issuer {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared { script: Arc::new(script), asked: asked.clone() };
        let router = Router::new().route("/oauth/token", post(answer)).with_state(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Issuer { address, asked }
    }

    /// Tokens `t1`, `t2`, … that live for `life_s`.
    pub async fn of_tokens(life_s: u64) -> Issuer {
        Self::start(move |count| (200, token(count + 1, life_s))).await
    }

    pub fn url(&self) -> String {
        format!("http://{}/oauth/token", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic while locked").clone()
    }
}

/// The answer with token `t<number>`.
pub fn token(number: usize, life_s: u64) -> String {
    format!(r#"{{"access_token":"t{number}","token_type":"Bearer","expires_in":{life_s}}}"#)
}

/// A token endpoint with TLS that gives `t1` to everybody.
pub async fn with_tls(certificate: &str, key: &str) -> SocketAddr {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { grant(acceptor.accept(stream).await?).await });
        }
    });
    address
}

/// The head and the form are not looked at, but they are read.
async fn grant(mut stream: TlsStream<TcpStream>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"grant_type=client_credentials") {
        request.push(stream.read_u8().await?);
    }
    let body = token(1, 3_600);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}

async fn answer(
    State(shared): State<Shared>,
    headers: HeaderMap,
    form: String,
) -> (StatusCode, String) {
    let header = |name: &str| {
        let value = headers.get(name).map(|value| value.to_str().expect("ASCII"));
        value.unwrap_or_default().to_owned()
    };
    let mut asked = shared.asked.lock().expect("no panic while locked");
    let (status, body) = (shared.script)(asked.len());
    asked.push(Asked {
        authorization: header("authorization"),
        content_type: header("content-type"),
        form,
    });
    (StatusCode::from_u16(status).expect("a status"), body)
}
