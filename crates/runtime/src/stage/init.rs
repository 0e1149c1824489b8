//! The container's first process, from its birth to the moment in which it waits for `start`.

use std::io;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Signal, Uid};
use stockade_kernel::namespace::{self, Namespaces};
use stockade_kernel::procfs::Procfs;
use stockade_kernel::{exec, keyring, netlink, sched};
use stockade_spec::State;

use super::channel::{Channel, Order, Report};
use super::failure::{Failure, step};
use super::finish::{Ready, finish};
use super::prepare::{Keyring, Payload, Prepared};
use super::start_socket::StartSocket;
use super::{cgroup_mounts, console, environment, lookup, stdio, sysctls};
use crate::hook;
use crate::plan::Plan;
use crate::plan::model::{MountSource, Rootfs};
use crate::rootfs::mask::Covers;
use crate::rootfs::{Root, Way};

/// Runs in the child, and ends at once if `born` is a failure; never returns. `start` is where it waits, if not for the runtime's own word.
pub(super) fn run(prepared: &Prepared, start: Option<&StartSocket>, channel: Channel, born: Result<(), Failure>) -> ! {
    let ready = match born.and_then(|()| create(prepared, &channel)) {
        Ok(ready) => ready,
        Err(failure) => report(&channel, failure),
    };
    if channel.send(&Report::Ready).is_err() {
        exec::exit_now(1);
    }
    let order = channel.receive();
    match (order, start) {
        (Ok(Some(Order::Start)), None) => match step("outlive the runtime", outlive_parent) {
            Ok(()) => report(&channel, go(&ready, &prepared.payload)),
            Err(failure) => report(&channel, failure),
        },
        (Ok(Some(Order::Commit)), Some(start)) => {
            if outlive_parent().is_err() || channel.send(&Report::Ready).is_err() {
                exec::exit_now(1);
            }
            drop(channel);
            wait_for_start(&ready, &prepared.payload, start)
        }
        // The runtime is gone, and nobody knows of this container.
        _ => exec::exit_now(1),
    }
}

/// The last stage; the failure if it comes back.
fn go(ready: &Option<Ready>, payload: &Option<Payload>) -> Failure {
    match (ready, payload) {
        (Some(ready), Some(payload)) => match finish(ready, payload) {
            Err(failure) => failure,
            Ok(never) => match never {},
        },
        _ => Failure::because("start the container", "process is missing: config.json names no payload"),
    }
}

/// Waits at `start.sock`. Only a failure to start comes back, and ends the container.
fn wait_for_start(ready: &Option<Ready>, payload: &Option<Payload>, start: &StartSocket) -> ! {
    match start.accept() {
        Ok(starter) => report(&starter, go(ready, payload)),
        Err(_) => exec::exit_now(1),
    }
}

/// Tells `failure` and ends: whoever is told knows that the process has not become the payload.
fn report(channel: &Channel, failure: Failure) -> ! {
    match channel.send(&Report::Failed(failure)) {
        Ok(()) => exec::exit_now(1),
        Err(_) => exec::exit_now(2),
    }
}

/// The order of confinement before `start`.
///
/// The process belongs to its cgroups before it does anything that costs, and to its namespaces before it looks at a path.
/// The cgroup namespace comes after the cgroups, because it is rooted where its maker is. All mounts are made before the
/// root is entered, by descriptors inside it; masks come after the hooks that may still mount. The session gets its
/// terminal from the container's own devpts. Nothing of the image is executed.
fn create(prepared: &Prepared, channel: &Channel) -> Result<Option<Ready>, Failure> {
    let plan = &prepared.plan;
    step("arrange to die with the runtime", die_with_parent)?;
    step("join the cgroups", || stockade_cgroups::join_from(prepared.group.join_fds()))?;
    step("speak with the runtime", || channel.send(&Report::Joined))?;
    if plan.namespaces.maps().is_some() {
        expect(channel, &Order::Mapped)?;
    }
    join_namespaces(prepared)?;
    if prepared.in_other_user_namespace() {
        step("become root of the user namespace", become_root)?;
        step("arrange to die with the runtime", die_with_parent)?;
    }
    step("start a session", rustix::process::setsid)?;
    if prepared.keyring == Keyring::New {
        step("make a session keyring", || new_keyring(&prepared.state.id))?;
    }
    step("make a cgroup namespace", || unshare_if_any(plan.namespaces.unshared_by_child()))?;
    let procfs = step("open a private procfs", Procfs::private)?;
    if plan.namespaces.new_ones().contains(Namespaces::NET) {
        step("set the loopback interface up", netlink::loopback_up)?;
    }
    step("verify the namespaces", || prepared.expected.verify(&procfs))?;
    let state = wait_for_outside(prepared, channel)?;
    names(plan)?;
    let root = root(prepared)?;
    let terminal = terminal(prepared, &root)?;
    step("set kernel parameters", || sysctls::write(&procfs, &plan.sysctls))?;
    step("run a createContainer hook", || hook::run(&plan.hooks.create_container, &state))?;
    let root = confine_root(&plan.rootfs, prepared.way, root)?;
    if let Some(process) = &plan.process {
        if let Some((slave, size)) = terminal {
            step("take the terminal", || console::take(&slave, size, process.uid))?;
        }
        step("hand standard input and output over", || stdio::hand_over(&procfs, &root, process.uid))?;
    }
    schedule(plan)?;
    let hooks = plan.hooks.start_container.clone();
    prepared.payload.as_ref().map(|payload| payload.ready(root, procfs, hooks, state)).transpose()
}

/// Ends this process when the runtime ends. It may have ended before: then the first message finds nobody.
pub(super) fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// The container is recorded: from now on it goes on when the runtime ends.
pub(super) fn outlive_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(None)?)
}

/// Waits for exactly `order`.
fn expect(channel: &Channel, order: &Order) -> Result<(), Failure> {
    match step("hear from the runtime", || channel.receive::<Order>())? {
        Some(received) if received == *order => Ok(()),
        _ => Err(Failure::because("hear from the runtime", "it has ended")),
    }
}

/// Enters the namespaces that were given by path; the user namespace and the pid namespace were entered before birth.
fn join_namespaces(prepared: &Prepared) -> Result<(), Failure> {
    for (kind, fd) in &prepared.joined {
        if !Namespaces::USER.union(Namespaces::PID).contains(*kind) {
            step(&format!("join the namespace {kind:?}"), || namespace::setns(fd, *kind))?;
        }
    }
    Ok(())
}

/// All ids of the process become 0 of its user namespace.
pub(super) fn become_root() -> io::Result<()> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    match rustix::thread::set_thread_groups(&[]) {
        // Where setgroups is denied (user_namespaces(7)) the maker's groups stay, and the last stage compares them.
        Err(Errno::PERM) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A session keyring of the container's own, so that it does not share the host's. Kernels without keys have none to share.
pub(super) fn new_keyring(id: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(format!("_ses.{id}"))?;
    match keyring::join_session(&name) {
        Ok(key) => keyring::allow_user_search(key),
        Err(error) if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => Ok(()),
        Err(error) => Err(error),
    }
}

fn unshare_if_any(kinds: Namespaces) -> io::Result<()> {
    if kinds.is_empty() { Ok(()) } else { namespace::unshare(kinds) }
}

/// Lets the runtime do its part from outside, if it has one, and learns the state with this process' id on the host.
fn wait_for_outside(prepared: &Prepared, channel: &Channel) -> Result<State, Failure> {
    let mut state = prepared.state.clone();
    if prepared.has_part_outside() {
        step("speak with the runtime", || channel.send(&Report::Namespaced))?;
        match step("hear from the runtime", || channel.receive::<Order>())? {
            Some(Order::Continue(pid)) => state.pid = pid,
            _ => return Err(Failure::because("hear from the runtime", "it has ended")),
        }
    }
    Ok(state)
}

fn names(plan: &Plan) -> Result<(), Failure> {
    if let Some(name) = &plan.hostname {
        step("set the host name", || rustix::system::sethostname(name.as_bytes()))?;
    }
    if let Some(name) = &plan.domainname {
        step("set the domain name", || rustix::system::setdomainname(name.as_bytes()))?;
    }
    Ok(())
}

/// The root file system with all that is mounted in it.
fn root(prepared: &Prepared) -> Result<Root, Failure> {
    let plan = &prepared.plan.rootfs;
    let name = "prepare the root file system";
    let root = step(name, || Root::prepare(&plan.path, plan.tie(), prepared.root.as_ref()))?;
    for (mount, tree) in plan.mounts.iter().zip(&prepared.trees) {
        step(name, || match mount.source {
            MountSource::Cgroup { readonly } => cgroup_mounts::mount(&root, mount, &prepared.group.places(), readonly),
            _ => root.mount(mount, tree.as_ref()),
        })?;
    }
    if plan.populate_dev {
        rustix::process::umask(Mode::empty());
        for device in &plan.devices {
            step(name, || root.make_device(device, prepared.node_source()))?;
        }
        rustix::process::umask(Mode::from_raw_mode(0o022));
        step(name, || root.make_device_links())?;
    }
    if let Some(payload) = &prepared.payload {
        step(name, || root.make_folder(&payload.process.cwd))?;
    }
    Ok(root)
}

/// A terminal's inner side and its size.
type Slave = (rustix::fd::OwnedFd, Option<(u16, u16)>);

/// The terminal of the payload, if it gets one: the outer side goes to the engine.
fn terminal(prepared: &Prepared, root: &Root) -> Result<Option<Slave>, Failure> {
    let Some((size, console)) = prepared.payload.as_ref().and_then(Payload::terminal) else {
        return Ok(None);
    };
    let terminal = step("open a terminal", || root.open_terminal())?;
    step("hand the terminal over", || console.send(&terminal.master))?;
    Ok(Some((terminal.slave, size)))
}

/// Masks and read-only paths, and then the root itself.
fn confine_root(plan: &Rootfs, way: Way, root: Root) -> Result<Root, Failure> {
    if !plan.masked_paths.is_empty() {
        let covers = step("mask paths", || Covers::prepare(&root))?;
        for path in &plan.masked_paths {
            step("mask paths", || root.mask(path, &covers))?;
        }
    }
    for path in &plan.readonly_paths {
        step("make paths read-only", || root.make_read_only(path))?;
    }
    step("enter the root file system", || root.enter(way, plan.propagation, plan.readonly))
}

/// What the kernel's schedulers are told of the payload, inherited through exec.
fn schedule(plan: &Plan) -> Result<(), Failure> {
    if let Some(personality) = plan.personality {
        step("set the personality", || sched::set_personality(personality))?;
    }
    if let Some(policy) = &plan.memory_policy {
        step("set the memory policy", || sched::set_memory_policy(policy.mode, policy.flags, &policy.nodes))?;
    }
    plan.process.as_ref().map_or(Ok(()), schedule_process)
}

/// The process' own part of it.
pub(super) fn schedule_process(process: &crate::plan::model::ProcessPlan) -> Result<(), Failure> {
    if let Some((class, level)) = process.io_priority {
        step("set the i/o priority", || sched::set_io_priority(class, level))?;
    }
    if let Some(scheduler) = &process.scheduler {
        step("set the scheduling policy", || sched::set_scheduler(scheduler))?;
    }
    Ok(())
}

/// The working directory is not in the container's root: CVE-2024-21626, and the same by a race.
#[derive(Debug, thiserror::Error)]
#[error("the working directory {0} is outside of the container's root")]
struct Outside(String);

impl Payload {
    /// Looks up, in the container's root and as far as it is entered, all that the last stage needs.
    pub(super) fn ready(
        &self,
        root: impl rustix::fd::AsFd,
        procfs: Procfs,
        hooks: Vec<stockade_spec::Hook>,
        state: State,
    ) -> Result<Ready, Failure> {
        let process = &self.process;
        step("change to the working directory", || enter_folder(&process.cwd))?;
        let search = environment::value(&process.env, "PATH");
        let program = process.args.first().map(std::ffi::OsString::as_os_str).unwrap_or_default();
        let executable = step("find the program", || lookup::executable(program, search))?;
        let arguments = step("prepare the arguments", || environment::arguments(&process.args))?;
        let complete = environment::complete(&process.env, process.uid, root);
        let environment = step("prepare the environment", || environment::strings(complete))?;
        Ok(Ready { procfs, executable, arguments, environment, hooks, pid: state.pid, state })
    }
}

/// Changes to `path`, resolved without magic links, and makes sure that it is below the root.
fn enter_folder(path: &std::path::Path) -> io::Result<()> {
    use rustix::fs::{CWD, OFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let folder = stockade_kernel::resolve::open_in_root(CWD, "/", flags, Mode::empty())
        .and_then(|root| stockade_kernel::resolve::open_in_root(&root, path, flags, Mode::empty()))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    rustix::process::fchdir(&folder)?;
    let here = rustix::process::getcwd(Vec::new())?;
    if here.as_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(io::Error::other(Outside(here.to_string_lossy().into_owned())))
    }
}
