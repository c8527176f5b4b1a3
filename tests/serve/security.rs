//! Goal: who may not ask gets nothing, and files with tokens and certificates may change while the
//! process runs.
//! Method: the real program with each way of authentication, and clients that lack it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use headwater_test_support::process::{free_address, get, request};
use headwater_test_support::tls::{Issued, TestCa};
use headwater_test_support::wait;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::served::Site;
use crate::world::{PATIENCE, kafka};

const OLD: &str = "the-old-token-0123456789";
const NEW: &str = "the-new-token-9876543210";

#[test]
fn an_address_of_other_machines_needs_authentication() -> Result<()> {
    let address = format!("0.0.0.0:{}", free_address()?.port());
    let output = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .args(["serve", "--brokers", kafka(), "--api", &address])
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(64) && told.contains("--insecure-api"), "{told}");
    let mut insecure = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .args(["serve", "--brokers", kafka(), "--api", &address, "--insecure-api"])
        .args(["--config-topic", &Site::new()?.topic])
        .stderr(Stdio::null())
        .spawn()?;
    let reached = address.replace("0.0.0.0", "127.0.0.1").parse()?;
    let answered = wait::until("whoever says so twice to be served", PATIENCE, || {
        get(reached, "/healthz").is_ok_and(|it| it.status == 200)
    });
    insecure.kill()?;
    insecure.wait()?;
    answered
}

#[test]
fn a_token_lets_in_and_may_be_replaced_while_the_process_runs() -> Result<()> {
    let mut site = Site::new()?;
    let file = site.launch.folder().join("tokens");
    fs::write(&file, format!("{OLD}\n"))?;
    site.arguments.extend(["--token-file", file.to_str().context("a path")?].map(str::to_owned));
    let mut served = site.start()?;
    wait::until("it to listen", PATIENCE, || served.ask("GET", "/healthz", "").is_ok())?;
    for path in ["/healthz", "/metrics", "/pipelines", "/nothing", "/openapi.json"] {
        let answer = served.ask("GET", path, "")?;
        ensure!(answer.status == 401 && answer.body.contains("\"error_code\":401"), "{answer:?}");
    }
    ensure!(served.ask("DELETE", "/pipelines/a", "")?.status == 401);
    served.token = Some(OLD.to_owned());
    wait::until("it to lead", PATIENCE, || {
        served.ask("GET", "/pipelines", "").is_ok_and(|it| it.status == 200)
    })?;
    // Both for a while, then only the new one.
    fs::write(&file, format!("{OLD}\n{NEW}\n"))?;
    served.token = Some(NEW.to_owned());
    let is_in = || served.ask("GET", "/pipelines", "").is_ok_and(|it| it.status == 200);
    wait::until("the new token to be known", PATIENCE, is_in)?;
    fs::write(&file, format!("{NEW}\n"))?;
    served.token = Some(OLD.to_owned());
    let is_out = || served.ask("GET", "/pipelines", "").is_ok_and(|it| it.status == 401);
    wait::until("the old token to be gone", PATIENCE, is_out)?;
    // A file that holds nothing locks nobody out, and lets nobody in.
    fs::write(&file, "\n")?;
    wait::until_ok("the mistake to be told", PATIENCE, || {
        Ok(served.headwater.log()?.contains("event=tokens_kept"))
    })?;
    ensure!(served.ask("GET", "/pipelines", "")?.status == 401);
    served.token = Some(NEW.to_owned());
    ensure!(served.ask("GET", "/pipelines", "")?.status == 200);
    ensure!(!served.headwater.log()?.contains(NEW), "tokens are not logged");
    Ok(())
}

#[test]
fn a_page_in_a_browser_may_not_ask_an_open_api() -> Result<()> {
    let mut site = Site::new()?;
    let served = site.lead()?;
    let address = served.address();
    let page = [("Origin", "http://evil.example")];
    let answer = request(address, "POST", "/pipelines", &page, b"pipeline: a")?;
    ensure!(answer.status == 403, "{answer:?}");
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /pipelines HTTP/1.0\r\nHost: evil.example\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.0 403"), "{answer}");
    Ok(())
}

#[test]
fn with_mutual_tls_a_certificate_lets_in_and_may_be_replaced() -> Result<()> {
    const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
    let (ca, stranger) = (TestCa::new()?, TestCa::new()?);
    let mut site = Site::new()?;
    let folder = site.launch.folder().to_owned();
    let place = |name: &str| folder.join(name).to_str().map(str::to_owned).context("a path");
    let install = |issued: &Issued| -> Result<()> {
        fs::copy(&issued.key, folder.join("api.key"))?;
        fs::copy(&issued.certificate, folder.join("api.pem"))?;
        Ok(())
    };
    install(&ca.server(&NAMES)?)?;
    let clients = ca.certificate().to_str().map(str::to_owned).context("a path")?;
    let arguments = [
        ["--tls-certificate".to_owned(), place("api.pem")?],
        ["--tls-key".to_owned(), place("api.key")?],
        ["--tls-client-ca".to_owned(), clients],
    ];
    site.arguments.extend(arguments.into_iter().flatten());
    let served = site.start()?;
    let address = served.address();
    let client = ca.client("operator")?;
    wait::until("it to lead", PATIENCE, || {
        ask(address, &ca.certificate(), Some(&client), LOOK)
            .is_ok_and(|it| it.starts_with("HTTP/1.0 200"))
    })?;
    ensure!(ask(address, &ca.certificate(), None, LOOK).is_err(), "no certificate");
    let foreign = stranger.client("operator")?;
    ensure!(
        ask(address, &ca.certificate(), Some(&foreign), LOOK).is_err(),
        "a stranger's certificate"
    );
    ensure!(request(address, "GET", "/pipelines", &[], b"").is_err(), "no TLS");
    // The server's own certificate is replaced by one of another authority.
    install(&stranger.server(&NAMES)?)?;
    wait::until("the new certificate to be shown", PATIENCE, || {
        ask(address, &stranger.certificate(), Some(&client), LOOK).is_ok()
    })?;
    Ok(())
}

const LOOK: (&str, &str) = ("GET", "/pipelines");

/// What a client with this certificate, which trusts this authority, is answered.
pub(crate) fn ask(
    address: SocketAddr,
    trusted: &Path,
    client: Option<&Issued>,
    (method, path): (&str, &str),
) -> Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(Issued { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_file(certificate)?];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
        }
    };
    let name = ServerName::try_from("localhost")?;
    let connection = ClientConnection::new(Arc::new(config), name)?;
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, tcp);
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer)?;
    ensure!(!answer.is_empty(), "no answer");
    Ok(answer)
}
