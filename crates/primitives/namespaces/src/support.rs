//! What the running kernel can do, and what this machine lets be done.

use std::io;

use rustix::io::Errno;
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Procfs, Subject};

use crate::observe::KINDS;

/// The sysctls that keep user namespaces from users without privileges, with the value that does: Debian's of old, and Ubuntu's.
const FORBIDDING: [(&str, &str); 2] =
    [("sys/kernel/unprivileged_userns_clone", "0"), ("sys/kernel/apparmor_restrict_unprivileged_userns", "1")];

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// The kinds that the kernel has.
    pub kinds: Namespaces,
    /// How many of each kind a user may have in the reader's user namespace (`/proc/sys/user/max_*_namespaces`); kinds without
    /// such a limit are missing. 0 means that nobody can make one.
    pub limits: Vec<(Namespaces, u64)>,
    /// Whether a user without privileges can make a user namespace that is of use.
    pub unprivileged: bool,
}

impl Support {
    /// The kinds that can be made: the kernel has them, and their limit is not 0.
    #[must_use]
    pub fn possible(&self) -> Namespaces {
        let forbidden = self.limits.iter().filter(|(_, limit)| *limit == 0);
        forbidden.fold(self.kinds, |kinds, (kind, _)| kinds - *kind)
    }
}

/// Reads it.
///
/// # Errors
/// As `read(2)`; `EBADMSG` if a limit is no number.
pub fn support(procfs: &Procfs) -> io::Result<Support> {
    let mut kinds = Namespaces::empty();
    let mut limits = Vec::new();
    for (kind, name) in KINDS {
        match procfs.read_link(Subject::Myself, &format!("ns/{name}")) {
            Ok(_) => kinds |= kind,
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => continue,
            Err(error) => return Err(error),
        }
        if let Some(text) = sysctl(procfs, &format!("sys/user/max_{name}_namespaces"))? {
            limits.push((kind, text.parse().map_err(|_wrong| io::Error::from(Errno::BADMSG))?));
        }
    }
    let mut unprivileged = kinds.contains(Namespaces::USER) && !limits.contains(&(Namespaces::USER, 0));
    for (path, forbids) in FORBIDDING {
        unprivileged &= sysctl(procfs, path)?.as_deref() != Some(forbids);
    }
    Ok(Support { kinds, limits, unprivileged })
}

/// The value at `path`, `None` where the kernel has no such file.
fn sysctl(procfs: &Procfs, path: &str) -> io::Result<Option<String>> {
    match procfs.read_at(path) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim().to_owned())),
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}
