//! Making a container, the first time and again: the stages up to its start.

use std::time::Duration;

use rustix::process::{Pid, WaitStatus};
use stockade_kernel::chain::chain;
use stockade_monitor::control::Report;
use stockade_monitor::frame::Frame;
use stockade_monitor::restart::Meddling;
use stockade_monitor::state::Phase;

use crate::birth;
use crate::leave::{self, LeaveError};
use crate::life::{Monitor, Stage, Worker};
use crate::runtime::Refusal;

/// How long the runtime's `create`, and its `start`, may take. Nothing that works takes so long; what hangs is killed.
pub(crate) const MAKING: Duration = Duration::from_secs(120);

/// How long the programs of a restart may take.
const PROGRAM: Duration = Duration::from_secs(60);

impl Monitor {
    /// Has the container made.
    pub(crate) fn make(&mut self) {
        match birth::begin(self) {
            Ok(()) => self.enter(Stage::Creating, Some(MAKING)),
            Err(refusal) => self.give_up(refusal),
        }
    }

    /// Once the runtime's `create` has ended, says so, or goes on with the restart.
    pub(crate) fn after_create(&mut self, late: bool) {
        if self.is_over() {
            return self.abandon();
        }
        let Some(status) = self.worker_end() else {
            if late {
                self.give_up(Refusal::new(format!("the runtime's create has not ended after {MAKING:?}")));
            }
            return;
        };
        let made = birth::end(self, status);
        self.created(made);
    }

    /// Once stake's `run` has made the container, says so.
    pub(crate) fn hear_runtime(&mut self) {
        match &self.waiting {
            Some(waiting) if self.stage == Stage::Creating && waiting.hear() => {
                let made = birth::halfway(self);
                self.created(made);
            }
            // It ends, which tells why.
            _ => self.waiting = None,
        }
    }

    /// Stake's `run` is not to end before it is told to start the container.
    pub(crate) fn after_halfway(&mut self) {
        if let Some(status) = self.worker_end() {
            let refusal = self.runtime.refusal(&self.folder, "run", status, String::new);
            self.give_up(refusal);
        }
    }

    /// The container is there, with the first process of that number on the host, or there is none.
    fn created(&mut self, made: Result<i32, Refusal>) {
        let pid = match made {
            Ok(pid) => pid,
            Err(refusal) => return self.give_up(refusal),
        };
        self.enter(Stage::Created, None);
        self.reap_the_early();
        if self.past.is_none() {
            if let Err(refusal) = self.record(Phase::Created { pid }) {
                return self.give_up(refusal);
            }
            self.report(&Report::Created { pid });
        }
        self.watch_limits(pid);
        self.prepare_checks(pid);
        if self.past.is_some() {
            let words = self.order.on_restart.clone();
            let worker = leave::at_restart(&words, Some(pid.to_string()));
            self.go_on(worker, Stage::Attaching, Self::start);
        } else if let Some(said) = self.said.take() {
            self.hear(Some(said));
        }
    }

    /// The first process' end, and those of orphans, may have been told before it was known, or was this one's.
    pub(crate) fn reap_the_early(&mut self) {
        if let Err(error) = self.reap() {
            self.troubles.note(&self.folder, &format!("cannot reap: {error}"));
        }
    }

    /// Has its program executed.
    pub(crate) fn start(&mut self) {
        // Before the program runs: it can not have ended earlier.
        self.started = jiff::Timestamp::now();
        self.began = std::time::Instant::now();
        let started = match &self.waiting {
            Some(waiting) => waiting.start().map_err(|errno| Refusal::new(format!("cannot tell the runtime: {errno}"))),
            None => self.runtime.start(&self.folder).map(|pid| self.worker = Some(Worker { pid, ended: None })),
        };
        match started {
            Ok(()) => self.enter(Stage::Starting, Some(MAKING)),
            Err(refusal) => self.give_up(refusal),
        }
    }

    /// Tells clients of the end that is none, and waits for the next start.
    pub(crate) fn wait_again(&mut self, wait: Duration) {
        self.execs.close();
        self.end_checks();
        let code = self.past.as_ref().map(|past| past.code).unwrap_or_default();
        self.clients.publish(&Frame::Exited(code).encode());
        self.enter(Stage::Waiting, Some(wait));
    }

    /// Once the wait is over, or somebody has stopped the container, goes on.
    pub(crate) fn after_wait(&mut self, late: bool) {
        self.clients.part();
        if self.is_over() {
            return self.let_go();
        }
        if late {
            // Whoever has not taken the end of one run is not given the beginning of the next.
            self.clients.drop_all();
            let words = self.order.before_restart.clone();
            let worker = leave::at_restart(&words, None);
            self.go_on(worker, Stage::Preparing, Self::make);
        }
    }

    /// Once the program that precedes a restart has ended, has the container made.
    pub(crate) fn after_prepare(&mut self, late: bool) {
        let words = self.order.before_restart.clone();
        self.after_program(&words, late, Self::make);
    }

    /// The same between `create` and `start`.
    pub(crate) fn after_attach(&mut self, late: bool) {
        let words = self.order.on_restart.clone();
        self.after_program(&words, late, Self::start);
    }

    /// Waits for `worker` in `stage`; where there is no such program does `next`.
    fn go_on(&mut self, worker: Result<Option<Pid>, LeaveError>, stage: Stage, next: fn(&mut Self)) {
        match worker {
            Ok(Some(pid)) => {
                self.worker = Some(Worker { pid, ended: None });
                self.enter(stage, Some(PROGRAM));
            }
            Ok(None) => next(self),
            Err(error) => self.give_up(Refusal::new(chain(&error))),
        }
    }

    fn after_program(&mut self, words: &[String], late: bool, next: fn(&mut Self)) {
        if self.is_over() {
            return self.abandon();
        }
        match self.worker_end().map(WaitStatus::exit_status) {
            Some(Some(0)) => next(self),
            Some(_) => self.give_up(Refusal::new(format!("the program of a restart failed: {}", words.join(" ")))),
            None if late => {
                self.give_up(Refusal::new(format!("the program of a restart did not end: {}", words.join(" "))));
            }
            None => {}
        }
    }

    /// Somebody does something to the container that bears on its restart, or stops it before it runs.
    pub(crate) fn meddle(&mut self, meddling: Meddling) {
        self.meddling = self.meddling.max(meddling);
        let being_made = matches!(self.stage, Stage::Creating | Stage::Created | Stage::Starting);
        if meddling == Meddling::Stopped && being_made && self.past.is_none() && self.refusal.is_none() {
            self.give_up(Refusal::new("it was stopped before it ran"));
        }
    }

    /// Whether a restart is not to go on: somebody has stopped the container, or it can not be had.
    pub(crate) fn is_over(&self) -> bool {
        self.past.is_some() && (self.meddling == Meddling::Stopped || self.refusal.is_some())
    }
}
