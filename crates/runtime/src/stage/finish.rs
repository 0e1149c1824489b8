//! The last stage, of the payload and of what `exec` adds: from a privileged process in the container to the program.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;

use rustix::fs::Mode;
use rustix::process::{Gid, Rlimit, Uid};
use stockade_capabilities::{Capability, Request, Securebits, State, Transition, Unavailable, UserChange};
use stockade_kernel::exec::Strings;
use stockade_kernel::procfs::{Procfs, Status};
use stockade_kernel::signal;
use stockade_spec::{ContainerStatus, Hook, State as ContainerState};

use super::failure::{Failure, step};
use super::prepare::Payload;
use super::verify::{self, ExpectedIdentity, StatusFile};
use crate::hook;
use crate::plan::model::ResourceLimit;

/// All that the last stage needs; nothing of it is looked up any more.
#[derive(Debug)]
pub(super) struct Ready {
    /// A private instance for the container's pid namespace.
    pub(super) procfs: Procfs,
    /// The path to execute.
    pub(super) executable: CString,
    /// Its arguments.
    pub(super) arguments: Strings,
    /// Its environment.
    pub(super) environment: Strings,
    /// Programs to run first, with the state to tell them.
    pub(super) hooks: Vec<Hook>,
    /// This process as the host sees it.
    pub(super) pid: i32,
    /// The container; its id is that of its first process.
    pub(super) state: ContainerState,
}

/// Goes from here to the payload; returns only if a step fails.
///
/// The order, and why: the process hides first, for once it has no more capabilities than another container in its pid namespace,
/// that one could look into it. AppArmor's instruction is written while its file can be opened and before no_new_privs, under which
/// the kernel refuses some profiles. Groups and user change while CAP_SETGID and CAP_SETUID are there; capabilities shrink
/// to the end before the filter is loaded, so that the filter need not allow what only the runtime calls. Hooks of the container's
/// own are programs of the image: they run behind all walls of the payload, as in runc. Without them nothing is
/// allocated, opened or resolved between the filter and the program.
pub(super) fn finish(ready: &Ready, payload: &Payload) -> Result<Infallible, Failure> {
    let process = &payload.process;
    step("hide from other containers", super::hide)?;
    if let Some(profile) = &payload.apparmor {
        step("choose the AppArmor profile", || stockade_apparmor::apply::on_exec(&ready.procfs, profile))?;
    }
    let status = step("open the status file", || StatusFile::open(&ready.procfs))?;
    let before = step("read the status file", || status.read())?;
    let transition = step("plan the capabilities", || transition(payload, &before))?;
    step("drop capabilities", || stockade_capabilities::apply(&transition.before))?;
    step("set the supplementary groups", || set_groups(payload, &before))?;
    step("set the group id", || set_group(process.gid))?;
    step("set the user id", || set_user(process.uid))?;
    step("set capabilities", || stockade_capabilities::apply(&transition.after))?;
    if process.no_new_privileges {
        step("set no_new_privs", || rustix::thread::set_no_new_privs(true))?;
    }
    rustix::process::umask(Mode::from_raw_mode(process.umask));
    step("verify the securebits", verify::securebits)?;
    limit(&process.rlimits)?;
    let first_closed = 3 + payload.preserve_fds;
    step("close the runtime's files at exec", || stockade_kernel::exec::close_on_exec_from(first_closed))?;
    step("heed signals that the caller ignored", || signal::heed(before.ignored))?;
    step("reset the signals", signal::reset_for_exec)?;
    if let Some(filter) = &payload.filter {
        filter.load(ready.pid, &ready.state)?;
    }
    step("drop the last capability", || stockade_capabilities::apply(transition.last.as_slice()))?;
    // The payload is not executed yet, whatever `exec` and the seccomp agent are told.
    let created = ContainerState { status: ContainerStatus::Created, ..ready.state.clone() };
    step("run a startContainer hook", || hook::run(&ready.hooks, &created))?;
    let expected = ExpectedIdentity {
        process,
        sets: transition.expected.sets,
        filtered: payload.filter.is_some(),
        filters_before: before.seccomp_filters,
    };
    let after = step("read the status file", || status.read())?;
    step("verify what the kernel enforces", || expected.verify(&after))?;
    let executed = stockade_kernel::exec::execute(&ready.executable, &ready.arguments, &ready.environment);
    executed.map_err(|error| execution(&ready.executable, &error))
}

/// Sets the resource limits, of which those above the runtime's own were raised from outside, and reads them back.
fn limit(limits: &[ResourceLimit]) -> Result<(), Failure> {
    for (resource, soft, hard) in limits {
        let limit = Rlimit { current: *soft, maximum: *hard };
        let wall = format!("the resource limit {resource:?}");
        step(&format!("set {wall}"), || rustix::process::setrlimit(*resource, limit))?;
        step("verify what the kernel enforces", || verify::same(wall, &limit, &rustix::process::getrlimit(*resource)))?;
    }
    Ok(())
}

/// The failure of `execve(2)` in the words that engines look for.
fn execution(executable: &CString, error: &io::Error) -> Failure {
    Failure::new(&format!("exec {}", executable.to_string_lossy()), error)
}

/// The way from what the process has to what the payload shall have.
fn transition(payload: &Payload, before: &Status) -> Result<Transition, stockade_capabilities::PlanError> {
    let process = &payload.process;
    let bits = rustix::thread::capabilities_secure_bits().map_or(Securebits::NONE, |b| Securebits::from_bits(b.bits()));
    let now = State { sets: stockade_capabilities::observe::of_status(before), securebits: bits };
    // As in runc, a payload for which no capabilities are named gets none.
    let sets = process.capabilities.unwrap_or_default();
    let needs_admin = payload.filter.is_some() && !process.no_new_privileges;
    let request = Request {
        sets,
        securebits: Some(Securebits::NONE),
        user: Some(UserChange { from: before.uids[1], to: process.uid }),
        unavailable: Unavailable::Refuse,
        hold_sys_admin: needs_admin && !sets.effective.contains(Capability::SYS_ADMIN),
    };
    Transition::plan(&now, &request, payload.last_capability)
}

/// Sets exactly the groups of the plan; where the user namespace forbids that, it must be those that are there.
fn set_groups(payload: &Payload, before: &Status) -> io::Result<()> {
    let wanted: Vec<Gid> = payload.process.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    match rustix::thread::set_thread_groups(&wanted) {
        Err(_) if payload.process.groups == before.groups => Ok(()),
        result => Ok(result?),
    }
}

fn set_group(gid: u32) -> io::Result<()> {
    let gid = Gid::from_raw(gid);
    Ok(rustix::thread::set_thread_res_gid(gid, gid, gid)?)
}

fn set_user(uid: u32) -> io::Result<()> {
    let uid = Uid::from_raw(uid);
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}
