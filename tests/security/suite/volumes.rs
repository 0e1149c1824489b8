//! Volumes, which hostile images want at hostile places and hostile containers share with the engine.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};
use stockade_testkit::layout::Layout;
use stockade_testkit::tarball::{Member, Tarball};
use stockade_testkit::{Call, Stockade, requires};

use crate::{assert_untouched, while_swapping};

/// How many containers start in one race.
const STARTS: usize = 12;

/// A folder of the host that no container has business in, with a secret in it.
fn outside(stockade: &Stockade) -> PathBuf {
    let outside = stockade.folder().join("outside");
    std::fs::create_dir(&outside).unwrap();
    outside
}

/// The busybox image with one more layer and volumes at `volumes`.
fn image(stockade: &Stockade, members: Vec<Member>, volumes: &[&str]) -> String {
    let folder = stockade.folder().join(format!("image-{}", volumes.join("-").replace('/', "_")));
    let mut layout = Layout::on_busybox(&folder, &stockade.folder().join("canary"));
    if !members.is_empty() {
        layout.layer(Tarball::of(members));
    }
    let volumes: serde_json::Map<String, Value> = volumes.iter().map(|path| ((*path).to_owned(), json!({}))).collect();
    layout.config["config"]["Volumes"] = volumes.into();
    layout.finish()
}

fn run(stockade: &Stockade, image: &str, flags: &[&str], script: &str) -> Call {
    stockade.call(&["run", "--rm"]).args(flags).arg(image).args(["sh", "-c", script])
}

/// runc, crun: an image's volume on `/proc` had labels written to files of its own.
#[test]
fn cve_2019_16884_2023_27561_no_volume_stands_for_what_steers_walls() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let fake = || vec![Member::directory("proc"), Member::directory("proc/self"), Member::file("proc/self/attr", "x")];
    for path in ["/proc", "/proc/", "/proc/self/attr", "/sys", "/sys/fs/cgroup", "/dev"] {
        run(&stockade, &image(&stockade, fake(), &[path]), &[], "true").run().exits(125).refuses(&["invalid volume"]);
        let flag = format!("data:{path}");
        run(&stockade, &image(&stockade, fake(), &[]), &["-v", &flag], "true")
            .run()
            .exits(125)
            .refuses(&["invalid volume"]);
        std::fs::remove_dir_all(stockade.folder().join("image-")).unwrap();
    }
    // By a link of the image's.
    for (name, target) in [("linked", "/proc"), ("deeper", "proc/self"), ("system", "/sys")] {
        let members = vec![Member::symlink(name, target)];
        let image = image(&stockade, members, &[&format!("/{name}")]);
        let look = "cat /proc/self/attr/current /proc/self/status >/dev/null; grep -q ' /proc proc ' /proc/mounts";
        let done = run(&stockade, &image, &[], look).run();
        // Over /sys it hides the kernel's files from the container and from nobody else.
        assert!(done.code() == 0 && target == "/sys" || done.code() == 125, "{done:?}");
    }
    assert!(stockade.volumes().iter().all(|name| name == "data"), "{:?}", stockade.volumes());
}

/// containerd: what a link of the image's at a volume's place led to was copied into the volume.
#[test]
fn cve_2022_23648_nothing_of_the_host_is_copied_into_a_volume() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let outside = outside(&stockade);
    std::fs::write(outside.join("secret"), "secret").unwrap();
    let absolute = outside.display().to_string();
    let climbing = format!("{}{}", "../".repeat(40), absolute.trim_start_matches('/'));
    let members = vec![
        Member::symlink("absolute", &absolute),
        Member::symlink("climbing", &climbing),
        Member::directory("inner"),
        Member::symlink("inner/link", &absolute),
        Member::symlink("magic", "/proc/1/root"),
    ];
    let image = image(&stockade, members, &["/absolute", "/climbing", "/inner", "/magic/etc"]);
    let script = "cat /absolute/* /climbing/* /magic/etc/* /inner/link/*; ls -A /absolute /climbing /inner /magic/etc";
    let done = run(&stockade, &image, &[], script).run();
    assert!(!done.stdout.contains("secret") && !done.stderr.contains("secret"), "{done:?}");
    // Copied as a link, it means nothing but what it means in the container.
    run(&stockade, &image, &["-v", "data:/inner"], "true").run().either_way();
    let copied = stockade.volume("data").join("link");
    assert!(copied.symlink_metadata().is_ok_and(|copied| copied.is_symlink()), "{copied:?}");
    for path in ["../../etc", "/../../etc", "etc", "/a/../../b", ""] {
        let folder = stockade.folder().join("climbing");
        let mut layout = Layout::on_busybox(&folder, &outside);
        layout.config["config"]["Volumes"] = json!({ path: {} });
        run(&stockade, &layout.finish(), &[], "true").run().exits(125).refuses(&["Volumes"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::remove_file(outside.join("secret")).unwrap();
    assert_untouched(&outside);
}

/// runc: mounts in a volume that a hostile container shares were raced out of the root.
#[test]
fn cve_2021_30465_2024_45310_containers_that_share_a_volume_race_the_mounts_in_it() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let outside = outside(&stockade);
    stockade.ask(&["volume", "create", "shared"]).ok();
    let volume = stockade.volume("shared");
    std::fs::create_dir(volume.join("real")).unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    let flags = ["-v", "shared:/shared", "-v", "inner:/shared/real/made/here", "-v", "/shared/real/own"];
    while_swapping(&volume.join("real"), &volume.join("link"), || {
        let mut codes = Vec::new();
        while codes.len() < STARTS || !codes.contains(&0) {
            assert!(codes.len() < 20 * STARTS, "{codes:?}");
            codes.push(stockade.sh(&flags, "echo x > /shared/real/made/here/file").code());
        }
    });
    assert_untouched(&outside);
}

/// buildkit, Docker: the part of a volume that is mounted was exchanged for a link between its resolution and the mount.
#[test]
fn cve_2024_23651_2026_42306_a_part_of_a_volume_is_not_raced_out_of_it() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let outside = outside(&stockade);
    std::fs::write(outside.join("file"), "secret").unwrap();
    stockade.ask(&["volume", "create", "shared"]).ok();
    let volume = stockade.volume("shared");
    std::fs::create_dir_all(volume.join("real/deep")).unwrap();
    std::fs::write(volume.join("real/file"), "mine").unwrap();
    // The link leads to the host's folder if it is resolved there, and nowhere in the volume.
    symlink(&outside, volume.join("link")).unwrap();
    for part in ["real", "real/file", "real/deep/../file"] {
        let mount = format!("type=volume,source=shared,target=/part,volume-subpath={part}");
        if part.contains("..") {
            stockade.sh(&["--mount", &mount], "true").exits(125).refuses(&["volume-subpath"]);
            continue;
        }
        while_swapping(&volume.join("real"), &volume.join("link"), || {
            let mut codes = Vec::new();
            while codes.len() < STARTS || !codes.contains(&0) {
                assert!(codes.len() < 20 * STARTS, "{codes:?}");
                let done = stockade.sh(&["--mount", &mount], "cat /part/file /part; touch /part/made; true");
                assert!(!done.stdout.contains("secret"), "{done:?}");
                assert!(done.code() != 0 || done.stdout.contains("mine"), "{done:?}");
                codes.push(done.code());
            }
        });
    }
    std::fs::remove_file(outside.join("file")).unwrap();
    assert_untouched(&outside);
}

/// Docker: other users of the machine walked into the data root, to set-user-id programs in volumes and layers.
#[test]
fn cve_2021_41091_2021_21284_nobody_else_reaches_a_volume() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script =
        "cp /bin/busybox /data/su; chmod 4755 /data/su; chmod 777 /data; mknod /data/null c 1 3; chmod 666 /data/null";
    // With the host's ids, or there would be no device.
    stockade.sh(&["--userns", "host", "-v", "data:/data"], script).ok();
    let volume = stockade.volume("data");
    assert_eq!(std::fs::metadata(volume.join("su")).unwrap().permissions().mode() & 0o7777, 0o4755);
    let nobody = |script: &str| {
        Call::new("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script]).run()
    };
    nobody("true").ok();
    for path in [volume.clone(), volume.join("su"), volume.join("null")] {
        assert_ne!(nobody(&format!("ls -d {}", path.display())).code(), 0, "{}", path.display());
    }
    // Whatever a container does to the root of the volume, the folders above it keep others out.
    stockade.ask(&["volume", "rm", "data"]).ok();
    assert!(!volume.exists());
}

/// A link that a container left in its volume is removed, and not what it leads to; nor is a mount of the host followed.
#[test]
fn removing_a_volume_stays_in_it() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let outside = outside(&stockade);
    std::fs::write(outside.join("kept"), "").unwrap();
    let target = outside.display();
    let deep = "i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done";
    let script = format!(
        "ln -s {target} /data/link; ln -s {target}/kept /data/file; mkdir /data/x; cd /data/x; {deep}; ln -s {target} l"
    );
    stockade.sh(&["-v", "data:/data"], &script).ok();
    let used = stockade.ask(&["volume", "prune", "-af"]).ok();
    assert!(used.stdout.contains("data\n"), "{used:?}");
    assert!(outside.join("kept").exists());
    std::fs::remove_file(outside.join("kept")).unwrap();
    assert_untouched(&outside);
}
