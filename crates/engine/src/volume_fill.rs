//! What an image has where an empty volume is mounted is copied into it, by a process that can do little else.
//!
//! The child sees the image's layers put together in a mount namespace of its own. It opens what is to be copied inside of that root
//! (CVE-2022-23648: a link in the image leads nowhere else), then gives up its root and all capabilities but those that
//! copying needs, and only then reads what the image has. Owners are copied as they are stored: a container with ids of its own
//! sees volumes, as it sees layers, by id-mapped mounts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};
use stockade_kernel::chain::chain;
use stockade_kernel::resolve;
use stockade_storage::ContainerRoot;
use stockade_storage::container_root::FolderError;
use stockade_storage::volumes::{FillError, Filling, Share, VolumeName};

use crate::confine;
use crate::files::{self, FileError};
use crate::identity::in_a_child;
use crate::idmap::Mappings;

/// In the unfinished container's folder: where the image is put together.
const LOOK: &str = "image";
/// In there: an empty folder, which is all of the host that the copying process keeps.
const NOTHING: &str = "nothing";

/// Why volumes were not filled. They are as they were.
#[derive(Debug, thiserror::Error)]
pub enum FillVolumesError {
    /// The volume's folder.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// The container's folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// Where the image is put together.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Told by the process that copies.
    #[error("cannot fill volumes with the image's content: {0}")]
    Told(String),
    /// That process.
    #[error("cannot fill volumes with the image's content")]
    Process(#[source] std::io::Error),
}

/// Fills each volume of `wanted` that is empty with what the image of `lowers` has in the first of its folders that is there. `path`
/// is the folder of an unfinished container, which is as it was afterwards.
///
/// # Errors
/// See [`FillVolumesError`].
pub(crate) fn fill(
    share: &Share,
    wanted: &BTreeMap<&VolumeName, Vec<&Path>>,
    path: &Path,
    lowers: &[PathBuf],
) -> Result<(), FillVolumesError> {
    // In the order of the names: two that fill the same volumes wait for one another, and never in a circle.
    let mut fillings = Vec::new();
    for (name, targets) in wanted {
        fillings.extend(share.fill(name)?.map(|filling| (filling, targets.as_slice())));
    }
    if fillings.is_empty() {
        return Ok(());
    }
    let folder = files::open_folder(path).map_err(FileError::at("open", path))?;
    let copied = look_and_copy(&fillings, &path.join(LOOK), lowers);
    let mut outcome = Ok(());
    for (number, (filling, _)) in fillings.into_iter().enumerate() {
        let there = copied.as_ref().is_ok_and(|copied| copied.get(number) == Some(&true));
        let done = if there { filling.finish() } else { filling.abandon() };
        outcome = outcome.and(done);
    }
    copied?;
    outcome?;
    Ok(resolve::remove_tree(&folder, LOOK).map_err(FileError::at("remove", path.join(LOOK)))?)
}

/// Has a child put the image together in the new folder `look` and copy; whether there was something for each.
fn look_and_copy(
    fillings: &[(Filling, &[&Path])],
    look: &Path,
    lowers: &[PathBuf],
) -> Result<Vec<bool>, FillVolumesError> {
    let nothing = look.join(NOTHING);
    for folder in [look, &nothing] {
        files::make_folder(folder).map_err(FileError::at("make the folder", folder))?;
    }
    let root = ContainerRoot::create(look)?;
    let parent = rustix::process::getpid();
    let copied = in_a_child(|| {
        die_with(parent)?;
        copy(fillings, &root, &nothing, lowers)
    });
    copied.map_err(FillVolumesError::Process)?.map_err(FillVolumesError::Told)
}

/// In the child: lets it end with its parent.
fn die_with(parent: Pid) -> Result<(), String> {
    let set = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    set.map_err(|errno| format!("cannot ask to end with the parent: {errno}"))?;
    if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err("the parent is gone".to_owned()) }
}

/// In the child: copies; whether there was something for each.
fn copy(
    fillings: &[(Filling, &[&Path])],
    root: &ContainerRoot,
    nothing: &Path,
    lowers: &[PathBuf],
) -> Result<Vec<bool>, String> {
    let stored = Mappings { uids: &[], gids: &[] };
    let image = match lowers {
        [only] => files::open_folder(only),
        _ => {
            confine::mount_root(root, lowers, stored).map_err(|error| chain(&error))?;
            files::open_folder(&root.merged)
        }
    };
    let image = image.map_err(|errno| format!("cannot open the image's root: {errno}"))?;
    let mut sources = Vec::with_capacity(fillings.len());
    for (filling, targets) in fillings {
        let mut source = None;
        for target in *targets {
            source = source.or(open_source(&image, target)?);
        }
        sources.push((filling, source));
    }
    cut_privileges(nothing).map_err(|errno| format!("cannot give up privileges: {errno}"))?;
    let copied = sources.iter().map(|(filling, source)| match source {
        None => Ok(false),
        Some(source) => filling.copy(source.as_fd()).map(|()| true),
    });
    copied.collect::<Result<_, _>>().map_err(|error| chain(&error))
}

/// The folder `target` of the image, if it has one there.
fn open_source(image: &OwnedFd, target: &Path) -> Result<Option<OwnedFd>, String> {
    match resolve::open_in_root(image, target, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Ok(source) => Ok(Some(source)),
        Err(error) => match Errno::from_io_error(&error) {
            // The runtime says what is wrong with what is no folder.
            Some(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            _ => Err(format!("cannot open {:?} in the image: {error}", target.display())),
        },
    }
}

/// Leaves the process what it has open, and what copying takes.
fn cut_privileges(nothing: &Path) -> Result<(), Errno> {
    rustix::process::chroot(nothing)?;
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::empty());
    rustix::thread::set_no_new_privs(true)?;
    let kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::SETFCAP;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}
