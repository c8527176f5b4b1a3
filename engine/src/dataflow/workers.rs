//! The timely worker threads, and the one ordered log of what is installed on them.
//!
//! Workers park when there is nothing to do. A dataflow is installed on all workers in the same
//! order, under one lock, because timely's channels are numbered by that order.
//!
//! A panic that escapes an operator ends its worker, and timely would let the others park for ever.
//! The program therefore installs [`abort_on_worker_panic`]: a process that cannot commit any more
//! must end, so that whatever restarts it can; committed progress makes that exact.

use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::Duration;
use timely::worker::Worker;

/// The name all worker threads begin with; timely sets it.
const WORKER_THREAD_PREFIX: &str = "timely:";

/// Something that builds a dataflow. It must build the same graph on every worker.
pub trait Install: Send + Sync {
    /// Builds this worker's part.
    fn install(&self, worker: &mut Worker);
}

/// The worker threads have ended, so nothing can be installed.
#[derive(Debug, thiserror::Error)]
#[error("the dataflow workers have ended")]
pub struct WorkersGone;

/// The worker threads could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the {workers} dataflow workers could not be started: {reason}")]
pub struct StartWorkersError {
    workers: usize,
    reason: String,
}

/// The worker threads of this process.
pub struct Workers {
    ports: Mutex<Vec<Port>>,
    peers: usize,
    // In a mutex only so that the handle may be shared between threads; its owner alone takes them.
    guards: Mutex<Option<timely::communication::WorkerGuards<()>>>,
}

struct Port {
    index: usize,
    commands: Sender<Command>,
    thread: Thread,
}

#[derive(Clone)]
enum Command {
    Install(Arc<dyn Install>, Sender<()>),
    Exit,
}

impl Workers {
    /// Starts `peers` workers.
    ///
    /// # Errors
    /// [`StartWorkersError`] if the system refuses the threads.
    pub fn start(peers: usize) -> Result<Workers, StartWorkersError> {
        let failed = |reason: String| StartWorkersError { workers: peers, reason };
        let mut config = timely::Config::process(peers);
        // A parked worker costs nothing; spinning was measured to worsen latency on busy cores.
        config.worker = config.worker.idle_spin(Duration::ZERO);
        let (ready_sender, ready) = unbounded();
        let guards = timely::execute(config, move |worker| {
            let (commands, received) = unbounded();
            let port = Port { index: worker.index(), commands, thread: std::thread::current() };
            // The receiver lives until all workers have reported.
            let _ = ready_sender.send(port);
            run(worker, &received);
        })
        .map_err(&failed)?;
        let mut ports: Vec<Port> = ready.iter().take(peers).collect();
        if ports.len() < peers {
            return Err(failed(format!("{} of them ended at once", peers - ports.len())));
        }
        ports.sort_by_key(|port| port.index);
        Ok(Workers { ports: Mutex::new(ports), peers, guards: Mutex::new(Some(guards)) })
    }

    /// How many workers there are.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers
    }

    /// Installs a dataflow on all workers and waits until each has built it.
    ///
    /// # Errors
    /// [`WorkersGone`] if a worker has ended.
    pub fn install(&self, install: Box<dyn Install>) -> Result<(), WorkersGone> {
        let (built_sender, built) = unbounded();
        self.submit(&Command::Install(Arc::from(install), built_sender))?;
        let all = (0..self.peers).all(|_| built.recv().is_ok());
        if all { Ok(()) } else { Err(WorkersGone) }
    }

    /// Lets the workers end once their dataflows are complete, and waits for them.
    pub fn join(mut self) {
        let _ = self.submit(&Command::Exit);
        if let Some(guards) = self.take_guards() {
            drop(guards.join());
        }
    }

    fn take_guards(&mut self) -> Option<timely::communication::WorkerGuards<()>> {
        self.guards.get_mut().expect("nobody else locks it").take()
    }

    fn submit(&self, command: &Command) -> Result<(), WorkersGone> {
        let ports = self.ports.lock().expect("sending does not panic");
        for port in ports.iter() {
            port.commands.send(command.clone()).map_err(|_| WorkersGone)?;
            port.thread.unpark();
        }
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Guards that are dropped join their threads, which end only after this.
        if let Some(guards) = self.take_guards() {
            let _ = self.submit(&Command::Exit);
            drop(guards);
        }
    }
}

/// Ends the process with `exit_code` when a worker thread panics outside of what an operator
/// catches.
pub fn abort_on_worker_panic(exit_code: i32) {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        let thread = std::thread::current();
        let is_worker = thread.name().is_some_and(|name| name.starts_with(WORKER_THREAD_PREFIX));
        if is_worker && !crate::dataflow::guard::is_caught() {
            std::process::exit(exit_code);
        }
    }));
}

fn run(worker: &mut Worker, commands: &Receiver<Command>) {
    let mut is_exiting = false;
    loop {
        while let Ok(command) = commands.try_recv() {
            match command {
                Command::Install(install, built) => {
                    install.install(worker);
                    let _ = built.send(());
                }
                Command::Exit => is_exiting = true,
            }
        }
        if is_exiting && !worker.has_dataflows() {
            return;
        }
        worker.step_or_park(None);
    }
}
