//! Goal: types that a server tells are as good as those of a file, for every command.
//! Method: the sample server serves reflection; the program asks it.

use crate::program::{PATIENCE, Running, eventually, get, headwater, run};
use headwater_telemetry::TelemetryServer;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::runtime::Runtime;

const METHOD: &str = "bench.v1.Telemetry/Subscribe";

struct Sample {
    runtime: Runtime,
    server: TelemetryServer,
}

impl Sample {
    fn start() -> Sample {
        Sample::start_on(([127, 0, 0, 1], 0).into())
    }

    fn start_on(address: SocketAddr) -> Sample {
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(TelemetryServer::start(address)).expect("a free port");
        Sample { runtime, server }
    }

    fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    fn stop(self) {
        self.runtime.block_on(self.server.shutdown());
    }
}

/// A file that leaves its types to the server.
fn write(folder: &Path, endpoint: &str, request: &str) -> String {
    let file = folder.join("open.yaml");
    let text = format!(
        r#"pipeline: open
sources:
  feed:
    kind: grpc
    endpoint: {endpoint}
    method: {METHOD}
    descriptors: {{ reflection: true }}
    request: {{ {request} }}
    on_end: finish
    reconnect: {{ backoff_min_ms: 10, backoff_max_ms: 50 }}
    resume:
      cursor: {{ sequence: {{ from: sequence }} }}
      position: next
      sequence: contiguous
      restart: {{ set: {{ from_sequence: "${{cursor.sequence}}" }} }}
decoders:
  json: {{ kind: protobuf, from: feed, to: json }}
sinks:
  out: {{ kind: stdout, from: json }}
"#
    );
    std::fs::write(&file, text).expect("the folder is writable");
    file.display().to_string()
}

/// An address that is free now.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}

#[test]
fn a_pipeline_runs_with_the_types_that_its_server_tells() {
    let (sample, folder) = (Sample::start(), tempfile::tempdir().expect("a folder"));
    let file = write(folder.path(), &sample.endpoint(), "count: 25");
    let ran = run(&mut headwater(&["run", &file, "--metrics", "off"])).succeeded();
    assert_eq!(ran.stdout.lines().count(), 25);
    assert!(ran.stdout.contains("\"sequence\":\"25\""), "{}", ran.stdout);
    assert!(ran.stderr.contains("event=types_learned"), "{}", ran.stderr);
    assert!(ran.stderr.contains("reflection=v1 files=1"), "{}", ran.stderr);
}

#[test]
fn a_pipeline_whose_server_is_away_at_its_start_waits_for_it() {
    let (address, folder) = (free_address(), tempfile::tempdir().expect("a folder"));
    let file = write(folder.path(), &format!("http://{address}"), "count: 5");
    let mut command = headwater(&["run", &file, "--metrics", "127.0.0.1:0"]);
    let mut program = Running::start(&mut command, Stdio::piped());
    let metrics = program.metrics_address();
    program.logged(&["event=types_away", "attempt=2"]);
    let (code, body) = get(metrics, "/readyz");
    assert_eq!(code, 503);
    assert!(body.contains("\"starting\"") && body.contains(&address.to_string()), "{body}");
    let sample = Sample::start_on(address);
    program.logged(&["event=types_learned"]);
    let (code, log) = program.ended();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(sample.server.sent(), 5);
}

#[test]
fn waiting_for_a_server_ends_with_a_signal() {
    let (address, folder) = (free_address(), tempfile::tempdir().expect("a folder"));
    let file = write(folder.path(), &format!("http://{address}"), "count: 5");
    let mut command = headwater(&["run", &file, "--metrics", "off"]);
    let mut program = Running::start(&mut command, Stdio::piped());
    program.logged(&["event=types_away"]);
    program.signal("TERM");
    let (code, log) = program.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("event=pipeline_stopped"), "{log}");
}

#[test]
fn mistakes_that_the_types_show_end_the_pipeline_with_all_of_them_told() {
    let (sample, folder) = (Sample::start(), tempfile::tempdir().expect("a folder"));
    let file = write(folder.path(), &sample.endpoint(), "cuont: 25, rate: many");
    // Offline nothing is known of it.
    let ran = run(&mut headwater(&["validate", &file])).succeeded();
    assert!(ran.stdout.contains("sound as far as its types do not matter"), "{}", ran.stdout);
    let ran = run(&mut headwater(&["validate", "--online", &file]));
    assert_eq!(ran.code, 64, "{ran:#?}");
    assert!(ran.stderr.contains("open.yaml:8:16") && ran.stderr.contains("2 errors"), "{ran:#?}");
    let ran = run(&mut headwater(&["run", &file, "--metrics", "off"]));
    assert_eq!(ran.code, 64, "{ran:#?}");
    for word in ["cuont", "expected a uint64", "line=8 column=27", "2 mistakes"] {
        assert!(ran.stderr.contains(word), "{word} is missing from:\n{}", ran.stderr);
    }
    assert_eq!(sample.server.sent(), 0);
}

#[test]
fn commands_that_only_look_ask_when_they_may() {
    let (sample, folder) = (Sample::start(), tempfile::tempdir().expect("a folder"));
    let file = write(folder.path(), &sample.endpoint(), "count: 25");
    for command in ["explain", "graph"] {
        let ran = run(&mut headwater(&[command, &file]));
        assert_eq!(ran.code, 64);
        assert!(ran.stderr.contains("add --online"), "{}", ran.stderr);
        let ran = run(&mut headwater(&[command, &file, "--online"])).succeeded();
        assert!(ran.stdout.contains("bench.v1.Event"), "{}", ran.stdout);
    }
    let ran = run(&mut headwater(&["validate", &file, "--online"])).succeeded();
    assert!(ran.stdout.contains("feed → out: none"), "{}", ran.stdout);
    assert!(ran.stdout.contains("reflection v1: 1 files"), "{}", ran.stdout);
    sample.stop();
    let ran = run(&mut headwater(&["validate", &file, "--online"]));
    assert_eq!(ran.code, 69, "{ran:#?}");
}

#[test]
fn a_server_is_described_as_its_own_sources_are() {
    let sample = Sample::start();
    let endpoint = sample.endpoint();
    let describe = |arguments: &[&str]| {
        let all: Vec<&str> = [&["describe"], arguments].concat();
        run(&mut headwater(&all)).succeeded().stdout
    };
    let services = describe(&[&endpoint]);
    assert!(services.lines().any(|line| line == "bench.v1.Telemetry"), "{services}");
    let folder = tempfile::tempdir().expect("a folder");
    let proto = folder.path().join("telemetry.proto").display().to_string();
    std::fs::write(&proto, headwater_proto::TELEMETRY_PROTO).expect("it is writable");
    let set = folder.path().join("telemetry.desc").display().to_string();
    let plain = endpoint.trim_start_matches("http://");
    for name in ["bench.v1.Telemetry", METHOD, "bench.v1.Event"] {
        let told = describe(&[&endpoint, name]);
        assert_eq!(told, describe(&[plain, "--plaintext", name]));
        assert_eq!(told, describe(&["--proto", &proto, name]));
    }
    describe(&[&endpoint, METHOD, "--set-out", &set]);
    assert_eq!(describe(&["--descriptors", &set, METHOD]), describe(&[&endpoint, METHOD]));
    let again = run(&mut headwater(&["describe", &endpoint, METHOD, "--set-out", &set]));
    assert_eq!(again.code, 64);
    assert!(again.stderr.contains("not overwritten"), "{}", again.stderr);
}

#[test]
fn what_a_server_does_not_have_is_told_with_what_it_has() {
    let sample = Sample::start();
    let endpoint = sample.endpoint();
    let cases = [
        (vec!["describe", &endpoint, "bench.v1.Telemtry"], 64, "did you mean bench.v1.Telemetry?"),
        (
            vec!["describe", &endpoint, "bench.v1.Telemetry/Subscrib"],
            64,
            "did you mean bench.v1.Telemetry.Subscribe",
        ),
        (vec!["describe", "ftp://x"], 64, "neither http nor https"),
        (vec!["describe"], 64, "name a server"),
        (vec!["describe", &endpoint, "--metadata", "grpc-x=1"], 64, "grpc-x"),
        (vec!["describe", "127.0.0.1:1"], 69, "add --plaintext"),
        (vec!["init", &endpoint, "bench.v1.Telemetry/Subscrib"], 64, "did you mean \"Subscribe\"?"),
        (vec!["init", &endpoint, "Subscribe"], 64, "package.Service/Method"),
    ];
    for (arguments, code, expected) in cases {
        let ran = run(&mut headwater(&arguments));
        assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_first_file_is_sound_and_runs_and_is_never_written_over_another() {
    let (sample, folder) = (Sample::start(), tempfile::tempdir().expect("a folder"));
    let endpoint = sample.endpoint();
    let file = folder.path().join("first.yaml").display().to_string();
    run(&mut headwater(&["init", &endpoint, METHOD, "--output", &file])).succeeded();
    let text = std::fs::read_to_string(&file).expect("it was written");
    for expected in [
        "sequence: { from: sequence }",
        "position: next",
        "set: { from_sequence: \"${cursor.sequence}\" }",
        "#   filter: \"\"",
        "# string: Only events",
        "reflection",
    ] {
        assert!(text.contains(expected), "{expected} is missing from:\n{text}");
    }
    let again = run(&mut headwater(&["init", &endpoint, METHOD, "--output", &file]));
    assert_eq!(again.code, 64);
    let printed = run(&mut headwater(&["init", &endpoint, METHOD])).succeeded().stdout;
    assert_eq!(printed, text);
    run(&mut headwater(&["validate", &file])).succeeded();
    run(&mut headwater(&["validate", "--online", &file])).succeeded();
    // It runs without end: a few records, and a signal.
    let mut command = headwater(&["run", &file, "--metrics", "off"]);
    let program = Running::start(&mut command, Stdio::null());
    eventually("events are sent", || sample.server.sent() > 10);
    program.signal("TERM");
    let (code, log) = program.ended();
    assert_eq!(code, Some(0), "within {PATIENCE:?}: {log}");
}

#[test]
fn a_first_file_from_sources_needs_no_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let proto = folder.path().join("telemetry.proto").display().to_string();
    std::fs::write(&proto, headwater_proto::TELEMETRY_PROTO).expect("it is writable");
    let file = folder.path().join("first.yaml").display().to_string();
    let secret = "authorization=Bearer sesame";
    let arguments = ["init", "api.example:443", METHOD, "--proto", &proto, "--metadata", secret];
    let ran = run(headwater(&arguments).args(["--output", &file])).succeeded();
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    let text = std::fs::read_to_string(&file).expect("it was written");
    assert!(text.contains("endpoint: https://api.example:443"), "{text}");
    assert!(text.contains("${env:AUTHORIZATION}") && !text.contains("sesame"), "{text}");
    let mut validate = headwater(&["validate", &file]);
    run(validate.env("AUTHORIZATION", "Bearer sesame")).succeeded();
}

#[test]
fn a_first_file_for_a_known_method_uses_its_preset() {
    let folder = tempfile::tempdir().expect("a folder");
    let proto = crate::expect::root().join("operators/tests/presets/protos/aptos.proto");
    let proto = proto.display().to_string();
    let method = "aptos.indexer.v1.RawData/GetTransactions";
    let init = |options: &[&str]| {
        let all = [&["init", "https://grpc.example:443", method, "--proto", &proto], options];
        run(&mut headwater(&all.concat()))
    };
    let file = folder.path().join("aptos.yaml").display().to_string();
    init(&["--output", &file]).succeeded();
    let text = std::fs::read_to_string(&file).expect("it was written");
    assert!(text.contains("\n    preset: aptos\n") && !text.contains("resume:"), "{text}");
    let explained = run(&mut headwater(&["explain", &file])).succeeded().stdout;
    assert!(explained.contains("aptos, which gives:"), "{explained}");
    assert!(explained.contains("resume.position: next"), "{explained}");
    let guessed = init(&["--no-preset"]).succeeded().stdout;
    assert!(guessed.contains("starting_version") && !guessed.contains("preset:"), "{guessed}");
    let other = init(&["--preset", "kurrentdb"]);
    assert_eq!(other.code, 64);
    assert!(other.stderr.contains("is for \"event_store.client.streams"), "{}", other.stderr);
}

/// A server's words are a comment, whatever line ends are in them.
#[test]
fn what_a_server_says_of_a_field_is_no_key_of_the_file() {
    use prost_types::source_code_info::Location;
    let source =
        "syntax = \"proto3\"; package t; service S { rpc Watch(Ask) returns (stream Ask); }
                  message Ask { uint64 seq = 1; }";
    let folder = tempfile::tempdir().expect("a folder");
    let proto = folder.path().join("t.proto");
    std::fs::write(&proto, source).expect("it is writable");
    let input = headwater_proto::DescriptorInput::Protos { files: vec![proto], includes: vec![] };
    let types = headwater_proto::Descriptors::load(&input).expect("it compiles");
    let wire = types.pool().encode_to_vec();
    let mut set: prost_types::FileDescriptorSet = prost::Message::decode(&wire[..]).expect("a set");
    for end in ["\r", "\u{85}", "\u{2028}", "\u{1b}[31m\r\n"] {
        let words = format!(" hi{end}    tls: {{ insecure: true }}{end}    metadata: {{ x: y }}");
        let location = Location {
            path: vec![4, 0, 2, 0],
            span: vec![0, 0, 1],
            leading_comments: Some(words),
            ..Location::default()
        };
        set.file[0].source_code_info =
            Some(prost_types::SourceCodeInfo { location: vec![location] });
        let file = folder.path().join("t.binpb");
        std::fs::write(&file, prost::Message::encode_to_vec(&set)).expect("it is writable");
        let file = file.display().to_string();
        let arguments = ["init", "http://h:80", "t.S/Watch", "--descriptors", &file];
        let text = run(&mut headwater(&arguments)).succeeded().stdout;
        let is_hit = |line: &str| line.contains("insecure");
        assert_eq!(
            text.lines().filter(|line| is_hit(line)).count(),
            1,
            "it is in the file: {text}"
        );
        let is_end = |it: char| matches!(it, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let mut lines = text.split(is_end).filter(|line| is_hit(line));
        assert!(lines.all(|line| line.trim_start().starts_with('#')), "{text}");
        // The same words on a terminal.
        let shown = run(&mut headwater(&["describe", "t.Ask", "--descriptors", &file])).succeeded();
        let is_control = |it: char| it.is_control() && it != '\n';
        assert!(!shown.stdout.contains(is_control), "{:?}", shown.stdout);
    }
}

/// What may lose messages as it stands is not switched on.
#[test]
fn a_guess_that_may_lose_messages_stands_in_comments() {
    let init = |proto: &str, method: &str| {
        let proto = crate::expect::root().join("operators/tests/presets/protos").join(proto);
        let proto = proto.display().to_string();
        let arguments = ["init", "http://h:80", method, "--proto", &proto, "--no-preset"];
        run(&mut headwater(&arguments)).succeeded().stdout
    };
    let text = init("yellowstone.proto", "geyser.Geyser/Subscribe");
    assert!(text.contains("    # resume:\n") && !text.contains("\n    resume:"), "{text}");
    assert!(text.contains("# from_slot") || text.contains("from_slot:"), "{text}");
    assert!(text.contains("oneof") && text.contains("verify: strict"), "{text}");
    // Two fields that the request takes by their names are one cursor.
    let text = init("lnd.proto", "lnrpc.Lightning/SubscribeInvoices");
    for expected in [
        "add_index: { from: add_index }",
        "settle_index: { from: settle_index }",
        "add_index: \"${cursor.add_index}\"",
        "settle_index: \"${cursor.settle_index}\"",
    ] {
        assert!(text.contains(expected), "{expected} is missing from:\n{text}");
    }
}

#[test]
fn a_field_is_described_with_its_type() {
    let proto = crate::expect::root().join("operators/tests/presets/protos/yellowstone.proto");
    let proto = proto.display().to_string();
    let name = "geyser.SubscribeUpdateSlot.status";
    let shown = run(&mut headwater(&["describe", name, "--proto", &proto])).succeeded().stdout;
    for expected in
        ["a field of yellowstone.proto", "SlotStatus status = 3;", "SLOT_CONFIRMED = 1;"]
    {
        assert!(shown.contains(expected), "{expected} is missing from:\n{shown}");
    }
    let wrong =
        run(&mut headwater(&["describe", "geyser.SubscribeUpdateSlot.state", "--proto", &proto]));
    assert_eq!(wrong.code, 64);
}

#[test]
fn a_caveat_is_printed_with_what_is_promised() {
    let folder = tempfile::tempdir().expect("a folder");
    let proto = crate::expect::root().join("operators/tests/presets/protos/lnd.proto");
    let proto = proto.display().to_string();
    let file = folder.path().join("lnd.yaml").display().to_string();
    let method = "lnrpc.Lightning/SubscribeInvoices";
    run(&mut headwater(&["init", "http://h:80", method, "--proto", &proto, "--output", &file]))
        .succeeded();
    let explained = run(&mut headwater(&["explain", &file])).succeeded().stdout;
    for expected in ["resume.caveat", "may lose settlements"] {
        assert!(explained.contains(expected), "{expected} is missing from:\n{explained}");
    }
}
