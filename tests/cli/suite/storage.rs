//! Mounts: of the host, of memory, and the root.

use std::fs::{create_dir, read_to_string, write};

use stockade_testkit::{Stockade, requires};

#[test]
fn a_volume_is_the_hosts_folder() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let host = stockade.folder().join("host");
    create_dir(&host).unwrap();
    write(host.join("file"), "from the host").unwrap();
    let volume = format!("{}:/data", host.display());
    let done = stockade.sh(&["-v", &volume], "cat /data/file; echo back > /data/answer").ok();
    assert_eq!(done.out(), "from the host");
    assert_eq!(read_to_string(host.join("answer")).unwrap(), "back\n");
    let done = stockade.sh(&["-v", &format!("{volume}:ro")], "cat /data/file; echo x > /data/file");
    assert!(done.code() == 1 && done.stderr.contains("Read-only file system"), "{done:?}");
    let relative = stockade.run_call(&["-v", "./host:/data"], &["cat", "/data/file"]).within(stockade.folder());
    assert_eq!(relative.run().ok().out(), "from the host");
    // A file on a file.
    let file = format!("{}:/etc/hostname:ro", host.join("file").display());
    assert_eq!(stockade.sh(&["-v", &file], "cat /etc/hostname").ok().out(), "from the host");
}

#[test]
fn what_is_below_a_read_only_volume_is_read_only() {
    requires!(root, stockade, busybox_packed, unshare);
    let stockade = Stockade::new();
    let host = stockade.folder().join("host");
    create_dir(&host).unwrap();
    create_dir(host.join("below")).unwrap();
    // A mount below, in a mount namespace that ends with the command.
    let line = stockade.command_line().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let script = format!(
        "mount -t tmpfs none {0}/below && {line} run --rm -v {0}:/data:ro {1} touch /data/below/x; \
         {line} run --rm -v {0}:/data {1} touch /data/below/y && echo written",
        host.display(),
        stockade.image(),
    );
    let done = stockade_testkit::Call::new("unshare").args(["-m", "sh", "-c", &script]).run();
    assert!(done.stderr.contains("Read-only file system") && done.out() == "written", "{done:?}");
}

#[test]
fn a_missing_source_is_made_by_volume_and_refused_by_mount() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let missing = stockade.folder().join("missing");
    let mount = format!("type=bind,source={},target=/data", missing.display());
    stockade.sh(&["--mount", &mount], "true").exits(125).refuses(&["missing"]);
    assert!(!missing.exists());
    stockade.sh(&["-v", &format!("{}:/data", missing.display())], "test -d /data").ok();
    assert!(missing.is_dir());
    stockade.sh(&["--mount", &format!("{mount},readonly")], "touch /data/x").exits(1);
    stockade.sh(&["--mount", &mount], "touch /data/x").ok();
    assert!(missing.join("x").exists());
}

#[test]
fn memory_for_a_folder() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let options = |path: &str| format!("grep ' {path} ' /proc/self/mountinfo");
    let done = stockade.sh(&["--tmpfs", "/t:size=1m,mode=1770"], &format!("{}; touch /t/x", options("/t"))).ok();
    for word in ["tmpfs", "size=1024k", "mode=1770", "nosuid", "nodev", "noexec"] {
        assert!(done.stdout.contains(word), "{word}: {done:?}");
    }
    let done = stockade.sh(&["--mount", "type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=700"], &options("/t")).ok();
    assert!(done.stdout.contains("size=2048k") && done.stdout.contains("mode=700"), "{done:?}");
    let full = stockade.sh(&["--tmpfs", "/t:size=64k"], "dd if=/dev/zero of=/t/x bs=128k count=1");
    assert!(full.stderr.contains("No space left"), "{full:?}");
    let shm = stockade.sh(&["--shm-size", "8m"], &options("/dev/shm")).ok();
    assert!(shm.stdout.contains("size=8192k"), "{shm:?}");
}

#[test]
fn a_read_only_root() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let done = stockade.sh(&["--read-only", "--tmpfs", "/t"], "touch /t/x /dev/shm/y && touch /z");
    assert!(done.code() == 1 && done.stderr.contains("touch: /z: Read-only file system"), "{done:?}");
}

#[test]
fn what_a_container_writes_is_its_own() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sh", "-c", "echo mine > /file; rm /etc/group; sleep 1000"]);
    stockade.sh(&[], "test ! -e /file && test -e /etc/group").ok();
    assert!(!stockade_testkit::programs::image("busybox").join("file").exists());
    stockade.ask(&["stop", "-t", "0", &id]).ok();
    // It is still there when the container is started again.
    stockade.ask(&["start", &id]).ok();
    stockade.until(&id, "running");
}
