//! The files below `/etc` that belong to a container and not to its image: host name, hosts, name servers.

use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Gid, Uid};
use stockade_policy::namespaces::NetworkMode;

use crate::files::{self, FileError};
use crate::idmap::Mappings;

/// Names in the container's folder and places in the container.
pub(crate) const FILES: [(&str, &str); 3] =
    [("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname"), ("hosts", "/etc/hosts")];

/// What `/etc/hosts` of a container with a network of its own says.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                     ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// Writes the files into `folder`, for the root of the container to change. With the host's network the host's are copied; a
/// container that joins another's network gets that one's files mounted instead.
pub(crate) fn write(
    folder: &OwnedFd,
    path: &Path,
    hostname: &str,
    network: &NetworkMode,
    owner: Mappings<'_>,
) -> Result<(), FileError> {
    let (resolv, hosts) = match network {
        NetworkMode::Host => (host_file("/etc/resolv.conf")?, host_file("/etc/hosts")?),
        NetworkMode::None | NetworkMode::Bridge | NetworkMode::Container(_) => (Vec::new(), HOSTS.as_bytes().to_vec()),
    };
    let contents = [resolv, format!("{hostname}\n").into_bytes(), hosts];
    for ((name, _), content) in FILES.iter().zip(contents) {
        let attempt = || -> std::io::Result<()> {
            files::write_new(folder.as_fd(), name, &content, 0o644)?;
            if let Some((uid, gid)) = owner.root() {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                rustix::fs::chownat(folder, *name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Ok(())
        };
        attempt().map_err(FileError::at("write", path.join(name)))?;
    }
    Ok(())
}

/// A file of the host; a missing one is empty.
fn host_file(path: &str) -> Result<Vec<u8>, FileError> {
    match std::fs::read(path) {
        Ok(content) => Ok(content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(FileError::at("read", path)(error)),
    }
}

/// The files with their places in the container, of the container whose folder is `folder`.
pub(crate) fn mounted_from(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    FILES.iter().map(|(name, target)| (folder.join(name), *target)).collect()
}
