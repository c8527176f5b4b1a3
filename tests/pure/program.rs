//! The `headwater` binary, run to its end or as a child that is watched.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use headwater_test_support::process::signal;

/// So long may anything take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running program. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

/// The binary with nothing of this process's environment that it would read.
pub(crate) fn headwater(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(arguments).env_remove("HEADWATER_LOG").env_remove("COLUMNS");
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Ran {
        code: output.status.code().expect("the program ends by itself"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Ran {
    /// Demands success.
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// All output.
    pub(crate) fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Running {
    /// Starts the program; its standard output goes to `stdout`.
    pub(crate) fn start(command: &mut Command, stdout: Stdio) -> Running {
        let mut child =
            command.stdout(stdout).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("standard error is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Running { child, lines, log: String::new() }
    }

    /// Waits for a log line that holds all of `words`.
    pub(crate) fn logged(&mut self, words: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(until - Instant::now()) {
            self.log.push_str(&line);
            self.log.push('\n');
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
        panic!("no log line with {words:?}:\n{}", self.log);
    }

    /// Its standard output, if it was piped.
    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("standard output was piped and not yet taken")
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name).expect("a child takes signals");
    }

    /// Waits for the end; exit code and the whole log.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                while let Ok(line) = self.lines.recv() {
                    self.log.push_str(&line);
                    self.log.push('\n');
                }
                return (status.code(), std::mem::take(&mut self.log));
            }
            assert!(Instant::now() < until, "it did not end:\n{}", self.log);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The address of its metrics endpoint, from its log.
    pub(crate) fn metrics_address(&mut self) -> SocketAddr {
        let line = self.logged(&["event=metrics_listen"]);
        let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
        address.and_then(|it| it.parse().ok()).expect("the log line holds the address")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or it ends now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of an HTTP GET.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the endpoint listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("a request fits");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the answer is text");
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has head and body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("an answer has a status"), body.to_owned())
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes a pipeline file that reads the sample server at `endpoint` into `sink`.
pub(crate) fn write_pipeline(folder: &Path, endpoint: &str, request: &str, sink: &str) -> String {
    let file = folder.join("pipeline.yaml");
    std::fs::write(folder.join("telemetry.proto"), headwater_proto::TELEMETRY_PROTO)
        .expect("the folder is writable");
    let text = format!(
        r#"
pipeline: tried
sources:
  feed:
    kind: grpc
    endpoint: {endpoint}
    method: bench.v1.Telemetry/Subscribe
    descriptors: {{ protos: [telemetry.proto] }}
    request: {{ {request} }}
    on_end: finish
    resume:
      cursor: {{ sequence: {{ from: sequence }} }}
      position: next
      sequence: contiguous
      restart: {{ set: {{ from_sequence: "${{cursor.sequence}}" }} }}
decoders:
  json: {{ kind: protobuf, from: feed, to: json }}
sinks:
  out: {{ from: json, {sink} }}
"#
    );
    std::fs::write(&file, text).expect("the folder is writable");
    file.display().to_string()
}
