//! What can be read of a process and its files just after a call.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use stockade_capabilities::file::has_any;
use stockade_cgroups::{Layout, Membership, observe as cgroups};
use stockade_kernel::perf::{Registers, Sample};
use stockade_kernel::procfs::{Procfs, Subject};

use super::call::{Place, called, place};
use crate::denial::{Attempt, Device, File, Walls};

/// The longest path (`PATH_MAX`).
const LONGEST: usize = 4096;
/// `AT_FDCWD`.
const WORKING_FOLDER: u32 = -100i32 as u32;

/// Where facts are read.
pub(super) struct Facts {
    pub(super) procfs: Procfs,
    /// The container's first process.
    pub(super) pid: i32,
    root: OwnedFd,
    layout: Option<Layout>,
    groups: Option<Membership>,
    /// How often the group had met its limit on processes when that was last looked at.
    met: u64,
}

impl Facts {
    pub(super) fn new(procfs: Procfs, pid: i32, walls: &Walls) -> io::Result<Self> {
        let root = procfs.open_link(Subject::Pid(pid), "root")?;
        // Without it the limit on processes is not told.
        let layout = walls.pids.and_then(|_| Layout::detect().ok());
        let groups = Membership::of(&procfs, Subject::Pid(pid)).ok();
        let mut facts = Self { procfs, pid, root, layout, groups, met: 0 };
        facts.met_pids_limit();
        Ok(facts)
    }

    /// Whether the group has met its limit on processes since this was last asked; `None` if it is not there any more.
    fn met_pids_limit(&mut self) -> Option<bool> {
        let Some(layout) = &self.layout else { return Some(false) };
        let observed = cgroups::observe(layout, &self.procfs, self.pid).ok()?;
        // Who has ended is in the topmost groups.
        if Membership::of(&self.procfs, Subject::Pid(self.pid)).ok() != self.groups {
            return None;
        }
        let before = std::mem::replace(&mut self.met, observed.events.pids_max);
        Some(observed.events.pids_max > before)
    }

    /// What is known of a call that ended with `result`.
    pub(super) fn attempt(
        &mut self,
        walls: &Walls,
        sample: &Sample,
        registers: &Registers,
        number: u32,
        result: i64,
    ) -> Attempt {
        let (audit, call) = called(registers, number);
        let errno = i32::try_from(result.min(0).unsigned_abs()).unwrap_or(i32::MAX);
        let subject = Subject::Pid(sample.process.cast_signed());
        let mut attempt = Attempt {
            audit,
            number,
            call,
            arguments: registers.arguments,
            errno,
            path: None,
            file: File::default(),
            checked: None,
            is_root: None,
            numbers: None,
            met_pids_limit: Some(false),
        };
        let name = attempt.name();
        attempt.numbers = self.numbers(sample, name, &registers.arguments);
        let executed = errno == 0 && matches!(name, "execve" | "execveat");
        if executed {
            // Its memory is another one's by now.
            attempt.path = self.procfs.read_link(subject, "exe").ok().map(path_of);
            attempt.file = self.program(subject);
        } else {
            attempt.path = place(name).and_then(|place| self.path(sample, place, &registers.arguments));
            attempt.file = attempt.path.as_deref().map(|path| self.file(path, errno)).unwrap_or_default();
        }
        let status = self.procfs.status(subject).ok();
        attempt.is_root = status.map(|status| walls.users.inside(status.uids[1]) == Some(0));
        let forks = matches!(name, "clone" | "clone3" | "fork" | "vfork");
        if forks && errno == 11 {
            attempt.met_pids_limit = self.met_pids_limit();
        }
        attempt
    }

    /// Bytes of the process' memory, as many as there are at `address`, at most `most`: of its stack as it was during the call, if they are
    /// there, or as they are now.
    fn memory(&self, sample: &Sample, address: u64, most: usize) -> Option<Vec<u8>> {
        let bottom = sample.registers.as_ref().map(|registers| registers.place[1])?;
        let offset = address.checked_sub(bottom).and_then(|offset| usize::try_from(offset).ok());
        if let Some(told) = offset.and_then(|offset| sample.stack.get(offset..)).filter(|told| !told.is_empty()) {
            return Some(told[..most.min(told.len())].to_vec());
        }
        let subject = Subject::Pid(sample.process.cast_signed());
        let memory = self.procfs.open(subject, "mem", OFlags::RDONLY).ok()?;
        let mut bytes = vec![0; most];
        // What is behind the end of a mapping cannot be read, and what is before it is read alone.
        let to_page = LONGEST - (address as usize & (LONGEST - 1));
        let first = rustix::io::pread(&memory, &mut bytes[..most.min(to_page)], address).ok()?;
        if first == to_page && first < most && !bytes[..first].contains(&0) {
            let second = rustix::io::pread(&memory, &mut bytes[first..], address + first as u64).unwrap_or_default();
            bytes.truncate(first + second);
        } else {
            bytes.truncate(first);
        }
        Some(bytes)
    }

    /// What the pointers of some calls lead to.
    fn numbers(&self, sample: &Sample, name: &str, arguments: &[u64; 6]) -> Option<[u64; 2]> {
        let address = match name {
            "clone3" => arguments[0],
            "setrlimit" => arguments[1],
            "prlimit64" | "mount" => arguments[2],
            _ => return None,
        };
        let bytes = self.memory(sample, address, 16)?;
        let (first, rest) = bytes.split_first_chunk::<8>()?;
        Some([u64::from_ne_bytes(*first), u64::from_ne_bytes(*rest.first_chunk()?)])
    }

    /// The path that the call names, from the container's root, without `.` and `..`.
    fn path(&self, sample: &Sample, place: Place, arguments: &[u64; 6]) -> Option<PathBuf> {
        let subject = Subject::Pid(sample.process.cast_signed());
        let open = |argument: usize| {
            let number = arguments[argument] as u32;
            let link = if number == WORKING_FOLDER { "cwd".to_owned() } else { format!("fd/{number}") };
            self.procfs.read_link(subject, &link).ok().map(path_of)
        };
        let (argument, folder) = match place {
            Place::Open(argument) => return open(argument).filter(|path| path.is_absolute()),
            Place::Path(argument) => (argument, None),
            Place::At(argument) => (argument + 1, Some(argument)),
        };
        let bytes = self.memory(sample, arguments[argument], LONGEST)?;
        let length = bytes.iter().position(|byte| *byte == 0)?;
        let path = path_of(bytes[..length].to_vec());
        if path.as_os_str().is_empty() {
            return folder.and_then(open);
        }
        if path.is_absolute() {
            return Some(plain(&path));
        }
        let from = match folder {
            Some(argument) => open(argument),
            None => self.procfs.read_link(subject, "cwd").ok().map(path_of),
        };
        Some(plain(&from?.join(path)))
    }

    /// What there is to say of a file. Nothing is asked of a file system whose answers somebody else gives: only what the kernel has
    /// at hand is taken.
    fn file(&self, path: &Path, errno: i32) -> File {
        let is_device = |path: &Path| {
            let found = std::fs::symlink_metadata(path);
            found.is_ok_and(|found| found.file_type().is_char_device() || found.file_type().is_block_device())
        };
        if errno == 2 {
            let of_host = path.starts_with("/dev") && is_device(path);
            return File { device: of_host.then(|| Device::OfHost(path.to_owned())), ..File::default() };
        }
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::CACHED;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let below = path.strip_prefix("/").unwrap_or(path);
        rustix::fs::openat2(&self.root, below, flags, Mode::empty(), resolve)
            .map(|file| look(&file))
            .unwrap_or_default()
    }

    /// Whether a process may have got rights by executing its program: by the program's file, or because it is another user than it really is.
    pub(super) fn has_raised(&self, subject: Subject) -> bool {
        let program = self.procfs.open_link(subject, "exe").map(|file| look(&file));
        let Ok(status) = self.procfs.status(subject) else { return false };
        // By now it is who owns the file, if that is what it became.
        let had_others = |owner: u32| status.uids[0] != owner;
        status.uids[0] != status.uids[1]
            || program.is_ok_and(|program| program.raises && program.owner.is_some_and(had_others))
    }

    /// The program that a process executes.
    fn program(&self, subject: Subject) -> File {
        let Ok(mut file) = self.procfs.open_link(subject, "exe").map(|file| look(&file)) else {
            return File::default();
        };
        // Who is the file's owner already becomes nobody else by its bit.
        let status = self.procfs.status(subject);
        file.raises &= status.is_ok_and(|status| file.owner.is_some_and(|owner| owner != status.uids[1]));
        file
    }
}

/// Whether the file changes who executes it.
pub(crate) fn raises(file: &OwnedFd) -> bool {
    look(file).raises
}

/// Owner, kind, and whether it changes who executes it.
fn look(file: &OwnedFd) -> File {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let Ok(found) = rustix::fs::statx(file, "", flags, StatxFlags::BASIC_STATS) else { return File::default() };
    let kind = FileType::from_raw_mode(u32::from(found.stx_mode));
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let executable = kind == FileType::RegularFile && found.stx_mode & 0o111 != 0;
    let by_mode = found.stx_mode & 0o4000 != 0 || found.stx_mode & 0o2010 == 0o2010;
    File {
        owner: Some(found.stx_uid),
        device: device(kind, found.stx_rdev_major, found.stx_rdev_minor),
        raises: executable && (by_mode || has_any(Path::new(&path))),
    }
}

/// The device of these numbers, by the name that the kernel gave the host's file of it (`sysfs(5)`).
fn device(kind: FileType, major: u32, minor: u32) -> Option<Device> {
    let (folder, letter) = match kind {
        FileType::CharacterDevice => ("char", 'c'),
        FileType::BlockDevice => ("block", 'b'),
        _ => return None,
    };
    let events = std::fs::read_to_string(format!("/sys/dev/{folder}/{major}:{minor}/uevent")).unwrap_or_default();
    let name = events.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    let path = name.map(|name| Path::new("/dev").join(name)).filter(|path| path.exists());
    Some(path.map_or_else(|| Device::Unnamed(format!("{letter} {major}:{minor}")), Device::OfHost))
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// An absolute path without `.` and `..`, as far as that can be said without its links.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        for (path, made) in [("/a/../b/./c", "/b/c"), ("/../..", "/"), ("/proc//sys/", "/proc/sys")] {
            assert_eq!(plain(Path::new(path)), Path::new(made), "{path}");
        }
    }
}
