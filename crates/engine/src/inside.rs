//! A child process whose root is a container's, with few rights: what reads and writes there for `cp` and `export`.
//!
//! The child executes nothing, loads nothing and parses nothing of the container's (CVE-2019-14271, CVE-2026-41567); it has a
//! mount namespace of its own, the container's root for its root, and only the capabilities that its work takes. What it finds and
//! what it is given passes between it and the caller as a stream. It dies with the caller.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stockade_kernel::chain::chain;
use stockade_kernel::exec::exit_now;
use stockade_kernel::namespace::{Namespaces, setns};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_storage::ContainerRoot;
use stockade_storage::pack::{Owners, Range};

use crate::container::{CONFIG, ContainerError, Locked, View};
use crate::identity::reap;
use crate::idmap::Mappings;
use crate::{Engine, confine, files, inside_mounts};

/// Which file system the child's root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// What the container sees: all its mounts while it runs, otherwise those of the host's folders and files.
    WithMounts,
    /// The image and what the container wrote, without anything that is mounted.
    RootAlone,
}

/// What the child may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Read everything.
    Read,
    /// Make, change and remove everything.
    Write,
}

/// Why a child did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum InsideError {
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The child could not be made or heard.
    #[error("cannot work in the container's file system")]
    Process(#[source] io::Error),
    /// What the child said.
    #[error("{0}")]
    Told(String),
}

/// A child at work.
#[derive(Debug)]
pub(crate) struct Inside {
    pidfd: OwnedFd,
    answer: File,
}

/// What the child works with.
pub(crate) struct Here<'a> {
    /// The container's root, which is the child's.
    pub(crate) root: BorrowedFd<'a>,
    /// The host's procfs.
    pub(crate) procfs: &'a Procfs,
    /// The container's ids.
    pub(crate) owners: &'a Owners,
}

/// The ids of the container.
pub(crate) fn owners(view: &View) -> Owners {
    let ranges = |map: &[stockade_spec::IdMapping]| {
        let range = |range: &stockade_spec::IdMapping| Range {
            inside: range.container_id,
            outside: range.host_id,
            size: range.size,
        };
        map.iter().map(range).collect()
    };
    Owners { uids: ranges(&view.record.uid_mappings), gids: ranges(&view.record.gid_mappings) }
}

/// Makes a child in the file system of the locked container and has it `work` there. What `work` holds open is the child's too; the
/// caller drops its own ends of streams.
///
/// # Errors
/// If there is no child. What goes wrong in it is told by [`Inside::finish`].
pub(crate) fn begin<T: Serialize>(
    engine: &Engine,
    folder: &Locked,
    view: &View,
    seen: Seen,
    rights: Rights,
    work: impl FnOnce(&Here<'_>) -> Result<T, String>,
) -> Result<Inside, InsideError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| InsideError::Process(errno.into()))?;
    let Some(pidfd) = confine::fork().map_err(InsideError::Process)? else {
        let answer = enter(engine, folder, view, seen, rights)
            .and_then(|(root, procfs)| work(&Here { root: root.as_fd(), procfs: &procfs, owners: &owners(view) }));
        let text = serde_json::to_vec(&answer).unwrap_or_default();
        exit_now(u8::from(File::from(writer).write_all(&text).is_err()));
    };
    drop(writer);
    Ok(Inside { pidfd, answer: File::from(reader) })
}

/// The most that a child answers.
const LONGEST_ANSWER: u64 = 1 << 20;

impl Inside {
    /// Waits for the child's end: its answer.
    ///
    /// # Errors
    /// [`InsideError::Told`] if its work failed.
    pub(crate) fn finish<T: DeserializeOwned>(self) -> Result<T, InsideError> {
        let mut text = Vec::new();
        let read = (&self.answer).take(LONGEST_ANSWER).read_to_end(&mut text);
        reap(&self.pidfd).map_err(InsideError::Process)?;
        read.map_err(InsideError::Process)?;
        if text.is_empty() {
            return Err(InsideError::Told("the process in the container's file system was killed".into()));
        }
        let answer: Result<T, String> =
            serde_json::from_slice(&text).map_err(|error| InsideError::Process(error.into()))?;
        answer.map_err(InsideError::Told)
    }
}

/// A child that nobody listens to any more has nothing to do.
impl Drop for Inside {
    fn drop(&mut self) {
        // One that has ended needs neither.
        rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL).unwrap_or_default();
        reap(&self.pidfd).unwrap_or_default();
    }
}

/// For `map_err`.
fn cannot<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("cannot {what}: {}", error.into())
}

/// In the child: goes where it is to work and gives up what that does not take.
fn enter(
    engine: &Engine,
    folder: &Locked,
    view: &View,
    seen: Seen,
    rights: Rights,
) -> Result<(OwnedFd, Procfs), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(cannot("tie the process to its caller"))?;
    let procfs = Procfs::host().map_err(cannot("open /proc"))?;
    let root = match (view.pid, seen) {
        (Some(pid), Seen::WithMounts) => root_of(&procfs, pid, view.monitor)?,
        (Some(_), Seen::RootAlone) => in_the_monitors(folder)?,
        (None, _) => mounted(engine, folder, view, seen)?,
    };
    rustix::process::umask(Mode::empty());
    rustix::process::fchdir(&root)
        .and_then(|()| rustix::process::chroot("."))
        .map_err(cannot("enter the container's root"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty()).map_err(cannot("open the container's root"))?;
    let mappings = Mappings { uids: &view.record.uid_mappings, gids: &view.record.gid_mappings };
    if let (Rights::Write, Some(ids)) = (rights, mappings.root()) {
        become_root_of(ids).map_err(cannot("become root of the container"))?;
    }
    give_up(rights).map_err(cannot("give up rights"))?;
    Ok((root, procfs))
}

/// The root of the container's first process. Its number may be another process' by now: it is the monitor's child, and still
/// there when its root was opened.
pub(crate) fn root_of(procfs: &Procfs, pid: i32, monitor: Option<i32>) -> Result<OwnedFd, String> {
    let gone = || "the container has just ended".to_owned();
    let process = Pid::from_raw(pid).ok_or_else(gone)?;
    let pidfd = pidfd_open(process, PidfdFlags::empty()).map_err(|_gone| gone())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(procfs.as_fd(), format!("{pid}/root"), flags, Mode::empty());
    let root = root.map_err(cannot("open the container's root"))?;
    let parent = procfs.status(Subject::Pid(pid)).map_err(|_gone| gone())?.parent;
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    if ended.map_err(cannot("look at the container's process"))? > 0 || Some(parent) != monitor {
        return Err(gone());
    }
    Ok(root)
}

/// The root as the container's monitor has it mounted: nothing of the container's is mounted on it there.
fn in_the_monitors(folder: &Locked) -> Result<OwnedFd, String> {
    let monitor = folder.0.monitor().map_err(|error| chain(&error))?;
    let monitor = monitor.ok_or_else(|| "the container has just ended".to_owned())?;
    setns(&monitor, Namespaces::MOUNT).map_err(cannot("enter the mount namespace of the container's monitor"))?;
    open_merged(folder)
}

/// The root of a container that does not run, mounted for this process alone.
fn mounted(engine: &Engine, folder: &Locked, view: &View, seen: Seen) -> Result<OwnedFd, String> {
    let root = ContainerRoot::at(&folder.0.path);
    let record = &view.record;
    let mappings = Mappings { uids: &record.uid_mappings, gids: &record.gid_mappings };
    confine::mount_root(&root, &record.image.lowers, mappings).map_err(|error| chain(&error))?;
    let root = open_merged(folder)?;
    if seen == Seen::WithMounts {
        let spec: Option<stockade_spec::Spec> = folder.0.read(CONFIG).map_err(|error| chain(&error))?;
        let spec = spec.ok_or_else(|| "the container's configuration is missing".to_owned())?;
        engine.mount_parts(record, &folder.0.path)?;
        inside_mounts::mount(&root, &spec).map_err(|error| chain(&error))?;
    }
    Ok(root)
}

fn open_merged(folder: &Locked) -> Result<OwnedFd, String> {
    let root = ContainerRoot::at(&folder.0.path);
    files::open_folder(&root.merged).map_err(cannot("open the container's root"))
}

/// Makes files as the root of a user namespace makes them, which is `uid` and `gid` here: mounts that show other ids take none from
/// anybody that they do not show. The capabilities stay permitted.
fn become_root_of((uid, gid): (u32, u32)) -> Result<(), Errno> {
    use rustix::process::{Gid, Uid};
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::from_raw(gid), Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::from_raw(uid), Uid::ROOT)?;
    // The kernel forgets it with the ids.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
}

/// Leaves no capability but those that the work takes, and no way to new ones.
fn give_up(rights: Rights) -> Result<(), Errno> {
    let kept = match rights {
        Rights::Read => CapabilitySet::DAC_READ_SEARCH,
        Rights::Write => {
            CapabilitySet::CHOWN
                | CapabilitySet::DAC_OVERRIDE
                | CapabilitySet::DAC_READ_SEARCH
                | CapabilitySet::FOWNER
                | CapabilitySet::FSETID
                | CapabilitySet::MKNOD
                | CapabilitySet::SETFCAP
        }
    };
    rustix::thread::set_no_new_privs(true)?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}
