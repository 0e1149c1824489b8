//! Folders as they are: copied with modes, owners, links and device nodes, and compared in all that the kernel says of them.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};

/// Copies the tree `from` to `to`, which must not exist.
///
/// # Errors
/// The first error; the half-made copy stays.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let data = from.symlink_metadata()?;
    let kind = FileType::from_raw_mode(data.mode());
    match kind {
        FileType::Symlink => {
            symlink(std::fs::read_link(from)?, to)?;
            return lchown(to, Some(data.uid()), Some(data.gid()));
        }
        FileType::Directory => {
            std::fs::create_dir(to)?;
            for entry in std::fs::read_dir(from)? {
                let name = entry?.file_name();
                copy(&from.join(&name), &to.join(&name))?;
            }
            lchown(to, Some(data.uid()), Some(data.gid()))?;
        }
        FileType::RegularFile => {
            std::fs::copy(from, to)?;
            fchown(std::fs::File::open(to)?, Some(data.uid()), Some(data.gid()))?;
        }
        _ => {
            rustix::fs::mknodat(CWD, to, kind, Mode::from_raw_mode(data.mode()), data.rdev())?;
            lchown(to, Some(data.uid()), Some(data.gid()))?;
        }
    }
    std::fs::set_permissions(to, PermissionsExt::from_mode(data.mode() & 0o7777))
}

/// Everything that two trees can differ in, by path below the root.
pub type Facts = BTreeMap<PathBuf, String>;

/// Looks at the tree `root`: of each file its kind, mode, owner, device number, time of the last change to the nanosecond, size
/// and content or target, extended attributes, and the first name (in order) of the same file where it has several.
///
/// # Errors
/// If something cannot be read.
pub fn facts(root: &Path) -> io::Result<Facts> {
    let mut facts = Facts::new();
    let mut first = BTreeMap::new();
    walk(root, Path::new(""), &mut |path, whole| {
        let data = whole.symlink_metadata()?;
        let kind = FileType::from_raw_mode(data.mode());
        let mut text = format!("{kind:?} {:o} {}:{}", data.mode() & 0o7777, data.uid(), data.gid());
        text += &format!(" changed {}.{:09}", data.mtime(), data.mtime_nsec());
        match kind {
            FileType::RegularFile => {
                text += &format!(" {} bytes {}", data.size(), crate::layout::digest_of_file(whole)?);
            }
            FileType::Symlink => text += &format!(" to {:?}", std::fs::read_link(whole)?),
            FileType::CharacterDevice | FileType::BlockDevice => text += &format!(" number {:x}", data.rdev()),
            _ => {}
        }
        for (name, value) in attributes(whole)? {
            text += &format!(" {name}={}", value.escape_ascii());
        }
        if kind != FileType::Directory && data.nlink() > 1 {
            let name = first.entry((data.dev(), data.ino())).or_insert_with(|| path.to_owned());
            text += &format!(" same as {}", name.display());
        }
        facts.insert(path.to_owned(), text);
        Ok(())
    })?;
    Ok(facts)
}

/// What no attack may change of the tree `root`: of each file its number, mode, owner, size and time of the last change of any
/// kind.
///
/// # Errors
/// If something cannot be looked at.
pub fn stamps(root: &Path) -> io::Result<Facts> {
    let mut facts = Facts::new();
    walk(root, Path::new(""), &mut |path, whole| {
        let data = whole.symlink_metadata()?;
        let text = format!("{} {:o} {}:{}", data.ino(), data.mode(), data.uid(), data.gid());
        facts.insert(path.to_owned(), format!("{text} {} {}.{:09}", data.size(), data.ctime(), data.ctime_nsec()));
        Ok(())
    })?;
    Ok(facts)
}

/// What is different in `right`, a line each, at most thirty.
#[must_use]
pub fn differences(left: &Facts, right: &Facts) -> Vec<String> {
    let names: std::collections::BTreeSet<&PathBuf> = left.keys().chain(right.keys()).collect();
    let different = names.into_iter().filter(|name| left.get(*name) != right.get(*name));
    let shown = |fact: Option<&String>| fact.map_or("nothing".to_owned(), Clone::clone);
    let lines = different.map(|name| format!("{name:?}: {} | {}", shown(left.get(name)), shown(right.get(name))));
    lines.take(30).collect()
}

/// Calls `each` with every path below `root`, itself first, and where it is.
fn walk(root: &Path, below: &Path, each: &mut impl FnMut(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    // Joining nothing would add a slash, which only folders take.
    let whole = if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) };
    each(below, &whole)?;
    if !whole.symlink_metadata()?.is_dir() {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&whole)? {
        names.push(entry?.file_name());
    }
    names.sort();
    names.iter().try_for_each(|name| walk(root, &below.join(name), each))
}

/// The extended attributes of a file, of a link itself where it is one.
fn attributes(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut names = vec![0; 64 << 10];
    let count = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(count) => count,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = BTreeMap::new();
    for name in names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let count = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        value.truncate(count);
        found.insert(String::from_utf8_lossy(name).into_owned(), value);
    }
    Ok(found)
}
