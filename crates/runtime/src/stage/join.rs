//! `exec`: one more process in a container that is there.
//!
//! The process is dangerous to itself: from the moment in which it is in the container's pid namespace, what runs there could
//! look into it and find the runtime's files (CVE-2016-9962, CVE-2019-5736). So it is undumpable from its birth on, and none
//! of its files is left open at exec.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::Pid;
use rustix::thread::CpuSet;
use stockade_cgroups::Group;
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::namespace::{self, Namespaces};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_kernel::{exec, resolve};
use stockade_namespaces::{differing, inodes};
use stockade_spec::{ContainerStatus, State};

use super::channel::{Channel, Order, Report};
use super::failure::{Failure, step};
use super::finish::{Ready, finish};
use super::launch::{LaunchError, executed, given_up, hear, say};
use super::prepare::Payload;
use super::verify::ExpectedNamespaces;
use super::{console, hide, init, outside, stdio};
use crate::rootfs::devices::open_terminal_in;

/// What to run, and where.
#[derive(Debug)]
pub struct Joining<'a> {
    /// The container's first process.
    pub init: BorrowedFd<'a>,
    /// Its id.
    pub init_pid: Pid,
    /// The container's cgroup.
    pub group: &'a Group,
    /// The process with all that confines it.
    pub payload: &'a Payload,
    /// The container.
    pub state: &'a State,
}

/// Why nothing was run. The process, if there was one, is gone.
pub type JoinError = LaunchError;

/// Runs the payload in the container and returns when it was executed: its id and the process, a child of the caller.
///
/// The calling process is fit only to wait and to end afterwards: its children are made in the container's pid namespace.
///
/// # Errors
/// [`JoinError`] for the step that failed.
pub fn join(joining: &Joining<'_>) -> Result<(Pid, OwnedFd), JoinError> {
    let host = step("open procfs", Procfs::host)?;
    let own = step("read the runtime's own namespaces", || inodes(&host, Subject::Myself))?;
    let number = joining.init_pid.as_raw_nonzero().get();
    let theirs = step("read the container's namespaces", || inodes(&host, Subject::Pid(number)))?;
    let kinds = differing(&theirs, &own);
    let expected = ExpectedNamespaces { own: theirs, new: Namespaces::empty(), joined: Vec::new() };
    let (ours, far) = step("make a socket pair", Channel::pair)?;
    step("hide from the container", hide)?;
    if kinds.contains(Namespaces::PID) {
        step("join the pid namespace", || namespace::setns(joining.init, Namespaces::PID))?;
    }
    let request = Request { into_cgroup: joining.group.clone_into(), ..Request::default() };
    let (pid, pidfd) = match step("make a process in the container", || clone3(&request))? {
        Forked::Child => {
            drop(ours);
            run(joining, kinds - Namespaces::PID, &expected, &far)
        }
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(far);
    let started = accompany(joining, kinds, &host, pid, &ours);
    match started {
        Ok(()) => Ok((pid, pidfd)),
        Err(error) => Err(given_up(error, &ours, &pidfd)),
    }
}

/// The runtime's side until the program was executed.
fn accompany(
    joining: &Joining<'_>,
    kinds: Namespaces,
    procfs: &Procfs,
    pid: Pid,
    channel: &Channel,
) -> Result<(), JoinError> {
    // All of it while the process comes into the container: then it need not wait.
    hear(channel, &Report::Joined)?;
    outside::verify_group(joining.group, procfs, pid)?;
    outside::limits(&joining.payload.process, procfs, pid)?;
    if kinds.contains(Namespaces::USER) {
        // Which ids it has can be told once it is in the user namespace.
        hear(channel, &Report::Namespaced)?;
        outside::streams(&joining.payload.process, procfs, pid)?;
    }
    // The seccomp agent is told the id that the host knows.
    say(channel, &Order::Continue(pid.as_raw_nonzero().get()))?;
    executed(channel)
}

/// Runs in the child; never returns.
fn run(joining: &Joining<'_>, kinds: Namespaces, expected: &ExpectedNamespaces, channel: &Channel) -> ! {
    let done = enter(joining, kinds, expected, channel).and_then(|mut ready| {
        step("speak with the runtime", || channel.send(&Report::Ready))?;
        match step("hear from the runtime", || channel.receive::<Order>())? {
            Some(Order::Continue(pid)) => ready.pid = pid,
            _ => return Err(Failure::because("hear from the runtime", "it has ended")),
        }
        step("outlive the runtime", init::outlive_parent)?;
        finish(&ready, joining.payload)
    });
    let Err(failure) = done;
    let code = channel.send(&Report::Failed(failure)).map_or(2, |()| 1);
    exec::exit_now(code)
}

/// The order in which the process comes into the container.
///
/// It has been undumpable from its birth on, so that nothing of the container can look into it. It is in the cgroups before it costs anything. Its
/// procfs is made while it still has the host's privileges, for the pid namespace that it is in already.
fn enter(
    joining: &Joining<'_>,
    kinds: Namespaces,
    expected: &ExpectedNamespaces,
    channel: &Channel,
) -> Result<Ready, Failure> {
    let payload = joining.payload;
    let process = &payload.process;
    step("arrange to die with the runtime", init::die_with_parent)?;
    set_affinity(process.affinity.0.as_deref())?;
    step("join the cgroups", || stockade_cgroups::join_from(joining.group.join_fds()))?;
    step("speak with the runtime", || channel.send(&Report::Joined))?;
    set_affinity(process.affinity.1.as_deref())?;
    let procfs = step("open a private procfs", Procfs::private)?;
    if !kinds.is_empty() {
        step("join the container's namespaces", || namespace::setns(joining.init, kinds))?;
    }
    if kinds.contains(Namespaces::USER) {
        step("become root of the user namespace", init::become_root)?;
        step("arrange to die with the runtime", init::die_with_parent)?;
        step("speak with the runtime", || channel.send(&Report::Namespaced))?;
    }
    step("verify the namespaces", || expected.verify(&procfs))?;
    step("start a session", rustix::process::setsid)?;
    step("join the session keyring", || init::new_keyring(&joining.state.id))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let root = step("open the container's root", || resolve::open_in_root(CWD, "/", flags, Mode::empty()))?;
    if let Some((size, console)) = payload.terminal() {
        let terminal = step("open a terminal", || open_terminal_in(&root))?;
        step("hand the terminal over", || console.send(&terminal.master))?;
        step("take the terminal", || console::take(&terminal.slave, size, process.uid))?;
    }
    step("hand standard input and output over", || stdio::hand_over(&procfs, &root, process.uid))?;
    init::schedule_process(process)?;
    let state = State { status: ContainerStatus::Running, ..joining.state.clone() };
    payload.ready(&root, procfs, Vec::new(), state)
}

/// Binds the process to `processors`, if it is to be bound.
fn set_affinity(processors: Option<&[u32]>) -> Result<(), Failure> {
    let Some(processors) = processors else { return Ok(()) };
    let mut set = CpuSet::new();
    for processor in processors {
        match usize::try_from(*processor) {
            Ok(processor) if processor < CpuSet::MAX_CPU => set.set(processor),
            _ => return Err(Failure::because("set the cpu affinity", format!("there is no processor {processor}"))),
        }
    }
    step("set the cpu affinity", || rustix::thread::sched_setaffinity(None, &set))
}
