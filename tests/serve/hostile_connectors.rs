//! Goal: whatever is sent to Kafka Connect's paths, it is refused in Kafka Connect's shape, nothing
//! comes of it, and a connector beside it loses nothing.
//! Method: a busy connector; bodies, names, values, paths that no client means.

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::request;
use serde_json::json;

use crate::connector::{Connector, demand_runs};
use crate::served::{Json, Served, Site, unique};
use crate::world::endless;

#[test]
fn what_no_connector_can_be_is_answered_with_what_is_wrong() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let connector = Connector::new(&site, &unique("calm-c"), server.address().port())?;
    served.json("POST", "/connectors", &connector.body(), 201)?;
    served.wait_committed(&connector.name, 200.0)?;
    refuse_bodies(&served, &connector)?;
    refuse_values(&served, &connector)?;
    refuse_calls(&served, &connector)?;
    let list = served.json("GET", "/connectors", "", 200)?;
    ensure!(list == json!([connector.name]), "nothing came of all that: {list}");
    let config = served.json("GET", &connector.path("/config"), "", 200)?;
    ensure!(config["grpc.server.port"] == connector.config["grpc.server.port"], "{config}");
    ensure!(server.calls().len() == 1, "its call was not disturbed");
    served.json("PUT", &connector.path("/stop"), "", 204)?;
    served.wait_connector(&connector, "STOPPED", None)?;
    let committed = served.committed(&connector.name) as u64;
    demand_runs(&connector.name, &server, Some(committed))?;
    Ok(())
}

/// Bodies that are none, or hold what no creation holds.
fn refuse_bodies(served: &Served, connector: &Connector) -> Result<()> {
    let with = |key: &str, value: Json| with(connector, key, value);
    let deep = "[".repeat(100_000);
    let deep_config =
        with("x", serde_json::from_str(&format!("{}1{}", "[".repeat(100), "]".repeat(100)))?);
    let many: serde_json::Map<String, Json> =
        (0..20_000).map(|number| (format!("key-{number}"), json!("v"))).collect();
    let many = json!({ "name": "other", "config": many }).to_string();
    let big = with("grpc.metadata", json!(format!("k:{}", "m".repeat(600_000))));
    let huge = with("grpc.metadata", json!(format!("k:{}", "m".repeat(2 << 20))));
    let bodies: Vec<(&str, u16)> = vec![
        ("", 400),
        ("{", 400),
        ("null", 400),
        ("[1,2]", 400),
        ("42", 400),
        ("\u{feff}{}", 400),
        (r#"{"name": "a"}"#, 400),
        (r#"{"name": "a", "config": []}"#, 400),
        (r#"{"name": {"a": 1}, "config": {}}"#, 400),
        (r#"{"name": "a", "config": {}, "extra": 1}"#, 400),
        (r#"{"name": "a", "config": {"connector.class": {"b": 1}}}"#, 400),
        (r#"{"name": "a", "config": {"connector.class": "../../etc/passwd"}}"#, 400),
        (&deep, 400),
        (&deep_config, 400),
        (&many, 400),
        (&big, 400),
        (&huge, 413),
    ];
    for (body, expected) in bodies {
        demand_refusal(served, "POST", "/connectors", body.as_bytes(), expected)?;
    }
    demand_refusal(served, "POST", "/connectors", b"{\"name\": \"\xff\xfe\"}", 400)?;
    let headers = [("Content-Type", "text/xml")];
    let wrong = request(served.address(), "POST", "/connectors", &headers, b"<a/>")?;
    ensure!(wrong.status == 415, "{wrong:?}");
    Ok(())
}

/// Names and values that no connector has.
fn refuse_values(served: &Served, connector: &Connector) -> Result<()> {
    let named = |name: Json| json!({ "name": name, "config": connector.config }).to_string();
    for name in ["", " ", ".", "..", "a\0b", "a\nb", "\u{85}", &"n".repeat(600)] {
        demand_refusal(served, "POST", "/connectors", named(json!(name)).as_bytes(), 400)?;
    }
    for (key, value) in [
        ("grpc.server.port", json!("65536")),
        ("grpc.server.port", json!("-1")),
        ("grpc.server.port", json!("1e9")),
        ("grpc.server.host", json!("host/../../x")),
        ("kafka.topic", json!("../secret")),
        ("kafka.topic", json!("t".repeat(300))),
        ("kafka.topic", json!(null)),
        ("grpc.message.queue.size", json!("0x10")),
        ("grpc.nonsense", json!("1")),
        ("transforms", json!("a,a")),
        ("producer.override.linger.ms", json!("x")),
        ("producer.override.transactional.id", json!("stolen")),
        ("kafka.topic", json!("${file:/none/such.properties:key}")),
    ] {
        let body = with(connector, key, value);
        demand_refusal(served, "POST", "/connectors", body.as_bytes(), 400)
            .with_context(|| format!("{key}: {body}"))?;
    }
    Ok(())
}

/// Calls that mean nothing.
fn refuse_calls(served: &Served, connector: &Connector) -> Result<()> {
    let one = connector.path("");
    for (method, path, body, expected) in [
        ("GET", "/connectors/none", "", 404),
        ("GET", "/connectors/..%2f..%2fetc%2fpasswd", "", 404),
        ("GET", "/connectors/%2e%2e", "", 400),
        ("GET", "/connectors/../admin/loggers", "", 400),
        ("GET", "/connectors/a%00b", "", 400),
        ("GET", "/connectors/%ff%fe/config", "", 400),
        ("GET", "/connectors/%zz", "", 400),
        ("GET", "/connectors/%0d%0aSet-Cookie:a/status", "", 400),
        ("GET", &format!("/connectors/{}", "p".repeat(4_000)), "", 414),
        ("GET", &format!("/connectors/{}/status", "n".repeat(600)), "", 404),
        ("GET", &format!("{one}/tasks/99999999999999999999/status"), "", 404),
        ("GET", &format!("{one}/tasks/0x0/status"), "", 404),
        ("POST", &format!("{one}/tasks/1/restart"), "", 404),
        ("PUT", &format!("{one}/config"), "{}", 400),
        ("PUT", &format!("{one}/config"), r#"{"name": "other"}"#, 400),
        ("PATCH", &format!("{one}/config"), r#"{"connector.class": null}"#, 400),
        ("PATCH", &format!("{one}/config"), r#"{"grpc.server.port": []}"#, 400),
        ("PATCH", &format!("{one}/offsets"), r#"{"offsets": [{"partition": {"a": [1]}}]}"#, 400),
        ("PATCH", &format!("{one}/offsets"), r#"{"offsets": "all"}"#, 400),
        ("DELETE", &format!("{one}/offsets"), "", 400),
        ("PUT", &format!("{one}/fence"), "{}", 404),
        ("POST", &format!("{one}/tasks"), "[]", 405),
        ("PUT", "/connector-plugins/None/config/validate", "{", 400),
        ("GET", "/connector-plugins/..%2f..%2f/config", "", 404),
        ("PUT", "/admin/loggers/root", r#"{"level": "LOUD"}"#, 404),
        ("PUT", "/admin/loggers/root", r#"{"level": ["INFO"]}"#, 400),
        ("PUT", &format!("/admin/loggers/{}", "l".repeat(900)), r#"{"level": "INFO"}"#, 400),
        ("TRACE", "/connectors", "", 405),
    ] {
        demand_refusal(served, method, path, body.as_bytes(), expected)?;
    }
    Ok(())
}

/// The body of a creation in which one key has another value.
fn with(connector: &Connector, key: &str, value: Json) -> String {
    let mut config = connector.config.clone();
    config[key] = value;
    json!({ "name": "other", "config": config }).to_string()
}

/// Kafka Connect's shape of an error, and no other word.
fn demand_refusal(
    served: &Served,
    method: &str,
    path: &str,
    body: &[u8],
    expected: u16,
) -> Result<()> {
    let headers = [("Content-Type", "application/json")];
    let answer = request(served.address(), method, path, &headers, body)?;
    let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
    ensure!(answer.status == expected, "{method} {path} {shown}: {answer:?}");
    let problem: Json = serde_json::from_str(&answer.body)?;
    ensure!(problem["error_code"] == expected, "{method} {path}: {problem}");
    ensure!(problem["message"].as_str().is_some_and(|it| !it.is_empty()), "{problem}");
    ensure!(problem.as_object().is_some_and(|it| it.len() == 2), "two fields: {problem}");
    Ok(())
}
