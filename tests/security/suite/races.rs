//! Paths out of the root, won by a race: a hostile sibling on a shared volume exchanges folders, files and links while
//! containers start.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode};
use serde_json::json;
use stockade_testkit::{Bundle, posture, requires};

use crate::{assert_untouched, while_swapping};

/// How many containers start in one race.
const STARTS: usize = 16;

/// A volume beside the bundle with a folder `real` and a link `link` to the host's folder `outside`.
fn volume(bundle: &Bundle) -> (PathBuf, PathBuf) {
    let (volume, outside) = (bundle.folder().join("volume"), bundle.folder().join("outside"));
    for folder in [&volume, &volume.join("real"), &outside] {
        std::fs::create_dir(folder).unwrap();
    }
    symlink(&outside, volume.join("link")).unwrap();
    (volume, outside)
}

/// The exit codes of `start`, done again and again until it has gone well once at least: else nothing would be tried.
#[track_caller]
fn starts(mut start: impl FnMut() -> i32) -> Vec<i32> {
    let mut codes = Vec::new();
    while codes.len() < STARTS || !codes.contains(&0) {
        assert!(codes.len() < 20 * STARTS, "no start went well, so that nothing was tried: {codes:?}");
        codes.push(start());
    }
    codes
}

/// runc <1.0.0-rc95: a mount's destination was exchanged for a link between the check and the mount.
#[test]
fn cve_2021_30465_a_mount_is_not_raced_out_of_the_root() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    let (volume, outside) = volume(&bundle);
    std::fs::create_dir(volume.join("real/target")).unwrap();
    let secret = bundle.folder().join("secret");
    std::fs::create_dir(&secret).unwrap();
    let bundle = bundle
        .mount("bind", volume.to_str().unwrap(), "/volume", &["rbind"])
        .mount("bind", secret.to_str().unwrap(), "/volume/real/target", &["rbind"])
        .mount("tmpfs", "tmpfs", "/volume/real/new", &[])
        .sh("grep -c ' /volume/real/' /proc/self/mountinfo");
    while_swapping(&volume.join("real"), &volume.join("link"), || starts(|| bundle.run().code()));
    assert_untouched(&outside);
    bundle.assert_gone();
}

/// runc: files and folders that are made for mounts were made on the host.
#[test]
fn cve_2024_45310_no_mount_target_is_made_on_the_host() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    let (volume, outside) = volume(&bundle);
    let file = bundle.folder().join("file");
    std::fs::write(&file, "").unwrap();
    let bundle = bundle
        .mount("bind", volume.to_str().unwrap(), "/volume", &["rbind"])
        .mount("bind", file.to_str().unwrap(), "/volume/real/a/b/c/file", &["bind"])
        .mount("bind", volume.to_str().unwrap(), "/volume/real/d/e/f", &["rbind"]);
    let remake = || {
        let code = bundle.run().code();
        // The folders are to be made anew each time.
        for name in ["real", "link"] {
            for below in ["a", "d"] {
                std::fs::remove_dir_all(volume.join(name).join(below)).unwrap_or_default();
            }
        }
        assert_untouched(&outside);
        code
    };
    while_swapping(&volume.join("real"), &volume.join("link"), || starts(remake));
    bundle.assert_gone();
}

/// runc and youki: `/dev/null` of the image is exchanged for a link while paths are masked with it.
#[test]
fn cve_2025_31133_and_2025_62161_masks_are_not_raced_away() {
    requires!(root, runtime, busybox_image);
    let paths = posture::MASKED.join(" ");
    let check = format!(
        "for p in {paths} /secret; do test -e $p || continue; \
         if test -d $p; then test -z \"$(ls -A $p)\" && ! touch $p/x || exit 9; \
         else test \"$(stat -c %F:%t:%T $p)\" = 'character special file:1:3' || exit 9; fi; done; \
         echo 1 > /proc/sys/kernel/core_pattern && exit 9; exit 0"
    );
    let bundle =
        ["/dev", "/dev/pts", "/dev/mqueue", "/dev/shm"].into_iter().fold(Bundle::busybox(), Bundle::without_mount);
    let bundle = bundle.sh(&check).edit(|config| {
        config["linux"]["maskedPaths"].as_array_mut().unwrap().push(json!("/secret"));
    });
    let dev = bundle.rootfs().join("dev");
    std::fs::write(bundle.rootfs().join("secret"), "s").unwrap();
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, dev.join("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), null).unwrap();
    symlink("/proc/sys/kernel/core_pattern", dev.join("evil")).unwrap();
    let before = std::fs::read("/proc/sys/kernel/core_pattern").unwrap();
    let codes = while_swapping(&dev.join("null"), &dev.join("evil"), || starts(|| bundle.run().code()));
    assert!(!codes.contains(&9), "{codes:?}");
    assert_eq!(std::fs::read("/proc/sys/kernel/core_pattern").unwrap(), before);
    bundle.assert_gone();
}

/// runc and youki: `/dev/console` and `/dev/pts` are exchanged for links while the terminal is mounted.
#[test]
fn cve_2025_52565_a_terminal_is_not_raced_out_of_the_root() {
    requires!(root, runtime, busybox_image);
    let bundle = ["/dev", "/dev/mqueue", "/dev/shm"].into_iter().fold(Bundle::busybox(), Bundle::without_mount);
    let bundle = bundle.edit(|config| config["process"]["terminal"] = json!(true));
    let (_, outside) = volume(&bundle);
    let victim = bundle.folder().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let dev = bundle.rootfs().join("dev");
    std::fs::create_dir_all(dev.join("pts")).unwrap();
    for target in [&victim, &outside.join("made")] {
        let (console, evil) = (dev.join("console"), dev.join("evil"));
        std::fs::write(&console, "").unwrap();
        symlink(target, &evil).unwrap();
        while_swapping(&console, &evil, || starts(|| bundle.run().code()));
        // Either may have either's name now.
        [console, evil].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
    std::fs::create_dir(dev.join("fake")).unwrap();
    symlink(&victim, dev.join("fake/ptmx")).unwrap();
    symlink(&victim, dev.join("fake/0")).unwrap();
    while_swapping(&dev.join("pts"), &dev.join("fake"), || (0..STARTS).for_each(|_| bundle.run().either_way()));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    assert_untouched(&outside);
    bundle.assert_gone();
}

/// Two containers: one exchanges `/proc` of the other for a link into a folder full of fake files. Whoever can write there can
/// always do that; but no label goes to a fake file, and the true procfs, by whatever name it is found, has its masks.
#[test]
fn cve_2019_19921_two_containers_do_not_race_the_masks_of_proc_away() {
    requires!(root, runtime, busybox_image);
    let check = "for i in 1 2 3 4 5 6 7 8 9 10; do for p in /proc /link; do \
                 test \"$(stat -c %F $p/kcore)\" = 'regular file' && exit 9; \
                 echo x > $p/sys/kernel/domainname && exit 9; done; done 2>/dev/null; exit 0";
    let victim = Bundle::busybox().sh(check);
    let fake = victim.rootfs().join("fake/self/attr/apparmor");
    std::fs::create_dir_all(&fake).unwrap();
    for file in ["../exec", "../current", "exec", "current"] {
        std::fs::write(fake.join(file), "").unwrap();
    }
    symlink("/fake", victim.rootfs().join("link")).unwrap();
    let hostile = Bundle::busybox().with_inside().args(&["/inside", "swap-loop", "/target/proc", "/target/link", "60"]);
    let hostile = hostile.mount("bind", victim.rootfs().to_str().unwrap(), "/target", &["rbind"]).detached();
    let codes = starts(|| victim.run().code());
    let is_alive = hostile.status() == "running";
    hostile.delete_by_force().ok();
    assert!(is_alive, "the hostile container did not last");
    assert!(!codes.contains(&9), "{codes:?}");
    for file in ["exec", "current", "../exec", "../current"] {
        assert_eq!(std::fs::read_to_string(fake.join(file)).unwrap(), "", "{file} was written");
    }
    victim.assert_gone();
}

/// Of the same kind, found in a review: a device node's name was used once more for its mode after its device number was
/// checked, so that a link that was exchanged for it in between had a file of the host become writable for everybody.
#[test]
fn the_mode_of_a_device_is_not_raced_onto_a_file_of_the_host() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    let (volume, _) = volume(&bundle);
    let victim = bundle.folder().join("victim");
    std::fs::write(&victim, "").unwrap();
    std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o600)).unwrap();
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, volume.join("null"), FileType::CharacterDevice, Mode::RUSR, null).unwrap();
    symlink(&victim, volume.join("evil")).unwrap();
    let bundle = bundle.mount("bind", volume.to_str().unwrap(), "/volume", &["rbind"]).edit(|config| {
        let device = json!({ "path": "/volume/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666 });
        config["linux"]["devices"] = json!([device]);
    });
    while_swapping(&volume.join("null"), &volume.join("evil"), || starts(|| bundle.run().code()));
    let (mode, owner) = victim.metadata().map(|data| (data.mode() & 0o777, data.uid())).unwrap();
    assert_eq!((mode, owner), (0o600, 0), "the host's file was changed");
    // The mode of the node is what was asked for all the same.
    bundle.run().either_way();
    let nodes = [volume.join("null"), volume.join("evil")].map(|path| path.symlink_metadata().unwrap());
    let node = nodes.iter().find(|data| FileType::from_raw_mode(data.mode()) == FileType::CharacterDevice).unwrap();
    assert_eq!(node.mode() & 0o777, 0o666);
    bundle.assert_gone();
}
