//! Generator and broker as processes of their own, so that what this process uses is what the
//! pipeline uses.
//!
//! A child is this program again, with an argument that is no command: neither help nor completions
//! show it. It gets one line of JSON, an order, on its standard input and answers with one line on
//! its standard output. It ends when its input does: also when this process dies. It stands in a
//! process group of its own, as a Ctrl-C in the terminal asks the pipeline to commit what it has,
//! and it needs the broker for that.
//!
//! Next: `src/bench/generator.rs`.

use crate::bench::generator::{self, Served};
use crate::bench::limits::CHILD_START_MAX;
use crate::exit::{Exit, Failed, Outcome};
use crate::output;
use headwater_broker::{Broker, BrokerConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use tokio::runtime::Runtime;

/// The argument that makes this program a child.
const ARGUMENT: &str = "bench-child";

/// What a child is to do.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Broker,
    Generator(generator::Order),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// The broker's address.
    Broker(String),
    /// Where each source is served.
    Generator(BTreeMap<String, Served>),
    Failed(String),
}

/// A running child. It ends when this is dropped.
pub(super) struct Running {
    process: Child,
}

/// Starts the embedded broker; its address.
pub(super) fn start_broker() -> Result<(Running, String), Failed> {
    match start(&Order::Broker)? {
        (child, Answer::Broker(address)) => Ok((child, address)),
        (_, answer) => Err(refused("broker", &answer)),
    }
}

/// Starts a generator; where it serves each source.
pub(super) fn start_generator(
    order: generator::Order,
) -> Result<(Running, BTreeMap<String, Served>), Failed> {
    match start(&Order::Generator(order))? {
        (child, Answer::Generator(served)) => Ok((child, served)),
        (_, answer) => Err(refused("generator", &answer)),
    }
}

/// Whether this process was started as a child.
pub(crate) fn is_child() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().is_some_and(|first| first == ARGUMENT) && arguments.next().is_none()
}

/// What the child's process does: obey one order, and end with its standard input.
pub(crate) fn child() -> Outcome {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Exit::Unavailable.because(error))?;
    let order = serde_json::from_str(&line);
    let order =
        order.map_err(|_| Exit::Mistake.saying("bench-child is for `headwater bench` alone"))?;
    let runtime = Runtime::new().map_err(|error| Exit::Internal.because(error))?;
    let (answer, broker) = runtime.block_on(obey(order));
    output::line(&json(&answer));
    // The parent holds the other end: its end is ours.
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
    if let Some(broker) = broker {
        runtime.block_on(broker.shutdown());
    }
    runtime.shutdown_background();
    Ok(Exit::Done)
}

async fn obey(order: Order) -> (Answer, Option<Broker>) {
    match order {
        Order::Broker => match Broker::start(BrokerConfig::in_memory()).await {
            Ok(broker) => (Answer::Broker(broker.bootstrap()), Some(broker)),
            Err(error) => (Answer::Failed(error.to_string()), None),
        },
        Order::Generator(order) => match generator::serve(&order).await {
            Ok(served) => (Answer::Generator(served), None),
            Err(reason) => (Answer::Failed(reason), None),
        },
    }
}

fn start(order: &Order) -> Result<(Running, Answer), Failed> {
    let program = std::env::current_exe().map_err(|error| Exit::Internal.because(error))?;
    let mut command = Command::new(program);
    command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let process = command.spawn().map_err(|error| Exit::Unavailable.because(error))?;
    let mut child = Running { process };
    let answer = child.ask(order).ok_or_else(|| {
        let seconds = CHILD_START_MAX.as_secs();
        Exit::Unavailable.saying(format!("a child process gave no answer within {seconds} s"))
    })?;
    Ok((child, answer))
}

impl Running {
    fn ask(&mut self, order: &Order) -> Option<Answer> {
        let stdin = self.process.stdin.as_mut().expect("it is piped");
        stdin.write_all(format!("{}\n", json(order)).as_bytes()).ok()?;
        let stdout = self.process.stdout.take().expect("it is piped");
        let (sender, answers) = mpsc::sync_channel(1);
        // It ends with the child's output, at the latest when the child does.
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(read.map(|_| line));
        });
        let line = answers.recv_timeout(CHILD_START_MAX).ok()?.ok()?;
        serde_json::from_str(&line).ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing to keep, and it may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}

fn refused(what: &str, answer: &Answer) -> Failed {
    match answer {
        Answer::Failed(reason) => Exit::Unavailable.saying(format!("{what}: {reason}")),
        _ => Exit::Internal.saying(format!("{what}: an answer to another order")),
    }
}
