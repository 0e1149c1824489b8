//! The root file system on the real kernel, against images that fight back.
//!
//! Each case runs in a process of its own with new mount and pid namespaces, so this program brings its own harness: a
//! process that clones may have one thread only. Needs root; without it every case is counted as ignored.

// Clippy knows tests by their attribute, which a program with a harness of its own does not have.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::{WaitOptions, waitpid};
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::mount::{Attributes, Change, Propagation, mount_setattr};
use stockade_kernel::namespace::Namespaces;
use stockade_runtime::rootfs::devices::NodeSource;
use stockade_runtime::rootfs::mask::Covers;
use stockade_runtime::rootfs::model::{AttributeChange, DeviceNode, MountPlan, MountSource, PropagationChange};
use stockade_runtime::rootfs::{Root, RootfsError, Way};

/// A folder for the container and one outside of it that must stay as it is.
struct Place {
    root: PathBuf,
    outside: PathBuf,
}

type Case = (&'static str, fn(&Place));

const CASES: &[Case] = &[
    ("links_in_the_image_stay_inside", links_in_the_image_stay_inside),
    ("attributes_are_in_force", attributes_are_in_force),
    ("recursive_read_only_reaches_below", recursive_read_only_reaches_below),
    ("a_refused_option_is_explained", a_refused_option_is_explained),
    ("a_new_file_system_starts_with_what_was_there", a_new_file_system_starts_with_what_was_there),
    ("masks_cover_files_and_folders", masks_cover_files_and_folders),
    ("cve_2025_31133_null_device_of_the_image", cve_2025_31133_null_device_of_the_image),
    ("cve_2026_41579_dev_is_a_link", cve_2026_41579_dev_is_a_link),
    ("cve_2026_88264_console_is_a_link", cve_2026_88264_console_is_a_link),
    ("a_foreign_device_is_not_taken", a_foreign_device_is_not_taken),
    ("cve_2021_30465_swapped_folders", cve_2021_30465_swapped_folders),
    ("the_host_is_gone_after_entering", the_host_is_gone_after_entering),
    ("the_host_sees_no_mount", the_host_sees_no_mount),
];

fn main() -> ExitCode {
    let root = rustix::process::geteuid().is_root();
    let (mut passed, mut failed) = (0, 0);
    if root {
        own_mounts();
        for (name, case) in CASES {
            let ok = run(*case);
            println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
            if ok { passed += 1 } else { failed += 1 }
        }
    }
    let ignored = if root { 0 } else { CASES.len() };
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Leaves the mounts of the machine, which others change meanwhile. What stands for the host's from now on is shared as those are.
fn own_mounts() {
    stockade_kernel::namespace::unshare(Namespaces::MOUNT).unwrap();
    for to in [Propagation::Private, Propagation::Shared] {
        let change = Change { propagation: Some(to), ..Change::default() };
        mount_setattr(rustix::fs::CWD, c"/", true, change).unwrap();
    }
}

/// Runs a case in a process of its own; whether it succeeded, left the outside alone and the host's mounts as they were.
fn run(case: fn(&Place)) -> bool {
    let temporary = tempfile::tempdir().unwrap();
    let place = Place { root: temporary.path().join("root"), outside: temporary.path().join("outside") };
    for folder in [&place.root, &place.outside] {
        std::fs::create_dir(folder).unwrap();
    }
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap();
    let request = Request { new: Namespaces::MOUNT | Namespaces::PID, ..Request::default() };
    match clone3(&request).unwrap() {
        Forked::Child => {
            let result = std::panic::catch_unwind(|| case(&place));
            exit_now(u8::from(result.is_err()));
        }
        Forked::Parent { pid, .. } => {
            let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
            let untouched = std::fs::read_dir(&place.outside).unwrap().count() == 0;
            let same = std::fs::read("/proc/self/mountinfo").unwrap() == mounts;
            if !untouched || !same {
                println!("outside untouched: {untouched}, mounts as before: {same}");
            }
            status.exit_status() == Some(0) && untouched && same
        }
    }
}

fn bind(from: &Path, to: &str) -> MountPlan {
    plan(MountSource::Bind { path: from.to_owned(), recursive: true }, to)
}

fn tmpfs(to: &str, options: &[(&str, &str)]) -> MountPlan {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect();
    plan(MountSource::New { kind: "tmpfs".into(), source: "tmpfs".into(), options, readonly: false }, to)
}

fn plan(source: MountSource, to: &str) -> MountPlan {
    MountPlan {
        destination: to.into(),
        source,
        attributes: AttributeChange::default(),
        recursive_attributes: AttributeChange::default(),
        propagation: Vec::new(),
        id_map: None,
        copy_up: false,
    }
}

fn null_node() -> DeviceNode {
    DeviceNode {
        path: "/dev/null".into(),
        kind: rustix::fs::FileType::CharacterDevice,
        major: 1,
        minor: 3,
        mode: 0o666,
        uid: 0,
        gid: 0,
    }
}

const PRIVATE: PropagationChange = PropagationChange { to: Propagation::Private, recursive: true };

fn read_only() -> AttributeChange {
    AttributeChange { set: Attributes::READ_ONLY, ..AttributeChange::default() }
}

fn errno(result: std::io::Result<impl Sized>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn rofs() -> Option<i32> {
    Some(rustix::io::Errno::ROFS.raw_os_error())
}

fn is_null(path: &Path) -> bool {
    let metadata = std::fs::metadata(path).unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == rustix::fs::makedev(1, 3)
}

fn links_in_the_image_stay_inside(place: &Place) {
    symlink(&place.outside, place.root.join("link")).unwrap();
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), "x").unwrap();
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    // The link dangles in the container, so that there is no place to mount on.
    assert!(root.mount(&bind(source.path(), "/link/a"), None).is_err());
    root.mount(&bind(source.path(), "/new/a"), None).unwrap();
    root.mount(&bind(&source.path().join("file"), "/new/b"), None).unwrap();
    assert!(place.root.join("new/a/file").is_file() && place.root.join("new/b").is_file());
}

fn attributes_are_in_force(place: &Place) {
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    let mut mount = tmpfs("/t", &[("mode", "0700"), ("size", "65536")]);
    mount.attributes.set = Attributes::NO_SUID | Attributes::NO_DEV | Attributes::NO_EXEC | Attributes::READ_ONLY;
    root.mount(&mount, None).unwrap();
    assert_eq!(errno(std::fs::write(place.root.join("t/x"), "")), rofs());
    let info = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = info.lines().find(|line| line.contains("/root/t ")).unwrap();
    assert!(line.contains(" ro,nosuid,nodev,noexec,"), "{line}");
    assert!(line.contains("size=64k") && line.contains("mode=700"), "{line}");
}

fn recursive_read_only_reaches_below(place: &Place) {
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir(source.path().join("below")).unwrap();
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    for (recursive, destination) in [(false, "/flat"), (true, "/deep")] {
        let tree = Root::prepare(source.path(), Propagation::Private, None).unwrap();
        tree.mount(&tmpfs("/below", &[]), None).unwrap();
        let mut mount = bind(source.path(), destination);
        *(if recursive { &mut mount.recursive_attributes } else { &mut mount.attributes }) = read_only();
        root.mount(&mount, None).unwrap();
        let below = place.root.join(&destination[1..]).join("below/x");
        assert_eq!(errno(std::fs::write(below, "")), if recursive { rofs() } else { None }, "{destination}");
    }
}

fn a_refused_option_is_explained(place: &Place) {
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    let error: RootfsError = root.mount(&tmpfs("/t", &[("size", "many")]), None).unwrap_err();
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        text.push_str(&format!("{error}: "));
        next = error.source();
    }
    assert!(text.contains("tmpfs") && text.contains("size"), "{text}");
}

fn a_new_file_system_starts_with_what_was_there(place: &Place) {
    use std::os::unix::fs::{PermissionsExt, chown};
    let folder = place.root.join("t/folder");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file"), "content").unwrap();
    chown(folder.join("file"), Some(7), Some(8)).unwrap();
    std::fs::set_permissions(folder.join("file"), PermissionsExt::from_mode(0o4750)).unwrap();
    symlink(&place.outside, folder.join("link")).unwrap();
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    let mut mount = tmpfs("/t", &[]);
    mount.copy_up = true;
    mount.attributes = read_only();
    root.mount(&mount, None).unwrap();
    assert_eq!(errno(std::fs::write(folder.join("x"), "")), rofs());
    let metadata = std::fs::metadata(folder.join("file")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (7, 8, 0o4750));
    assert_eq!(std::fs::read(folder.join("file")).unwrap(), b"content");
    assert_eq!(std::fs::read_link(folder.join("link")).unwrap(), place.outside);
    rustix::fs::mkfifoat(rustix::fs::CWD, place.root.join("fifo"), 0o600.into()).unwrap();
    let mut mount = tmpfs("/", &[]);
    mount.copy_up = true;
    assert!(root.mount(&mount, None).is_err());
}

fn masks_cover_files_and_folders(place: &Place) {
    std::fs::create_dir(place.root.join("folder")).unwrap();
    std::fs::write(place.root.join("folder/secret"), "s").unwrap();
    std::fs::write(place.root.join("secret"), "s").unwrap();
    std::fs::create_dir(place.root.join("kept")).unwrap();
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    let covers = Covers::prepare(&root).unwrap();
    for path in ["/folder", "/secret", "/missing", "/secret/missing"] {
        root.mask(Path::new(path), &covers).unwrap();
    }
    root.make_read_only(Path::new("/kept")).unwrap();
    root.make_read_only(Path::new("/missing")).unwrap();
    assert_eq!(std::fs::read_dir(place.root.join("folder")).unwrap().count(), 0);
    assert_eq!(errno(std::fs::write(place.root.join("folder/x"), "")), rofs());
    assert!(is_null(&place.root.join("secret")));
    assert_eq!(errno(std::fs::write(place.root.join("kept/x"), "")), rofs());
    assert!(!place.root.join("missing").exists());
}

fn cve_2025_31133_null_device_of_the_image(place: &Place) {
    std::fs::create_dir(place.root.join("dev")).unwrap();
    symlink("/secret", place.root.join("dev/null")).unwrap();
    for file in ["secret", "masked"] {
        std::fs::write(place.root.join(file), "s").unwrap();
    }
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    root.mask(Path::new("/masked"), &Covers::prepare(&root).unwrap()).unwrap();
    assert!(is_null(&place.root.join("masked")));
    assert!(root.make_device(&null_node(), NodeSource::Make).is_err());
    assert_eq!(std::fs::read(place.root.join("secret")).unwrap(), b"s");
}

fn cve_2026_41579_dev_is_a_link(place: &Place) {
    symlink(&place.outside, place.root.join("dev")).unwrap();
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    assert!(root.make_device(&null_node(), NodeSource::Make).is_err());
    assert!(root.make_device_links().is_err());
    assert!(root.make_device(&null_node(), NodeSource::BindFromHost).is_err());
}

fn cve_2026_88264_console_is_a_link(place: &Place) {
    std::fs::create_dir(place.root.join("dev")).unwrap();
    symlink(place.outside.join("made"), place.root.join("dev/console")).unwrap();
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    let devpts = MountSource::New {
        kind: "devpts".into(),
        source: "devpts".into(),
        options: [("newinstance", None), ("ptmxmode", Some("0666")), ("mode", Some("0620"))]
            .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
            .into(),
        readonly: false,
    };
    root.mount(&plan(devpts, "/dev/pts"), None).unwrap();
    assert!(root.open_terminal().is_err());
    std::fs::remove_file(place.root.join("dev/console")).unwrap();
    let terminal = root.open_terminal().unwrap();
    assert!(std::fs::metadata(place.root.join("dev/console")).unwrap().file_type().is_char_device());
    rustix::io::write(&terminal.slave, b"x").unwrap();
    assert_eq!(rustix::io::read(&terminal.master, &mut [0; 8]).unwrap(), 1);
}

fn a_foreign_device_is_not_taken(place: &Place) {
    std::fs::create_dir(place.root.join("dev")).unwrap();
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    root.make_device(&null_node(), NodeSource::Make).unwrap();
    assert!(is_null(&place.root.join("dev/null")));
    let wrong = DeviceNode { minor: 5, ..null_node() };
    assert!(root.make_device(&wrong, NodeSource::Make).is_err());
    root.make_device_links().unwrap();
    root.make_device_links().unwrap();
    assert_eq!(std::fs::read_link(place.root.join("dev/fd")).unwrap(), Path::new("/proc/self/fd"));
}

/// A sibling exchanges a folder and a link to the outside as fast as it can while mounts are made through both.
fn cve_2021_30465_swapped_folders(place: &Place) {
    std::fs::create_dir(place.root.join("a")).unwrap();
    symlink(&place.outside, place.root.join("b")).unwrap();
    let (a, b) = (place.root.join("a"), place.root.join("b"));
    let Forked::Parent { pid, .. } = clone3(&Request::default()).unwrap() else {
        loop {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, flags).unwrap();
        }
    };
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    let mut made = 0;
    for _ in 0..2000 {
        made += u32::from(root.mount(&tmpfs("/a/t", &[]), None).is_ok());
    }
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(made > 0, "the race was never lost, so nothing was tried");
    let info = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let outside = place.outside.to_str().unwrap();
    assert!(!info.contains(outside), "mounted outside of the root");
}

fn the_host_is_gone_after_entering(place: &Place) {
    std::fs::create_dir(place.root.join("proc")).unwrap();
    std::fs::write(place.root.join("mine"), "").unwrap();
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    let proc = MountSource::New { kind: "proc".into(), source: "proc".into(), options: Vec::new(), readonly: false };
    root.mount(&plan(proc, "/proc"), None).unwrap();
    root.enter(Way::Pivot, PRIVATE, true).unwrap();
    assert!(Path::new("/mine").exists() && !place.root.exists());
    assert_eq!(errno(std::fs::write("/x", "")), rofs());
    let info = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points: Vec<_> = info.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    assert_eq!(points, ["/", "/proc"]);
}

fn the_host_sees_no_mount(place: &Place) {
    let root = Root::prepare(&place.root, Propagation::Private, None).unwrap();
    let mut mount = tmpfs("/t", &[]);
    mount.propagation = vec![PropagationChange { to: Propagation::Shared, recursive: true }];
    root.mount(&mount, None).unwrap();
    root.mount(&tmpfs("/t/u", &[]), None).unwrap();
    root.enter(Way::Pivot, PRIVATE, false).unwrap();
}
