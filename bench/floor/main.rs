//! What a container costs at least: only the work that the kernel has to be told to do, for the same bundle as the runtimes get
//! (Docker's posture on busybox), with everything known beforehand. Nothing is parsed, checked, read back, recorded, or protected
//! against anybody, so this is no runtime. How far a runtime is from it is what it does besides.
//!
//! - `floor run FILTER ROOT HIERARCHIES GROUP PROGRAM...` makes the groups, the process with its namespaces, the mounts; gives up
//!   capabilities, loads the filter, executes; waits; removes the groups.
//! - `floor exec PID FILTER HIERARCHIES GROUP PROGRAM...` joins the namespaces and groups of the process, gives up, loads, executes, waits.
//!
//! `FILTER` is a file of BPF instructions (`measure filter`), `HIERARCHIES` the mounts of the cgroup hierarchies with commas between
//! them. On cgroup v2 no device program is put on the group.

mod groups;
mod root;
mod walls;

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, waitid};
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::{Strings, execute, exit_now};
use stockade_kernel::namespace::{Namespaces, setns, unshare};

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("floor: cannot {0}: {1}")]
struct Failed(&'static str, std::io::Error);

/// For `map_err`.
fn to<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> Failed {
    move |error| Failed(what, error.into())
}

/// The namespaces of Docker's containers but the cgroup namespace, which the process makes when it is in its groups.
const NEW: Namespaces =
    Namespaces::MOUNT.union(Namespaces::NET).union(Namespaces::UTS).union(Namespaces::PID).union(Namespaces::IPC);

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match words.split_first_chunk::<5>() {
        Some(([verb, one, two, hierarchies, group], program)) if !program.is_empty() => {
            let hierarchies: Vec<&str> = hierarchies.to_str().unwrap_or_default().split(',').collect();
            let group = group.to_str().unwrap_or_default();
            match verb.to_str() {
                Some("run") => run(one, two, &hierarchies, group, program),
                Some("exec") => join(one, two, &hierarchies, group, program),
                _ => Err(usage()),
            }
        }
        _ => Err(usage()),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> Failed {
    Failed("read the command line", std::io::Error::other("see the head of bench/floor/main.rs"))
}

/// What is executed, prepared before the process is made.
fn program(words: &[OsString]) -> Result<(CString, Strings, Strings), Failed> {
    let arguments =
        Strings::from_bytes(words.iter().map(|word| word.clone().into_vec())).map_err(to("take arguments"))?;
    let path = CString::new(words[0].clone().into_vec()).map_err(to("take the program"))?;
    let environment = Strings::from_bytes([&b"PATH=/usr/bin:/bin"[..], b"HOME=/root"]).map_err(to("take arguments"))?;
    Ok((path, arguments, environment))
}

/// A container from nothing to nothing; the program's exit code.
fn run(
    filter: &OsString,
    rootfs: &OsString,
    hierarchies: &[&str],
    group: &str,
    words: &[OsString],
) -> Result<u8, Failed> {
    let filter = walls::filter(filter)?;
    let (path, arguments, environment) = program(words)?;
    let made = groups::make(hierarchies, group)?;
    let request = Request { new: NEW, into_cgroup: made.unified(), sibling: false };
    let pidfd = match clone3(&request).map_err(to("make a process"))? {
        Forked::Parent { pidfd, .. } => pidfd,
        Forked::Child => {
            let confine = || {
                made.join()?;
                rustix::process::setsid().map_err(to("start a session"))?;
                unshare(Namespaces::CGROUP).map_err(to("make a cgroup namespace"))?;
                stockade_kernel::netlink::loopback_up()
                    .map_err(|error| Failed("set lo up", std::io::Error::other(error)))?;
                rustix::system::sethostname(b"box").map_err(to("set the host name"))?;
                root::enter(rootfs, hierarchies, group)?;
                walls::confine(&filter)
            };
            become_program(confine(), &path, &arguments, &environment)
        }
    };
    let status = waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)), WaitIdOptions::EXITED).map_err(to("wait"))?;
    made.remove(group)?;
    Ok(status.and_then(|status| status.exit_status()).map_or(125, |code| code as u8))
}

/// Executes the program in a process that was confined, and says why if there is none.
fn become_program(confined: Result<(), Failed>, path: &CString, arguments: &Strings, environment: &Strings) -> ! {
    let failed = confined.err().unwrap_or_else(|| {
        let error = execute(path, arguments, environment).err();
        Failed("execute", error.unwrap_or_else(|| std::io::Error::other("it came back")))
    });
    eprintln!("{failed}");
    exit_now(125)
}

/// One more process in the container of the process `pid`.
fn join(
    pid: &OsString,
    filter: &OsString,
    hierarchies: &[&str],
    group: &str,
    words: &[OsString],
) -> Result<u8, Failed> {
    let filter = walls::filter(filter)?;
    let (path, arguments, environment) = program(words)?;
    let pid = pid.to_str().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw).ok_or_else(usage)?;
    let init = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(to("open the process"))?;
    let there = groups::open(hierarchies, group)?;
    setns(&init, NEW.union(Namespaces::CGROUP)).map_err(to("join the namespaces"))?;
    let request = Request { new: Namespaces::empty(), into_cgroup: there.unified(), sibling: false };
    let pidfd = match clone3(&request).map_err(to("make a process"))? {
        Forked::Parent { pidfd, .. } => pidfd,
        Forked::Child => {
            let confined = there.join().and_then(|()| walls::confine(&filter));
            become_program(confined, &path, &arguments, &environment)
        }
    };
    let status = waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)), WaitIdOptions::EXITED).map_err(to("wait"))?;
    Ok(status.and_then(|status| status.exit_status()).map_or(125, |code| code as u8))
}
