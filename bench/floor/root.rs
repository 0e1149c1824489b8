//! The root file system: the bundle's mounts, devices, masks and read-only paths, and the change of root.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use stockade_kernel::mount::{Attributes, Change, Propagation, mount_setattr};

use crate::{Failed, to};

/// A file system: type, destination below the root, options, and whether only to read.
type New = (&'static str, &'static str, &'static [(&'static str, &'static str)], bool);

const MOUNTS: [New; 6] = [
    ("proc", "proc", &[], false),
    ("tmpfs", "dev", &[("mode", "755"), ("size", "65536k")], false),
    ("devpts", "dev/pts", &[("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")], false),
    ("sysfs", "sys", &[], true),
    ("mqueue", "dev/mqueue", &[], false),
    ("tmpfs", "dev/shm", &[("mode", "1777"), ("size", "67108864")], false),
];

/// The default devices.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// The masked paths that can be there: files, then folders.
const MASKED: [(&str, bool); 10] = [
    ("proc/interrupts", false),
    ("proc/kcore", false),
    ("proc/keys", false),
    ("proc/latency_stats", false),
    ("proc/sched_debug", false),
    ("proc/timer_list", false),
    ("proc/acpi", true),
    ("proc/asound", true),
    ("proc/scsi", true),
    ("sys/firmware", true),
];

const READONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// Puts the root together and enters it.
pub(crate) fn enter(rootfs: &OsString, hierarchies: &[&str], group: &str) -> Result<(), Failed> {
    let slave = Change { propagation: Some(Propagation::Slave), ..Change::default() };
    mount_setattr(CWD, c"/", true, slave).map_err(to("leave the host's mounts"))?;
    let tree = copy(Path::new(rootfs))?;
    attach(&tree, Path::new(rootfs))?;
    rustix::process::fchdir(&tree).map_err(to("change to the root"))?;
    MOUNTS.iter().try_for_each(make)?;
    cgroups(hierarchies, group)?;
    rustix::process::umask(Mode::empty());
    for (name, major, minor) in DEVICES {
        let device = rustix::fs::makedev(major, minor);
        let path = Path::new("dev").join(name);
        rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)
            .map_err(to("make a device"))?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    for (name, target) in LINKS {
        rustix::fs::symlink(target, Path::new("dev").join(name)).map_err(to("make a link"))?;
    }
    for (file, value) in [("ip_unprivileged_port_start", "0"), ("ping_group_range", "0 2147483647")] {
        std::fs::write(Path::new("proc/sys/net/ipv4").join(file), value).map_err(to("set a parameter"))?;
    }
    mask()?;
    rustix::process::pivot_root(".", ".").map_err(to("change the root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(to("leave the host's root"))?;
    rustix::process::chdir("/").map_err(to("change to the root"))
}

/// Makes one file system and attaches it.
fn make(new: &New) -> Result<(), Failed> {
    let (kind, destination, options, readonly) = *new;
    let tree = file_system(kind, options)?;
    let mut set = Attributes::NO_SUID;
    set.set(Attributes::READ_ONLY, readonly);
    set.set(Attributes::NO_EXEC, destination != "dev");
    set.set(Attributes::NO_DEV, !destination.starts_with("dev") || destination == "dev/shm");
    mount_setattr(&tree, c"", false, Change { set, ..Change::default() }).map_err(to("change a mount"))?;
    let destination = Path::new(destination);
    if destination.components().count() > 1 {
        std::fs::create_dir(destination).map_err(to("make a folder"))?;
    }
    attach(&tree, destination)
}

fn file_system(kind: &str, options: &[(&str, &str)]) -> Result<OwnedFd, Failed> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(to("open a file system"))?;
    let context = context.as_fd();
    for (key, value) in options {
        match value.is_empty() {
            true => rustix::mount::fsconfig_set_flag(context, *key),
            false => rustix::mount::fsconfig_set_string(context, *key, *value),
        }
        .map_err(to("configure a file system"))?;
    }
    rustix::mount::fsconfig_create(context).map_err(to("make a file system"))?;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map_err(to("mount"))
}

/// The groups as the container sees them.
fn cgroups(hierarchies: &[&str], group: &str) -> Result<(), Failed> {
    let set = Attributes::READ_ONLY | Attributes::NO_SUID | Attributes::NO_DEV | Attributes::NO_EXEC;
    let readonly = Change { set, ..Change::default() };
    let place = Path::new("sys/fs/cgroup");
    if hierarchies.len() > 1 {
        attach(&file_system("tmpfs", &[("mode", "755"), ("size", "64k")])?, place)?;
    }
    for hierarchy in hierarchies {
        let tree = copy(&Path::new(hierarchy).join(group))?;
        mount_setattr(&tree, c"", false, readonly).map_err(to("change a mount"))?;
        match hierarchies.len() {
            1 => attach(&tree, place)?,
            _ => {
                let there = place.join(hierarchy.rsplit('/').next().unwrap_or_default());
                std::fs::create_dir(&there).map_err(to("make a folder"))?;
                attach(&tree, &there)?;
            }
        }
    }
    if hierarchies.len() > 1 {
        mount_setattr(CWD, c"sys/fs/cgroup", false, readonly).map_err(to("change a mount"))?;
    }
    Ok(())
}

/// Covers what is masked, and makes read-only what is to be.
fn mask() -> Result<(), Failed> {
    let set = Attributes::READ_ONLY | Attributes::NO_SUID | Attributes::NO_EXEC;
    let empty = file_system("tmpfs", &[("size", "0"), ("nr_inodes", "1")])?;
    mount_setattr(&empty, c"", false, Change { set, ..Change::default() }).map_err(to("change a mount"))?;
    let mut attached = false;
    for (path, folder) in MASKED.map(|(path, folder)| (Path::new(path), folder)) {
        let there = path.exists();
        match folder {
            _ if !there => {}
            true if !attached => {
                attach(&empty, path)?;
                attached = true;
            }
            true => attach(&copy_of(&empty)?, path)?,
            false => attach(&copy(Path::new("dev/null"))?, path)?,
        }
    }
    let readonly = Change { set: Attributes::READ_ONLY, ..Change::default() };
    for path in READONLY.map(Path::new) {
        if path.exists() {
            let tree = copy(path)?;
            mount_setattr(&tree, c"", true, readonly).map_err(to("change a mount"))?;
            attach(&tree, path)?;
        }
    }
    Ok(())
}

/// A detached copy of what is at `path`.
fn copy(path: &Path) -> Result<OwnedFd, Failed> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, path, flags).map_err(to("copy a mount"))
}

/// One more of a mount that is attached.
fn copy_of(tree: &OwnedFd) -> Result<OwnedFd, Failed> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(tree, c"", flags).map_err(to("copy a mount"))
}

fn attach(tree: &OwnedFd, path: &Path) -> Result<(), Failed> {
    rustix::mount::move_mount(tree, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(to("attach a mount"))
}
