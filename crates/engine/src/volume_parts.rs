//! Parts of volumes (`volume-subpath`), found when a container starts.
//!
//! The containers that share a volume may exchange a folder in it for a link at any instant (CVE-2024-23651, CVE-2026-42306). So the
//! part is opened inside of the volume by the kernel's own resolution, and what was opened is mounted, by its descriptor, on a place
//! in the monitor's mount namespace that no container can reach. The runtime binds that place and resolves nothing in the volume.

use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use stockade_kernel::resolve;
use stockade_storage::volumes::{Backing, FillError, VolumeError, Volumes};

use crate::Engine;
use crate::files;
use crate::record::{Record, VolumeUse};
use crate::volume_mounts::{PARTS, part};

/// A volume that a container cannot start with.
#[derive(Debug, thiserror::Error)]
pub enum VolumeStartError {
    /// The folder of volumes, or a volume that is gone.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A filling that was interrupted.
    #[error(transparent)]
    Fill(#[from] FillError),
}

impl Engine {
    /// Makes sure that the volumes of the container are there, and whole.
    ///
    /// # Errors
    /// See [`VolumeStartError`].
    pub(crate) fn check_volumes(&self, record: &Record) -> Result<(), VolumeStartError> {
        if record.volumes.is_empty() {
            return Ok(());
        }
        let volumes = self.volumes()?;
        for VolumeUse { name, .. } in &record.volumes {
            if volumes.find(name)?.is_none() {
                return Err(VolumeError::Missing(name.clone()).into());
            }
            volumes.settle(name)?;
        }
        Ok(())
    }

    /// Mounts the parts of volumes that the container of `record` has, in the mount namespace of the caller, which is to be the
    /// monitor's.
    ///
    /// # Errors
    /// What went wrong, in words; what is mounted goes with the mount namespace.
    pub(crate) fn mount_parts(&self, record: &Record, folder: &Path) -> Result<(), String> {
        let parts =
            record.volumes.iter().enumerate().filter_map(|(number, one)| Some((number, one, one.subpath.as_ref()?)));
        let parts: Vec<_> = parts.collect();
        if parts.is_empty() {
            return Ok(());
        }
        let place = folder.join(PARTS);
        match files::make_folder(&place) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(format!("cannot make the folder {}: {errno}", place.display())),
        }
        // Mount points of this mount namespace alone, so that nothing has to be removed.
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount("tmpfs", &place, "tmpfs", flags, c"mode=0700,size=1m")
            .map_err(|errno| format!("cannot mount a tmpfs on {}: {errno}", place.display()))?;
        let volumes = self.volumes().map_err(|error| stockade_kernel::chain::chain(&error))?;
        for (number, one, subpath) in parts {
            let opened =
                open_part(&volumes, one, subpath).and_then(|opened| Ok(mount_part(&opened, &part(folder, number))?));
            opened
                .map_err(|error| format!("cannot mount {:?} of the volume {}: {error}", subpath.display(), one.name))?;
        }
        Ok(())
    }
}

/// The part, opened inside of the volume.
fn open_part(volumes: &Volumes, one: &VolumeUse, subpath: &Path) -> std::io::Result<OwnedFd> {
    let volume = volumes.find(&one.name).map_err(std::io::Error::other)?;
    let backing = volume.ok_or(Errno::NOENT)?.backing().map_err(std::io::Error::other)?;
    let root = match backing {
        Backing::Own => volumes.mountpoint(&one.name),
        Backing::Bind { device, .. } => device,
    };
    let root = rustix::fs::open(&root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    resolve::open_in_root(&root, subpath, OFlags::PATH, Mode::empty())
}

/// Mounts what was opened on `place`, which is made.
fn mount_part(opened: &OwnedFd, place: &Path) -> Result<(), Errno> {
    match FileType::from_raw_mode(rustix::fs::fstat(opened)?.st_mode) {
        FileType::Directory => rustix::fs::mkdirat(CWD, place, Mode::RWXU)?,
        FileType::RegularFile => rustix::fs::mknodat(CWD, place, FileType::RegularFile, Mode::RUSR, 0)?,
        // A device, a socket: nothing that a path in a volume is to give.
        _ => return Err(Errno::NOTDIR),
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(opened, "", flags)?;
    move_mount(&tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}
