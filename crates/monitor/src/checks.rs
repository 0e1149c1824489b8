//! Running the container's health check, as one more process of the container. See [`stockade_monitor::health`].
//!
//! A container that stands still is not checked, and a check that was overtaken by that has no result, as in Docker.

use std::io::{self, Write};
use std::time::Instant;

use jiff::Timestamp;
use rustix::fd::OwnedFd;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitStatus};
use stockade_monitor::events::ContainerAction;
use stockade_monitor::group::Groups;
use stockade_monitor::health::{Check, Health, LONGEST_OUTPUT, Probe, TOO_LONG};

use crate::check_group::CheckGroup;
use crate::joined::{Joined, News};
use crate::life::{Monitor, Stage, rfc3339};
use crate::runtime::{Joining, Refusal};
use crate::streams::Inner;

/// What stands for the id of a process: it is none that `inspect` lists.
const ID: &str = "health";

/// What the monitor has of it.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    known: Health,
    /// When the next one begins.
    due: Option<Instant>,
    current: Option<Current>,
    /// Where they are, unless the container has no such group.
    group: Option<CheckGroup>,
}

/// A check that goes on.
#[derive(Debug)]
struct Current {
    process: Joined,
    /// What it writes; `None` once that has ended.
    output: Option<OwnedFd>,
    said: Vec<u8>,
    started: Timestamp,
    begun: Instant,
    /// When it is killed; `None` for one that was.
    deadline: Option<Instant>,
}

impl Checks {
    /// What becomes readable when the check says something.
    pub(crate) fn output(&self) -> Option<&OwnedFd> {
        self.current.as_ref()?.output.as_ref()
    }

    /// When there is something to do.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.current.as_ref().map_or(self.due, |current| current.deadline)
    }

    /// The child whose end is waited for.
    pub(crate) fn child(&self) -> Option<Pid> {
        self.current.as_ref()?.process.child()
    }

    /// Whether there is a child whose number is not known yet.
    pub(crate) fn is_joining(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.process.is_joining())
    }

    /// Reads what the check has written until now. What is too much is read and forgotten.
    pub(crate) fn read(&mut self) {
        let Some(current) = &mut self.current else { return };
        let mut buffer = [0; 4096];
        while let Some(output) = &current.output {
            match rustix::io::retry_on_intr(|| rustix::io::read(output, &mut buffer)) {
                Ok(length) if length > 0 => {
                    let room = LONGEST_OUTPUT.saturating_sub(current.said.len());
                    current.said.extend_from_slice(&buffer[..length.min(room)]);
                }
                Err(Errno::AGAIN) => return,
                Ok(_) | Err(_) => current.output = None,
            }
        }
    }
}

impl Monitor {
    /// The container runs: its health is unknown from now on.
    pub(crate) fn begin_checks(&mut self) {
        self.end_checks();
        self.checks.known = Health::default();
        if self.order.health.is_some() {
            self.write_health();
            self.plan_check();
        }
    }

    /// The container is made, and `pid` its first process, which waits for its start.
    pub(crate) fn prepare_checks(&mut self, pid: i32) {
        self.checks.group = None;
        if self.order.health.is_none() {
            return;
        }
        match CheckGroup::make(pid, &self.order.id) {
            Ok(group) => self.checks.group = group,
            Err(error) => {
                let text = format!(
                    "cannot make the control group of health checks, so that what one starts may outlive it: {error}"
                );
                self.troubles.note(&self.folder, &text);
            }
        }
    }

    /// The container has ended: nothing is checked any more.
    pub(crate) fn end_checks(&mut self) {
        self.checks.due = None;
        if let Some(current) = self.checks.current.take() {
            let killed = current.process.signal(Signal::KILL);
            self.note_check_killed(killed);
        }
    }

    fn note_check_killed(&mut self, killed: Result<(), Errno>) {
        if let Err(errno) = killed {
            self.troubles.note(&self.folder, &format!("cannot kill a health check: {errno}"));
        }
    }

    /// Begins what is due, and ends what takes too long.
    pub(crate) fn tend_checks(&mut self) {
        let Some(check) = self.order.health.clone() else { return };
        if self.stage != Stage::Running || self.checks.next().is_none_or(|next| Instant::now() < next) {
            return;
        }
        let still = self.stands_still();
        match &mut self.checks.current {
            None if still => self.plan_check(),
            None => self.begin_check(&check),
            Some(current) => {
                current.deadline = None;
                let (started, begun) = (current.started, current.begun);
                let killed = current.process.signal(Signal::KILL);
                self.note_check_killed(killed);
                let killed = self.checks.group.as_ref().map_or(Ok(()), CheckGroup::kill);
                if let Err(error) = killed {
                    self.troubles.note(&self.folder, &format!("cannot kill what a health check has started: {error}"));
                }
                if !still {
                    let output = format!("Health check exceeded timeout ({})", seconds(check.timeout));
                    self.add_result((started, begun), TOO_LONG, output);
                }
            }
        }
    }

    fn stands_still(&self) -> bool {
        let groups = self.first.as_ref().map(|first| Groups::of(first.pid.as_raw_nonzero().get()));
        matches!(groups, Some(Ok(groups)) if groups.is_frozen())
    }

    fn begin_check(&mut self, check: &Check) {
        self.checks.due = None;
        let (started, begun) = (Timestamp::now(), Instant::now());
        match self.execute(check) {
            Ok((process, output)) => {
                let deadline = begun.checked_add(check.timeout);
                let (output, said) = (Some(output), Vec::new());
                self.checks.current = Some(Current { process, output, said, started, begun, deadline });
            }
            Err(refusal) => {
                self.add_result((started, begun), refusal.code.into(), refusal.message);
                self.plan_check();
            }
        }
    }

    /// Has the runtime bring it in; what it writes.
    fn execute(&self, check: &Check) -> Result<(Joined, OwnedFd), Refusal> {
        let prepared = || -> io::Result<(OwnedFd, OwnedFd, Inner)> {
            let mut file = std::fs::File::from(rustix::fs::memfd_create(c"process", MemfdFlags::CLOEXEC)?);
            file.write_all(check.process.as_bytes())?;
            let (output, inner) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&output, true)?;
            let second = inner.try_clone()?;
            Ok((
                file.into(),
                output,
                Inner { stdin: Inner::nothing().stdin, stdout: inner.into(), stderr: second.into() },
            ))
        };
        let (file, output, inner) =
            prepared().map_err(|error| Refusal::new(format!("cannot prepare a health check: {error}")))?;
        let group = self.checks.group.as_ref().map(CheckGroup::word);
        let joining = Joining { process: file, inner, console: None, group };
        Ok((Joined::begin((&self.runtime, &self.folder), ID, joining)?, output))
    }

    /// The child `pid` has ended, which may be the check.
    pub(crate) fn check_ended(&mut self, pid: Pid, status: WaitStatus) {
        if self.checks.child() != Some(pid) {
            return;
        }
        self.checks.read();
        let Some(current) = &mut self.checks.current else { return };
        let (code, said) = match current.process.ended((&self.runtime, &self.folder), status) {
            News::Started(_) => return,
            News::Failed(refusal) => (refusal.code, refusal.message),
            News::Exited(code) => (code, String::from_utf8_lossy(&current.said).into_owned()),
        };
        let (begin, killed) = ((current.started, current.begun), current.deadline.is_none());
        self.checks.current = None;
        // A runtime that finds the container paused brings nothing in, which tells nothing of its health.
        if !killed && !self.stands_still() {
            self.add_result(begin, code.into(), said);
        }
        self.plan_check();
    }

    fn add_result(&mut self, (started, begun): (Timestamp, Instant), exit_code: i32, output: String) {
        let Some(check) = self.order.health.clone() else { return };
        let probe = Probe { start: rfc3339(started), end: rfc3339(Timestamp::now().max(started)), exit_code, output };
        let since_start = begun.saturating_duration_since(self.began);
        let changed = self.checks.known.add(&check, since_start, probe);
        self.write_health();
        if let Some(status) = changed {
            self.happened(&ContainerAction::HealthStatus(status.to_string()), &[]);
        }
    }

    fn plan_check(&mut self) {
        let wait = self.order.health.as_ref().map(|check| self.checks.known.wait(check, self.began.elapsed()));
        self.checks.due = wait.and_then(|wait| Instant::now().checked_add(wait));
    }

    fn write_health(&mut self) {
        let written = self.folder.write_health(&self.checks.known);
        self.troubles.note_error(&self.folder, written);
    }
}

/// As Go writes a duration of whole seconds or less.
fn seconds(duration: std::time::Duration) -> String {
    if duration.as_secs() == 0 { format!("{}ms", duration.as_millis()) } else { format!("{}s", duration.as_secs_f64()) }
}
