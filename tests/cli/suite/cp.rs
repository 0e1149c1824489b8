//! `cp`: Docker's rules, running and stopped, and a container that tries to get at the host by it.

use std::fs::{create_dir, create_dir_all, read_to_string, set_permissions, write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use stockade_testkit::{Call, Stockade, requires};

/// A container that runs until it is removed, and one that has ended, after the same `script`.
fn two(stockade: &Stockade, flags: &[&str], script: &str) -> [String; 2] {
    let running = stockade.detached(flags, &["sh", "-c", &format!("{script}; touch /ready; exec sleep 1000")]);
    let ready = || stockade.ask(&["cp", &format!("{running}:/ready"), "-"]).code() == 0;
    stockade_testkit::eventually("the container to be ready", std::time::Duration::from_secs(30), ready);
    let stopped = stockade.detached(flags, &["sh", "-c", script]);
    stockade.until(&stopped, "exited");
    [running, stopped]
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn the_rules_of_docker_both_ways() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "mkdir -p /d/sub /empty; echo one > /d/file; echo two > /d/sub/file; ln -s file /d/link; ln -s /d /to-d; \
                  echo mine > /mine; chown 1000:1000 /mine; chmod 4755 /mine";
    for (number, id) in two(&stockade, &[], script).into_iter().enumerate() {
        let place = stockade.folder().join(format!("host-{number}"));
        create_dir(&place).unwrap();
        let path = |name: &str| place.join(name);
        let cp = |from: &str, to: &str| stockade.ask(&["cp", from, to]);
        let inside = |path: &str| format!("{id}:{path}");
        let get = |from: &str, to: &str| cp(&inside(from), &text(&path(to)));
        // Files out.
        get("/d/file", "new").ok();
        assert_eq!(read_to_string(path("new")).unwrap(), "one\n");
        get("d/sub/file", "new").ok();
        assert_eq!(read_to_string(path("new")).unwrap(), "two\n");
        get("/d/file", "missing/").exits(1).refuses(&["no such directory"]);
        get("/d/file", "missing/x").exits(1).refuses(&["no such directory"]);
        get("/no/such", "x").exits(1).refuses(&["no such file", "/no/such"]);
        get("/d/file/", "x").exits(1).refuses(&["not a directory"]);
        // Directories out.
        get("/d", "made").ok();
        assert_eq!(read_to_string(path("made/sub/file")).unwrap(), "two\n");
        get("/d", "made").ok();
        assert_eq!(read_to_string(path("made/d/file")).unwrap(), "one\n");
        create_dir(path("contents")).unwrap();
        get("/d/.", "contents").ok();
        assert!(path("contents/file").exists() && !path("contents/d").exists());
        get("/d", "new").exits(1).refuses(&["directory to a file"]);
        assert!(path("made/link").is_symlink());
        get("/d/link", "link").ok();
        assert!(path("link").is_symlink());
        stockade.ask(&["cp", "-L", &inside("/d/link"), &text(&path("followed"))]).ok();
        assert_eq!(read_to_string(path("followed")).unwrap(), "one\n");
        get("/to-d/", "through").ok();
        assert!(path("through/sub/file").exists());
        // Whose: the caller's, without the bits that act as somebody else; or as it was.
        get("/mine", "mine").ok();
        let data = path("mine").metadata().unwrap();
        assert_eq!((data.uid(), data.mode() & 0o7777), (0, 0o755));
        stockade.ask(&["cp", "--archive", &inside("/mine"), &text(&path("kept"))]).ok();
        let data = path("kept").metadata().unwrap();
        assert_eq!((data.uid(), data.gid(), data.mode() & 0o7777), (1000, 1000, 0o4755));
        // In.
        write(path("up"), "up").unwrap();
        std::os::unix::fs::chown(path("up"), Some(1234), Some(1234)).unwrap();
        let put = |from: &str, to: &str| cp(&text(&path(from)), &inside(to));
        put("up", "/empty").ok();
        put("up", "/empty/renamed").ok();
        put("up", "/empty/none/x").exits(1).refuses(&["no such directory"]);
        put("up", "/d/link").ok();
        put("contents/.", "/filled").ok();
        put("contents", "/filled").ok();
        put("contents", "/d/file").exits(1).refuses(&["directory to a file"]);
        stockade.ask(&["cp", "-a", &text(&path("up")), &inside("/empty/owned")]).ok();
        put("up", "/dev/null").either_way();
        let seen = stockade.call(&["cp", &inside("/empty"), "-"]).run().ok();
        assert!(!seen.stdout.is_empty());
        get("/d/file", "linked").ok();
        assert_eq!(read_to_string(path("linked")).unwrap(), "up", "the link's target was written");
        stockade.ask(&["cp", "-a", &inside("/empty"), &text(&path("back"))]).ok();
        let owner = |name: &str| path(name).metadata().unwrap().uid();
        assert_eq!((owner("back/up"), owner("back/renamed"), owner("back/owned")), (0, 0, 1234));
        get("/filled/contents/sub/file", "deep").ok();
        // Neither, both.
        cp("/etc/passwd", &text(&path("x"))).exits(1).refuses(&["at least one container"]);
        cp(&inside("/a"), &inside("/b")).exits(1).refuses(&["between containers"]);
        stockade.ask(&["cp", "nobody:/x", "/tmp"]).exits(1).refuses(&["no such container"]);
    }
}

#[test]
fn archives_over_pipes() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    for (number, id) in two(&stockade, &[], "mkdir /d; echo one > /d/file; ln /d/file /d/twin").into_iter().enumerate()
    {
        let place = stockade.folder().join(format!("host-{number}"));
        create_dir_all(place.join("tree/sub")).unwrap();
        write(place.join("tree/sub/file"), "from tar").unwrap();
        let archive = text(&place.join("a.tar"));
        let script = r#"set -e; cd "$0"; tar -cf a.tar tree; "$@" cp - "$ID:/d" < a.tar; "$@" cp "$ID:/d" - > b.tar; mkdir b; tar -xf b.tar -C b"#;
        let line = stockade.command_line();
        Call::new("sh").args(["-c", script, &text(&place)]).args(&line).env("ID", &id).run().ok();
        assert_eq!(read_to_string(place.join("b/d/tree/sub/file")).unwrap(), "from tar");
        assert_eq!(place.join("b/d/file").metadata().unwrap().nlink(), 2);
        let script = r#""$@" cp - "$ID:/d/file" < "$0""#;
        let done = Call::new("sh").args(["-c", script, &archive]).args(&line).env("ID", &id).run();
        done.exits(1).refuses(&["not a directory"]);
        let script = r#"printf garbage | "$@" cp - "$ID:/d""#;
        let done = Call::new("sh").args(["-c", script, "sh"]).args(&line).env("ID", &id).run();
        done.exits(1).refuses(&["archive"]);
    }
}

#[test]
fn mounts_are_part_of_it_and_read_only_is_so() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let path = |name: &str| stockade.folder().join(name);
    for name in ["rw", "ro"] {
        create_dir(path(name)).unwrap();
        write(path(name).join("file"), name).unwrap();
    }
    write(path("up"), "up").unwrap();
    let flags = [format!("{}:/rw", text(&path("rw"))), format!("{}:/ro:ro", text(&path("ro")))];
    let flags = ["--read-only", "-v", &flags[0], "-v", &flags[1], "--tmpfs", "/t"];
    let running = stockade.detached(&flags, &["sh", "-c", "echo memory > /t/file; exec sleep 1000"]);
    let created = stockade.call(&["create"]).args(flags).arg(stockade.image()).arg("true").run().ok();
    let created = stockade.know(created.out());
    let memory = || stockade.ask(&["cp", &format!("{running}:/t/file"), &text(&path("memory"))]).code() == 0;
    stockade_testkit::eventually("the file in memory", std::time::Duration::from_secs(30), memory);
    for id in [&running, &created] {
        let inside = |path: &str| format!("{id}:{path}");
        stockade.ask(&["cp", &inside("/ro/file"), &text(&path("got"))]).ok();
        assert_eq!(read_to_string(path("got")).unwrap(), "ro");
        stockade.ask(&["cp", &text(&path("up")), &inside("/rw")]).ok();
        assert_eq!(read_to_string(path("rw/up")).unwrap(), "up");
        std::fs::remove_file(path("rw/up")).unwrap();
        for target in ["/ro/x", "/x", "/etc/x"] {
            stockade.ask(&["cp", &text(&path("up")), &inside(target)]).exits(1).refuses(&["Read-only file system"]);
        }
        assert!(!path("ro/x").exists());
    }
    // The kernel's own files are neither read nor written.
    for target in ["/proc/version", "/proc/self/root/etc/passwd", "/sys/kernel"] {
        stockade.ask(&["cp", &format!("{running}:{target}"), &text(&path("proc"))]).exits(1).either_way();
        assert!(!path("proc").exists(), "{target}");
    }
    stockade.ask(&["cp", &text(&path("up")), &format!("{running}:/proc/sysrq-trigger")]).exits(1).either_way();
    let whole = stockade.ask(&["cp", &format!("{running}:/"), &text(&path("whole"))]).ok();
    assert!(whole.stderr.contains("devices were left out"), "{whole:?}");
    assert!(path("whole/bin/busybox").exists() && path("whole/rw/file").exists());
    assert_eq!(std::fs::read_dir(path("whole/proc")).unwrap().count(), 0);
}

#[test]
fn ids_of_a_user_namespace() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["--userns", "auto"];
    let probe = stockade.run(&flags, &["true"]);
    if probe.code() != 0 {
        panic!("--userns auto: {probe:?}");
    }
    let script = "echo mine > /mine; echo users > /users; chown 1000:1000 /users";
    for (number, id) in two(&stockade, &flags, script).into_iter().enumerate() {
        let place = stockade.folder().join(format!("host-{number}"));
        create_dir(&place).unwrap();
        let path = |name: &str| place.join(name);
        for (name, uid) in [("mine", 0), ("users", 1000)] {
            stockade.ask(&["cp", "-a", &format!("{id}:/{name}"), &text(&place)]).ok();
            assert_eq!(path(name).metadata().unwrap().uid(), uid);
        }
        write(path("up"), "up").unwrap();
        std::os::unix::fs::chown(path("up"), Some(5), Some(6)).unwrap();
        stockade.ask(&["cp", &text(&path("up")), &format!("{id}:/up")]).ok();
        stockade.ask(&["cp", "-a", &text(&path("up")), &format!("{id}:/kept")]).ok();
        let archive = text(&path("all.tar"));
        stockade.ask(&["export", "-o", &archive, &id]).ok();
        let listed = Call::new("tar").args(["--numeric-owner", "-tvf", &archive]).run().ok();
        let owner = |name: &str| {
            let line = listed.stdout.lines().find(|line| line.ends_with(&format!(" {name}")));
            line.unwrap_or_default().split_whitespace().nth(1).unwrap_or_default().to_owned()
        };
        let owners = ["mine", "users", "up", "kept", "bin/busybox"].map(owner);
        assert_eq!(owners, ["0/0", "1000/1000", "0/0", "5/6", "0/0"]);
    }
}

/// The host's file that no container may read or change, and a folder that is beside it.
struct Victim {
    folder: PathBuf,
}

impl Victim {
    fn new(stockade: &Stockade) -> Self {
        let folder = stockade.folder().join("victim");
        create_dir(&folder).unwrap();
        write(folder.join("secret"), "the host's secret").unwrap();
        set_permissions(folder.join("secret"), PermissionsExt::from_mode(0o600)).unwrap();
        Self { folder }
    }

    fn untouched(&self) {
        assert_eq!(read_to_string(self.folder.join("secret")).unwrap(), "the host's secret");
        let data = self.folder.join("secret").metadata().unwrap();
        assert_eq!((data.mode() & 0o7777, data.uid()), (0o600, 0));
        assert_eq!(std::fs::read_dir(&self.folder).unwrap().count(), 1);
    }
}

/// A container exchanges a folder for a link to the host's folder of the same name while files are copied out of it and into it: five
/// hundred times each. `cp` resolved paths in one step and used them in another.
#[test]
fn cve_2018_15664_and_2019_10152_swapped_links_lead_nowhere() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let victim = Victim::new(&stockade);
    let there = text(&victim.folder);
    // The same path exists on the host and in the container; in the container it comes and goes.
    let script = format!(
        "mkdir -p /w/real /w/out{there}; echo inside > /w/real/secret; cd /w; ln -s {there} link; touch /ready; \
         while :; do mv real swap 2>/dev/null; mv link real; mv real link; mv swap real; done"
    );
    let id = stockade.detached(&[], &["sh", "-c", &script]);
    let ready = || stockade.ask(&["cp", &format!("{id}:/ready"), "-"]).code() == 0;
    stockade_testkit::eventually("the container to be ready", std::time::Duration::from_secs(30), ready);
    let evil = stockade.folder().join("evil");
    write(&evil, "written by cp").unwrap();
    let out = stockade.folder().join("out");
    create_dir(&out).unwrap();
    // One process after the other in a shell, so that a thousand copies take seconds.
    let script = r#"i=0; while [ $i -lt 500 ]; do i=$((i+1))
        "$@" cp "$ID:/w/real/secret" "$OUT/$((i%10))" 2>/dev/null
        "$@" cp "$EVIL" "$ID:/w/real/secret" 2>/dev/null; done; true"#;
    let call = Call::new("sh").args(["-c", script, "sh"]).args(stockade.command_line());
    let call = call.env("ID", &id).env("OUT", &out).env("EVIL", &evil).limit(std::time::Duration::from_secs(300));
    call.run().ok();
    victim.untouched();
    let mut copied = 0;
    for entry in std::fs::read_dir(&out).unwrap() {
        let content = read_to_string(entry.unwrap().path()).unwrap();
        assert!(["inside\n", "written by cp", ""].contains(&content.as_str()), "{content:?}");
        copied += 1;
    }
    assert!(copied > 0, "nothing was ever copied");
}

/// Links in a container's file system, at every place of a path, lead to the container's own files.
#[test]
fn cve_2019_14271_and_2021_41089_nothing_of_the_hosts_is_read_changed_or_loaded() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let victim = Victim::new(&stockade);
    let there = text(&victim.folder);
    // Libraries and programs that whoever looks for them in the container would load or run as the host's root.
    let trap = "mkdir -p /lib /lib64 /usr/bin /lib/x86_64-linux-gnu; for f in /lib/libnss_files.so.2 \
                /lib/x86_64-linux-gnu/libnss_files.so.2 /usr/bin/xz /usr/bin/gzip /usr/bin/unxz /usr/bin/tar; do \
                rm -f $f; printf '#!/bin/sh\\ntouch /trapped\\n' > $f; chmod 755 $f; done; rm -f /etc/nsswitch.conf; \
                echo 'passwd: files evil' > /etc/nsswitch.conf";
    let script =
        format!("{trap}; ln -s {there} /link; ln -s {there}/secret /file; ln -s ../../../../../../{there} /up");
    for (number, id) in two(&stockade, &[], &script).into_iter().enumerate() {
        let out = stockade.folder().join(format!("out-{number}"));
        create_dir(&out).unwrap();
        let up = stockade.folder().join("up");
        write(&up, "up").unwrap();
        for path in ["/link/secret", "/up/secret", "/file/"] {
            stockade.ask(&["cp", "-L", &format!("{id}:{path}"), &text(&out)]).exits(1).either_way();
            stockade.ask(&["cp", &text(&up), &format!("{id}:{path}")]).exits(1).either_way();
        }
        stockade.ask(&["cp", "-L", &format!("{id}:/file"), &text(&out)]).exits(1).either_way();
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
        // An xz archive is refused, not unpacked by the container's program (CVE-2026-41567).
        let script = r#"printf '\3757zXZ\0\0\4\346\326\264F' | "$@" cp - "$ID:/""#;
        let line = stockade.command_line();
        Call::new("sh").args(["-c", script, "sh"]).args(&line).env("ID", &id).run().exits(1).either_way();
        stockade.ask(&["cp", &format!("{id}:/trapped"), "-"]).exits(1).refuses(&["no such file"]);
        victim.untouched();
    }
    // A destination that is there keeps its mode, whatever the container's has.
    let id = stockade.detached(&[], &["sh", "-c", "mkdir -m 777 /secrets; exec sleep 1000"]);
    let secrets = stockade.folder().join("secrets");
    create_dir(&secrets).unwrap();
    set_permissions(&secrets, PermissionsExt::from_mode(0o700)).unwrap();
    let made = || stockade.ask(&["cp", &format!("{id}:/secrets"), &text(stockade.folder())]).code() == 0;
    stockade_testkit::eventually("the folder", std::time::Duration::from_secs(30), made);
    assert_eq!(secrets.metadata().unwrap().mode() & 0o7777, 0o700);
}

/// A FIFO never blocks, a device is never read, and neither a link nor a mount point that comes and goes makes anything on the host.
#[test]
fn special_files_are_copied_and_not_opened() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "mkfifo /fifo; mknod /zero c 1 5; mkdir /d; mkfifo /d/fifo; mknod /d/zero c 1 5; echo x > /d/file";
    for (number, id) in two(&stockade, &["--cap-add", "MKNOD"], script).into_iter().enumerate() {
        let out = stockade.folder().join(format!("out-{number}"));
        create_dir(&out).unwrap();
        stockade.ask(&["cp", &format!("{id}:/fifo"), &text(&out)]).ok();
        assert!(out.join("fifo").symlink_metadata().unwrap().file_type().is_fifo());
        stockade.ask(&["cp", &format!("{id}:/zero"), &text(&out)]).exits(1).refuses(&["device"]);
        let done = stockade.ask(&["cp", &format!("{id}:/d"), &text(&out)]).ok();
        assert!(done.stderr.contains("1 devices were left out"), "{done:?}");
        assert!(out.join("d/file").exists() && !out.join("d/zero").exists());
        stockade.ask(&["cp", "-a", &format!("{id}:/zero"), &text(&out)]).ok();
        assert!(out.join("zero").symlink_metadata().unwrap().file_type().is_char_device());
        // Into a FIFO, a device: refused, and nobody waits.
        let up = stockade.folder().join("up");
        write(&up, "up").unwrap();
        stockade.ask(&["cp", &text(&up), &format!("{id}:/fifo")]).exits(1).refuses(&["regular file"]);
        stockade.ask(&["cp", &format!("{id}:/d/file"), &text(&out.join("fifo"))]).exits(1).refuses(&["regular file"]);
    }
}

/// A container that was made and never started gets its mount points made by descriptors: a link in the image's place of one leads to
/// the container's own file (CVE-2026-41568, CVE-2026-42306).
#[test]
fn cve_2026_41568_mount_points_are_made_inside() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let victim = Victim::new(&stockade);
    let bound = stockade.folder().join("bound");
    create_dir(&bound).unwrap();
    write(bound.join("file"), "bound").unwrap();
    let image = stockade.folder().join("image");
    stockade_testkit::tree::copy(&stockade_testkit::programs::image("busybox"), &image).unwrap();
    symlink(&victim.folder, image.join("link")).unwrap();
    let volume = format!("{}:/link/made", text(&bound));
    let reference = format!("rootfs:{}", text(&image));
    let done = stockade.ask(&["create", "-v", &volume, &reference, "true"]).ok();
    let id = stockade.know(done.out());
    let out = stockade.folder().join("out");
    stockade.ask(&["cp", &format!("{id}:/link/made/file"), &text(&out)]).either_way();
    victim.untouched();
}
