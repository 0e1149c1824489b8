//! The facts of this machine that a container's posture depends on.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use stockade_kernel::procfs::{Procfs, Subject};
use stockade_monitor::group::Groups;
use stockade_policy::apparmor::Support;
use stockade_policy::caps::{CapSet, observe, support};
use stockade_policy::devices::DeviceNode;
use stockade_policy::{Machine, Options};
use stockade_spec::{Device, DeviceType, IdMapping};

use crate::files::FileError;

/// Where the kernel says which processors there may ever be.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
/// Folders and files of `/dev` that a privileged container does not get: its own take their place, or they are other
/// containers' (Docker's list).
const NOT_HANDED_ON: [&str; 8] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"];
/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP2: u64 = 0x6367_7270;

/// Why the machine could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A file of the kernel's could not be read, or a folder walked.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the kernel's says something unknown.
    #[error("{} says {text:?}, which is unknown", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What it says.
        text: String,
    },
    /// procfs, or the capabilities of this process, could not be read.
    #[error("cannot ask the kernel for {what}")]
    Kernel {
        /// What was asked for.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl MachineError {
    /// Which user namespace this process is in is not known.
    pub(crate) fn user_namespace(source: io::Error) -> Self {
        Self::Kernel { what: "its user namespace", source }
    }
}

/// For `map_err`.
fn asking(what: &'static str) -> impl FnOnce(io::Error) -> MachineError {
    move |source| MachineError::Kernel { what, source }
}

/// Looks at the kernel and at this process; at the devices only if `options` give them all to the container.
///
/// # Errors
/// See [`MachineError`].
pub fn gather(options: &Options) -> Result<Machine, MachineError> {
    let procfs = Procfs::host().map_err(asking("its /proc"))?;
    let last_cap = support::last_cap(&procfs).map_err(asking("its last capability"))?;
    let sets = observe::of_this_thread(last_cap).map_err(asking("the capabilities of this process"))?.sets;
    Ok(Machine {
        last_cap,
        capabilities: CapSet::from_bits(sets.bounding.bits() & sets.permitted.bits()),
        processors: processors()?,
        cgroup_v2: is_cgroup_v2()?,
        time_namespace: has_time_namespaces(),
        apparmor: Support::probe().map_err(asking("AppArmor"))?,
        own_groups: own_groups()?,
        delegated: delegation()?.flatten(),
        host_devices: if options.privileged { devices(Path::new("/dev"))? } else { Vec::new() },
        host_shm: "/dev/shm".into(),
    })
}

/// For an ordinary user: the controllers of the control group that was delegated to this process, if there is one. `None` for the host's root.
pub(crate) fn delegation() -> Result<Option<Option<Vec<String>>>, MachineError> {
    if !crate::rootless::is_here().map_err(MachineError::user_namespace)? {
        return Ok(None);
    }
    let groups = Groups::of(std::process::id().cast_signed()).map_err(asking("the control groups of this process"))?;
    Ok(Some(groups.delegated()))
}

/// The groups of an ordinary user's namespace; none for the host's root.
fn own_groups() -> Result<Vec<IdMapping>, MachineError> {
    let rootless = crate::rootless::is_here().map_err(MachineError::user_namespace)?;
    let groups = rootless.then(|| crate::userns::own_map("gid_map")).transpose();
    Ok(groups.map_err(asking("the groups of its user namespace"))?.unwrap_or_default())
}

/// How many processors there may ever be.
pub(crate) fn processors() -> Result<usize, MachineError> {
    let text = std::fs::read_to_string(POSSIBLE).map_err(FileError::at("read", POSSIBLE))?;
    last_of(text.trim()).map(|last| last + 1).ok_or_else(|| MachineError::Unknown { path: POSSIBLE.into(), text })
}

/// The last number of a list such as `0-3,7` (`cpuset(7)`).
fn last_of(list: &str) -> Option<usize> {
    list.rsplit([',', '-']).next()?.parse().ok()
}

/// Whether the control groups are version 2 only.
pub(crate) fn is_cgroup_v2() -> Result<bool, MachineError> {
    let path = "/sys/fs/cgroup";
    let found = rustix::fs::statfs(path).map_err(FileError::at("look at", path))?;
    Ok(found.f_type as u64 == CGROUP2)
}

/// Whether the kernel has time namespaces (Linux 5.6, `CONFIG_TIME_NS`).
pub(crate) fn has_time_namespaces() -> bool {
    Procfs::host().is_ok_and(|procfs| procfs.read_link(Subject::Myself, "ns/time").is_ok())
}

/// What a device file of the host is: for [`stockade_policy::Posture::plan`]. A link is followed, as Docker does.
///
/// # Errors
/// As `stat(2)`; `EINVAL` if it is no device.
pub fn device(path: &Path) -> io::Result<DeviceNode> {
    let found = std::fs::metadata(path)?;
    node(&found).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no device"))
}

fn node(found: &std::fs::Metadata) -> Option<DeviceNode> {
    let kind = match found.file_type() {
        kind if kind.is_char_device() => DeviceType::Character,
        kind if kind.is_block_device() => DeviceType::Block,
        _ => return None,
    };
    let number = found.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    Some(DeviceNode { kind, major: major.into(), minor: minor.into(), mode: found.mode() & 0o7777 })
}

/// Every device file below `folder`.
fn devices(folder: &Path) -> Result<Vec<Device>, FileError> {
    let mut devices = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(FileError::at("read", folder))? {
        let entry = entry.map_err(FileError::at("read", folder))?;
        let (name, path) = (entry.file_name(), entry.path());
        if NOT_HANDED_ON.iter().any(|other| name == *other) {
            continue;
        }
        let found = match entry.metadata() {
            Ok(found) => found,
            // Devices come and go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(FileError::at("look at", path)(error)),
        };
        if found.is_dir() {
            devices.extend(self::devices(&path)?);
        } else if let Some(node) = node(&found) {
            devices.push(Device {
                path,
                kind: node.kind,
                major: Some(node.major),
                minor: Some(node.minor),
                file_mode: Some(node.mode & 0o777),
                uid: Some(found.uid()),
                gid: Some(found.gid()),
            });
        }
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        for (list, last) in [("0", Some(0)), ("0-3", Some(3)), ("0-1,4,6-7", Some(7)), ("", None), ("0-", None)] {
            assert_eq!(last_of(list), last, "{list}");
        }
    }

    #[test]
    fn this_machine_is_described() {
        let machine = gather(&Options { privileged: true, ..Options::default() }).unwrap();
        assert!(machine.processors > 0);
        let paths: Vec<_> = machine.host_devices.iter().map(|device| device.path.to_string_lossy()).collect();
        assert!(paths.iter().any(|path| path == "/dev/null"), "{paths:?}");
        assert!(!paths.iter().any(|path| path.starts_with("/dev/pts/")), "{paths:?}");
        assert_eq!(device(Path::new("/dev/null")).unwrap().major, 1);
        assert!(device(Path::new("/etc")).is_err());
    }
}
