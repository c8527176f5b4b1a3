//! Goal: what came from `${…}` is in no output, whatever is wrong with the file that names it.
//! Method: one marked value in every place a secret may stand; every command; all output searched.

use crate::program::{PATIENCE, Running, headwater, run};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
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

/// The source's keys that say who calls; they go behind an entry of its metadata.
fn callers(token_url: &str) -> [String; 4] {
    let oauth2 = format!(
        "oauth2: {{ token_url: \"{token_url}\", client_id: me, client_secret: \"${{env:SECRET}}\", \
         parameters: {{ assertion: \"${{env:SECRET}}\" }} }}"
    );
    let all = [
        "bearer: { token: \"${env:SECRET}\" }",
        "basic: { username: me, password: \"${file:secret.txt}\" }",
        "api_key: { key: x-token, value: \"${env:SECRET}\" }",
        &oauth2,
    ];
    let proxy = "proxy: \"http://me:${env:SECRET}@127.0.0.1:9\"";
    all.map(|auth| format!("x-other: y\n    auth: {{ {auth} }}\n    {proxy}"))
}

#[test]
fn who_calls_is_shown_without_secrets_and_so_are_mistakes_about_it() {
    let folder = TempDir::new().expect("a temporary folder");
    for (number, caller) in callers("http://127.0.0.1:9/token").iter().enumerate() {
        let file = write(folder.path(), &format!("caller_{number}.yaml"), caller, "");
        for command in ["validate", "explain", "graph"] {
            let ran = run(&mut told(&[command, &file])).succeeded();
            demand_hidden(command, &ran.output());
        }
    }
    let mistakes = [
        "auth: { bearer: { token: \"${env:SECRET}\\n\" } }",
        "auth: { bearer: { file: \"${env:SECRET}\" } }",
        "auth: { basic: { username: \"a:${env:SECRET}\", password: p } }",
        "auth: { api_key: { key: \"a b${env:SECRET}\", value: v } }",
        "auth: { oauth2: { token_url: \"${env:SECRET}\", client_id: a, client_secret: b } }",
        "proxy: \"${env:SECRET}\"",
        "proxy: \"http://me:${env:SECRET}@host\"",
        "addresses: [ \"http://me:${env:SECRET}@host\" ]",
        "metadata_files: { a: \"${env:SECRET}\" }",
    ];
    for (number, mistake) in mistakes.into_iter().enumerate() {
        let metadata = format!("x-other: y\n    {mistake}");
        let file = write(folder.path(), &format!("caller_mistake_{number}.yaml"), &metadata, "");
        let ran = run(&mut told(&["validate", &file]));
        assert_eq!(ran.code, 64, "{mistake}: {ran:#?}");
        demand_hidden("validate", &ran.output());
    }
}

/// A listener that answers each connection's first request; what was sent to it is told.
fn listener(answer: String, enough_bytes: usize) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = Vec::new();
            while bytes.len() < enough_bytes && !bytes.ends_with(b"\r\n\r\n") {
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                }
            }
            let _ = stream.write_all(answer.as_bytes());
            kept.push(stream);
            if sender.send(bytes).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

#[test]
fn calls_that_bear_secrets_log_none_at_any_level() {
    let folder = TempDir::new().expect("a temporary folder");
    let token = format!(r#"{{"access_token":"{SECRET}","token_type":"Bearer","expires_in":60}}"#);
    let length = token.len();
    let granted = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{token}");
    let (issuer, asked) = listener(granted, 100);
    let (server, called) = listener(String::new(), 200);
    let callers = callers(&format!("http://{issuer}/token"));
    for (number, caller) in callers.iter().enumerate() {
        let caller = caller.replace("127.0.0.1:9", &server.to_string());
        let name = format!("call_{number}.yaml");
        let file = write(folder.path(), &name, &caller, "");
        // A sink that needs nobody, so that the call is made; without the proxy, for HTTP/2 itself.
        let text = fs::read_to_string(&file).expect("written");
        let (text, _) = text.split_once("sinks:").expect("it has sinks");
        let is_proxied = number == 0;
        let lines = text.lines().filter(|line| is_proxied || !line.contains("proxy:"));
        let text = lines.collect::<Vec<_>>().join("\n").replace("127.0.0.1:9", &server.to_string());
        fs::write(&file, format!("{text}\nsinks:\n  out: {{ kind: discard, from: json }}\n"))
            .expect("the folder is writable");
        let mut command = told(&["run", &file, "--metrics", "127.0.0.1:0", "--log-level", "trace"]);
        let running = Running::start(&mut command, Stdio::null());
        let sent = called.recv_timeout(PATIENCE).expect("a call");
        assert_eq!(sent.starts_with(b"CONNECT"), is_proxied, "{caller}");
        running.signal("TERM");
        let (code, log) = running.ended();
        assert_eq!(code, Some(0), "{log}");
        demand_hidden("the log", &log);
    }
    assert!(asked.try_recv().is_ok(), "a token was asked for");
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
