//! Trees that are packed and unpacked again, by us and by GNU tar, and trees that change meanwhile.

use std::fs::{File, create_dir, create_dir_all, hard_link, set_permissions, write};
use std::io::{Cursor, Write as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, setxattr, utimensat};
use stockade_testkit::{requires, tree};

use super::*;
use crate::tar::{Archive, Stream};

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn packed(path: &Path, name: &[u8], form: Form) -> Result<Vec<u8>, PackError> {
    let (root, owners, left_out) = (open(path), Owners::default(), BTreeSet::new());
    let root_entry = RootEntry::Written;
    let procfs = Procfs::host().unwrap();
    let tree =
        Tree { root: root.as_fd(), procfs: &procfs, name, root_entry, form, owners: &owners, left_out: &left_out };
    let mut bytes = Vec::new();
    pack(&tree, &mut bytes).map(|()| bytes)
}

fn unpacked(bytes: &[u8], into: &Path, naming: Naming<'_>, keep: Keep) -> Result<Extracted, ExtractError> {
    let (directory, owners) = (open(into), Owners::default());
    let ownership = match keep {
        Keep::Everything => Ownership::Archive(&owners),
        Keep::Harmless => Ownership::Fixed(0, 0),
    };
    let place = Place { directory: directory.as_fd(), naming, ownership, keep };
    extract(&mut Archive::new(Stream(Cursor::new(bytes))), &place)
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree with everything that a tree can have.
fn everything(root: &Path) {
    let path = |name: &str| root.join(name);
    create_dir_all(path("a/b")).unwrap();
    write(path("a/file"), "data").unwrap();
    lchown(path("a/file"), Some(3_000_000), Some(4_000_000_000)).unwrap();
    set_permissions(path("a/file"), PermissionsExt::from_mode(0o6751)).unwrap();
    hard_link(path("a/file"), path("z-again")).unwrap();
    symlink("/nowhere/at all", path("link")).unwrap();
    symlink("t".repeat(300), path("long link")).unwrap();
    hard_link(path("link"), path("link again")).unwrap();
    write(path(&format!("a/b/{}", "n".repeat(200))), "").unwrap();
    write(root.join(std::ffi::OsStr::from_bytes(b"not \xff text\n")), "x").unwrap();
    let long = b"\xfe".repeat(150);
    write(root.join(std::ffi::OsStr::from_bytes(&long)), "y").unwrap();
    for (name, kind, number) in [
        ("fifo", FileType::Fifo, 0),
        ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("disk", FileType::BlockDevice, rustix::fs::makedev(259, 1_000_000)),
    ] {
        rustix::fs::mknodat(CWD, path(name), kind, Mode::from_raw_mode(0o640), number).unwrap();
    }
    let mut capability = vec![1, 0, 0, 2];
    capability.extend_from_slice(&[0, 4, 0, 0].repeat(4));
    setxattr(path("a/file"), "security.capability", &capability, XattrFlags::empty()).unwrap();
    let sparse = File::create(path("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    rustix::io::pwrite(&sparse, b"end", (10 << 20) - 3).unwrap();
    set_permissions(path("a"), PermissionsExt::from_mode(0o3777)).unwrap();
    for (number, name) in ["a/file", "link", "fifo", "null", "sparse", "a/b", "a"].into_iter().enumerate() {
        set_time(&path(name), 1_000_000_000 * number as i64 - 5, 123_456_789 * number as i64);
    }
    set_time(root, 77, 1);
}

/// By what unpacks layers.
fn unpacked_as_layer(bytes: &[u8], folder: std::os::fd::BorrowedFd<'_>) {
    let mut archive = Archive::new(Stream(Cursor::new(bytes)));
    let opaque = crate::unpack::unpack(&mut archive, folder, crate::unpack::Umask::Unknown, crate::Privilege::Host)
        .unwrap()
        .opaque;
    crate::unpack::set_opaque(folder, opaque.iter().map(std::path::PathBuf::as_path), crate::Privilege::Host).unwrap();
}

#[test]
fn a_tree_comes_back_as_it_was() {
    requires!(root);
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    for name in ["one", "two", "three"] {
        create_dir(path(name)).unwrap();
    }
    everything(&path("one"));
    drop(std::os::unix::net::UnixListener::bind(path("socket")).unwrap());
    let bytes = packed(&path("one"), b".", Form::Merged).unwrap();
    let before = tree::facts(&path("one")).unwrap();
    let two = rustix::fs::open(path("two"), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    unpacked_as_layer(&bytes, two.as_fd());
    assert_eq!(tree::differences(&before, &tree::facts(&path("two")).unwrap()), Vec::<String>::new());
    // By what copies: the root itself stays as it is.
    unpacked(&bytes, &path("three"), Naming::Kept, Keep::Everything).unwrap();
    let mut after = tree::facts(&path("three")).unwrap();
    after.insert("".into(), before[Path::new("")].clone());
    assert_eq!(tree::differences(&before, &after), Vec::<String>::new());
    assert!(path("three/sparse").metadata().unwrap().blocks() < 100, "holes stay holes");
    // The same tree is the same archive.
    assert_eq!(packed(&path("one"), b".", Form::Merged).unwrap(), bytes);
    assert!(packed(&path("two"), b".", Form::Merged).unwrap() == bytes);
}

#[test]
fn gnu_tar_reads_what_is_packed() {
    requires!(root);
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    create_dir(path("one")).unwrap();
    create_dir(path("two")).unwrap();
    everything(&path("one"));
    let bytes = packed(&path("one"), b".", Form::Merged).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "-", "-C"]).arg(path("two"));
    let mut child = tar.env("LC_ALL", "C").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(child.wait().unwrap().success());
    let facts = |name| tree::facts(&path(name)).unwrap();
    assert_eq!(tree::differences(&facts("one"), &facts("two")), Vec::<String>::new());
}

#[test]
fn marks_of_overlayfs_become_whiteouts_and_back() {
    requires!(root);
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    create_dir_all(path("one/opaque")).unwrap();
    create_dir(path("two")).unwrap();
    setxattr(path("one/opaque"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    rustix::fs::mknodat(CWD, path("one/removed"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    let bytes = packed(&path("one"), b".", Form::Layer).unwrap();
    let two = rustix::fs::open(path("two"), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    unpacked_as_layer(&bytes, two.as_fd());
    let names: Vec<String> = entries(&bytes);
    assert_eq!(names, ["./", "opaque/", "opaque/.wh..wh..opq", ".wh.removed"]);
    let stat = rustix::fs::lstat(path("two/removed")).unwrap();
    assert!(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0);
    assert!(crate::pack::marked_opaque(open_to_read(&path("two/opaque")).as_fd(), crate::Privilege::Host).unwrap());
    // What would be read as something else, or is not there.
    write(path("one/.wh.x"), "").unwrap();
    assert!(matches!(packed(&path("one"), b".", Form::Layer), Err(PackError::Unfit { .. })));
    assert!(packed(&path("one"), b".", Form::Merged).is_ok());
    std::fs::remove_file(path("one/.wh.x")).unwrap();
    setxattr(path("one/opaque"), "trusted.overlay.redirect", b"/x", XattrFlags::empty()).unwrap();
    assert!(matches!(packed(&path("one"), b".", Form::Layer), Err(PackError::Unfit { .. })));
}

fn open_to_read(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn entries(bytes: &[u8]) -> Vec<String> {
    let mut archive = Archive::new(Stream(Cursor::new(bytes)));
    let mut names = Vec::new();
    while let Some(entry) = archive.next_entry().unwrap() {
        names.push(String::from_utf8_lossy(&entry.path).into_owned());
    }
    names
}

#[test]
fn names_are_put_where_they_are_wanted() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    for name in ["one/sub", "in", "without"] {
        create_dir_all(path(name)).unwrap();
    }
    write(path("one/sub/file"), "x").unwrap();
    hard_link(path("one/sub/file"), path("one/twin")).unwrap();
    let bytes = packed(&path("one"), b"base", Form::Merged).unwrap();
    assert_eq!(entries(&bytes), ["base/", "base/sub/", "base/sub/file", "base/twin"]);
    unpacked(&bytes, &path("in"), Naming::First("new".as_ref()), Keep::Harmless).unwrap();
    unpacked(&bytes, &path("without"), Naming::WithoutFirst, Keep::Harmless).unwrap();
    for twin in ["in/new/twin", "without/twin"] {
        assert_eq!(path(twin).metadata().unwrap().nlink(), 2, "{twin}");
    }
    let single = packed(&path("one/twin"), b"alone", Form::Merged).unwrap();
    assert_eq!(entries(&single), ["alone"]);
}

/// An archive that tries to get out, or to change what it must not.
#[test]
fn nothing_gets_out_of_the_place_or_changes_what_is_there() {
    requires!(root);
    use crate::tests::Pack;
    use ::tar::EntryType;
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    for name in ["in/dir", "outside"] {
        create_dir_all(path(name)).unwrap();
    }
    write(path("outside/file"), "untouched").unwrap();
    symlink(path("outside"), path("in/link")).unwrap();
    hard_link(path("outside/file"), path("in/twin")).unwrap();
    set_permissions(path("in/dir"), PermissionsExt::from_mode(0o700)).unwrap();
    let try_it = |pack: Pack| unpacked(&pack.finish(), &path("in"), Naming::Kept, Keep::Harmless);
    for pack in [
        Pack::default().file("../x", "evil"),
        Pack::default().file("dir/../../x", "evil"),
        Pack::default().file("link/file", "evil"),
        Pack::default().file("dir", "a file on a directory"),
        Pack::default().folder("twin"),
        Pack::default().folder("link"),
        Pack::default().symlink("l", "/").file("l/etc/x", "evil"),
        Pack::default().link(EntryType::Link, "h", "../outside/file"),
        Pack::default().link(EntryType::Link, "h", "link/file"),
        Pack::default().link(EntryType::Link, "h", "dir"),
    ] {
        assert!(try_it(pack).is_err());
    }
    // What is there keeps its mode (CVE-2021-41089); what has another name elsewhere is not written to.
    let pack = Pack::default().entry(EntryType::Directory, "dir", b"", |header| header.set_mode(0o777));
    let pack = pack.entry(EntryType::Regular, "twin", b"new", |header| header.set_mode(0o6777)).device("d", 1, 3);
    assert_eq!(try_it(pack).unwrap(), Extracted { devices_left_out: 1 });
    assert_eq!(path("in/dir").metadata().unwrap().mode() & 0o7777, 0o700);
    assert_eq!(path("in/twin").metadata().unwrap().mode() & 0o7777, 0o777);
    assert_eq!(std::fs::read_to_string(path("outside/file")).unwrap(), "untouched");
    assert_eq!(path("outside/file").metadata().unwrap().mode() & 0o7777, 0o644);
    assert_eq!(std::fs::read_dir(path("outside")).unwrap().count(), 1);
    assert!(!path("x").exists() && !path("in/d").exists());
}

/// A file that grows, one that shrinks, names that come and go, and a FIFO in the place of a file.
#[test]
fn a_tree_that_changes_is_still_an_archive() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    create_dir(&root).unwrap();
    let busy = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0_u64;
            while busy.load(std::sync::atomic::Ordering::Relaxed) {
                round += 1;
                let file = File::create(root.join("size")).unwrap();
                file.set_len(round % 7 * 300_000).unwrap();
                let name = root.join("kind");
                std::fs::remove_file(&name).or_else(|_directory| std::fs::remove_dir(&name)).unwrap_or_default();
                match round % 4 {
                    0 => rustix::fs::mknodat(CWD, &name, FileType::Fifo, Mode::RWXU, 0).unwrap(),
                    1 => create_dir(&name).unwrap(),
                    2 => symlink("/etc", &name).unwrap(),
                    _ => write(&name, "file").unwrap(),
                }
            }
        });
        for _ in 0..300 {
            let bytes = packed(&root, b".", Form::Merged).unwrap();
            let names = entries(&bytes);
            assert!(names.iter().all(|name| ["./", "size", "kind", "kind/"].contains(&name.as_str())), "{names:?}");
        }
        busy.store(false, std::sync::atomic::Ordering::Relaxed);
    });
}
