//! Volumes on a real file system.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{FileType, Gid, Uid};
use stockade_testkit::requires;

use super::*;

fn opened() -> (tempfile::TempDir, Volumes) {
    let place = tempfile::tempdir().unwrap();
    let volumes = Volumes::open(place.path()).unwrap();
    (place, volumes)
}

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn volume(text: &str) -> Volume {
    Volume::new(name(text), "2026-01-01T00:00:00Z".into())
}

fn create(volumes: &Volumes, text: &str) -> Created {
    volumes.share().unwrap().create(&volume(text)).unwrap()
}

fn unfinished(volumes: &Volumes) -> usize {
    std::fs::read_dir(volumes.unfinished()).unwrap().count()
}

#[test]
fn a_volume_is_made_found_listed_and_taken_away() {
    let (_place, volumes) = opened();
    let mut labelled = volume("data");
    labelled.labels.insert("a".into(), "b".into());
    assert_eq!(volumes.share().unwrap().create(&labelled).unwrap(), Created::New);
    assert_eq!(create(&volumes, "data"), Created::Existing(labelled.clone()));
    assert_eq!(volumes.find(&name("data")).unwrap(), Some(labelled.clone()));
    assert_eq!(volumes.find(&name("other")).unwrap(), None);
    create(&volumes, "a-first");
    std::fs::create_dir(volumes.path.join(".hidden")).unwrap();
    assert_eq!(volumes.list().unwrap(), [volume("a-first"), labelled]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&volumes.mountpoint(&name("data"))), 0o755);
    assert_eq!((mode(&volumes.folder(&name("data"))), mode(&volumes.path)), (0o700, 0o700));
    std::fs::write(volumes.mountpoint(&name("data")).join("file"), "12345").unwrap();
    std::fs::hard_link(volumes.mountpoint(&name("data")).join("file"), volumes.mountpoint(&name("data")).join("b"))
        .unwrap();
    assert_eq!(volumes.usage(&name("data")).unwrap(), 5);
    let doomed = volumes.alone().unwrap().take_away(&name("data")).unwrap();
    assert_eq!(volumes.find(&name("data")).unwrap(), None);
    assert_eq!(doomed.usage().unwrap(), 5);
    doomed.remove().unwrap();
    assert_eq!(unfinished(&volumes), 0);
    let missing = volumes.alone().unwrap().take_away(&name("data")).unwrap_err();
    assert_eq!(missing.to_string(), "no such volume: data");
    assert!(matches!(volumes.usage(&name("data")), Err(VolumeError::Missing(_))));
}

#[test]
fn what_killed_processes_left_goes_unless_somebody_is_at_it() {
    let (place, volumes) = opened();
    create(&volumes, "data");
    let doomed = volumes.alone().unwrap().take_away(&name("data")).unwrap();
    Volumes::open(place.path()).unwrap();
    assert_eq!(unfinished(&volumes), 1, "somebody is taking it apart");
    drop(doomed);
    Volumes::open(place.path()).unwrap();
    assert_eq!(unfinished(&volumes), 0);
}

#[test]
fn of_many_makers_one_makes_it() {
    let (place, volumes) = opened();
    let made = || Volumes::open(place.path()).unwrap().share().unwrap().create(&volume("data")).unwrap();
    let all: Vec<Created> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(made)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(all.iter().filter(|made| **made == Created::New).count(), 1);
    assert_eq!(unfinished(&volumes), 0);
}

#[test]
fn records_that_make_no_sense() {
    let (_place, volumes) = opened();
    create(&volumes, "data");
    let path = volumes.folder(&name("data")).join(RECORD);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"version\":1", "\"version\":2")).unwrap();
    assert!(matches!(volumes.find(&name("data")), Err(VolumeError::Version(_))));
    std::fs::write(&path, text.replace("\"scope\":\"local\"", "\"scope\":\"global\"")).unwrap();
    assert!(matches!(volumes.list(), Err(VolumeError::Damaged { .. })));
    std::fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    assert!(matches!(volumes.find(&name("data")), Err(VolumeError::File { .. })));
}

/// A folder as an image could have it.
fn image(place: &Path) -> std::path::PathBuf {
    let root = place.join("image");
    std::fs::create_dir(&root).unwrap();
    std::fs::create_dir(root.join("sub")).unwrap();
    std::fs::write(root.join("sub/file"), "text").unwrap();
    std::fs::hard_link(root.join("sub/file"), root.join("again")).unwrap();
    symlink("/etc/passwd", root.join("link")).unwrap();
    symlink("/", root.join("sub/root")).unwrap();
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, root.join("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), null).unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"end", 64 << 20).unwrap();
    std::fs::write(root.join("setuid"), "").unwrap();
    rustix::fs::chownat(CWD, root.join("setuid"), Some(Uid::from_raw(7)), Some(Gid::from_raw(8)), AtFlags::empty())
        .unwrap();
    std::fs::set_permissions(root.join("setuid"), PermissionsExt::from_mode(0o4751)).unwrap();
    rustix::fs::setxattr(root.join("setuid"), "user.mime", b"x", rustix::fs::XattrFlags::empty()).unwrap();
    rustix::fs::chownat(CWD, &root, Some(Uid::from_raw(9)), Some(Gid::from_raw(10)), AtFlags::empty()).unwrap();
    std::fs::set_permissions(&root, PermissionsExt::from_mode(0o3770)).unwrap();
    let old = |path: &str| {
        assert!(
            Command::new("touch")
                .args(["-hd", "2001-02-03 04:05:06.789"])
                .arg(root.join(path))
                .status()
                .unwrap()
                .success()
        )
    };
    for path in ["sub/file", "link", "setuid", "sub", "pipe", "."] {
        old(path);
    }
    root
}

use rustix::fs::AtFlags;

/// What `find` says of everything below `root`.
fn described(root: &Path) -> Vec<String> {
    let done = Command::new("find").arg(root).args(["-printf", "%P %y %m %U %G %s %T@ %n %l\n"]).output().unwrap();
    assert!(done.status.success());
    let mut lines: Vec<String> = String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn folder(path: &Path) -> OwnedFd {
    open_folder(path).unwrap()
}

#[test]
fn an_empty_volume_is_filled_with_everything_but_devices() {
    requires!(root);
    let (place, volumes) = opened();
    create(&volumes, "data");
    let image = image(place.path());
    let share = volumes.share().unwrap();
    let filling = share.fill(&name("data")).unwrap().unwrap();
    filling.copy(folder(&image).as_fd()).unwrap();
    let content = volumes.mountpoint(&name("data"));
    let inode = std::fs::metadata(&content).unwrap().ino();
    assert!(described(&content).len() == 1, "nothing is seen before all is there");
    filling.finish().unwrap();
    assert_eq!(std::fs::metadata(&content).unwrap().ino(), inode, "containers may have it mounted");
    let size_of_folders = |line: &String| !line.starts_with("null ");
    let expected: Vec<String> = described(&image).into_iter().filter(size_of_folders).collect();
    assert_eq!(described(&content), expected);
    assert!(!content.join("null").exists());
    assert!(std::fs::symlink_metadata(content.join("pipe")).unwrap().file_type().is_fifo());
    assert!(std::fs::metadata(content.join("sparse")).unwrap().blocks() < 2048, "holes stay holes");
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(content.join("setuid"), "user.mime", &mut value[..]), Ok(1));
    assert!(share.fill(&name("data")).unwrap().is_none(), "it is not empty any more");
    assert_eq!(std::fs::read_dir(volumes.folder(&name("data"))).unwrap().count(), 2);
}

#[test]
fn a_copy_that_was_cut_off_is_made_again_or_gone_on_with() {
    requires!(root);
    let (place, volumes) = opened();
    create(&volumes, "data");
    let image = image(place.path());
    let share = volumes.share().unwrap();
    let content = volumes.mountpoint(&name("data"));
    // Killed while it copied.
    let filling = share.fill(&name("data")).unwrap().unwrap();
    filling.copy(folder(&image).as_fd()).unwrap();
    drop(filling);
    assert_eq!(std::fs::read_dir(&content).unwrap().count(), 0);
    let filling = share.fill(&name("data")).unwrap().unwrap();
    filling.copy(folder(&image).as_fd()).unwrap();
    drop(filling);
    // Killed when it had moved one of the names, and a container made another one of its own.
    let volume = volumes.folder(&name("data"));
    std::fs::rename(volume.join(fill_names::NEW), volume.join(fill_names::COMPLETE)).unwrap();
    std::fs::rename(volume.join("copy/tree/sub"), content.join("sub")).unwrap();
    std::fs::write(content.join("again"), "mine").unwrap();
    volumes.settle(&name("data")).unwrap();
    assert_eq!(std::fs::read_to_string(content.join("again")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(content.join("sub/file")).unwrap(), "text");
    let line = |root: &Path| described(root).into_iter().find(|line| line.starts_with(" d ")).unwrap();
    assert_eq!(line(&content), line(&image), "the content's root has the attributes of the image's");
    assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 2);
    assert!(share.fill(&name("data")).unwrap().is_none());
}

#[test]
fn an_image_with_nothing_there_leaves_it_empty() {
    let (_place, volumes) = opened();
    create(&volumes, "data");
    let share = volumes.share().unwrap();
    share.fill(&name("data")).unwrap().unwrap().abandon().unwrap();
    assert!(share.fill(&name("data")).unwrap().is_some());
    assert!(share.fill(&name("none")).is_err());
    assert!(volumes.settle(&name("none")).is_err());
}

/// The names that a killed process leaves.
mod fill_names {
    pub(super) const NEW: &str = "copy.new";
    pub(super) const COMPLETE: &str = "copy";
}
