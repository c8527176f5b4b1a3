//! TLS: good material connects, bad material is named with its reason.

use crate::issuer;
use crate::reach::Proxy;
use crate::server::{RELEASED, Server, Step, events};
use crate::world::{FAST, RESUME, World, broken, source, until};
use headwater_operators::source::ShardEnd;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fs;
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("randomness");
        Authority(CertifiedIssuer::self_signed(params, key).expect("valid parameters"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name` and its key.
    fn issue(&self, name: &str, is_expired: bool) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        if is_expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().expect("randomness");
        let certificate = params.signed_by(&key, &self.0).expect("a valid issuer");
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server whose certificate `authority` signs, its folder of PEM files, and its URL.
async fn server(
    authority: &Authority,
    name: &str,
    is_expired: bool,
    client_ca: Option<&Authority>,
) -> (Server, TempDir, String) {
    let (certificate, key) = authority.issue(name, is_expired);
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    if let Some(client_ca) = client_ca {
        tls = tls.client_ca_root(Certificate::from_pem(client_ca.pem()));
    }
    let server = Server::start_with(Some(tls), |_, _| events(1, 10)).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("ca.pem"), authority.pem()).expect("writable");
    let url = format!("https://localhost:{}", server.address.port());
    (server, folder, url)
}

fn keys(folder: &TempDir, more: &str) -> String {
    let ca = folder.path().join("ca.pem");
    let tls = format!("tls: {{ ca_file: \"{}\"{more} }}", ca.display());
    let limited = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 50, attempts_max: 5 }";
    format!("{limited}\n    on_end: finish\n    {tls}")
}

/// Writes a client certificate and gives the keys that name it.
fn client(folder: &TempDir, authority: &Authority) -> String {
    write_client(folder, authority);
    let (certificate_file, key_file) =
        (folder.path().join("client.pem"), folder.path().join("client.key"));
    format!(
        ", certificate_file: \"{}\", key_file: \"{}\"",
        certificate_file.display(),
        key_file.display()
    )
}

/// Writes a new client certificate in the place of the last one; its bytes as the server sees them.
fn write_client(folder: &TempDir, authority: &Authority) -> Vec<u8> {
    let (certificate, key) = authority.issue("client", false);
    fs::write(folder.path().join("client.pem"), &certificate).expect("writable");
    fs::write(folder.path().join("client.key"), key).expect("writable");
    CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate").to_vec()
}

/// A server that ends each call when it is released once more, and demands client certificates.
async fn patient(authority: &Authority) -> (Server, TempDir, String) {
    let (certificate, key) = authority.issue("localhost", false);
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(authority.pem()));
    let server = Server::start_with(Some(tls), |call, request| {
        let from = request.from_sequence.max(1);
        let mut steps = events(from, from + 4);
        steps.push(Step::Await { sent: (call as u64 + 1) * RELEASED });
        steps.push(Step::Fail(tonic::Status::unavailable("restart")));
        steps
    })
    .await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("ca.pem"), authority.pem()).expect("writable");
    let url = format!("https://localhost:{}", server.address.port());
    (server, folder, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_connection_uses_what_the_files_hold_then_unless_it_cannot_be_used() {
    let authority = Authority::new();
    let (server, folder, url) = patient(&authority).await;
    let ca = folder.path().join("ca.pem");
    let tls = format!("tls: {{ ca_file: \"{}\"{} }}", ca.display(), client(&folder, &authority));
    let first = write_client(&folder, &authority);
    let world = World::run(source(&url, &format!("{FAST}\n    {tls}{RESUME}")), None);
    world.committed(5).await;
    // A new pair; then a certificate whose key is still to come; then another pair.
    let second = write_client(&folder, &authority);
    server.release();
    world.committed(10).await;
    let (alone, _) = authority.issue("client", false);
    fs::write(folder.path().join("client.pem"), alone).expect("writable");
    server.release();
    world.committed(15).await;
    let third = write_client(&folder, &authority);
    server.release();
    world.committed(20).await;
    world.stop().await;
    let seen = server.seen.certificates.lock().expect("no panic while locked").clone();
    let seen: Vec<Vec<u8>> = seen.into_iter().map(|it| it.expect("demanded")).collect();
    assert_eq!(seen, [first, second.clone(), second, third]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_replaced_is_trusted_from_then_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let (one, folder, _) = server(&old, "localhost", false, None).await;
    let (two, _other, _) = server(&new, "localhost", false, None).await;
    let list = format!("addresses: [ \"{}\", \"{}\" ]", one.address, two.address);
    let turns = "balance: round_robin\n    reconnect: { backoff_min_ms: 10, backoff_max_ms: 50 }";
    let ca = folder.path().join("ca.pem");
    let keys = format!("{list}\n    {turns}\n    tls: {{ ca_file: \"{}\" }}", ca.display());
    let world = World::run(source("https://localhost", &keys), None);
    until("the first is called again and again", || one.calls() >= 3).await;
    assert_eq!(two.calls(), 0, "its authority is not trusted");
    fs::write(&ca, new.pem()).expect("writable");
    until("the second is called", || two.calls() >= 1).await;
    let calls = one.calls();
    until("the second is called alone", || two.calls() >= 4).await;
    assert!(one.calls() <= calls + 1, "the old authority is not trusted any more");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_server_is_read() {
    let authority = Authority::new();
    let (_server, folder, url) = server(&authority, "localhost", false, None).await;
    let (end, finished) = World::run(source(&url, &keys(&folder, "")), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(finished.values().len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_another_authority_is_refused_in_words() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (_server, folder, url) = server(&authority, "localhost", false, None).await;
    fs::write(folder.path().join("ca.pem"), other.pem()).expect("writable");
    let (end, _) = World::run(source(&url, &keys(&folder, "")), None).end().await;
    let reason = broken(&end);
    assert!(
        reason.contains("authority that is not trusted") || reason.contains("BadSignature"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_named() {
    let authority = Authority::new();
    let (_server, folder, url) = server(&authority, "localhost", true, None).await;
    let (end, _) = World::run(source(&url, &keys(&folder, "")), None).end().await;
    assert!(broken(&end).contains("the server's certificate has expired"), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_is_refused_unless_it_is_the_one_expected() {
    let authority = Authority::new();
    let (_server, folder, url) = server(&authority, "telemetry.example", false, None).await;
    let (end, _) = World::run(source(&url, &keys(&folder, "")), None).end().await;
    assert!(broken(&end).contains("tls.server_name"), "{end:?}");
    let named = keys(&folder, ", server_name: telemetry.example");
    let (end, _) = World::run(source(&url, &named), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_shown_and_its_refusal_is_told() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (_server, folder, url) = server(&authority, "localhost", false, Some(&authority)).await;
    let good = keys(&folder, &client(&folder, &authority));
    let (end, _) = World::run(source(&url, &good), None).end().await;
    assert_eq!(end, ShardEnd::Finished);

    let (end, _) = World::run(source(&url, &keys(&folder, "")), None).end().await;
    assert!(broken(&end).contains("demands a client certificate"), "{end:?}");

    let foreign = keys(&folder, &client(&folder, &other));
    let (end, _) = World::run(source(&url, &foreign), None).end().await;
    assert!(broken(&end).contains("client certificate"), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_goes_through_a_proxy_to_the_server_itself() {
    let authority = Authority::new();
    let (server, folder, _) = server(&authority, "feed.invalid", false, None).await;
    let proxy = Proxy::start(server.address, "200 OK").await;
    let keys = format!("{}\n    proxy: \"http://{}\"", keys(&folder, ""), proxy.address);
    let (end, finished) = World::run(source("https://feed.invalid", &keys), None).end().await;
    assert_eq!((end, finished.values().len()), (ShardEnd::Finished, 10));
    assert!(proxy.heads()[0].starts_with("connect feed.invalid:443 http/1.1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_is_trusted_as_its_own_block_says() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost", false);
    let issuer = issuer::with_tls(&certificate, &key).await;
    let server = Server::start(|_, _| {
        let mut steps = events(1, 10);
        steps.insert(0, Step::Admit("Bearer t1".to_owned()));
        steps
    })
    .await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca = folder.path().join("ca.pem");
    let keys = |more: &str| {
        format!(
            "on_end: finish\n    auth: {{ oauth2: {{ token_url: \"https://localhost:{}/token\", \
             client_id: a, client_secret: b{more} }} }}",
            issuer.port()
        )
    };
    fs::write(&ca, authority.pem()).expect("writable");
    let trusting = keys(&format!(", tls: {{ ca_file: \"{}\" }}", ca.display()));
    let (end, _) = World::run(source(&server.url(), &trusting), None).end().await;
    assert_eq!(end, ShardEnd::Finished);

    fs::write(&ca, Authority::new().pem()).expect("writable");
    let (end, _) = World::run(source(&server.url(), &trusting), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("the token endpoint localhost:"), "{reason}");
    assert!(reason.contains("not trusted") || reason.contains("BadSignature"), "{reason}");
}
