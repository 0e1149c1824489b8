//! Real overlays, changed through their mount, and what is told of them.

use std::fs::{create_dir, create_dir_all, remove_dir_all, remove_file, write};
use std::os::unix::fs::symlink;

use stockade_testkit::requires;

use super::*;
use crate::ContainerRoot;

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn told(container: &Path, lowers: &[PathBuf], mount_points: &[&str]) -> Vec<String> {
    let lowers: Vec<OwnedFd> = lowers.iter().map(|path| open(path)).collect();
    let upper = open(&container.join("upper"));
    let mount_points = mount_points.iter().map(PathBuf::from).collect();
    let owners = Owners::default();
    let stack = Stack {
        upper: upper.as_fd(),
        lowers: &lowers,
        owners: &owners,
        privilege: Privilege::here().unwrap(),
        mount_points: &mount_points,
    };
    let changes = changes(&stack).unwrap();
    changes.iter().map(|(path, kind)| format!("{} {}", kind.letter(), path.display())).collect()
}

#[test]
fn every_change_is_told_as_docker_does() {
    requires!(root, unshare);
    if !crate::tests::in_own_mounts("changes::tests::every_change_is_told_as_docker_does") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let lowers = [path("top"), path("bottom")];
    for folder in ["top/etc", "bottom/etc/deep", "bottom/gone/in", "bottom/remade", "bottom/same", "bottom/kept/x"] {
        create_dir_all(path(folder)).unwrap();
    }
    for file in
        ["top/etc/a", "bottom/etc/b", "bottom/etc/deep/c", "bottom/remade/old", "bottom/remade/both", "bottom/f"]
    {
        write(path(file), file).unwrap();
    }
    create_dir(path("container")).unwrap();
    let root = ContainerRoot::create(&path("container")).unwrap();
    root.mount(&lowers).unwrap();
    let merged = |name: &str| root.merged.join(name);
    assert_eq!(told(&path("container"), &lowers, &[]), Vec::<String>::new());
    write(merged("etc/a"), "new").unwrap();
    remove_file(merged("etc/b")).unwrap();
    write(merged("etc/deep/d"), "new").unwrap();
    remove_dir_all(merged("gone")).unwrap();
    remove_dir_all(merged("remade")).unwrap();
    create_dir(merged("remade")).unwrap();
    write(merged("remade/both"), "again").unwrap();
    create_dir_all(merged("new/folder")).unwrap();
    symlink("/etc", merged("new/link")).unwrap();
    remove_file(merged("f")).unwrap();
    create_dir(merged("f")).unwrap();
    // Made to be mounted on.
    create_dir(merged("proc")).unwrap();
    write(merged("same/hosts"), "").unwrap();
    assert_eq!(
        told(&path("container"), &lowers, &["proc", "same/hosts"]),
        [
            "C /etc",
            "C /etc/a",
            "D /etc/b",
            "C /etc/deep",
            "A /etc/deep/d",
            "C /f",
            "D /gone",
            "A /new",
            "A /new/folder",
            "A /new/link",
            "C /remade",
            "C /remade/both",
            "D /remade/old",
        ]
    );
}
