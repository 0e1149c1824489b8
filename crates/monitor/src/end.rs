//! The stages after a container's end, or after there is to be none: record, delete, let go, tell.

use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::Signal;
use stockade_kernel::chain::chain;
use stockade_monitor::control::Report;
use stockade_monitor::frame::Frame;
use stockade_monitor::restart::Run;
use stockade_monitor::state::Phase;

use crate::birth;
use crate::clients::Awaited;
use crate::leave;
use crate::life::{Ended, Monitor, Past, Stage, Worker, rfc3339};
use crate::runtime::{self, Refusal};

/// How long a killed runtime may take to end.
const ABORT: Duration = Duration::from_secs(10);

/// How long `delete` may take before it is killed and the container's end told without it. It waits ten seconds itself for what it kills.
const DELETE: Duration = Duration::from_secs(25);

/// How long the engine that waits may take to do it itself: it may have been stopped, or its output be full.
const FINISH: Duration = Duration::from_secs(5);

/// How long the program of `on_exit` may take before clients are told of the end without it.
const ON_EXIT: Duration = Duration::from_secs(60);

impl Monitor {
    /// The rest of the output is read: records the end and deletes what is left of the container.
    pub(crate) fn exited(&mut self) {
        let Some(ended) = self.first.as_ref().and_then(|first| first.ended) else { return };
        let Ended { code, signal, finished } = ended;
        let (started, finished) = (rfc3339(self.started), rfc3339(finished.max(self.started)));
        let cause = self.cause(ended);
        self.past = Some(Past { code, signal, started, finished, cause: Some(cause.clone()) });
        // Its policy, and its name, may have been changed since.
        match self.folder.order() {
            Ok(order) => (self.order.restart, self.order.events) = (order.restart, order.events),
            Err(error) => self.troubles.note(&self.folder, &chain(&error)),
        }
        let run = Run { code, lasted: self.began.elapsed() };
        self.again = self.restarts.after(self.order.restart, self.meddling, run);
        self.record_past();
        self.died(ended, Some(&cause));
        self.delete();
    }

    /// Records the end of the last run, and whether it is the container's.
    fn record_past(&mut self) {
        let Some(Past { code, signal, started, finished, cause }) = self.past.clone() else { return };
        let phase = match (self.again, &self.refusal) {
            (Some(_), _) => Phase::Restarting { code, signal, started, finished, cause },
            (None, None) => Phase::Exited { code, signal, started, finished, cause, error: None },
            (None, Some(Refusal { code, message })) => {
                let (code, error) = (*code, Some(message.clone()));
                Phase::Exited { code, signal: None, started, finished, cause: None, error }
            }
        };
        if let Err(refusal) = self.record(phase) {
            self.troubles.note(&self.folder, &refusal.message);
        }
    }

    /// There is no container, because of `refusal`.
    pub(crate) fn give_up(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
        self.abandon();
    }

    /// Ends what is being made or started, and deletes it.
    pub(crate) fn abandon(&mut self) {
        self.input.close();
        self.outputs.let_end();
        birth::give_up(self);
        self.waiting = None;
        match &self.worker {
            Some(Worker { pid, ended: None }) => {
                let killed = runtime::kill(*pid);
                self.note_killed(killed);
                self.enter(Stage::Aborting, Some(ABORT));
            }
            _ => self.delete(),
        }
    }

    /// Once what was killed has ended, or this took too long (`late`), deletes what it left.
    pub(crate) fn after_abort(&mut self, late: bool) {
        if self.worker_end().is_none() {
            if !late {
                return;
            }
            self.troubles.note(&self.folder, "the runtime was killed and does not end");
            self.worker = None;
        }
        self.delete();
    }

    /// Executes the runtime's `delete --force`.
    fn delete(&mut self) {
        match self.runtime.delete(&self.folder) {
            Ok(pid) => self.worker = Some(Worker { pid, ended: None }),
            Err(refusal) => {
                self.troubles.note(&self.folder, &refusal.message);
                self.kill();
            }
        }
        self.enter(Stage::Deleting, Some(DELETE));
    }

    /// Once the container is deleted, or this took too long (`late`), lets go of it and executes `on_exit`.
    pub(crate) fn after_delete(&mut self, late: bool) {
        if let Some(status) = self.worker_end()
            && status.exit_status() != Some(0)
        {
            let refusal = self.runtime.refusal(&self.folder, "delete", status, String::new);
            self.troubles.note(&self.folder, &format!("the container is not deleted: {}", refusal.message));
            self.kill();
        }
        // One that stake's `run` gave up was a child of it, and has been waited for.
        let lives = self.first.as_ref().is_some_and(|first| first.ended.is_none() && first.is_child().is_ok());
        if (self.worker.is_some() || lives) && !late {
            return;
        }
        if late {
            self.troubles.note(&self.folder, "the container was not deleted in time");
            let killed = self.worker.take().map_or(Ok(()), |worker| runtime::kill(worker.pid));
            self.note_killed(killed);
            self.kill();
        }
        self.read_the_rest();
        // One that was not deleted can not be made again.
        match self.again.filter(|_| !late && !self.is_over()) {
            Some(wait) => self.wait_again(wait),
            None => self.let_go(),
        }
    }

    /// Gives everything up that others may wait for, and has done what `on_exit` is for.
    pub(crate) fn let_go(&mut self) {
        self.release();
        if self.control.is_none() {
            return self.execute_on_exit();
        }
        self.report(&Report::Ended);
        self.enter(Stage::Finishing, Some(FINISH));
    }

    /// Executes `on_exit`.
    pub(crate) fn execute_on_exit(&mut self) {
        self.control = None;
        match leave::on_exit(&self.order.on_exit) {
            Ok(Some(pid)) => self.worker = Some(Worker { pid, ended: None }),
            Ok(None) => {}
            Err(error) => self.troubles.note(&self.folder, &chain(&error)),
        }
        self.enter(Stage::Leaving, Some(ON_EXIT));
    }

    /// Says the end to the engine if it still waits, and gives everything up that others may wait for.
    fn release(&mut self) {
        // That it was to be started again, or why it was not, is recorded over.
        if self.again.take().is_some() || self.past.is_some() && self.refusal.is_some() {
            self.record_past();
        }
        if let (None, Some(Refusal { code, message })) = (&self.past, self.refusal.clone()) {
            if let Err(refusal) = self.record(Phase::Failed { code, error: message.clone() }) {
                self.troubles.note(&self.folder, &refusal.message);
            }
            self.report(&Report::Failed { code, message });
        }
        self.control = self.control.take().filter(|_| self.engine_waits && self.past.is_some());
        self.execs.close();
        self.end_checks();
        // Whoever has connected is told of the end like the others.
        if let Some(attach) = self.attach.take()
            && let Err(error) = self.clients.accept(&attach, Awaited::ForAWhile)
        {
            self.troubles.note(&self.folder, &format!("cannot accept a client: {error}"));
        }
        // Unlocked and not only closed: a copy of the descriptor elsewhere holds nothing any more.
        if let Some(lock) = self.lock.take()
            && let Err(errno) = flock(&lock, FlockOperation::Unlock)
        {
            self.troubles.note(&self.folder, &format!("cannot unlock the container: {errno}"));
        }
    }

    /// Once that program has ended, or this took too long (`late`), tells the clients.
    pub(crate) fn after_on_exit(&mut self, late: bool) {
        if let Some(status) = self.worker_end()
            && status.exit_status() != Some(0)
        {
            self.troubles.note(&self.folder, &format!("{:?} failed: {status:?}", self.order.on_exit));
        }
        if self.worker.is_some() && !late {
            return;
        }
        if self.worker.take().is_some() {
            self.troubles.note(&self.folder, &format!("{:?} did not end in time", self.order.on_exit));
        }
        self.tell();
    }

    /// Tells the clients.
    pub(crate) fn tell(&mut self) {
        self.control = None;
        self.troubles.write(&self.folder);
        let ended = self.past.as_ref().map(|past| past.code);
        let code = self.refusal.as_ref().map(|refusal| refusal.code).or(ended).unwrap_or_default();
        self.clients.publish(&Frame::Exited(code).encode());
        self.enter(Stage::Telling, None);
    }

    fn note_killed(&mut self, killed: Result<(), Errno>) {
        if let Err(errno) = killed {
            self.troubles.note(&self.folder, &format!("cannot kill the runtime: {errno}"));
        }
    }

    /// Ends the first process where the runtime could not.
    fn kill(&mut self) {
        self.signal(Signal::KILL);
    }
}
