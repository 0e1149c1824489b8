//! Honest layers in every form that the specification knows, and hostile ones.

mod hostile;

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use stockade_testkit::requires;
use tar::EntryType;
use tempfile::TempDir;

use super::*;
use crate::tests::Pack;
use crate::{Compression, Digest, EnsureError, Layers};

/// Unpacks a layer as images do. The data directory is gone with the guard.
fn unpacked(pack: Pack) -> Result<(TempDir, PathBuf), UnpackError> {
    let data = tempfile::tempdir().unwrap();
    let layers = Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
    let archive = pack.finish();
    let outcome = layers.ensure(&Digest::of(&archive), Compression::None, archive.as_slice());
    let count = |name: &str| std::fs::read_dir(data.path().join("layers").join(name)).unwrap().count();
    assert_eq!(count("unpacking"), 0, "nothing half-made is left");
    match outcome {
        Ok(path) => Ok((data, path)),
        Err(EnsureError::Unpack { source, .. }) => {
            assert_eq!(count("sha256"), 0, "nothing is left of a layer that is refused");
            Err(source)
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    Some(value[..length].to_vec())
}

fn is_whited_out(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| data.file_type().is_char_device() && data.rdev() == 0)
}

fn is_opaque_at(path: &Path) -> bool {
    xattr(path, "trusted.overlay.opaque").as_deref() == Some(b"y")
}

/// `security.capability` with CAP_NET_RAW, effective (`vfs_cap_data` of linux/capability.h, revision 2).
const NET_RAW: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[test]
fn every_kind_of_entry_is_made_as_it_is() {
    requires!(root, unpacker);
    let pack = Pack::default()
        .entry(EntryType::Directory, "./", b"", |header| {
            header.set_mode(0o1751);
            header.set_uid(7);
        })
        .folder("dir/")
        .pax(&[
            ("mtime", b"1234567890.5"),
            ("SCHILY.xattr.security.capability", NET_RAW),
            ("SCHILY.xattr.user.a", b"b"),
        ])
        .entry(EntryType::Regular, "dir/program", b"text", |header| {
            header.set_mode(0o6755);
            header.set_uid(1000);
            header.set_gid(2000);
        })
        .link(EntryType::Link, "dir/same", "./dir/program")
        .symlink("dir/link", "/etc/passwd")
        .pax(&[("SCHILY.xattr.security.selinux", b"x")])
        .device("null", 1, 3)
        .entry(EntryType::Fifo, "fifo", b"", |header| header.set_mode(0o666))
        .entry(EntryType::Regular, "old-folder/", b"", |_| {})
        .file("implied/by/file", "x");
    let (_data, layer) = unpacked(pack).unwrap();
    let of = |name: &str| layer.join(name).symlink_metadata().unwrap();
    assert_eq!((of("").mode() & 0o7777, of("").uid()), (0o1751, 7));
    let program = of("dir/program");
    assert_eq!((program.mode() & 0o7777, program.uid(), program.gid()), (0o6755, 1000, 2000));
    assert_eq!((program.mtime(), program.mtime_nsec()), (1_234_567_890, 500_000_000));
    assert_eq!((program.ino(), program.nlink()), (of("dir/same").ino(), 2));
    assert_eq!(xattr(&layer.join("dir/program"), "security.capability").as_deref(), Some(NET_RAW));
    assert_eq!(xattr(&layer.join("dir/program"), "user.a").as_deref(), Some(&b"b"[..]));
    assert_eq!(std::fs::read_link(layer.join("dir/link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(of("dir/link").mtime(), 1_000_000_000);
    assert_eq!(of("dir").mtime(), 1_000_000_000, "set after what is in it was made");
    assert_eq!((of("null").rdev(), of("null").mode() & 0o7777), (rustix::fs::makedev(1, 3), 0o644));
    assert!(of("fifo").file_type().is_fifo() && of("fifo").mode() & 0o7777 == 0o666);
    assert!(of("old-folder").is_dir());
    assert_eq!((of("implied").mode() & 0o7777, of("implied").uid()), (0o755, 0));
}

#[test]
fn whiteouts_take_overlayfs_s_form() {
    requires!(root, unpacker);
    let pack = Pack::default()
        .file("dir/.wh.gone", "")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/new", "")
        .file("first/.wh.sub", "")
        .folder("first/sub")
        .folder("second/sub")
        .file("second/.wh.sub", "")
        .file("third/.wh.file", "")
        .file("third/file", "text")
        .file("fourth/file", "text")
        .file("fourth/.wh.file", "")
        .file(".wh..wh.plnk/1", "x")
        .file(".wh..wh.aufs", "x");
    let (_data, layer) = unpacked(pack).unwrap();
    assert!(is_whited_out(&layer.join("dir/gone")));
    assert!(is_opaque_at(&layer.join("opaque")) && layer.join("opaque/new").is_file());
    for folder in ["first/sub", "second/sub"] {
        assert!(layer.join(folder).is_dir() && is_opaque_at(&layer.join(folder)), "{folder}");
    }
    for file in ["third/file", "fourth/file"] {
        assert_eq!(std::fs::read_to_string(layer.join(file)).unwrap(), "text", "{file}");
    }
    assert!(!is_opaque_at(&layer.join("dir")));
    let names = |path: &Path| std::fs::read_dir(path).unwrap().count();
    assert_eq!((names(&layer), names(&layer.join("first"))), (6, 1));
}

#[test]
fn an_opaque_root_hides_all_layers_below() {
    requires!(root, unpacker);
    let data = tempfile::tempdir().unwrap();
    let layers = Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
    for (name, hides) in [(".wh..wh..opq", true), ("file", false)] {
        let archive = Pack::default().file(name, "").finish();
        let digest = Digest::of(&archive);
        assert!(layers.hides_below(&digest).is_err());
        layers.ensure(&digest, Compression::None, archive.as_slice()).unwrap();
        assert_eq!(layers.hides_below(&digest).unwrap(), hides, "{name}");
    }
}

#[test]
fn a_later_entry_takes_the_place_of_an_earlier_one() {
    requires!(root, unpacker);
    let pack = Pack::default()
        .file("a/x", "1")
        .folder("a")
        .file("b/x/y", "1")
        .file("b/x", "file")
        .file("c", "1")
        .folder("c")
        .file("c/d", "2")
        .symlink("e", "a")
        .file("e", "own")
        .file("f", "first")
        .file("f", "second")
        .entry(EntryType::Directory, "g", b"", |header| header.set_mode(0o700))
        .entry(EntryType::Directory, "g", b"", |header| header.set_mode(0o711));
    let (_data, layer) = unpacked(pack).unwrap();
    let text = |name: &str| std::fs::read_to_string(layer.join(name)).unwrap();
    assert_eq!([text("a/x"), text("b/x"), text("c/d"), text("e"), text("f")], ["1", "file", "2", "own", "second"]);
    assert_eq!(layer.join("g").metadata().unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn links_are_followed_inside_the_layer_only() {
    requires!(root, unpacker);
    let pack = Pack::default()
        .folder("usr/lib")
        .symlink("lib", "usr/lib")
        .symlink("abs", "/usr/lib")
        .symlink("climb", "../../../../usr/lib")
        .file("lib/a", "a")
        .file("abs/b", "b")
        .file("climb/c", "c")
        .link(EntryType::Link, "d", "lib/a");
    let (_data, layer) = unpacked(pack).unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(std::fs::read_to_string(layer.join("usr/lib").join(name)).unwrap(), name);
    }
    assert_eq!(std::fs::read_to_string(layer.join("d")).unwrap(), "a");
    assert!(layer.join("lib").is_symlink());
}

/// Every form in which GNU tar writes files with holes.
#[test]
fn sparse_files_have_holes_again() {
    requires!(root, unpacker);
    let place = tempfile::tempdir().unwrap();
    let (length, path) = (3_u64 << 30, place.path().join("holes"));
    let file = std::fs::File::create(&path).unwrap();
    // More pieces than a header and one block after it have room for.
    for piece in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[piece as u8 + 1; 5000], piece * (64 << 20) + 4096).unwrap();
    }
    file.set_len(length).unwrap();
    for form in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let mut tar = std::process::Command::new("tar");
        let output =
            tar.args(form).args(["--sparse", "--hole-detection=seek", "-c", "holes"]).current_dir(place.path());
        let archive = output.output().unwrap().stdout;
        assert!(archive.len() < 4 << 20, "{form:?}");
        let data = tempfile::tempdir().unwrap();
        let layers = Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
        let layer = layers.ensure(&Digest::of(&archive), Compression::None, archive.as_slice()).unwrap();
        let made = std::fs::File::open(layer.join("holes")).unwrap();
        let facts = made.metadata().unwrap();
        assert_eq!(facts.len(), length, "{form:?}");
        assert!(facts.blocks() * 512 < 4 << 20, "{form:?}: {} blocks", facts.blocks());
        for piece in 0..40_u64 {
            let mut read = [0; 5002];
            std::os::unix::fs::FileExt::read_exact_at(&made, &mut read, piece * (64 << 20) + 4095).unwrap();
            let expected = [&[0][..], &[piece as u8 + 1; 5000], &[0]].concat();
            assert!(read[..] == expected, "{form:?}: piece {piece}");
        }
        assert_eq!(std::fs::read_dir(&layer).unwrap().count(), 1);
    }
}

/// A directory that passes its group or its access control list on does so to containers' files, not to those of the layer.
#[test]
fn what_a_directory_passes_on_is_not_the_layer_s() {
    requires!(root, unpacker);
    // `u::rwx,u:1000:rwx,g::rwx,m::rwx,o::rwx` as the kernel takes it (linux/posix_acl_xattr.h).
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let parts =
        [entry(1, 7, none), entry(2, 7, 1000), entry(4, 7, none), entry(16, 7, none), entry(32, 7, none)].concat();
    let list = [&2_u32.to_le_bytes()[..], &parts].concat();
    let group = |header: &mut tar::Header| {
        header.set_mode(0o2775);
        header.set_gid(50);
    };
    let pack = Pack::default()
        .entry(EntryType::Directory, "group", b"", group)
        .file("group/file", "x")
        .folder("group/folder")
        .symlink("group/link", "x")
        .folder("later")
        .file("later/before", "x")
        .entry(EntryType::Directory, "later", b"", group)
        .file("later/after", "x")
        .pax(&[("SCHILY.xattr.system.posix_acl_default", &list)])
        .folder("list")
        .entry(EntryType::Regular, "list/file", b"", |header| header.set_mode(0o640));
    let (_data, layer) = unpacked(pack).unwrap();
    let of = |name: &str| layer.join(name).symlink_metadata().unwrap();
    assert_eq!((of("group").mode() & 0o7777, of("group").gid()), (0o2775, 50));
    for name in ["group/file", "group/folder", "group/link", "later/before", "later/after"] {
        assert_eq!(of(name).gid(), 0, "{name}");
    }
    assert_eq!(of("group/folder").mode() & 0o7777, 0o755);
    assert_eq!(of("list/file").mode() & 0o7777, 0o640);
}
