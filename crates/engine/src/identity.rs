//! Who a container's process is: looked up in the image's own files, when the container is made.
//!
//! So the ids are fixed at creation, and what a container later writes into its `/etc/passwd` cannot change them.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stockade_images::{UserError, resolve_user};
use stockade_kernel::chain::chain;
use stockade_kernel::exec::exit_now;
use stockade_storage::ContainerRoot;

use crate::confine;
use crate::files;
use crate::idmap::Mappings;

/// A process's ids in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// `gid` first, none twice.
    pub(crate) groups: Vec<u32>,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A layer could not be opened.
    #[error("open the layer {}", path.display())]
    Layer {
        /// The layer.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The image does not know it.
    #[error(transparent)]
    Unknown(#[from] UserError),
    /// The same, told by the process in whose mount namespace all layers were looked at.
    #[error("{0}")]
    Told(String),
    /// That process.
    #[error("cannot look at all layers of the image together")]
    Process(#[source] io::Error),
}

/// Who `user` and the additional `groups` are in the image with these layers.
///
/// An image with one layer is asked itself. Otherwise the layers are put together for a moment, in the mount namespace of a child
/// process, because only the kernel knows exactly what they hide from each other.
pub(crate) fn identify(
    root: &ContainerRoot,
    lowers: &[PathBuf],
    mappings: Mappings<'_>,
    user: &str,
    groups: &[String],
) -> Result<Identity, IdentityError> {
    match lowers {
        [only] => {
            let opened = files::open_folder(only);
            let opened = opened.map_err(|errno| IdentityError::Layer { path: only.clone(), source: errno.into() })?;
            Ok(look_up(opened.as_fd(), user, groups)?)
        }
        _ => Ok(in_a_child(|| {
            confine::mount_root(root, lowers, mappings).map_err(|error| chain(&error))?;
            let merged = files::open_folder(&root.merged).map_err(|error| error.to_string())?;
            look_up(merged.as_fd(), user, groups).map_err(|error| chain(&error))
        })
        .map_err(IdentityError::Process)?
        .map_err(IdentityError::Told)?),
    }
}

/// Who `user` and the additional `groups` are by the files below `root`.
pub(crate) fn look_up(root: BorrowedFd<'_>, user: &str, groups: &[String]) -> Result<Identity, UserError> {
    let found = resolve_user(root, user)?;
    let mut all = found.additional_gids;
    if crate::userns::own_map("gid_map").is_ok_and(|groups| groups.len() == 1 && groups[0].size == 1) {
        // An ordinary user without ranges has no others to give; those that are asked for below are refused.
        all.retain(|gid| *gid == found.gid);
    }
    for group in groups {
        // A user's group is looked up with the user; one alone is the group of a user that needs no looking up.
        let gid = resolve_user(root, &format!("0:{group}"))?.gid;
        if !all.contains(&gid) {
            all.push(gid);
        }
    }
    Ok(Identity { uid: found.uid, gid: found.gid, groups: all })
}

/// The answer of `ask`, or what it says went wrong, in a child with a mount namespace of its own.
///
/// # Errors
/// If the child cannot be made, as in a process with threads, or ends without an answer.
pub(crate) fn in_a_child<T: Serialize + DeserializeOwned>(
    ask: impl FnOnce() -> Result<T, String>,
) -> io::Result<Result<T, String>> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let Some(pidfd) = confine::fork()? else {
        let text = serde_json::to_vec(&ask()).unwrap_or_default();
        exit_now(u8::from(std::fs::File::from(writer).write_all(&text).is_err()));
    };
    drop(writer);
    let mut text = Vec::new();
    let read = std::fs::File::from(reader).read_to_end(&mut text);
    reap(&pidfd)?;
    read?;
    Ok(serde_json::from_slice(&text)?)
}

/// Waits for the end of a child.
pub(crate) fn reap(pidfd: &OwnedFd) -> io::Result<()> {
    rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))?;
    Ok(())
}
