//! Goal: mutual TLS lets the right ones in, and says why it keeps others out.
//! Method: one authority a side; each case goes wrong in one way.

use anyhow::Result;
use headwater_test_support::grpc::{Script, ScriptedServer, ServerOptions};
use headwater_test_support::tls::{Issued, TestCa};

use crate::world::{Bench, PATIENCE, demand_line};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A server that presents `identity` and demands a client certificate of `clients`.
fn serve(identity: &Issued, clients: &TestCa) -> Result<ScriptedServer> {
    let tls = Some(TestCa::serve(identity, Some(clients))?);
    ScriptedServer::start_with(Script::new(500), ServerOptions { listen: None, tls })
}

/// A pipeline that trusts `trusted` and presents `client`.
fn bench(
    name: &str,
    server: &ScriptedServer,
    trusted: &TestCa,
    client: Option<&Issued>,
) -> Result<Bench> {
    let mut bench = Bench::new(name, server.endpoint())?;
    let mut tls = format!("tls:\n  ca_file: {}", trusted.certificate().display());
    if let Some(Issued { certificate, key }) = client {
        tls.push_str(&format!("\n  certificate_file: {}", certificate.display()));
        tls.push_str(&format!("\n  key_file: {}", key.display()));
    }
    bench.pipeline.source_extra.push(tls);
    Ok(bench)
}

#[test]
fn both_sides_that_know_each_other_deliver() -> Result<()> {
    let ca = TestCa::new()?;
    let server = serve(&ca.server(&NAMES)?, &ca)?;
    let mut bench = bench("tls-good", &server, &ca, Some(&ca.client("reader")?))?;
    bench.run_to_the_end()?;
    bench.demand_exact(500)
}

#[test]
fn a_server_by_another_name_is_known_by_the_name_that_is_given() -> Result<()> {
    let ca = TestCa::new()?;
    let server = serve(&ca.server(&["feed.example"])?, &ca)?;
    let mut bench = bench("tls-named", &server, &ca, Some(&ca.client("reader")?))?;
    let tls = bench.pipeline.source_extra.last_mut().expect("the settings of TLS");
    tls.push_str("\n  server_name: feed.example");
    bench.run_to_the_end()?;
    bench.demand_exact(500)
}

#[test]
fn without_a_tls_block_the_systems_authorities_are_trusted_and_none_is_told() -> Result<()> {
    let ca = TestCa::new()?;
    let tls = Some(TestCa::serve(&ca.server(&NAMES)?, None)?);
    let server = ScriptedServer::start_with(Script::new(500), ServerOptions { listen: None, tls })?;
    let mut bench = Bench::new("tls-system", server.endpoint())?;
    // The loader of the system's authorities takes these for theirs.
    let empty = bench.launch.folder().join("none");
    std::fs::create_dir(&empty)?;
    let nowhere = empty.display().to_string();
    for name in ["SSL_CERT_DIR", "SSL_CERT_FILE"] {
        bench.launch.environment_once(name, &nowhere);
    }
    let mut headwater = bench.start()?;
    headwater.wait_for("the reason", PATIENCE, |it| {
        it.log().is_ok_and(|log| log.contains("no certificate authorities to trust"))
    })?;
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0), "{}", headwater.log()?);
    let authority = ca.certificate().display().to_string();
    bench.launch.environment_once("SSL_CERT_DIR", &nowhere);
    bench.launch.environment_once("SSL_CERT_FILE", &authority);
    bench.run_to_the_end()?;
    bench.demand_exact(500)
}

#[test]
fn sides_that_do_not_know_each_other_end_the_pipeline_with_the_reason() -> Result<()> {
    let (ca, stranger) = (TestCa::new()?, TestCa::new()?);
    let (known, unknown) = (ca.client("reader")?, stranger.client("reader")?);
    // Made when its case comes: the files of one certificate give way to those of the next.
    type Make = fn(&TestCa) -> Result<Issued>;
    let good: Make = |ca| ca.server(&NAMES);
    let expired: Make = |ca| ca.expired_server(&NAMES);
    let misnamed: Make = |ca| ca.server(&["other.example"]);
    let cases = [
        ("tls-client-unknown", good, &ca, Some(&unknown), "does not know the authority"),
        ("tls-client-without", good, &ca, None, "demands a client certificate"),
        ("tls-server-unknown", good, &stranger, Some(&known), "is not trusted"),
        ("tls-server-expired", expired, &ca, Some(&known), "expired"),
        ("tls-server-misnamed", misnamed, &ca, Some(&known), "bears another name"),
    ];
    for (name, make, trusted, client, reason) in cases {
        let server = serve(&make(&ca)?, &ca)?;
        let (code, log) = bench(name, &server, trusted, client)?.run()?;
        assert_eq!(code, Some(69), "{name}:\n{log}");
        println!("{name}: {}", log.lines().find(|it| it.contains("shard_broken")).unwrap_or(""));
        demand_line(&log, &["event=shard_broken", reason]);
        assert!(server.calls().is_empty(), "{name}: no call got through");
    }
    Ok(())
}
