//! Making the container's process, and taking it to where it waits for `start`.

use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::Pid;
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::namespace::{self, Namespaces};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_kernel::{exec, fdpass};

use super::channel::{Channel, Order, Report};
use super::failure::{Failure, step};
use super::prepare::Prepared;
use super::start_socket::StartSocket;
use super::{hide, init, outside};

/// Why there is no container. Its process, if there was one, is gone.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A step of the runtime's or the container's process.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The process ended without a word.
    #[error("the container's process ended while it was being prepared: {0}")]
    Died(String),
    /// It could not be recorded.
    #[error("cannot record the container's process")]
    Record(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A process that is confined and waits, or that will do so without any further help.
#[derive(Debug)]
pub struct Launched {
    /// Its id for the runtime.
    pub pid: Pid,
    /// The process.
    pub pidfd: OwnedFd,
    /// When it was made (`starttime` of `proc_pid_stat(5)`).
    pub start_time: u64,
    channel: Channel,
}

/// What the caller does at two moments that only this module knows.
pub trait Witness {
    /// The process exists; it dies with the runtime until this has returned and [`Launched::commit`] or
    /// [`Launched::start`] was called.
    ///
    /// # Errors
    /// Whatever keeps the process from being recorded: it is ended then.
    fn made(&mut self, pid: Pid, start_time: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    /// Called in the new process: lets go of what it must not hold, such as locks.
    ///
    /// # Errors
    /// The process ends then.
    fn in_child(&mut self) -> io::Result<()>;
}

/// Makes the process. With `start` it is ready when this returns, and will wait there after [`Launched::commit`]. Without, this does
/// not wait for that: [`Launched::start`] can be said beforehand, and then none of the two waits until the other one is woken.
///
/// # Errors
/// [`LaunchError`]; the process is gone, its cgroup and its record are not.
pub fn launch(
    prepared: &Prepared,
    start: Option<&StartSocket>,
    witness: &mut dyn Witness,
) -> Result<Launched, LaunchError> {
    let (ours, theirs) = step("make a socket pair", Channel::pair)?;
    let made = step("make the container's process", || make(prepared))?;
    let (pid, pidfd) = match made {
        Made::Child => {
            drop(ours);
            let forgotten = step("let go of the runtime's files", || witness.in_child());
            init::run(prepared, start, theirs, forgotten)
        }
        Made::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(theirs);
    let launched = accompany(prepared, pid, &ours, witness).and_then(|start_time| {
        if start.is_some() {
            hear(&ours, &Report::Ready)?;
        }
        Ok(start_time)
    });
    match launched {
        Ok(start_time) => Ok(Launched { pid, pidfd, start_time, channel: ours }),
        Err(error) => Err(given_up(error, &ours, &pidfd)),
    }
}

/// Ends the process. If it has failed by itself before, that is the reason for whatever went wrong here.
pub(super) fn given_up(error: LaunchError, channel: &Channel, pidfd: &OwnedFd) -> LaunchError {
    // One that is ending already ends as it would have.
    rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL).ok();
    let error = explain(error, pidfd);
    outside::end(pidfd.as_fd());
    loop {
        match channel.pending::<Report>() {
            Ok(Some(Report::Failed(failure))) => return failure.into(),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return error,
        }
    }
}

/// Adds how the process ended to an error that says only that it did.
fn explain(error: LaunchError, pidfd: &OwnedFd) -> LaunchError {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let LaunchError::Died(_) = &error else { return error };
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => LaunchError::Died(format!("exit status {code}")),
            (None, Some(signal)) => LaunchError::Died(format!("signal {signal}")),
            (None, None) => error,
        },
        _ => error,
    }
}

/// The runtime's side until there is nothing left that the process could need of it, nor the runtime to verify: the process is at
/// its mounts meanwhile.
fn accompany(prepared: &Prepared, pid: Pid, channel: &Channel, witness: &mut dyn Witness) -> Result<u64, LaunchError> {
    let procfs = step("open procfs", Procfs::host)?;
    let start_time = step("read when the process was made", || outside::start_time(&procfs, pid))?;
    witness.made(pid, start_time).map_err(LaunchError::Record)?;
    let number = pid.as_raw_nonzero().get();
    if let Some(maps) = prepared.plan.namespaces.maps() {
        step("write the id maps", || stockade_namespaces::write_maps(&procfs, Subject::Pid(number), maps))?;
        say(channel, &Order::Mapped)?;
    }
    outside::verify_limits(&prepared.group)?;
    hear(channel, &Report::Joined)?;
    outside::verify_group(&prepared.group, &procfs, pid)?;
    if let Some(payload) = &prepared.payload {
        outside::limits(&payload.process, &procfs, pid)?;
        if prepared.in_other_user_namespace() {
            outside::streams(&payload.process, &procfs, pid)?;
        }
    }
    if prepared.has_part_outside() {
        hear(channel, &Report::Namespaced)?;
        outside::between(prepared, &procfs, pid)?;
        say(channel, &Order::Continue(number))?;
    }
    Ok(start_time)
}

/// Tells `order`; if nobody hears it, the process has ended.
pub(super) fn say(channel: &Channel, order: &Order) -> Result<(), LaunchError> {
    match channel.send(order) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {
            Err(LaunchError::Died("unknown".to_owned()))
        }
        sent => Ok(step("speak with the container's process", || sent)?),
    }
}

/// Waits until the process was ready, and then until it executes its program, which ends the channel.
pub(super) fn executed(channel: &Channel) -> Result<(), LaunchError> {
    hear(channel, &Report::Ready)?;
    replaced(channel)
}

/// Waits until the process executes its program.
fn replaced(channel: &Channel) -> Result<(), LaunchError> {
    match step("hear from the container's process", || channel.receive::<Report>())? {
        None => Ok(()),
        Some(Report::Failed(failure)) => Err(failure.into()),
        Some(_) => Err(LaunchError::Died("it said something unexpected".to_owned())),
    }
}

/// Waits for exactly `report`.
pub(super) fn hear(channel: &Channel, report: &Report) -> Result<(), LaunchError> {
    match step("hear from the container's process", || channel.receive::<Report>())? {
        Some(received) if received == *report => Ok(()),
        Some(Report::Failed(failure)) => Err(failure.into()),
        Some(_) => Err(LaunchError::Died("it said something unexpected".to_owned())),
        None => Err(LaunchError::Died("unknown".to_owned())),
    }
}

impl Launched {
    /// Lets the process outlive the runtime: it waits at its `start.sock` from now on.
    ///
    /// # Errors
    /// [`LaunchError::Failed`] if it is gone.
    pub fn commit(&self) -> Result<(), LaunchError> {
        say(&self.channel, &Order::Commit)?;
        // Until it answers, the end of the runtime would still end it.
        hear(&self.channel, &Report::Ready)
    }

    /// Lets a process without a place to wait at execute its payload when it is ready, and waits until it has.
    ///
    /// # Errors
    /// [`LaunchError::Failed`] for the step at which it ended, [`LaunchError::Died`] if it ended without a word.
    pub fn start(self) -> Result<(Pid, OwnedFd), LaunchError> {
        let started = say(&self.channel, &Order::Start).and_then(|()| executed(&self.channel));
        self.outcome(started)
    }

    /// The same once the process is ready and `word` has returned.
    ///
    /// # Errors
    /// As [`Self::start`], and what `word` says: then the process ends.
    pub fn start_after<E: From<LaunchError>>(self, word: impl FnOnce() -> Result<(), E>) -> Result<(Pid, OwnedFd), E> {
        if let Err(error) = hear(&self.channel, &Report::Ready) {
            return Ok(self.outcome(Err(error))?);
        }
        word()?;
        let started = say(&self.channel, &Order::Start).and_then(|()| replaced(&self.channel));
        Ok(self.outcome(started)?)
    }

    /// The process, if it has started; otherwise it is ended.
    fn outcome(self, started: Result<(), LaunchError>) -> Result<(Pid, OwnedFd), LaunchError> {
        match started {
            Ok(()) => Ok((self.pid, self.pidfd)),
            Err(error) => Err(given_up(error, &self.channel, &self.pidfd)),
        }
    }
}

/// Which side of the fork the caller is on.
enum Made {
    Child,
    Parent { pid: Pid, pidfd: OwnedFd },
}

/// One `clone3(2)` with all new namespaces. What only a process made afterwards gets (a pid namespace given by path, a new time
/// namespace) and what must own the others (a user namespace given by path) is entered by a process in between, which makes
/// the container's process as its own sibling and ends.
fn make(prepared: &Prepared) -> io::Result<Made> {
    let namespaces = &prepared.plan.namespaces;
    let before_birth = Namespaces::USER | Namespaces::PID;
    let entered = prepared.joined.iter().any(|(kind, _)| before_birth.contains(*kind));
    let request = Request { new: namespaces.clone_flags(), into_cgroup: prepared.group.clone_into(), sibling: false };
    if !entered && namespaces.unshared_by_parent().is_empty() {
        return Ok(match clone3(&request)? {
            Forked::Child => Made::Child,
            Forked::Parent { pid, pidfd } => Made::Parent { pid, pidfd },
        });
    }
    let (ours, theirs) = Channel::pair()?;
    match clone3(&Request::default())? {
        Forked::Parent { pidfd, .. } => {
            drop(theirs);
            receive(&ours, pidfd.as_fd())
        }
        Forked::Child => match between(prepared, Request { sibling: true, ..request }) {
            Ok(Forked::Child) => Ok(Made::Child),
            Ok(Forked::Parent { pid, pidfd }) => {
                let number = pid.as_raw_nonzero().get().to_ne_bytes();
                let code = fdpass::send(&theirs, &number, &[pidfd.as_fd()]).map_or(1, |()| 0);
                exec::exit_now(code)
            }
            Err(error) => {
                let number = (-error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error())).to_ne_bytes();
                exec::exit_now(fdpass::send(&theirs, &number, &[]).map_or(2, |()| 1))
            }
        },
    }
}

/// In the process in between: enters what it must and makes the container's process.
///
/// Root of a joined user namespace may trace what is in it, if it is not hidden before.
fn between(prepared: &Prepared, request: Request<'_>) -> io::Result<Forked> {
    if prepared.joined.iter().any(|(kind, _)| *kind == Namespaces::USER) {
        hide()?;
    }
    for kind in [Namespaces::USER, Namespaces::PID] {
        if let Some((_, fd)) = prepared.joined.iter().find(|(joined, _)| *joined == kind) {
            namespace::setns(fd, kind)?;
        }
    }
    let namespaces = &prepared.plan.namespaces;
    if !namespaces.unshared_by_parent().is_empty() {
        namespace::unshare(namespaces.unshared_by_parent())?;
        if let Some(offsets) = namespaces.offsets() {
            let procfs = Procfs::host()?;
            stockade_namespaces::write_time_offsets(&procfs, offsets).map_err(io::Error::other)?;
        }
    }
    clone3(&request)
}

/// What the process in between tells: the process that it made, or the negated errno.
fn receive(channel: &Channel, pidfd: BorrowedFd<'_>) -> io::Result<Made> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let mut number = [0; 4];
    let received = fdpass::receive(channel, &mut number);
    rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED))?;
    let (length, mut descriptors) = received?;
    let number = i32::from_ne_bytes(number);
    match (length, Pid::from_raw(number.max(0)), descriptors.pop()) {
        (4, Some(pid), Some(pidfd)) => Ok(Made::Parent { pid, pidfd }),
        (4, None, None) => Err(io::Error::from_raw_os_error(-number)),
        _ => Err(rustix::io::Errno::IO.into()),
    }
}
