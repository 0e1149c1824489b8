//! Archives that try to leave the layer's folder, each after a published hole.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

/// A folder outside, with a file whose name, content and mode must not change.
struct Outside(TempDir);

impl Outside {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("victim"), "kept").unwrap();
        std::fs::set_permissions(outside.path().join("victim"), PermissionsExt::from_mode(0o640)).unwrap();
        Self(outside)
    }

    /// Its path, relative to nothing.
    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn untouched(&self) {
        let names: Vec<_> = std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["victim"]);
        let victim = self.0.path().join("victim");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
        let data = victim.symlink_metadata().unwrap();
        assert_eq!((data.mode() & 0o7777, data.uid(), data.nlink()), (0o640, 0, 1));
    }
}

#[test]
fn cve_2026_17106_names_that_lead_out_are_refused() {
    requires!(root, unpacker);
    let outside = Outside::new();
    let up = format!("../../../../../..{}/new", outside.path());
    for path in ["../new", "a/../../new", "..", "a/..", &up] {
        let error = unpacked(Pack::default().file(path, "x")).unwrap_err();
        assert!(matches!(error, UnpackError::Name { .. }), "{path}: {error:?}");
    }
    for path in [".wh...", ".wh.", "a/.wh...", ".wh.x/y"] {
        let error = unpacked(Pack::default().file(path, "")).unwrap_err();
        assert!(matches!(error, UnpackError::Name { .. }), "{path}: {error:?}");
    }
    // Absolute names are names below the layer's root, as everywhere.
    let (_data, layer) = unpacked(Pack::default().file(&format!("{}/new", outside.path()), "x")).unwrap();
    assert!(layer.join(outside.path().trim_start_matches('/')).join("new").is_file());
    outside.untouched();
}

#[test]
fn cve_2026_17106_hard_links_to_outside_are_refused() {
    requires!(root, unpacker);
    let outside = Outside::new();
    let victim = format!("{}/victim", outside.path());
    let up = format!("../../../../../../..{victim}");
    for target in [victim.as_str(), &up, "..", "/", "", "missing", "a/missing"] {
        let error = unpacked(Pack::default().folder("a").link(EntryType::Link, "a/x", target)).unwrap_err();
        assert!(matches!(error, UnpackError::HardLink { .. }), "{target}: {error:?}");
    }
    // Through links that lead outside: they lead to nothing.
    for link in [outside.path(), "/", "../../../../../../../.."] {
        let pack = Pack::default().symlink("s", link).link(EntryType::Link, "x", &format!("s{victim}"));
        assert!(matches!(unpacked(pack), Err(UnpackError::HardLink { .. })), "{link}");
    }
    let pack = Pack::default().symlink("s", outside.path()).link(EntryType::Link, "x", "s/victim");
    assert!(matches!(unpacked(pack), Err(UnpackError::HardLink { .. })));
    let to_folder = Pack::default().folder("d").link(EntryType::Link, "x", "d");
    assert!(matches!(unpacked(to_folder), Err(UnpackError::HardLink { .. })));
    let to_whiteout = Pack::default().file(".wh.w", "").link(EntryType::Link, "x", "w");
    assert!(matches!(unpacked(to_whiteout), Err(UnpackError::HardLink { .. })));
    let to_itself = Pack::default().file("x", "").link(EntryType::Link, "x", "x");
    assert!(matches!(unpacked(to_itself), Err(UnpackError::Entry { .. })));
    outside.untouched();
}

#[test]
fn cve_2026_17106_files_through_links_stay_inside_or_fail() {
    requires!(root, unpacker);
    let outside = Outside::new();
    let victim = format!("{}/victim", outside.path());
    // The link's folder does not exist inside, so there is nothing to write to.
    for (link, path) in [(outside.path(), "s/new"), (outside.path(), "s/victim"), (outside.path(), "s/a/b")] {
        let error = unpacked(Pack::default().symlink("s", link).file(path, "x")).unwrap_err();
        assert!(matches!(error, UnpackError::Entry { .. }), "{path}: {error:?}");
    }
    // A link as the last name is replaced and never followed, whatever comes in its place.
    let pack = Pack::default()
        .symlink("file", &victim)
        .file("file", "x")
        .symlink("folder", outside.path())
        .folder("folder")
        .file("folder/victim", "x")
        .symlink("device", &victim)
        .device("device", 1, 3)
        .symlink("chain", "chain2")
        .symlink("chain2", &victim)
        .file("chain", "x");
    let (_data, layer) = unpacked(pack).unwrap();
    assert!(layer.join("file").symlink_metadata().unwrap().is_file());
    assert!(layer.join("folder").symlink_metadata().unwrap().is_dir());
    outside.untouched();
}

#[test]
fn cve_2021_32760_no_mode_is_changed_through_a_link() {
    requires!(root, unpacker);
    let outside = Outside::new();
    let victim = format!("{}/victim", outside.path());
    let open = |header: &mut tar::Header| {
        header.set_mode(0o4777);
        header.set_uid(1000);
    };
    let pack = Pack::default()
        .entry(EntryType::Symlink, "link", b"", |header| {
            open(header);
            header.set_link_name_literal(&victim).unwrap();
        })
        .entry(EntryType::Link, "hard", b"", |header| {
            open(header);
            header.set_link_name_literal("link").unwrap();
        });
    let (_data, layer) = unpacked(pack).unwrap();
    assert!(layer.join("hard").is_symlink());
    // A directory over a link to a directory: the mode is the new directory's.
    let pack = Pack::default().symlink("d", outside.path()).entry(EntryType::Directory, "d", b"", open);
    let (_data, layer) = unpacked(pack).unwrap();
    assert_eq!(layer.join("d").symlink_metadata().unwrap().mode() & 0o7777, 0o4777);
    let pack = Pack::default().symlink("d", outside.path()).entry(EntryType::Directory, "d/.", b"", open);
    unpacked(pack).unwrap();
    outside.untouched();
}

/// Someone who can write into the layer's folder swaps a directory and a link to the outside while a layer with many files
/// in that directory is unpacked.
#[test]
fn cve_2025_47290_swapped_links_lead_nowhere() {
    requires!(root, unpacker);
    let outside = Outside::new();
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    std::fs::create_dir_all(root.join("d")).unwrap();
    symlink(outside.path(), root.join("swap")).unwrap();
    let open = |header: &mut tar::Header| header.set_mode(0o6777);
    let mut pack = Pack::default();
    for number in 0..300 {
        pack = pack
            .entry(EntryType::Regular, "d/victim", b"overwritten", open)
            .entry(EntryType::Directory, "d", b"", open)
            .entry(EntryType::Fifo, "d/fifo", b"", open)
            .file(&format!("d/{number}"), "new")
            .link(EntryType::Link, "d/hard", "d/victim")
            .file("d/.wh..wh..opq", "");
    }
    let archive = pack.finish();
    let (stop, swapped) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (from, to) = (root.join("d"), root.join("swap"));
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let moved = rustix::fs::renameat_with(rustix::fs::CWD, &from, rustix::fs::CWD, &to, flags).is_ok();
                swapped.fetch_add(u64::from(moved), Ordering::Relaxed);
                // When the directory was replaced because it was a link, the link is made again, unless a file came into it meanwhile.
                if !from.is_symlink() && !to.is_symlink() && std::fs::remove_dir_all(&to).is_ok() {
                    symlink(outside.path(), &to).unwrap();
                }
            }
        });
        let (mut layers, mut finished) = (0, 0);
        // On a busy machine the attacker may not have had his turn.
        while layers < 60 || swapped.load(Ordering::Relaxed) < 60 && layers < 60_000 {
            layers += 1;
            let folder = rustix::fs::open(&root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
            let mut archive = Archive::new(crate::tar::Stream(archive.as_slice()));
            // Either way is fine: the folder is not what it was thought to be.
            finished += u32::from(unpack(&mut archive, folder.as_fd(), Umask::Unknown, crate::Privilege::Host).is_ok());
            outside.untouched();
        }
        stop.store(true, Ordering::Relaxed);
        eprintln!("{finished} of {layers} layers were unpacked to the end");
        swapper.join().unwrap();
    });
    let swapped = swapped.into_inner();
    assert!(swapped >= 60, "the attacker came to move {swapped} times");
    outside.untouched();
}

#[test]
fn images_do_not_steer_overlayfs() {
    requires!(root, unpacker);
    let marks = [
        "opaque",
        "redirect",
        "metacopy",
        "origin",
        "impure",
        "nlink",
        "upper",
        "uuid",
        "xwhiteouts",
        "overlay.opaque",
    ];
    let names = ["trusted", "user"].into_iter().flat_map(|space| marks.map(|mark| format!("{space}.overlay.{mark}")));
    for name in names.chain(["trusted.x".to_owned()]) {
        let key = format!("SCHILY.xattr.{name}");
        for pack in
            [Pack::default().pax(&[(&key, b"y")]).folder("d"), Pack::default().pax(&[(&key, b"y")]).file("f", "")]
        {
            assert!(matches!(unpacked(pack), Err(UnpackError::Attribute { .. })), "{name}");
        }
    }
    assert!(matches!(unpacked(Pack::default().device("d", 0, 0)), Err(UnpackError::WhiteoutDevice(_))));
}

#[test]
fn a_root_that_is_no_directory_is_refused() {
    requires!(root, unpacker);
    for pack in [
        Pack::default().symlink("./", "/etc"),
        Pack::default().file(".", "x"),
        Pack::default().device("/", 1, 3),
        Pack::default().link(EntryType::Link, "./", "x"),
    ] {
        let error = unpacked(pack).unwrap_err();
        assert!(matches!(error, UnpackError::Name { .. }), "{error:?}");
    }
}

/// A tree that is deeper than its names are long, by way of links, and must be removable when the layer is refused.
#[test]
fn a_tree_without_a_bottom_leaves_nothing() {
    requires!(root, unpacker);
    // The kernel follows at most 40 links, and counts some of them twice where it looks a path up again.
    let deep = "d/".repeat(47);
    let mut pack = Pack::default().folder(&deep).symlink("l0", &deep);
    for number in 1..15 {
        let (last, link) = (format!("l{}", number - 1), format!("l{number}"));
        pack = pack.folder(&format!("{last}/{}", "d/".repeat(44)));
        pack = pack.symlink(&link, &format!("{last}/{}", "d/".repeat(44)));
    }
    let error = unpacked(pack.file("../out", "")).unwrap_err();
    assert!(matches!(error, UnpackError::Name { .. }), "{error:?}");
}

fn kind() -> impl Strategy<Value = EntryType> {
    prop::sample::select(vec![
        EntryType::Regular,
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Fifo,
        EntryType::Char,
    ])
}

/// Names and link targets that lead everywhere; `OUT` stands for a folder outside.
fn entries() -> impl Strategy<Value = Vec<(EntryType, String, String)>> {
    let path = "(/|\\./)?(a|b|\\.\\.|OUT|\\.wh\\.a|\\.wh\\.\\.wh\\.\\.opq)(/(a|b|\\.\\.|victim)){0,3}/?";
    let target = "(/|\\.\\./)?(a|b|OUT|\\.\\./\\.\\./OUT)(/(a|\\.\\.|victim)){0,2}";
    prop::collection::vec((kind(), path, target), 0..12)
}

/// Whatever is in a layer, nothing outside changes, and a layer that is refused leaves nothing.
#[test]
fn any_entries_stay_inside() {
    requires!(root, unpacker);
    proptest!(ProptestConfig::with_cases(300), |(entries in entries())| {
        let outside = Outside::new();
        let mut pack = Pack::default();
        for (kind, path, target) in &entries {
            let [path, target] = [path, target].map(|text| text.replace("OUT", outside.path()));
            pack = match kind {
                EntryType::Symlink | EntryType::Link => pack.link(*kind, &path, &target),
                EntryType::Char => pack.device(&path, 1, 3),
                _ => pack.entry(*kind, &path, b"", |header| header.set_mode(0o4777)),
            };
        }
        // Which of both happens is the archive's matter; `unpacked` looks for what is left behind.
        let refused = unpacked(pack).is_err();
        outside.untouched();
        prop_assert!(refused || entries.iter().all(|(_, path, _)| !path.split('/').any(|part| part == "..")));
    });
}
