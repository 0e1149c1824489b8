//! The files below `/etc` that belong to a container and not to its image: host name, hosts, name servers.

use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Gid, Uid};
use stockade_policy::namespaces::NetworkMode;

use crate::files::{self, FileError};
use crate::idmap::Mappings;
use crate::network::names::{self, ResolvConf};
use crate::network::wanted::Wanted;
use crate::network::{NetworksError, added};

/// Names in the container's folder and places in the container.
pub(crate) const FILES: [(&str, &str); 3] =
    [("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname"), ("hosts", "/etc/hosts")];

/// What the files are made of.
pub(crate) struct Files<'a> {
    /// The host name.
    pub(crate) hostname: &'a str,
    /// Where the network namespace is from.
    pub(crate) network: &'a NetworkMode,
    /// What it is to have of networks: with any, hosts and name servers are written anew at each start.
    pub(crate) wanted: &'a Wanted,
}

impl Files<'_> {
    /// The texts of [`FILES`], in their order.
    fn texts(&self) -> Result<[Vec<u8>; 3], NetworksError> {
        let file = |path: &str| host_file(path).map_err(|error| NetworksError::Container(error.into()));
        let asked = &self.wanted.names;
        let own = !(asked.servers.is_empty() && asked.search.is_empty() && asked.options.is_empty());
        let servers = || ResolvConf::of_host().with(asked).text().into_bytes();
        let hostname = format!("{}\n", self.hostname).into_bytes();
        Ok(match self.network {
            NetworkMode::Host => {
                let loopback = std::net::IpAddr::from([127, 0, 0, 1]);
                let mut hosts = file("/etc/hosts")?;
                for (name, address) in added(&self.wanted.hosts, Some(loopback))? {
                    hosts.extend(format!("{address}\t{name}\n").bytes());
                }
                [if own { servers() } else { file("/etc/resolv.conf")? }, hostname, hosts]
            }
            NetworkMode::None | NetworkMode::Container(_) => {
                let hosts = names::hosts(&added(&self.wanted.hosts, None)?, &[], self.hostname);
                [if own { servers() } else { Vec::new() }, hostname, hosts.into_bytes()]
            }
            NetworkMode::Bridge => [Vec::new(), hostname, names::hosts(&[], &[], self.hostname).into_bytes()],
        })
    }
}

/// Writes the files into `folder`, for the root of the container to change. With the host's network the host's are copied; a
/// container that joins another's network gets that one's files mounted instead.
pub(crate) fn write(
    folder: &OwnedFd,
    path: &Path,
    files: &Files<'_>,
    owner: Mappings<'_>,
) -> Result<(), NetworksError> {
    for ((name, _), content) in FILES.iter().zip(files.texts()?) {
        let attempt = || -> std::io::Result<()> {
            files::write_new(folder.as_fd(), name, &content, 0o644)?;
            if let Some((uid, gid)) = owner.root() {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                rustix::fs::chownat(folder, *name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Ok(())
        };
        let written = attempt().map_err(FileError::at("write", path.join(name)));
        written.map_err(|error| NetworksError::Container(error.into()))?;
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
