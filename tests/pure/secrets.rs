//! Goal: what came from `${…}` is in no output, whatever is wrong with the file that names it.
//! Method: one marked value in every place a secret may stand; every command; all output searched.

use crate::program::{Running, headwater, run};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const SECRET: &str = "s3cr3t-Value.42";

/// A file in which the secret stands wherever one may, and `extra` lines of the Kafka sink.
fn write(folder: &Path, name: &str, metadata: &str, extra: &str) -> String {
    fs::write(folder.join("telemetry.proto"), headwater_proto::TELEMETRY_PROTO)
        .expect("the folder is writable");
    fs::write(folder.join("secret.txt"), SECRET).expect("the folder is writable");
    fs::write(folder.join("secret.properties"), format!("password={SECRET}\n"))
        .expect("the folder is writable");
    let text = format!(
        r#"
pipeline: guarded
sources:
  feed:
    kind: grpc
    endpoint: http://127.0.0.1:9
    method: bench.v1.Telemetry/Subscribe
    descriptors: {{ protos: [telemetry.proto] }}
    metadata:
      {metadata}
    request: {{ filter: "${{env:SECRET}}" }}
decoders:
  json: {{ kind: protobuf, from: feed, to: json }}
sinks:
  out:
    kind: kafka
    from: json
    brokers: 127.0.0.1:9
    topic: t
    headers: {{ static: {{ token: "${{file:secret.txt}}" }} }}
    properties:
      sasl.mechanism: PLAIN
      sasl.username: user
      sasl.password: ${{file:secret.properties:password}}
{extra}"#
    );
    let file = folder.join(name);
    fs::write(&file, text).expect("the folder is writable");
    file.display().to_string()
}

fn told(arguments: &[&str]) -> Command {
    let mut command = headwater(arguments);
    command.env("SECRET", SECRET);
    command
}

fn demand_hidden(what: &str, output: &str) {
    assert!(!output.contains(SECRET), "{what} shows the secret:\n{output}");
    assert!(!output.contains("s3cr3t"), "{what} shows a part of the secret:\n{output}");
}

#[test]
fn a_sound_file_is_shown_without_its_secrets() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = write(folder.path(), "sound.yaml", "authorization: Bearer ${env:SECRET}", "");
    for command in ["validate", "explain", "graph"] {
        let ran = run(&mut told(&[command, &file])).succeeded();
        demand_hidden(command, &ran.output());
    }
}

#[test]
fn mistakes_about_secrets_do_not_quote_them() {
    let folder = TempDir::new().expect("a temporary folder");
    let mistakes = [
        // A value that is no base64, one that is no property, one of the wrong type, one that is no
        // name.
        ("token-bin: ${env:SECRET}", ""),
        ("authorization: ${env:SECRET}", "      security.protocol: ${env:SECRET}\n"),
        ("authorization: ${env:SECRET}", "      no.such.property: ${env:SECRET}\n"),
        ("authorization: ${env:SECRET}", "    transaction_timeout_ms: ${env:SECRET}\n"),
        ("authorization: ${env:SECRET}", "    delivery: ${env:SECRET}\n"),
        ("authorization: ${env:SECRET}", "    key: ${env:SECRET}\n"),
        ("authorization: ${env:SECRET}", "    timestamp: { field: \"${env:SECRET}\" }\n"),
    ];
    for (number, (metadata, extra)) in mistakes.into_iter().enumerate() {
        let file = write(folder.path(), &format!("mistake_{number}.yaml"), metadata, extra);
        let ran = run(&mut told(&["validate", &file]));
        assert_eq!(ran.code, 64, "{metadata} {extra}: {ran:#?}");
        demand_hidden("validate", &ran.output());
    }
}

#[test]
fn a_running_pipeline_logs_no_secret() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = write(folder.path(), "run.yaml", "authorization: ${env:SECRET}", "");
    let mut command = told(&["run", &file, "--metrics", "127.0.0.1:0", "--log-level", "trace"]);
    let mut running = Running::start(&mut command, Stdio::null());
    running.logged(&["event=stream"]);
    let address = running.metrics_address();
    let (_, ready) = crate::program::get(address, "/readyz");
    demand_hidden("/readyz", &ready);
    demand_hidden("/metrics", &crate::program::get(address, "/metrics").1);
    running.signal("TERM");
    let (code, log) = running.ended();
    assert_eq!(code, Some(0), "{log}");
    demand_hidden("the log", &log);
}
