//! The payload's environment: as configured, each name once, with `HOME` as the container's own `/etc/passwd` has it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fd::AsFd;
use rustix::fs::{FileType, Mode, OFlags};
use stockade_kernel::resolve;

/// The most that is read of an image's `/etc/passwd`.
const MOST_OF_PASSWD: u64 = 1 << 20;

/// The value of `name` in `entries`: the last one counts.
pub(super) fn value<'a>(entries: &'a [OsString], name: &str) -> Option<&'a OsStr> {
    let value = |entry: &'a OsString| entry.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"=");
    entries.iter().rev().find_map(value).map(OsStr::from_bytes)
}

/// `entries` with each name once, the last one counting, and a `HOME` for the user `uid` if there is none or it is empty.
pub(super) fn complete(entries: &[OsString], uid: u32, root: impl AsFd) -> Vec<Vec<u8>> {
    let name = |entry: &OsString| entry.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default().to_vec();
    let mut complete: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(entries.len() + 1);
    for entry in entries {
        let name = name(entry);
        match complete.iter_mut().find(|(other, _)| *other == name) {
            Some((_, value)) => *value = entry.as_bytes().to_vec(),
            None => complete.push((name, entry.as_bytes().to_vec())),
        }
    }
    if value(entries, "HOME").is_none_or(OsStr::is_empty) {
        complete.retain(|(name, _)| name != b"HOME");
        // An image without a readable passwd is common, and its users live in "/".
        let home = home(uid, root).ok().flatten().unwrap_or_else(|| b"/".to_vec());
        complete.push((b"HOME".to_vec(), [b"HOME=".to_vec(), home].concat()));
    }
    complete.into_iter().map(|(_, entry)| entry).collect()
}

/// The home of `uid` in the `/etc/passwd` inside `root`, which may be hostile: it is a regular file or it is not opened, as
/// opening alone makes some devices do something. A file of procfs, such as `kmsg`, says that it is empty.
fn home(uid: u32, root: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    let open = |flags| resolve::open_in_root(&root, "/etc/passwd", flags, Mode::empty());
    let is_read = |stat: &rustix::fs::Stat| {
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        regular && (1..=MOST_OF_PASSWD).contains(&(stat.st_size as u64))
    };
    if !is_read(&rustix::fs::fstat(open(OFlags::PATH)?)?) {
        return Ok(None);
    }
    let file = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    if !is_read(&rustix::fs::fstat(&file)?) {
        return Ok(None);
    }
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::from(file), MOST_OF_PASSWD), &mut text)?;
    let home = |line: &[u8]| {
        let fields: Vec<_> = line.split(|byte| *byte == b':').collect();
        let number: u32 = std::str::from_utf8(fields.get(2)?).ok()?.parse().ok()?;
        let home = fields.get(5).filter(|home| number == uid && home.starts_with(b"/") && !home.contains(&0))?;
        Some(home.to_vec())
    };
    Ok(text.split(|byte| *byte == b'\n').find_map(home))
}

/// These as what `execve(2)` takes.
pub(super) fn strings(entries: Vec<Vec<u8>>) -> io::Result<stockade_kernel::exec::Strings> {
    stockade_kernel::exec::Strings::from_bytes(entries)
}

/// The arguments as what `execve(2)` takes.
pub(super) fn arguments(arguments: &[OsString]) -> io::Result<stockade_kernel::exec::Strings> {
    strings(arguments.iter().map(|argument| argument.clone().into_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(entries: Vec<Vec<u8>>) -> Vec<String> {
        entries.into_iter().map(|entry| String::from_utf8(entry).unwrap()).collect()
    }

    #[test]
    fn the_last_value_counts_and_home_is_the_users() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(folder.path().join("etc/passwd"), "broken\nr:x:0:0:r:/root:/bin/sh\nu:x:7:7::/home/u:\n")
            .unwrap();
        let root = std::fs::File::open(folder.path()).unwrap();
        let entries = ["A=1", "B=2", "A=3"].map(OsString::from);
        assert_eq!(value(&entries, "A"), Some(OsStr::new("3")));
        assert_eq!(texts(complete(&entries, 7, &root)), ["A=3", "B=2", "HOME=/home/u"]);
        assert_eq!(texts(complete(&[OsString::from("HOME=")], 8, &root)), ["HOME=/"]);
        assert_eq!(texts(complete(&[OsString::from("HOME=/x")], 0, &root)), ["HOME=/x"]);
    }

    #[test]
    fn a_hostile_passwd_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("etc/passwd"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let root = std::fs::File::open(folder.path()).unwrap();
        assert_eq!(texts(complete(&[], 0, &root)), ["HOME=/"]);
    }
}
