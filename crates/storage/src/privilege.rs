//! What this process may do to files, and so in which form it keeps layers.
//!
//! Outside of the initial user namespace overlayfs keeps its marks in `user.*` attributes (mount option `userxattr`, Linux 5.11,
//! `Documentation/filesystems/overlayfs.rst`), no device can be made but the whiteout 0:0 (Linux 5.8), and files can belong to
//! mapped users only. Layers that were unpacked in one form say something else when they are read in another: a directory that hides what
//! is below it shows that again. So a folder of layers has one form for good.

use std::io;
use std::path::Path;

use stockade_kernel::procfs::{Procfs, Subject};

/// The inode number of the initial user namespace (`PROC_USER_INIT_INO` of `include/uapi/linux/nsfs.h`).
const INITIAL: u64 = 0xEFFF_FFFD;

/// What this process may do to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// What root may.
    Host,
    /// It is root of a user namespace that has users: devices of images are left out, and an owner that is not mapped is an error.
    UserNamespace,
    /// It is the only user of its user namespace: devices are left out, and every file belongs to it.
    SingleId,
}

impl Privilege {
    /// That of this process.
    ///
    /// # Errors
    /// As reading `/proc/self`.
    pub fn here() -> io::Result<Self> {
        Self::by(&Procfs::host()?)
    }

    /// That of this process, asked of the procfs of its own pid namespace: where its root is a container's, `/proc` is a stranger's.
    ///
    /// # Errors
    /// As reading what `procfs` has of this process.
    pub fn by(procfs: &Procfs) -> io::Result<Self> {
        let namespace = procfs.open_namespace(Subject::Myself, "user")?;
        if rustix::fs::fstat(namespace)?.st_ino == INITIAL {
            return Ok(Self::Host);
        }
        let alone =
            |map: &str| procfs.read(Subject::Myself, map).map(|text| mapped(&String::from_utf8_lossy(&text)) == 1);
        let single = alone("uid_map")? || alone("gid_map")?;
        Ok(if single { Self::SingleId } else { Self::UserNamespace })
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::UserNamespace => "user-namespace",
            Self::SingleId => "single-id",
        }
    }

    /// The one that is called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Host, Self::UserNamespace, Self::SingleId].into_iter().find(|privilege| privilege.name() == name)
    }

    /// How overlayfs marks a directory that hides what is below it.
    pub(crate) fn opaque(self) -> &'static str {
        self.mark("trusted.overlay.opaque", "user.overlay.opaque")
    }

    /// How overlayfs marks a directory that was moved.
    pub(crate) fn redirect(self) -> &'static str {
        self.mark("trusted.overlay.redirect", "user.overlay.redirect")
    }

    /// How overlayfs marks a file without its data.
    pub(crate) fn metacopy(self) -> &'static str {
        self.mark("trusted.overlay.metacopy", "user.overlay.metacopy")
    }

    fn mark(self, trusted: &'static str, user: &'static str) -> &'static str {
        if self == Self::Host { trusted } else { user }
    }
}

/// How many ids a map has (`user_namespaces(7)`).
fn mapped(map: &str) -> u64 {
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.fold(0, u64::saturating_add)
}

/// The file in the folder of layers with the privilege; without one it is [`Privilege::Host`].
pub(crate) const FILE: &str = "privilege";

/// The privilege with which the layers in `folder` are kept, which is set to `here` if there are none yet.
///
/// # Errors
/// As reading and writing files; `InvalidData` for a word that is none of ours.
pub(crate) fn of_folder(folder: &Path, here: Privilege) -> io::Result<Privilege> {
    let path = folder.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Privilege::named(text.trim_end()).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_none) if here == Privilege::Host || folder.join("sha256").exists() => Ok(Privilege::Host),
        Err(_none) => {
            // Whole or not there: whoever comes at the same time writes the same.
            let new = folder.join(format!("{FILE}.{}", std::process::id()));
            std::fs::write(&new, here.name())?;
            std::fs::rename(&new, &path)?;
            Ok(here)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_map_are_counted() {
        assert_eq!(mapped("         0       1000          1\n"), 1);
        assert_eq!(mapped("0 1000 1\n1 100000 65536\n"), 65537);
        assert_eq!(mapped(""), 0);
    }

    #[test]
    fn a_folder_keeps_its_privilege() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(of_folder(place.path(), Privilege::SingleId).unwrap(), Privilege::SingleId);
        assert_eq!(of_folder(place.path(), Privilege::Host).unwrap(), Privilege::SingleId);
        std::fs::write(place.path().join(FILE), "root").unwrap();
        assert!(of_folder(place.path(), Privilege::Host).is_err());
        let old = tempfile::tempdir().unwrap();
        std::fs::create_dir(old.path().join("sha256")).unwrap();
        assert_eq!(of_folder(old.path(), Privilege::UserNamespace).unwrap(), Privilege::Host);
    }
}
