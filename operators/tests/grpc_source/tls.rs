//! TLS: good material connects, bad material is named with its reason.

use crate::server::{Server, events};
use crate::world::{World, broken, source};
use headwater_operators::source::ShardEnd;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
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
    let (certificate, key) = authority.issue("client", false);
    let (certificate_file, key_file) =
        (folder.path().join("client.pem"), folder.path().join("client.key"));
    fs::write(&certificate_file, certificate).expect("writable");
    fs::write(&key_file, key).expect("writable");
    format!(
        ", certificate_file: \"{}\", key_file: \"{}\"",
        certificate_file.display(),
        key_file.display()
    )
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
