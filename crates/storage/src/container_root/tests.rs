//! Overlays on real file systems, seen from inside and outside.

use super::*;
use crate::tests::in_own_mounts;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use stockade_testkit::requires;

fn layer(place: &Path, name: &str) -> PathBuf {
    let path = place.join(name);
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join(name), name).unwrap();
    path
}

#[test]
fn the_container_writes_its_own_layer_only() {
    requires!(root, unshare);
    if !in_own_mounts("container_root::tests::the_container_writes_its_own_layer_only") {
        return;
    }
    // Below /var/lib, where containers are by default, so that its file system is tried too.
    let place = tempfile::tempdir_in("/var/lib").unwrap();
    let lowers = [layer(place.path(), "top"), layer(place.path(), "bottom")];
    std::fs::set_permissions(&lowers[0], PermissionsExt::from_mode(0o1751)).unwrap();
    std::os::unix::fs::chown(&lowers[0], Some(5), Some(6)).unwrap();
    let container = place.path().join("container");
    std::fs::create_dir(&container).unwrap();
    let root = ContainerRoot::create(&container).unwrap();
    root.mount(&lowers).unwrap();
    let metadata = root.merged.metadata().unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o1751, 5, 6));
    assert_eq!(std::fs::read_to_string(root.merged.join("bottom")).unwrap(), "bottom");
    std::fs::write(root.merged.join("top"), "changed").unwrap();
    std::fs::remove_file(root.merged.join("bottom")).unwrap();
    assert_eq!(std::fs::read_to_string(lowers[0].join("top")).unwrap(), "top");
    assert!(lowers[1].join("bottom").exists());
    rustix::mount::unmount(&root.merged, rustix::mount::UnmountFlags::DETACH).unwrap();
    ContainerRoot::remove(&container).unwrap();
    assert_eq!(std::fs::read_dir(&container).unwrap().count(), 0);
    ContainerRoot::remove(&container).unwrap();
    ContainerRoot::remove(&container.join("missing")).unwrap();
}

#[test]
fn a_file_system_that_cannot_is_explained() {
    requires!(root, unshare);
    if !in_own_mounts("container_root::tests::a_file_system_that_cannot_is_explained") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let lower = layer(place.path(), "lower");
    let outer = place.path().join("outer");
    std::fs::create_dir(&outer).unwrap();
    let outer = ContainerRoot::create(&outer).unwrap();
    outer.mount(std::slice::from_ref(&lower)).unwrap();
    // On an overlay, where no upper folder can be.
    let inner = ContainerRoot::create(&outer.merged).unwrap();
    let error = inner.mount(&[lower]).unwrap_err();
    assert!(matches!(error, MountError::Upper { .. }), "{error:?}");
    assert!(error.to_string().contains("ext4"), "{error}");
    assert_eq!(std::fs::read_dir(&inner.merged).unwrap().count(), 0);
}

#[test]
fn many_layers_stack() {
    requires!(root, unshare);
    if !in_own_mounts("container_root::tests::many_layers_stack") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let lowers: Vec<_> = (0..128).map(|number| layer(place.path(), &format!("a:b,{number}"))).collect();
    let container = place.path().join("container");
    std::fs::create_dir(&container).unwrap();
    let root = ContainerRoot::create(&container).unwrap();
    root.mount(&lowers).unwrap();
    assert_eq!(std::fs::read_dir(&root.merged).unwrap().count(), 128);
    assert!(matches!(root.mount(&[]), Err(MountError::NoLayers)));
}

/// A process in a user namespace of its own in which root is 100000 outside, for as long as its stdin is open.
struct Container(std::process::Child);

impl Container {
    fn new() -> Self {
        use std::io::{BufRead, BufReader};
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "sh", "-c", "echo; exec cat"]);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{}/{map}", child.id()), "0 100000 65536").unwrap();
        }
        Self(child)
    }

    fn namespace(&self) -> std::fs::File {
        std::fs::File::open(format!("/proc/{}/ns/user", self.0.id())).unwrap()
    }

    /// Runs a script as root of the container, in this mount namespace.
    fn sh(&self, script: &str, place: &Path) -> String {
        let mut command = std::process::Command::new("nsenter");
        command.args([
            "--user",
            "--target",
            &self.0.id().to_string(),
            "--setuid=0",
            "--setgid=0",
            "sh",
            "-ec",
            script,
            "sh",
        ]);
        let output = command.arg(place).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn a_container_with_its_own_users_owns_its_files() {
    requires!(root, unshare, nsenter, user_namespaces);
    if !in_own_mounts("container_root::tests::a_container_with_its_own_users_owns_its_files") {
        return;
    }
    use std::os::fd::AsFd;
    let place = tempfile::tempdir_in("/var/lib").unwrap();
    let lowers = [layer(place.path(), "top"), layer(place.path(), "bottom")];
    std::os::unix::fs::chown(lowers[1].join("bottom"), Some(5), Some(6)).unwrap();
    // The container's processes must be able to pass through the test's own folder.
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let folder = place.path().join("container");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    let root = ContainerRoot::create(&folder).unwrap();
    let container = Container::new();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let before = mounts();
    root.mount_as(&lowers, Ids::Mapped(container.namespace().as_fd())).unwrap();
    assert_eq!(mounts(), before + 1, "only the overlay stays");
    let owners = container.sh("cd $1; stat -c '%u:%g' . top bottom", &root.merged);
    assert_eq!(owners, "0:0\n0:0\n5:6", "as root of the container sees them");
    container.sh("cd $1; echo new > new; chown 7:8 new; echo changed > top; rm bottom", &root.merged);
    let owner = |path: &Path| path.metadata().map(|data| (data.uid(), data.gid())).unwrap();
    assert_eq!(owner(&root.merged.join("new")), (100_007, 100_008), "as the host sees them");
    assert_eq!(owner(&root.upper), (100_000, 100_000), "and so they are on the disk");
    assert_eq!(owner(&root.upper.join("new")), (100_007, 100_008));
    assert_eq!(owner(&root.upper.join("top")), (100_000, 100_000), "also what was copied up");
    assert_eq!(std::fs::read_to_string(lowers[0].join("top")).unwrap(), "top");
    // A restart: the same folders, another namespace with the same maps.
    rustix::mount::unmount(&root.merged, rustix::mount::UnmountFlags::DETACH).unwrap();
    let container = Container::new();
    root.mount_as(&lowers, Ids::Mapped(container.namespace().as_fd())).unwrap();
    assert_eq!(container.sh("cd $1; stat -c '%u:%g' . new top; ls", &root.merged), "0:0\n7:8\n0:0\nnew\ntop");
    rustix::mount::unmount(&root.merged, rustix::mount::UnmountFlags::DETACH).unwrap();
    ContainerRoot::remove(&folder).unwrap();
}

#[test]
fn a_file_system_that_cannot_map_is_explained() {
    requires!(root, unshare, nsenter, user_namespaces);
    if !in_own_mounts("container_root::tests::a_file_system_that_cannot_map_is_explained") {
        return;
    }
    use std::os::fd::AsFd;
    let place = tempfile::tempdir().unwrap();
    let lower = layer(place.path(), "lower");
    let outer = place.path().join("outer");
    std::fs::create_dir(&outer).unwrap();
    let outer = ContainerRoot::create(&outer).unwrap();
    outer.mount(std::slice::from_ref(&lower)).unwrap();
    let container = Container::new();
    let inner = ContainerRoot::create(&outer.merged).unwrap();
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    // An overlay has no maps of its own.
    let error =
        inner.mount_as(std::slice::from_ref(&outer.merged), Ids::Mapped(container.namespace().as_fd())).unwrap_err();
    assert!(matches!(error, MountError::IdMap { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before, "nothing is left mounted");
    // The host's own namespace is no map.
    let host = std::fs::File::open("/proc/self/ns/user").unwrap();
    assert!(inner.mount_as(&[lower], Ids::Mapped(host.as_fd())).is_err());
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}
