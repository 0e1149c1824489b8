//! A container's life as its monitor sees it: what has happened, and what is done next.
//!
//! [`Stage`] only goes forward, but for a restart, which goes back to [`Stage::Waiting`] (`again`): so what is recorded never goes
//! backwards, and a container that ends before its runtime's `start` does is recorded as running first. When something can not be had (`give_up`) what there is of the container is
//! deleted by the same stages that follow a container's end.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitStatus, pidfd_send_signal, waitid};
use stockade_kernel::chain::chain;
use stockade_kernel::signal::Signals;
use stockade_kernel::{fdpass, memory};
use stockade_monitor::cause::Cause;
use stockade_monitor::control::{Command, Report};
use stockade_monitor::events::ContainerAction;
use stockade_monitor::order::Order;
use stockade_monitor::restart::{Meddling, Restarts};
use stockade_monitor::state::{Phase, State};

use crate::adopt::{self, Given};
use crate::again::MAKING;
use crate::birth::{self, Birth};
use crate::checks::Checks;
use crate::clients::Clients;
use crate::errors::Troubles;
use crate::execs::Execs;
use crate::folder::Folder;
use crate::input::Input;
use crate::limits::Limits;
use crate::log::Log;
use crate::runtime::{Refusal, Runtime, Waiting};
use crate::streams::Outputs;

/// How long output is waited for once the first process has ended. In a pid namespace of its own the kernel has ended all
/// others by then and there is nothing to wait for; elsewhere descendants may hold the streams, and go on to be read
/// until the runtime's `delete` has ended them too.
const DRAIN: Duration = Duration::from_secs(1);

/// Where the monitor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The container has ended and is started again at the deadline.
    Waiting,
    /// The program of [`Order::before_restart`] runs.
    Preparing,
    /// The runtime's `create` runs.
    Creating,
    /// What was executed was killed, because there is to be no container.
    Aborting,
    /// The container waits; the engine is to say `Start`.
    Created,
    /// The program of [`Order::on_restart`] runs.
    Attaching,
    /// The runtime's `start` runs.
    Starting,
    /// The container runs.
    Running,
    /// Its first process has ended, and the rest of its output is read.
    Draining,
    /// The runtime's `delete` runs.
    Deleting,
    /// The engine, which waits, does what [`Order::on_exit`] is for.
    Finishing,
    /// The program of [`Order::on_exit`] runs.
    Leaving,
    /// Clients are told of the end. This lasts as long as one of them neither takes what was written nor goes away.
    Telling,
}

/// The container's first process, a child of this one.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) ended: Option<Ended>,
}

impl First {
    /// That it is a child of this process, which has yet to be waited for.
    ///
    /// # Errors
    /// `ECHILD` if it is not, or not any more.
    pub(crate) fn is_child(&self) -> Result<(), Errno> {
        let asked = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(self.pidfd.as_fd()), asked).map(drop)
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// As shells say it.
    pub(crate) code: u8,
    pub(crate) signal: Option<i32>,
    pub(crate) finished: Timestamp,
}

/// A run of the container that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    /// As in [`Phase::Exited`].
    pub(crate) code: u8,
    pub(crate) signal: Option<i32>,
    pub(crate) started: String,
    pub(crate) finished: String,
    pub(crate) cause: Option<Cause>,
}

/// A program that this process has executed and does not stand still for.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) pid: Pid,
    pub(crate) ended: Option<WaitStatus>,
}

/// All that the monitor has.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) folder: Folder,
    pub(crate) order: Order,
    pub(crate) runtime: Runtime,
    pub(crate) signals: Signals,
    pub(crate) attach: Option<OwnedFd>,
    pub(crate) control: Option<OwnedFd>,
    /// Whether the engine at its other end waits for the container's end.
    pub(crate) engine_waits: bool,
    /// What the engine said while the container was being made.
    pub(crate) said: Option<Command>,
    pub(crate) lock: Option<OwnedFd>,
    pub(crate) first: Option<First>,
    pub(crate) worker: Option<Worker>,
    pub(crate) outputs: Outputs,
    pub(crate) input: Input,
    pub(crate) clients: Clients,
    pub(crate) execs: Execs,
    pub(crate) checks: Checks,
    pub(crate) log: Log,
    pub(crate) troubles: Troubles,
    pub(crate) limits: Limits,
    pub(crate) stage: Stage,
    /// When the stage is over at the latest.
    pub(crate) deadline: Option<Instant>,
    pub(crate) started: Timestamp,
    /// When that was, for what has lasted.
    pub(crate) began: Instant,
    /// Why there is no container.
    pub(crate) refusal: Option<Refusal>,
    /// What the runtime is making.
    pub(crate) birth: Option<Birth>,
    /// The worker, if it makes the container and then starts it.
    pub(crate) waiting: Option<Waiting>,
    /// The last run that is over.
    pub(crate) past: Option<Past>,
    pub(crate) restarts: Restarts,
    /// How long to wait before the restart that follows.
    pub(crate) again: Option<Duration>,
    /// What others have done to the container.
    pub(crate) meddling: Meddling,
}

/// Does all that this program is for; returns when the container has ended and everybody is told.
///
/// # Errors
/// The engine is told, or the folder's own log, and the program fails.
pub(crate) fn live(path: &Path, given: Given) -> Result<(), ()> {
    let prepared = Folder::open(path).and_then(|folder| folder.order().map(|order| (folder, order)));
    let (folder, order) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return refuse_early(&given.control, &chain(&error)),
    };
    let signals = match adopt::detach() {
        Ok(signals) => signals,
        Err(error) => return refuse_early(&given.control, &chain(&error)),
    };
    let mut monitor = Monitor::new(folder, order, signals, given);
    monitor.make();
    let served = monitor.serve();
    if let Err(error) = &served {
        monitor.troubles.note(&monitor.folder, &format!("the monitor ends before its container: {}", chain(error)));
    }
    served.map_err(drop)
}

/// Tells the engine why there is not even a monitor. Nothing was made.
fn refuse_early(control: &OwnedFd, message: &str) -> Result<(), ()> {
    let refusal = Refusal::new(message);
    // The engine may be gone; then there is nobody to tell.
    drop(say(control, &Report::Failed { code: refusal.code, message: refusal.message }));
    Err(())
}

fn say(control: &OwnedFd, report: &Report) -> std::io::Result<()> {
    fdpass::send(control, &serde_json::to_vec(report)?, &[])
}

impl Monitor {
    fn new(folder: Folder, order: Order, signals: Signals, given: Given) -> Self {
        Self {
            runtime: Runtime::new(order.runtime.clone(), order.id.clone()),
            input: Input::new(None, order.stdin, order.terminal),
            folder,
            order,
            signals,
            attach: Some(given.attach),
            control: Some(given.control),
            engine_waits: false,
            said: None,
            lock: Some(given.lock),
            first: None,
            worker: None,
            outputs: Outputs::default(),
            clients: Clients::default(),
            execs: Execs::default(),
            checks: Checks::default(),
            log: Log::default(),
            troubles: Troubles::default(),
            limits: Limits::default(),
            stage: Stage::Creating,
            deadline: None,
            started: Timestamp::UNIX_EPOCH,
            began: Instant::now(),
            refusal: None,
            birth: None,
            waiting: None,
            past: None,
            restarts: Restarts::default(),
            again: None,
            meddling: Meddling::None,
        }
    }

    /// What the engine said; `None` if it has ended or said what it should not.
    pub(crate) fn hear(&mut self, command: Option<Command>) {
        match (self.stage, command) {
            (Stage::Creating, Some(Command::Start | Command::StartAndFinish)) => self.said = command,
            (Stage::Created, Some(Command::Start)) => self.start(),
            (Stage::Created, Some(Command::StartAndFinish)) => {
                self.engine_waits = true;
                self.start();
            }
            (Stage::Creating | Stage::Created, None) => {
                self.give_up(Refusal::new("the engine ended before it started the container"))
            }
            (Stage::Finishing, Some(Command::Finished)) => self.tell(),
            (Stage::Finishing, _) => self.execute_on_exit(),
            // It was said beforehand, and there is to be no container, which is yet to be told.
            (_, Some(Command::Start | Command::StartAndFinish)) if self.refusal.is_some() => {}
            (_, _) => self.control = None,
        }
    }

    /// Does what is due; whether everything is done.
    pub(crate) fn advance(&mut self) -> bool {
        loop {
            let before = self.stage;
            let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            match self.stage {
                Stage::Waiting => self.after_wait(late),
                Stage::Preparing => self.after_prepare(late),
                Stage::Creating => self.after_create(late),
                Stage::Aborting => self.after_abort(late),
                Stage::Created => self.after_halfway(),
                Stage::Attaching => self.after_attach(late),
                Stage::Starting => self.after_start(late),
                Stage::Running => self.after_end(),
                Stage::Draining if self.outputs.ended() || late => self.exited(),
                Stage::Draining => {}
                Stage::Deleting => self.after_delete(late),
                Stage::Finishing if late => self.execute_on_exit(),
                Stage::Finishing => {}
                Stage::Leaving => self.after_on_exit(late),
                Stage::Telling => {
                    self.clients.part();
                    return self.clients.is_empty();
                }
            }
            if self.stage == before {
                return false;
            }
        }
    }

    fn after_start(&mut self, late: bool) {
        if self.is_over() {
            return self.abandon();
        }
        let Some(status) = self.worker_end() else {
            if late {
                self.give_up(Refusal::new(format!("the runtime's start has not ended after {MAKING:?}")));
            }
            return;
        };
        if status.exit_status() != Some(0) {
            let refusal = self.runtime.refusal(&self.folder, "start", status, String::new);
            return self.give_up(refusal);
        }
        let waiting = self.waiting.take();
        if waiting.is_some() {
            if let Err(refusal) = birth::adopt(self) {
                return self.give_up(refusal);
            }
            self.reap_the_early();
        }
        // Before it is recorded: who reads that it runs may ask for more at once.
        if let Err(error) = self.execs.listen(&self.folder) {
            self.troubles.note(&self.folder, &format!("nothing can be executed in the container: {error}"));
        }
        self.begin_checks();
        let pid = self.first.as_ref().map_or(0, |first| first.pid.as_raw_nonzero().get());
        let recorded = self.record(Phase::Running { pid, started: rfc3339(self.started) });
        if let Err(refusal) = recorded {
            // It runs: what is recorded of it is wrong until it ends, and that is all.
            self.troubles.note(&self.folder, &refusal.message);
        }
        self.happened(&ContainerAction::Start, &[]);
        self.again = None;
        self.report(&Report::Started);
        self.control = self.control.take().filter(|_| self.engine_waits);
        self.enter(Stage::Running, None);
        drop(waiting);
        // What made the container is not needed for long: from here on most monitors wait.
        let freed = memory::let_go_of_the_program();
        self.troubles.note_error(&self.folder, freed);
    }

    fn after_end(&mut self) {
        if self.first.as_ref().is_some_and(|first| first.ended.is_some()) {
            self.input.close();
            self.outputs.let_end();
            self.enter(Stage::Draining, Some(DRAIN));
        }
    }

    /// The status of the program that was executed, if it has ended; it is forgotten then.
    pub(crate) fn worker_end(&mut self) -> Option<WaitStatus> {
        let status = self.worker.as_ref()?.ended?;
        self.worker = None;
        Some(status)
    }

    pub(crate) fn enter(&mut self, stage: Stage, limit: Option<Duration>) {
        self.stage = stage;
        self.deadline = limit.map(|limit| Instant::now() + limit);
    }

    /// Records the container's phase.
    pub(crate) fn record(&self, phase: Phase) -> Result<(), Refusal> {
        let (monitor, restarts) = (std::process::id().cast_signed(), self.restarts.count());
        let state = State { monitor, restarts, phase };
        self.folder.record(&state).map_err(|error| Refusal::new(chain(&error)))
    }

    /// Tells the engine. One that has ended is noticed when it is heard.
    pub(crate) fn report(&mut self, report: &Report) {
        if let Some(control) = &self.control
            && let Err(error) = say(control, report)
            && error.raw_os_error() != Some(Errno::PIPE.raw_os_error())
        {
            self.troubles.note(&self.folder, &format!("cannot tell the engine {report:?}: {error}"));
        }
    }

    /// Sends `signal` to the first process, if it is there.
    pub(crate) fn signal(&mut self, signal: Signal) {
        let Some(first) = self.first.as_ref().filter(|first| first.ended.is_none()) else { return };
        match pidfd_send_signal(&first.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => {
                self.troubles.note(&self.folder, &format!("cannot send {signal:?} to the container: {errno}"))
            }
        }
    }
}

/// Always with nanoseconds, so that times of one container compare as text.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    format!("{time:.9}")
}
