//! What others on the host, and containers that share a namespace with it, can read or reach.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use stockade_testkit::{Bundle, requires};

/// Everything below `folder` with its permission bits.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let data = path.symlink_metadata().unwrap();
        found.push((path.display().to_string(), data.mode() & 0o777));
        if data.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

/// containerd: folders of containers were readable, or could be walked through, by every user of the host.
#[test]
fn cve_2021_41103_2021_41091_and_2024_25621_states_are_the_owners_alone() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    bundle.write();
    let folder = bundle.folder().to_str().unwrap();
    // However open the caller's mask is.
    bundle.call_after("umask 0", &["create", "--bundle", folder, bundle.id()]).run().ok();
    assert_eq!(bundle.state_folder().metadata().unwrap().mode() & 0o777, 0o700);
    let open: Vec<_> = modes(bundle.state_folder()).into_iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "open to others: {open:?}");
    bundle.start().ok();
    let open: Vec<_> = modes(bundle.state_folder()).into_iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "open to others: {open:?}");
}

/// A state folder that others can write in would let them choose what root does.
#[test]
fn cve_2021_21284_a_state_folder_of_others_is_refused() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox();
    std::fs::create_dir(bundle.state_folder()).unwrap();
    for (mode, owner) in [(0o777, 0), (0o770, 0), (0o702, 0), (0o700, 1000)] {
        std::fs::set_permissions(bundle.state_folder(), std::fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(bundle.state_folder(), Some(owner), None).unwrap();
        bundle.run().refuses(&["root folder"]);
    }
    std::os::unix::fs::chown(bundle.state_folder(), Some(0), None).unwrap();
}

/// containerd: the shim listened at an abstract socket, which every container in the host's network namespace could reach.
#[test]
fn cve_2020_15257_there_are_no_abstract_sockets() {
    requires!(root, runtime, busybox_image, unshare);
    let waiting = Bundle::busybox().args(&["/bin/cat", "/proc/net/unix"]).without_namespace("network").edit(|config| {
        config["linux"]["sysctl"] = serde_json::json!({});
    });
    waiting.write();
    // In a network namespace of their own, so that all sockets there are the runtime's: while one container waits for its
    // start, another one looks.
    let looking = Bundle::busybox().args(&["/bin/cat", "/proc/net/unix"]).without_namespace("network").edit(|config| {
        config["linux"]["sysctl"] = serde_json::json!({});
    });
    looking.write();
    let runtime = stockade_testkit::programs::runtime();
    let call = |bundle: &Bundle, verb: &str| {
        let (root, folder) = (bundle.state_folder().display(), bundle.folder().display());
        format!("{} --root {root} {verb} --bundle {folder} {}", runtime.display(), bundle.id())
    };
    let script = format!("{} && {}", call(&waiting, "create"), call(&looking, "run"));
    let seen = stockade_testkit::Call::new("unshare").args(["-n", "sh", "-c", &script]).run().ok();
    let names = seen.stdout.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(7));
    let names: Vec<_> = names.collect();
    assert!(names.iter().all(|name| !name.starts_with('@')), "{names:?}");
    // The socket at which the container waits is in a folder that only its owner can enter.
    let socket = waiting.state_folder().join(waiting.id()).join("start.sock");
    if stockade_testkit::programs::runtime_is_ours() {
        assert_eq!(socket.metadata().unwrap().mode() & 0o777, 0o600);
    }
}

/// The log of the runtime holds what a container's configuration says: it is not for everybody.
#[test]
fn a_log_is_the_owners_and_is_not_written_through_a_link() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().args(&["/no/such/program"]);
    let (log, link, victim) = ("log", "link", "victim");
    let path = |name: &str| bundle.folder().join(name);
    bundle.write();
    let run = |log: &str| {
        let folder = bundle.folder().to_str().unwrap();
        bundle.call(&["--log", path(log).to_str().unwrap(), "run", "--bundle", folder, bundle.id()]).run()
    };
    assert_ne!(run(log).code(), 0);
    assert_eq!(path(log).metadata().unwrap().mode() & 0o777, 0o600);
    std::fs::write(path(victim), "").unwrap();
    std::os::unix::fs::symlink(path(victim), path(link)).unwrap();
    assert_ne!(run(link).code(), 0);
    assert_eq!(std::fs::read_to_string(path(victim)).unwrap(), "");
}
