//! What the kernel says of this process, held against what was planned; on any difference the payload is not executed.

use std::io;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use stockade_capabilities::{Securebits, Sets, Which};
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Procfs, Status, Subject};
use stockade_namespaces::inodes;

use crate::plan::model::ProcessPlan;

/// What is in force is not what was planned, or can not be known.
#[derive(Debug, thiserror::Error)]
pub(super) enum VerifyError {
    /// The kernel did not answer.
    #[error("cannot read {0} of this process")]
    Read(&'static str, #[source] io::Error),
    /// The kernel's answer is another one.
    #[error("{wall} is {found} and not {expected} as planned")]
    Differs {
        /// Which wall.
        wall: String,
        /// The plan.
        expected: String,
        /// The kernel's answer.
        found: String,
    },
}

/// Fails with the name of `wall` unless both are the same.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(
    wall: impl Into<String>,
    expected: &T,
    found: &T,
) -> Result<(), VerifyError> {
    if expected == found {
        return Ok(());
    }
    Err(VerifyError::Differs { wall: wall.into(), expected: format!("{expected:?}"), found: format!("{found:?}") })
}

/// The namespaces in which the process has to be.
#[derive(Debug)]
pub(super) struct ExpectedNamespaces {
    /// Those of the runtime, before the process was made, by their inode numbers.
    pub(super) own: Vec<(Namespaces, u64)>,
    /// Those that must be none of the runtime's.
    pub(super) new: Namespaces,
    /// Those that were joined, by their inode numbers.
    pub(super) joined: Vec<(Namespaces, u64)>,
}

impl ExpectedNamespaces {
    /// Whether one of them is a user namespace, so that ids are not the host's.
    pub(super) fn is_in_other_user_namespace(&self) -> bool {
        let joined = self.joined.iter().any(|(kind, _)| *kind == Namespaces::USER);
        joined || self.new.contains(Namespaces::USER)
    }

    /// Holds the calling process against them.
    pub(super) fn verify(&self, procfs: &Procfs) -> Result<(), VerifyError> {
        let found = inodes(procfs, Subject::Myself).map_err(|source| VerifyError::Read("the namespaces", source))?;
        let joined = |kind| self.joined.iter().find(|(joined, _)| *joined == kind).map(|(_, inode)| *inode);
        for (kind, inode) in &found {
            let own = self.own.iter().find(|(own, _)| own == kind).map(|(_, inode)| *inode);
            let wall = || format!("the namespace {kind:?}");
            match (joined(*kind), own) {
                (Some(expected), _) => same(wall(), &expected, inode)?,
                (None, Some(own)) if self.new.contains(*kind) => {
                    if own == *inode {
                        let (expected, found) = ("a new one".to_owned(), "the runtime's".to_owned());
                        return Err(VerifyError::Differs { wall: wall(), expected, found });
                    }
                }
                (None, own) => same(wall(), &own, &Some(*inode))?,
            }
        }
        let missing = self.new - found.iter().fold(Namespaces::empty(), |all, (kind, _)| all | *kind);
        same("the set of namespaces that could not be seen", &Namespaces::empty(), &missing)
    }
}

/// The file in which the kernel tells the identity and walls of this process, opened before a filter could forbid that.
#[derive(Debug)]
pub(super) struct StatusFile(OwnedFd);

impl StatusFile {
    /// Opens it.
    pub(super) fn open(procfs: &Procfs) -> io::Result<Self> {
        procfs.open(Subject::Myself, "status", OFlags::RDONLY).map(Self)
    }

    /// Reads it with a single `pread(2)`.
    pub(super) fn read(&self) -> io::Result<Status> {
        let mut buffer = [0u8; 8 << 10];
        let length = rustix::io::retry_on_intr(|| rustix::io::pread(self.0.as_fd(), &mut buffer[..], 0))?;
        Status::parse(&buffer[..length])
    }
}

/// The identity and walls of the process right before it executes the payload.
#[derive(Debug)]
pub(super) struct ExpectedIdentity<'a> {
    /// Whose.
    pub(super) process: &'a ProcessPlan,
    /// The five sets.
    pub(super) sets: Sets,
    /// Whether a filter was loaded.
    pub(super) filtered: bool,
    /// How many filters there were before that.
    pub(super) filters_before: Option<u32>,
}

impl ExpectedIdentity<'_> {
    /// Holds `status` against it.
    pub(super) fn verify(&self, status: &Status) -> Result<(), VerifyError> {
        same("the user id", &[self.process.uid; 4], &status.uids)?;
        same("the group id", &[self.process.gid; 4], &status.gids)?;
        let sorted = |groups: &[u32]| {
            let mut groups = groups.to_vec();
            groups.sort_unstable();
            groups
        };
        same("the list of supplementary groups", &sorted(&self.process.groups), &sorted(&status.groups))?;
        let found = stockade_capabilities::observe::of_status(status);
        for which in Which::ALL {
            let (expected, found) = (self.sets.get(which), found.get(which));
            if expected != found {
                let wall = format!("the {which} capability set");
                return Err(VerifyError::Differs { wall, expected: expected.to_string(), found: found.to_string() });
            }
        }
        same("no_new_privs", &self.process.no_new_privileges, &status.no_new_privs)?;
        if self.filtered {
            same("the seccomp mode", &2, &status.seccomp)?;
        }
        let filters = self.filters_before.map(|before| before + u32::from(self.filtered));
        same("the number of seccomp filters", &filters, &status.seccomp_filters)
    }
}

/// The securebits of a payload: none, whatever the runtime was started with.
pub(super) fn securebits() -> Result<(), VerifyError> {
    let bits = rustix::thread::capabilities_secure_bits();
    let bits = bits.map_err(|errno| VerifyError::Read("the securebits", errno.into()))?;
    same("the securebits", &Securebits::NONE.bits(), &bits.bits())
}
