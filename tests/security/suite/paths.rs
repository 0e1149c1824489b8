//! Paths out of the root by links that the image brings. Those that are exchanged meanwhile are in `races`.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode};
use serde_json::json;
use stockade_testkit::{Bundle, requires};

use crate::{assert_untouched, sleeping};

/// A folder of the host beside the bundle.
fn outside(bundle: &Bundle) -> PathBuf {
    let outside = bundle.folder().join("outside");
    std::fs::create_dir(&outside).unwrap();
    outside
}

/// A bundle on whose `/dev` nothing is mounted.
fn with_dev_of_the_image() -> Bundle {
    ["/dev", "/dev/pts", "/dev/mqueue", "/dev/shm"].into_iter().fold(Bundle::busybox(), Bundle::without_mount)
}

/// crun <0.10.5, runc <1.0.0-rc95: mount targets that are links led out of the root.
#[test]
fn cve_2019_18837_and_2021_30465_mount_targets_stay_inside() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    let outside = outside(&bundle);
    symlink(&outside, bundle.rootfs().join("link")).unwrap();
    symlink("../../../../../../../../../..", bundle.rootfs().join("climb")).unwrap();
    let source = bundle.folder().join("source");
    std::fs::create_dir(&source).unwrap();
    let climbing = format!("/climb{}/target", outside.display());
    for target in ["/link/deep/target", "/link", &climbing] {
        let bundle = Bundle::busybox().mount("bind", source.to_str().unwrap(), target, &["rbind"]);
        for (from, to) in [("link", outside.as_path()), ("climb", std::path::Path::new("../../../../../../.."))] {
            symlink(to, bundle.rootfs().join(from)).unwrap();
        }
        // Refused or made inside the root: either is right.
        bundle.run().either_way();
        assert_untouched(&outside);
        bundle.assert_gone();
    }
}

/// runc: `/dev/null` of the image was a link, and masking bind-mounted its target writable.
#[test]
fn cve_2025_31133_a_linked_null_does_not_unmask() {
    requires!(root, runtime, busybox_image);
    let bundle = with_dev_of_the_image().sh("test ! -s /etc/passwd");
    let victim = bundle.rootfs().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    symlink("/victim", bundle.rootfs().join("dev/null")).unwrap();
    let bundle = bundle.edit(|config| config["linux"]["maskedPaths"] = json!(["/etc/passwd"]));
    let done = bundle.run();
    // Refused, or masked by something empty; never by the image's own file.
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched", "{done:?}");
    assert!(done.code() == 0 || !done.stderr.is_empty(), "{done:?}");
    bundle.assert_gone();
}

/// runc: `/dev/console` and `/dev/pts` of the image were links when the terminal was mounted.
#[test]
fn cve_2025_52565_and_2026_88264_a_linked_console_makes_nothing_on_the_host() {
    requires!(root, runtime, busybox_image);
    for (name, target) in [("console", "made"), ("pts", "."), ("ptmx", "made")] {
        let bundle = ["/dev", "/dev/mqueue", "/dev/shm"].into_iter().fold(Bundle::busybox(), Bundle::without_mount);
        let bundle = bundle.edit(|config| config["process"]["terminal"] = json!(true));
        let outside = outside(&bundle);
        std::fs::create_dir_all(bundle.rootfs().join("dev")).unwrap();
        symlink(outside.join(target), bundle.rootfs().join("dev").join(name)).unwrap();
        bundle.run().either_way();
        assert_untouched(&outside);
        bundle.assert_gone();
    }
}

/// crun <1.30: `/dev/null` of the image was a link, and standard streams became a writable file of the host, given to the
/// container's user.
#[test]
fn cve_2026_88265_a_linked_null_is_not_a_standard_stream() {
    requires!(root, runtime, busybox_image);
    let bundle = with_dev_of_the_image().sh("readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; echo x >&2");
    let victim = bundle.folder().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    symlink(&victim, bundle.rootfs().join("dev/null")).unwrap();
    let bundle = bundle.edit(|config| config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 }));
    for closed in ["exec <&-", "exec >/dev/null 2>&1 </dev/null", "exec <&- >&- 2>&-"] {
        bundle.write();
        let folder = bundle.folder().to_str().unwrap().to_owned();
        bundle.call_after(closed, &["run", "--bundle", &folder, bundle.id()]).run().either_way();
        let data = victim.metadata().unwrap();
        assert_eq!((data.uid(), data.gid()), (0, 0), "{closed}: the host's file got another owner");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched", "{closed}");
    }
    bundle.assert_gone();
}

/// runc <1.3.6, crun <1.28: `/dev` of the image was a link to a folder of the host, and the default devices were made there.
#[test]
fn cve_2026_41579_and_2026_47766_a_linked_dev_makes_nothing_on_the_host() {
    requires!(root, runtime, busybox_image);
    let bundle = with_dev_of_the_image();
    let outside = outside(&bundle);
    std::fs::remove_dir(bundle.rootfs().join("dev")).unwrap();
    symlink(&outside, bundle.rootfs().join("dev")).unwrap();
    bundle.run().either_way();
    assert_untouched(&outside);
    bundle.assert_gone();
}

/// crun <1.20: a file that the runtime itself writes into the root was a link of the image.
#[test]
fn cve_2025_24965_nothing_is_written_through_a_link_of_the_image() {
    requires!(root, runtime, busybox_image);
    let bundle = with_dev_of_the_image().edit(|config| {
        config["annotations"] = json!({ "run.oci.handler": "krun", "krun.cpus": "1" });
        config["process"]["cwd"] = json!("/linked/working/folder");
        config["linux"]["devices"] =
            json!([{ "path": "/linked/device", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666 }]);
    });
    let outside = outside(&bundle);
    let names = [".krun_config.json", ".krun_vm.json", "linked", ".dockerenv", "dev/fd", "dev/stdin", "dev/stdout"];
    for name in names.into_iter().chain(["dev/stderr", "dev/core", "dev/shm", "dev/zero", "etc/mtab", "run"]) {
        let path = bundle.rootfs().join(name);
        if path.symlink_metadata().is_ok_and(|data| data.is_dir()) {
            std::fs::remove_dir_all(&path).unwrap();
        }
        symlink(outside.join(name.replace('/', "-")), &path).unwrap();
    }
    bundle.run().either_way();
    assert_untouched(&outside);
    bundle.assert_gone();
}

/// podman, buildah: files of the image that are looked at on the host were FIFOs that never end, or devices.
#[test]
fn cve_2024_9676_and_2022_31030_a_hostile_passwd_is_not_waited_for() {
    requires!(root, runtime, busybox_image);
    let place = |kind: FileType, device| {
        let bundle = Bundle::busybox().edit(|config| config["process"]["env"] = json!(["PATH=/bin"]));
        std::fs::remove_file(bundle.rootfs().join("etc/passwd")).unwrap_or_default();
        let path = bundle.rootfs().join("etc/passwd");
        rustix::fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(0o666), device).unwrap();
        bundle
    };
    for bundle in [place(FileType::Fifo, 0), place(FileType::CharacterDevice, rustix::fs::makedev(1, 5))] {
        let done = bundle.run_call(&[]).limit(std::time::Duration::from_secs(20)).run();
        done.ok();
    }
    // Endless: it is read up to a bound, and the container runs.
    let bundle = place(FileType::RegularFile, 0).sh("echo $HOME");
    let file = std::fs::File::options().write(true).open(bundle.rootfs().join("etc/passwd")).unwrap();
    file.set_len(1 << 30).unwrap();
    assert_eq!(bundle.run_call(&[]).limit(std::time::Duration::from_secs(20)).run().ok().out(), "/");
}

/// runc 1.0.0-rc93 to 1.1.11: a descriptor of the host's cgroup folder stayed open and was made the working directory.
#[test]
fn cve_2024_21626_no_descriptor_can_be_the_working_directory() {
    requires!(root, runtime, busybox_image);
    let other = sleeping();
    let bundle = Bundle::busybox();
    for number in 3..=63 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/thread-self/fd/{number}/../..")] {
            let bundle = Bundle::empty().edit(|config| config["process"]["cwd"] = json!(path));
            // One image for all of them.
            let bundle = bundle.edit(|config| config["root"]["path"] = json!(other.rootfs()));
            let done = bundle.run();
            assert_ne!(done.code(), 0, "{path}: {done:?}");
            bundle.assert_gone();
        }
        let path = format!("/proc/self/fd/{number}");
        let done = other.exec_call(&["--cwd", &path], &["/bin/true"]).run();
        assert_ne!(done.code(), 0, "{path}: {done:?}");
    }
    drop(bundle);
}

/// The same through a link that the image or the running container has put there (attacks 2 and 3).
#[test]
fn cve_2024_21626_nor_through_a_link() {
    requires!(root, runtime, busybox_image);
    let other = sleeping();
    for number in [3, 4, 5, 6, 7, 8, 9, 10, 12, 14] {
        let link = other.rootfs().join("link");
        symlink(format!("/proc/self/fd/{number}"), &link).unwrap();
        let bundle = Bundle::empty().edit(|config| {
            config["root"]["path"] = json!(other.rootfs());
            config["process"]["cwd"] = json!("/link");
        });
        assert_ne!(bundle.run().code(), 0, "run in /link -> /proc/self/fd/{number}");
        let done = other.exec_call(&["--cwd", "/link"], &["/bin/true"]).run();
        assert_ne!(done.code(), 0, "{number}: {done:?}");
        // A program below the descriptor, in place of the working directory.
        for program in [format!("/proc/self/fd/{number}/../../../bin/true"), "/link/../../../bin/true".to_owned()] {
            let done = other.exec(&[&program]);
            assert_ne!(done.code(), 0, "{program}: {done:?}");
        }
        std::fs::remove_file(&link).unwrap();
    }
}
