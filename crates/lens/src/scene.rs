//! One process as the kernel shows it, read once: what all checks look at.

use std::io;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use stockade_cgroups::{DeviceFilter, observe as cgroups};
use stockade_kernel::chain::chain;
use stockade_kernel::mount::info::{self, Mount};
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Descriptor, Procfs, Status, Subject};
use stockade_namespaces::{self as namespaces, Observed};
use stockade_seccomp::observe::{self as seccomp, Attached};
use stockade_spec::Linux;

use crate::asked::Asked;
use crate::audit::AuditError;
use crate::finding::Check;
use crate::ground::Ground;

/// What a reading gave, or why there is none, in words.
pub(crate) type Read<T> = Result<T, String>;

/// A process, read.
pub(crate) struct Scene<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) procfs: &'a Procfs,
    pub(crate) pid: i32,
    pub(crate) asked: Option<&'a Asked>,
    /// An audit to compare with.
    pub(crate) earlier: Option<&'a [Check]>,
    /// Addresses on which ports are published, where an engine knows them.
    pub(crate) ports: Option<&'a [String]>,
    pub(crate) status: Status,
    pub(crate) namespaces: Read<Observed>,
    /// The namespaces of whoever audits: the host's.
    pub(crate) host: &'a Observed,
    pub(crate) mounts: Read<Vec<Mount>>,
    pub(crate) host_mounts: &'a [Mount],
    pub(crate) root: Read<OwnedFd>,
    pub(crate) descriptors: Read<Vec<Descriptor>>,
    pub(crate) filters: Read<Vec<Attached>>,
    pub(crate) cgroups: Read<cgroups::Observed>,
    pub(crate) devices: Read<DeviceFilter>,
}

impl<'a> Scene<'a> {
    /// Reads the process `pid`.
    pub(crate) fn read(ground: &'a Ground, pid: i32, asked: Option<&'a Asked>) -> Result<Self, AuditError> {
        let procfs = &ground.procfs;
        let subject = Subject::Pid(pid);
        let failed = |what: &'static str| move |source: io::Error| AuditError::Read { pid, what, source };
        let status = procfs.status(subject).map_err(failed("status"))?;
        let groups = ground.groups.as_ref().map_err(Clone::clone);
        Ok(Self {
            ground,
            procfs,
            pid,
            asked,
            earlier: None,
            ports: None,
            status,
            namespaces: told(namespaces::observe(procfs, subject)),
            host: &ground.host,
            mounts: told(procfs.read(subject, "mountinfo").and_then(|text| info::parse(&text))),
            host_mounts: &ground.host_mounts,
            root: told(procfs.open_link(subject, "root")),
            descriptors: told(procfs.descriptors(subject)),
            filters: told(seccomp::filters(procfs, pid)),
            cgroups: groups.clone().and_then(|groups| groups.observe(procfs, pid).map_err(|error| chain(&error))),
            devices: groups.and_then(|groups| groups.device_filter(procfs, pid).map_err(|error| chain(&error))),
        })
    }

    /// The process, for procfs.
    pub(crate) fn subject(&self) -> Subject {
        Subject::Pid(self.pid)
    }

    /// The section `linux` of what was asked for.
    pub(crate) fn linux(&self) -> Option<&'a Linux> {
        self.asked?.spec.linux.as_ref()
    }

    /// Whether it shares these namespaces with the host; `true` where that cannot be read, as the worse case.
    pub(crate) fn shares(&self, kind: Namespaces) -> bool {
        self.namespaces.as_ref().map_or(true, |found| !found.differing(self.host).contains(kind))
    }

    /// Whether its users are the host's.
    pub(crate) fn shares_users(&self) -> bool {
        self.shares(Namespaces::USER)
    }

    /// Whether whoever audits is in a user namespace: what is shared with it is a user's, and not the host's.
    pub(crate) fn of_a_user(&self) -> bool {
        self.host.maps.users.ranges().iter().all(|range| range.count != u32::MAX)
    }

    /// Opens `path` below its root for looking at (`O_PATH`), without any link on the way; `None` if it is not there.
    ///
    /// A file system whose answers a program gives (FUSE) could hold the audit for ever, so that what is mounted as one is not entered.
    pub(crate) fn open(&self, path: &str) -> Read<Option<OwnedFd>> {
        let root = self.root.as_ref().map_err(Clone::clone)?;
        if let Some(mount) = self.answered_by_a_program(path)? {
            return Err(format!("{} at {path} is answered by a program", mount.fs_type));
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::LOOP) => Err("a symbolic link leads there".to_owned()),
            Err(errno) => Err(errno.to_string()),
        }
    }

    /// Whether `path` can be looked at without asking a program for it, as far as is known.
    pub(crate) fn may_look_at(&self, path: &str) -> bool {
        self.answered_by_a_program(path).is_ok_and(|mount| mount.is_none())
    }

    /// The mount over `path` whose answers a program gives.
    fn answered_by_a_program(&self, path: &str) -> Read<Option<&Mount>> {
        let mounts = self.mounts.as_ref().map_err(Clone::clone)?;
        Ok(mounts.iter().find(|mount| held_by_a_program(mount) && covers(&mount.point, path.as_bytes())))
    }

    /// The mount that is seen at `point`, the topmost one.
    pub(crate) fn mount_at(&self, point: &str) -> Option<&Mount> {
        let mounts = self.mounts.as_ref().ok()?;
        mounts.iter().rfind(|mount| mount.point == point.as_bytes())
    }
}

/// Whether the file system's answers are a program's. That of the root itself is the engine's own.
fn held_by_a_program(mount: &Mount) -> bool {
    mount.fs_type.starts_with("fuse") && mount.point != b"/"
}

/// Whether `path` is `point` or below it.
pub(crate) fn covers(point: &[u8], path: &[u8]) -> bool {
    point == b"/" || path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The reason in words.
pub(crate) fn told<T>(result: io::Result<T>) -> Read<T> {
    result.map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::TIMEDOUT) => {
            "the process does not stop: it is paused, or waits for what cannot be interrupted".to_owned()
        }
        Some(Errno::ACCESS | Errno::PERM) => "the kernel tells it to root only, who may trace the process".to_owned(),
        _ => error.to_string(),
    })
}

/// Text of a file that a stranger wrote, for a report.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect()
}
