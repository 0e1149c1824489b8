//! Storage for an ordinary user: root of a user namespace of his, with a range of ids and with one id.
//!
//! Each test starts this program again as that user, who has a data folder of his own and a copy of what unpacks; what is on the disk
//! afterwards is looked at as root.

// Clippy knows tests by their attribute, which what they share does not have.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use stockade_storage::changes::{Stack, changes};
use stockade_storage::layers::OpenError;
use stockade_storage::pack::Owners;
use stockade_storage::{
    Compression, ContainerRoot, Digest, EnsureError, Layers, MountError, MountedBy, Privilege, UnpackError,
};
use stockade_testkit::requires;
use stockade_testkit::tarball::{Member, Tarball};

/// The variable with the folder that a test finds when it runs as the user.
const INSIDE: &str = "STOCKADE_TEST_UNPRIVILEGED";
/// The user, who is in nobody's files.
const USER: u32 = 61_234;
/// His range of ids, beside himself.
const RANGE: u32 = 3_000_000_000;

/// The ids of the user namespace.
#[derive(Clone, Copy)]
enum Ids {
    /// Root is the user, and 65535 others are his.
    Range,
    /// Root is the user, and nobody else is there; as a user makes it without `newuidmap`.
    One,
}

/// The user's folder.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        chown(place.path(), Some(USER), Some(USER)).unwrap();
        std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let copy = |from: &Path, name: &str| {
            std::fs::copy(from, place.path().join(name)).unwrap();
        };
        copy(&std::env::current_exe().unwrap(), "test");
        copy(&stockade_testkit::programs::folder().join("stockade-unpack"), "stockade-unpack");
        Self(place)
    }

    /// Runs the test `name` of this program as the user, and fails if that fails.
    fn run(&self, name: &str, ids: Ids) {
        // Distributions let everybody open /dev/fuse; this machine's may be root's alone.
        let fuse = self.0.path().join("fuse");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
        command.arg(
            "[ ! -e /dev/fuse ] || { mknod -m 666 \"$0\" c 10 229 && mount --bind \"$0\" /dev/fuse; } && exec \"$@\"",
        );
        command.arg(&fuse).arg("setpriv");
        command.args(["--reuid", &USER.to_string(), "--regid", &USER.to_string(), "--clear-groups", "--"]);
        command.args(["unshare", "--user", "--mount", "--propagation", "private", "--"]);
        command.args(["sh", "-c", "echo && read go && exec \"$0\" --exact \"$1\" --nocapture"]);
        command.arg(self.0.path().join("test")).arg(name).env(INSIDE, self.0.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        map(&child, ids);
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("1 passed"), "{name} names no test: {text}");
    }
}

/// Writes the maps, as `newuidmap` or as the user does it.
fn map(child: &Child, ids: Ids) {
    let write = |file: &str, text: String| std::fs::write(format!("/proc/{}/{file}", child.id()), text).unwrap();
    let text = match ids {
        Ids::Range => format!("0 {USER} 1\n1 {RANGE} 65535\n"),
        Ids::One => {
            write("setgroups", "deny".to_owned());
            format!("0 {USER} 1\n")
        }
    };
    write("gid_map", text.clone());
    write("uid_map", text);
}

/// The user's folder, in the test that runs as him; otherwise the test `name` is run so.
fn as_user(name: &str, ids: Ids) -> Result<PathBuf, Place> {
    std::env::var_os(INSIDE).map(PathBuf::from).ok_or_else(|| {
        let place = Place::new();
        place.run(name, ids);
        place
    })
}

/// `security.capability` with CAP_NET_RAW, effective.
const NET_RAW: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn base() -> Vec<u8> {
    let file = |name: &str, uid, gid| Member::file(name, name).owner(uid, gid);
    Tarball::of([
        Member::directory("dir").owner(7, 8),
        file("dir/file", 7, 1000),
        file("gone", 0, 0),
        Member::directory("folder"),
        file("folder/old", 0, 0),
        Member::directory("replaced"),
        file("replaced/old", 0, 0),
        file("ping", 0, 0).mode(0o4755).xattr("security.capability", NET_RAW),
        Member::device(b'3', "null", 1, 3),
        Member::fifo("fifo").owner(7, 8),
        Member::symlink("link", "/etc/passwd").owner(7, 8),
    ])
    .end()
}

fn above() -> Vec<u8> {
    Tarball::of([
        Member::file(".wh.gone", ""),
        Member::file("folder/.wh..wh..opq", ""),
        Member::file("folder/new", "new"),
    ])
    .end()
}

/// The layers of [`base`] and [`above`], topmost first.
fn layers(place: &Path) -> Vec<PathBuf> {
    let layers = Layers::open(&place.join("data"), place).unwrap();
    let ensure = |archive: Vec<u8>| {
        let answer = layers.ensure(&Digest::of(&archive), Compression::None, &archive[..]);
        answer.unwrap_or_else(|error| panic!("{error:?}"))
    };
    let below = ensure(base());
    vec![ensure(above()), below]
}

fn container(place: &Path) -> ContainerRoot {
    std::fs::create_dir(place.join("container")).unwrap();
    ContainerRoot::create(&place.join("container")).unwrap()
}

/// What a container sees and does in its root, and what that comes to.
fn live(place: &Path, lowers: &[PathBuf]) -> MountedBy {
    let root = container(place);
    let by = root.mount(lowers).unwrap_or_else(|error| panic!("{error:?}"));
    let path = |name: &str| root.merged.join(name);
    let names = |name: &str| -> BTreeSet<String> {
        std::fs::read_dir(path(name)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(""), set(&["dir", "folder", "replaced", "ping", "fifo", "link"]));
    assert_eq!(names("folder"), set(&["new"]));
    std::fs::write(path("dir/file"), "written").unwrap();
    std::fs::remove_dir_all(path("replaced")).unwrap();
    std::fs::create_dir(path("replaced")).unwrap();
    std::fs::write(path("replaced/new"), "").unwrap();
    std::fs::remove_file(path("fifo")).unwrap();
    assert_eq!(names("replaced"), set(&["new"]), "the container's own directory hides the image's");
    let open = |path: &Path| OwnedFd::from(std::fs::File::open(path).unwrap());
    let upper = open(&root.upper);
    let below: Vec<OwnedFd> = lowers.iter().map(|path| open(path)).collect();
    let (owners, mount_points) = (Owners::default(), BTreeSet::new());
    let stack = Stack {
        upper: upper.as_fd(),
        lowers: &below,
        owners: &owners,
        privilege: Privilege::here().unwrap(),
        mount_points: &mount_points,
    };
    let told = changes(&stack).unwrap();
    let told: Vec<String> = told.iter().map(|(path, kind)| format!("{} {}", kind.letter(), path.display())).collect();
    assert_eq!(told, ["C /dir", "C /dir/file", "D /fifo", "C /replaced", "A /replaced/new", "D /replaced/old"]);
    by
}

/// Every owner of what is below `path`.
fn owners(path: &Path) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([path.symlink_metadata().unwrap().uid()]);
    if path.symlink_metadata().unwrap().is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| found.append(&mut owners(&entry.unwrap().path())));
    }
    found
}

#[test]
fn with_a_range_of_ids() {
    requires!(root, unpacker, unshare, setpriv);
    let outside = match as_user("with_a_range_of_ids", Ids::Range) {
        Ok(place) => {
            assert_eq!(Privilege::here().unwrap(), Privilege::UserNamespace);
            let lowers = layers(&place);
            let of = |name: &str| lowers[1].join(name).symlink_metadata().unwrap();
            assert_eq!((of("dir").uid(), of("dir").gid(), of("dir/file").gid()), (7, 8, 1000));
            assert_eq!((of("ping").mode() & 0o7777, of("fifo").file_type().is_fifo()), (0o4755, true));
            let null = of("null");
            assert!(null.file_type().is_char_device() && null.rdev() == 0, "a device is left out, and hidden");
            assert_eq!(live(&place, &lowers), MountedBy::Kernel);
            return;
        }
        Err(outside) => outside,
    };
    let data = outside.0.path().join("data");
    assert_eq!(owners(&data), BTreeSet::from([USER, RANGE + 6]), "what is on the disk is the user's");
    // The host's root would not see what those marks hide.
    let refused = Layers::open(&data, outside.0.path());
    assert!(matches!(refused, Err(OpenError::Privilege { kept: "user-namespace", here: "host", .. })), "{refused:?}");
}

#[test]
fn with_one_id() {
    requires!(root, unpacker, unshare, setpriv);
    let outside = match as_user("with_one_id", Ids::One) {
        Ok(place) => {
            assert_eq!(Privilege::here().unwrap(), Privilege::SingleId);
            let lowers = layers(&place);
            assert_eq!(live(&place, &lowers), MountedBy::Kernel);
            ContainerRoot::remove(&place.join("container")).unwrap_err();
            return;
        }
        Err(outside) => outside,
    };
    assert_eq!(owners(&outside.0.path().join("data")), BTreeSet::from([USER]));
}

#[test]
fn an_owner_outside_of_the_range_is_named_and_nothing_is_left() {
    requires!(root, unpacker, unshare, setpriv);
    if let Ok(place) = as_user("an_owner_outside_of_the_range_is_named_and_nothing_is_left", Ids::Range) {
        let layers = Layers::open(&place.join("data"), &place).unwrap();
        let archive = Tarball::of([Member::file("a", "a"), Member::file("b", "b").owner(70_000, 0)]).end();
        let answer = layers.ensure(&Digest::of(&archive), Compression::None, &archive[..]);
        let Err(EnsureError::Unpack { source, .. }) = answer else { panic!("{answer:?}") };
        assert!(matches!(source, UnpackError::Owner { uid: 70_000, gid: 0, .. }), "{source:?}");
        assert!(source.to_string().contains("`b`") && source.to_string().contains("/etc/subuid"), "{source}");
        for folder in ["sha256", "unpacking"] {
            let left = std::fs::read_dir(place.join("data/layers").join(folder)).unwrap().count();
            assert_eq!(left, 0, "{folder}");
        }
    }
}

/// A file system without user extended attributes: what a data folder on NFS, or on tmpfs before Linux 6.6, is.
fn without_attributes(place: &Path) {
    let mounted = Command::new("mount").args(["-t", "ramfs", "none"]).arg(place.join("data")).status().unwrap();
    assert!(mounted.success());
}

#[test]
fn fuse_overlayfs_mounts_what_the_kernel_does_not() {
    requires!(root, unpacker, unshare, setpriv, fuse_overlayfs);
    if let Ok(place) = as_user("fuse_overlayfs_mounts_what_the_kernel_does_not", Ids::Range) {
        let lowers = layers(&place);
        let folder = place.join("elsewhere");
        std::fs::create_dir_all(folder.join("data")).unwrap();
        without_attributes(&folder);
        let root = container(&folder.join("data"));
        match root.mount(&lowers) {
            Ok(MountedBy::Fuse(program)) => assert!(program.ends_with("fuse-overlayfs")),
            other => panic!("{other:?}"),
        }
        let text = std::fs::read_to_string(root.merged.join("dir/file")).unwrap();
        assert_eq!(text, "dir/file");
        assert!(!root.merged.join("gone").exists() && !root.merged.join("folder/old").exists());
        std::fs::write(root.merged.join("written"), "text").unwrap();
        assert_eq!(std::fs::read_to_string(root.upper.join("written")).unwrap(), "text");
    }
}

#[test]
fn without_it_the_message_names_the_ways_out() {
    requires!(root, unpacker, unshare, setpriv);
    if let Ok(place) = as_user("without_it_the_message_names_the_ways_out", Ids::Range) {
        let lowers = layers(&place);
        let folder = place.join("elsewhere");
        std::fs::create_dir_all(folder.join("data")).unwrap();
        without_attributes(&folder);
        // Nobody finds a program in these folders now.
        for programs in ["/usr/bin", "/usr/local/bin", "/bin"] {
            let target = std::fs::canonicalize(programs).unwrap();
            let none = rustix::mount::mount("none", &target, "tmpfs", rustix::mount::MountFlags::empty(), None);
            none.unwrap();
        }
        let refused = container(&folder.join("data")).mount(&lowers).unwrap_err();
        assert!(matches!(refused, MountError::Unprivileged { .. }), "{refused:?}");
        assert!(refused.to_string().contains("fuse-overlayfs"), "{refused}");
    }
}
