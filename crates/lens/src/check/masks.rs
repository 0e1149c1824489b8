//! Files of the kernel's: those that are hidden or cannot be written, and whether `/proc` and `/sys` are what they seem.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, StatVfsMountFlags};
use stockade_kernel::mount::info;
use stockade_kernel::namespace::Namespaces;
use stockade_policy::defaults;
use stockade_spec::Mount;

use crate::exposure;
use crate::finding::{Sheet, Wall};
use crate::scene::Scene;

/// `PROC_SUPER_MAGIC`, `SYSFS_MAGIC` and `TMPFS_MAGIC` of `linux/magic.h`.
const PROC: u64 = 0x9fa0;
const SYS: u64 = 0x6265_6572;
const TMPFS: u64 = 0x0102_1994;

/// Check 12.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    let linux = scene.linux();
    let masked = linux.map(|linux| linux.masked_paths.clone());
    let readonly = linux.map(|linux| linux.readonly_paths.clone());
    let usual_masked = || defaults::MASKED_PATHS.iter().map(|entry| PathBuf::from(entry.value)).collect::<Vec<_>>();
    let usual_readonly = || defaults::READONLY_PATHS.iter().map(|entry| PathBuf::from(entry.value)).collect::<Vec<_>>();
    // What was asked for, and what is usual besides: that it is not hidden is told although nobody asked for it.
    let list = |asked: &Option<Vec<PathBuf>>, usual: Vec<PathBuf>| {
        let mut all = asked.clone().unwrap_or_default();
        all.extend(usual.into_iter().filter(|path| !asked.as_ref().is_some_and(|asked| asked.contains(path))));
        all
    };
    for path in list(&masked, usual_masked()) {
        mask(scene, sheet, &path, masked.as_ref().map(|asked| asked.contains(&path)));
    }
    for path in list(&readonly, usual_readonly()) {
        read_only(scene, sheet, &path, readonly.as_ref().map(|asked| asked.contains(&path)));
    }
}

/// One path that is to be hidden.
fn mask(scene: &Scene<'_>, sheet: &mut Sheet, path: &Path, wanted: Option<bool>) {
    let part = path.display().to_string();
    let asked = wanted.map(|wanted| if wanted { "hidden" } else { "seen" }.to_owned());
    let found = match scene.open(&part) {
        // What the kernel does not have nobody sees.
        Ok(None) => return,
        Ok(Some(fd)) => hidden(&fd),
        Err(why) => return sheet.unchecked(part, asked, why),
    };
    match found {
        Err(why) => sheet.unchecked(part, asked, why),
        Ok(stands) => {
            let found = if stands { "hidden" } else { "seen" }.to_owned();
            let finding = sheet.judge(part, Wall { wanted, asked, found, stands });
            finding.exposing((!stands).then_some(exposure::UNMASKED));
        }
    }
}

/// Whether it is `/dev/null`, or an empty folder that cannot be written.
fn hidden(fd: &OwnedFd) -> Result<bool, String> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| errno.to_string())?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => Ok((rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3)),
        // A folder of tmpfs with nothing in it has two links and the size of two entries (`BOGO_DIRENT_SIZE` of mm/shmem.c).
        FileType::Directory => {
            let magic = rustix::fs::fstatfs(fd).map_err(|errno| errno.to_string())?.f_type as u64;
            let empty = stat.st_nlink == 2 && stat.st_size <= 40;
            Ok(magic == TMPFS && empty && is_read_only(fd)?)
        }
        _ => Ok(false),
    }
}

/// Whether what is there cannot be written, whoever asks.
fn is_read_only(fd: impl AsFd) -> Result<bool, String> {
    let flags = rustix::fs::fstatvfs(fd).map_err(|errno| errno.to_string())?.f_flag;
    Ok(flags.contains(StatVfsMountFlags::RDONLY))
}

/// One path that is not to be written.
fn read_only(scene: &Scene<'_>, sheet: &mut Sheet, path: &Path, wanted: Option<bool>) {
    let part = path.display().to_string();
    let asked = wanted.map(|wanted| if wanted { "read-only" } else { "writable" }.to_owned());
    let found = match scene.open(&part) {
        Ok(None) => return,
        Ok(Some(fd)) => is_read_only(fd),
        Err(why) => Err(why),
    };
    match found {
        Err(why) => sheet.unchecked(part, asked, why),
        Ok(stands) => {
            let found = if stands { "read-only" } else { "writable" }.to_owned();
            let finding = sheet.judge(part, Wall { wanted, asked, found, stands });
            // In a user namespace of its own the kernel asks for the host's root.
            let writable = !stands && scene.shares_users();
            finding.exposing(writable.then_some(exposure::WRITABLE_KERNEL_FILES));
        }
    }
}

/// Check 13.
pub(super) fn kernel_files(scene: &Scene<'_>, sheet: &mut Sheet) {
    for (path, magic, name) in [("/proc", PROC, "procfs"), ("/sys", SYS, "sysfs")] {
        let wanted =
            scene.asked.map(|asked| asked.spec.mounts.iter().any(|mount| mount.destination == Path::new(path)));
        let fd = match scene.open(path) {
            Ok(Some(fd)) => fd,
            Ok(None) => {
                sheet.holds(path, None, "not there");
                continue;
            }
            Err(why) => {
                sheet.unchecked(path, None, why);
                continue;
            }
        };
        let asked = wanted.filter(|wanted| *wanted).map(|_| name.to_owned());
        match rustix::fs::fstatfs(&fd) {
            Err(errno) => sheet.unchecked(path, asked, errno.to_string()),
            Ok(found) if found.f_type as u64 == magic => {
                if path == "/proc" && !is_own_procfs(scene, &fd) {
                    sheet
                        .judge(path, Wall { wanted, asked, found: "the host's procfs".to_owned(), stands: false })
                        .exposing([exposure::HOST_PROC]);
                } else {
                    let options = options(scene, path);
                    sheet.holds(path, asked, name).why = options;
                }
            }
            // Nobody asked for it, and it is a folder of the image's.
            Ok(_) if wanted == Some(false) => {
                sheet.holds(path, None, format!("no {name}"));
            }
            Ok(_) => {
                let wall = Wall { wanted, asked, found: format!("no {name}"), stands: false };
                sheet.judge(path, wall).exposing([exposure::FAKE_PROC]);
            }
        }
    }
    writable(scene, sheet);
}

/// Whether file systems by which the kernel is steered can be written: sysfs, and control groups, whose release agent the host runs
/// as root (CVE-2022-0492).
fn writable(scene: &Scene<'_>, sheet: &mut Sheet) {
    let Ok(mounts) = &scene.mounts else { return };
    let asked_read_only = |point: &[u8]| {
        let asked = scene.asked?;
        let covers = |mount: &&Mount| crate::scene::covers(mount.destination.as_os_str().as_bytes(), point);
        let nearest = asked.spec.mounts.iter().filter(covers).max_by_key(|mount| mount.destination.as_os_str().len());
        Some(nearest.is_some_and(|mount| mount.options.iter().any(|option| option == "ro" || option == "rro")))
    };
    let of_interest = |mount: &&info::Mount| match mount.fs_type.as_str() {
        "sysfs" => mount.point == b"/sys",
        "cgroup" | "cgroup2" => true,
        _ => false,
    };
    for mount in mounts.iter().filter(of_interest).filter(|mount| !mount.has("ro")) {
        let wanted = asked_read_only(&mount.point);
        let asked = wanted.map(|wanted| if wanted { "read-only" } else { "writable" }.to_owned());
        let part = format!("{} written", crate::scene::text(&mount.point));
        let finding = sheet.judge(part, Wall { wanted, asked, found: "writable".to_owned(), stands: false });
        finding.exposing(scene.shares_users().then_some(exposure::WRITABLE_KERNEL_FILES));
    }
}

/// Whether the procfs is of its own pid namespace: each has a file system of its own, and the host's is known.
fn is_own_procfs(scene: &Scene<'_>, fd: &OwnedFd) -> bool {
    if scene.shares(Namespaces::PID) {
        return true;
    }
    let device = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| stat.st_dev);
    let hosts = rustix::fs::fstat(scene.procfs).map(|stat| stat.st_dev);
    device(fd).is_ok_and(|theirs| hosts.is_ok_and(|hosts| theirs != hosts))
}

/// `subset=` and `hidepid=`, if there are any.
fn options(scene: &Scene<'_>, path: &str) -> Option<String> {
    let mount = scene.mount_at(path)?;
    let options = String::from_utf8_lossy(&mount.super_options);
    let some: Vec<&str> =
        options.split(',').filter(|option| option.starts_with("subset=") || option.starts_with("hidepid=")).collect();
    (!some.is_empty()).then(|| some.join(","))
}
