//! Folders, files and sockets of the host that are mounted in it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use stockade_kernel::mount::info::Mount;
use stockade_kernel::namespace::Namespaces;
use stockade_spec::Mount as Wanted;

use crate::exposure::{self, Exposure};
use crate::finding::Sheet;
use crate::scene::{Scene, covers, text};

/// Sockets of engines, by their names.
const SOCKETS: [&str; 9] = [
    "docker.sock",
    "containerd.sock",
    "containerd.sock.ttrpc",
    "podman.sock",
    "crio.sock",
    "cri-dockerd.sock",
    "dockershim.sock",
    "buildkitd.sock",
    "stockade.sock",
];

/// Folders in which such sockets are.
const SOCKET_FOLDERS: [&str; 5] = ["/run", "/var/run", "/run/containerd", "/run/podman", "/run/crio"];

/// Folders of the host that steer it (CIS Docker Benchmark 5.6, and where engines keep what they run): these and all below them.
const SENSITIVE: [&str; 18] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/lib/stockade",
    "/var/log",
];

/// Files that every engine mounts, and that tell nothing but names: by what they are called in the container.
const HARMLESS: [&[u8]; 7] = [
    b"/etc/hosts",
    b"/etc/hostname",
    b"/etc/resolv.conf",
    b"/etc/localtime",
    b"/etc/timezone",
    b"/run/.containerenv",
    b"/sbin/docker-init",
];

/// File systems that are the kernel's: what of them is shown is for other checks.
const KERNELS: [&str; 8] = ["sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "nsfs", "securityfs", "bpf"];

/// Check 25.
pub(in crate::check) fn host_paths(scene: &Scene<'_>, sheet: &mut Sheet) {
    let mounts = match &scene.mounts {
        Ok(mounts) => mounts,
        Err(why) => return sheet.unchecked("host paths", None, why),
    };
    if scene.shares(Namespaces::MOUNT) {
        sheet.absent("host paths", None, "all of the host's").exposing([exposure::WHOLE_HOST]);
        return;
    }
    let before = sheet.0.len();
    for mount in mounts {
        let Some(path) = on_host(mount, scene.host_mounts) else { continue };
        let writable = !mount.has("ro") && (scene.shares_users() || mount.has("idmapped"));
        let Some(exposure) = judge(mount, &path, writable) else { continue };
        let access = if mount.has("ro") { "read-only" } else { "writable" };
        let found = format!("{} of the host, {access}", text(path.as_os_str().as_bytes()));
        let part = text(&mount.point);
        let wanted = scene.asked.map(|asked| {
            let is_bind = |one: &Wanted| {
                one.kind.as_deref() == Some("bind")
                    || one.options.iter().any(|option| option == "bind" || option == "rbind")
            };
            let covering = |one: &&Wanted| covers(one.destination.as_os_str().as_bytes(), &mount.point);
            asked.spec.mounts.iter().filter(covering).any(is_bind) || mount.point == b"/"
        });
        match wanted {
            Some(false) => sheet.weaker(part, "nothing of the host", found),
            Some(true) => sheet.absent(part, Some(found.clone()), found),
            None => sheet.absent(part, None, found),
        }
        .exposing([exposure]);
    }
    if sheet.0.len() == before {
        sheet.holds("host paths", None, "none that steers the host");
    }
}

/// The path on the host of what is mounted, if it is part of a file system that the host has mounted.
fn on_host(mount: &Mount, host: &[Mount]) -> Option<PathBuf> {
    if KERNELS.contains(&mount.fs_type.as_str()) {
        return None;
    }
    // Of several mounts of one file system the one whose root is nearest; of those the first, which is not below a bind of it.
    let candidates = host.iter().filter(|other| other.device == mount.device && covers(&other.root, &mount.root));
    let nearest = candidates.min_by_key(|other| std::cmp::Reverse(other.root.len()))?;
    let rest = mount.root.get(if nearest.root == b"/" { 0 } else { nearest.root.len() }..)?;
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    let point = Path::new(OsStr::from_bytes(&nearest.point));
    Some(if rest.is_empty() { point.to_owned() } else { point.join(OsStr::from_bytes(rest)) })
}

/// What it exposes; `None` if nothing that steers the host.
fn judge(mount: &Mount, path: &Path, writable: bool) -> Option<&'static Exposure> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is = |all: &[&str]| all.iter().any(|other| path == Path::new(other));
    if SOCKETS.contains(&name) || is(&SOCKET_FOLDERS) {
        return Some(exposure::ENGINE_SOCKET);
    }
    if path == Path::new("/") {
        return Some(exposure::WHOLE_HOST);
    }
    // The procfs of its own is not the host's; the device says so.
    if mount.fs_type == "proc" {
        return Some(exposure::HOST_PROC);
    }
    // Its root is wherever its engine keeps it; nodes in /dev are for the check of devices.
    let node = covers(b"/dev", &mount.point) && path.starts_with("/dev") && path != Path::new("/dev");
    // What hides other files, or has nothing of the host.
    let nothing = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
    if mount.point == b"/" || HARMLESS.contains(&&*mount.point) || node || is(&nothing) {
        return None;
    }
    // Volumes and files that an engine keeps for the container are in its folder, and only they.
    let engines =
        ["/var/lib/containers/", "/run/containers/", "/var/lib/docker/containers/", "/var/lib/docker/volumes/"];
    let text = path.to_string_lossy();
    let kept = engines.iter().any(|folder| text.starts_with(folder)) || text.starts_with("/var/lib/stockade/");
    let sensitive = SENSITIVE.iter().any(|folder| path.starts_with(folder)) || path == Path::new("/var");
    let exposure = if writable { exposure::WRITABLE_HOST_FOLDER } else { exposure::HOST_FOLDER };
    (sensitive && !kept).then_some(exposure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_kernel::mount::info::parse;

    const HOST: &str = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 0:5 / /proc rw - proc proc rw\n\
        22 20 8:2 / /home rw - ext4 /dev/sda2 rw\n23 20 0:9 / /run rw - tmpfs tmpfs rw\n\
        24 20 8:2 /deep /data rw - ext4 /dev/sda2 rw\n";

    fn path(line: &str) -> Option<String> {
        let host = parse(HOST.as_bytes()).unwrap();
        let mount = parse(format!("9 9 {line}\n").as_bytes()).unwrap().remove(0);
        on_host(&mount, &host).map(|path| path.display().to_string())
    }

    fn exposed(line: &str) -> Option<&'static str> {
        let host = parse(HOST.as_bytes()).unwrap();
        let mount = parse(format!("9 9 {line}\n").as_bytes()).unwrap().remove(0);
        let path = on_host(&mount, &host)?;
        judge(&mount, &path, !mount.has("ro")).map(|exposure| exposure.id)
    }

    #[test]
    fn paths_of_the_host_are_found() {
        assert_eq!(path("8:1 /etc/x /x rw - ext4 /dev/sda1 rw").as_deref(), Some("/etc/x"));
        assert_eq!(path("8:2 /a /x rw - ext4 /dev/sda2 rw").as_deref(), Some("/home/a"));
        assert_eq!(path("8:2 /deep/er /x rw - ext4 /dev/sda2 rw").as_deref(), Some("/data/er"));
        assert_eq!(path("0:77 / /x rw - tmpfs tmpfs rw"), None);
    }

    #[test]
    fn what_steers_the_host_is_told_from_what_does_not() {
        for (line, expected) in [
            ("8:1 / /host rw - ext4 /dev/sda1 rw", Some("whole-host")),
            ("8:1 /etc /x ro - ext4 /dev/sda1 rw", Some("host-folder")),
            ("8:1 /etc /x rw - ext4 /dev/sda1 rw", Some("writable-host-folder")),
            ("8:1 /srv /x rw - ext4 /dev/sda1 rw", None),
            ("8:1 /etc/hosts /etc/hosts rw - ext4 /dev/sda1 rw", None),
            ("0:9 /docker.sock /s ro - tmpfs tmpfs rw", Some("engine-socket")),
            ("0:9 / /s ro - tmpfs tmpfs rw", Some("engine-socket")),
            ("0:5 / /h ro - proc proc rw", Some("host-proc")),
            ("8:1 /var/lib/docker/volumes/a/_data /d rw - ext4 /dev/sda1 rw", None),
            ("8:1 /var/lib/docker /d rw - ext4 /dev/sda1 rw", Some("writable-host-folder")),
        ] {
            assert_eq!(exposed(line), expected, "{line}");
        }
    }
}
