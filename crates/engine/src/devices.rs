//! Device files of a container with a user namespace of its own, in which nobody can make any: the engine makes them, for the
//! container's root as the host's are for the host's, and the runtime mounts them.

use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid};
use stockade_policy::Posture;
use stockade_spec::{Device, DeviceType, Mount};

use crate::binds::bind;
use crate::files::{self, FileError};
use crate::idmap::Mappings;

/// The folder for them in the container's.
const FOLDER: &str = "devices";

/// Takes the device files out of `posture`, makes them below the container's folder, and returns how they are mounted. Does nothing
/// for a container that can make its own. `path` is where `folder` is now and `later` where it will be.
///
/// # Errors
/// If one cannot be made; what was made goes with the container's folder.
pub(crate) fn take(
    posture: &mut Posture,
    folder: &OwnedFd,
    path: &Path,
    later: &Path,
) -> Result<Vec<Mount>, FileError> {
    let root = Mappings { uids: &posture.uid_mappings, gids: &posture.gid_mappings }.root();
    let Some(root) = root.filter(|_root| !posture.devices.is_empty()) else { return Ok(Vec::new()) };
    files::make_folder(&path.join(FOLDER)).map_err(FileError::at("make the folder", path.join(FOLDER)))?;
    let mut mounts = Vec::new();
    for (number, device) in std::mem::take(&mut posture.devices).iter().enumerate() {
        let name = format!("{FOLDER}/{number}");
        make(folder, &name, device, root).map_err(FileError::at("make the device", path.join(&name)))?;
        // `dev`: the data folder may be on a mount without devices.
        let options = ["bind", "private", "nosuid", "noexec", "dev"];
        mounts.push(bind(&later.join(name), &device.path, options.iter()));
    }
    Ok(mounts)
}

fn make(folder: &OwnedFd, name: &str, device: &Device, (uid, gid): (u32, u32)) -> Result<(), rustix::io::Errno> {
    let kind = match device.kind {
        DeviceType::Block => FileType::BlockDevice,
        DeviceType::Fifo => FileType::Fifo,
        DeviceType::Character | DeviceType::Unbuffered | DeviceType::All => FileType::CharacterDevice,
    };
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
    let device_number = rustix::fs::makedev(number(device.major), number(device.minor));
    rustix::fs::mknodat(folder, name, kind, Mode::empty(), device_number)?;
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(folder, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::chmodat(folder, name, Mode::from_raw_mode(device.file_mode.unwrap_or(0o600)), AtFlags::empty())
}
