//! The stages after a container's end, or after there is to be none: record, delete, let go, tell.

use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use stockade_kernel::chain::chain;
use stockade_monitor::control::Report;
use stockade_monitor::frame::Frame;
use stockade_monitor::state::Phase;

use crate::leave;
use crate::life::{Ended, Monitor, Stage, Worker, rfc3339};
use crate::runtime::Refusal;

/// How long `delete` may take before the container's end is told without it.
const DELETE: Duration = Duration::from_secs(60);

/// How long the program of `on_exit` may take before clients are told of the end without it.
const ON_EXIT: Duration = Duration::from_secs(60);

impl Monitor {
    /// The rest of the output is read: records the end and deletes what is left of the container.
    pub(crate) fn exited(&mut self) {
        let Some(ended) = self.first.as_ref().and_then(|first| first.ended) else { return };
        let Ended { code, signal, finished } = ended;
        let (started, finished) = (rfc3339(self.started), rfc3339(finished.max(self.started)));
        if let Err(refusal) = self.record(Phase::Exited { code, signal, started, finished }) {
            self.troubles.note(&self.folder, &refusal.message);
        }
        self.died(ended);
        self.delete();
    }

    /// There is no container, because of `refusal`.
    pub(crate) fn give_up(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
        self.input.close();
        self.outputs.let_end();
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
        let lives = self.first.as_ref().is_some_and(|first| first.ended.is_none());
        if (self.worker.is_some() || lives) && !late {
            return;
        }
        if late {
            self.troubles.note(&self.folder, "the container was not deleted in time");
            self.worker = None;
        }
        self.read_the_rest();
        self.let_go();
        match leave::on_exit(&self.order.on_exit) {
            Ok(Some(pid)) => self.worker = Some(Worker { pid, ended: None }),
            Ok(None) => {}
            Err(error) => self.troubles.note(&self.folder, &chain(&error)),
        }
        self.enter(Stage::Leaving, Some(ON_EXIT));
    }

    /// Says the end to the engine if it still waits, and gives everything up that others may wait for.
    fn let_go(&mut self) {
        if let Some(Refusal { code, message }) = self.refusal.clone() {
            if let Err(refusal) = self.record(Phase::Failed { code, error: message.clone() }) {
                self.troubles.note(&self.folder, &refusal.message);
            }
            self.report(&Report::Failed { code, message });
        }
        self.control = None;
        self.execs.close();
        // Whoever has connected is told of the end like the others.
        if let Some(attach) = self.attach.take()
            && let Err(error) = self.clients.accept(&attach)
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
        self.troubles.write(&self.folder);
        let ended = self.first.as_ref().and_then(|first| first.ended).map(|ended| ended.code);
        let code = self.refusal.as_ref().map(|refusal| refusal.code).or(ended).unwrap_or_default();
        self.clients.publish(&Frame::Exited(code).encode());
        self.enter(Stage::Telling, None);
    }

    /// Ends the first process where the runtime could not.
    fn kill(&mut self) {
        self.signal(Signal::KILL);
    }
}
