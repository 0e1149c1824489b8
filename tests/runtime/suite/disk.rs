//! A state folder that is full or read-only, and an image that is: a clear error, and nothing left behind.

use stockade_testkit::{Bundle, Call, Finished, requires};

/// Runs `script` by a shell in a mount namespace of its own; `$R` is the runtime with its state folder, `$S` that folder, `$B` the
/// bundle's options and the id, `$I` the id.
fn privately(bundle: &Bundle, script: &str) -> Finished {
    bundle.write();
    std::fs::create_dir_all(bundle.state_folder()).unwrap();
    let (state, folder) = (bundle.state_folder().display(), bundle.folder().display());
    let runtime = stockade_testkit::programs::runtime();
    let variables = format!(
        "S={state}; R=\"{} --root {state}\"; B=\"--bundle {folder} {id}\"; I={id}; F={folder}; {script}",
        runtime.display(),
        id = bundle.id(),
    );
    Call::new("unshare").args(["-m", "sh", "-c", &variables]).run()
}

/// Every size of a state folder, from none at all to enough: each start works or is refused in order.
#[test]
fn a_full_state_folder() {
    requires!(root, stake, busybox_image, unshare);
    let bundle = Bundle::busybox();
    let (mut good, mut full) = (0, 0);
    for kilobytes in (4..=128).step_by(4) {
        let done = privately(&bundle, &format!("mount -t tmpfs -o size={kilobytes}k,mode=700 none $S && $R run $B"));
        if done.code() == 0 {
            good += 1;
        } else {
            full += 1;
            assert_eq!(done.stderr.lines().count(), 1, "{kilobytes}k: {done:?}");
            done.refuses(&["no space left"]);
        }
        bundle.assert_gone();
    }
    assert!(good > 0 && full > 0, "{good} good, {full} full");
}

#[test]
fn a_state_folder_without_inodes() {
    requires!(root, stake, busybox_image, unshare);
    let bundle = Bundle::busybox();
    for inodes in 1..=7 {
        let done = privately(&bundle, &format!("mount -t tmpfs -o nr_inodes={inodes},mode=700 none $S && $R run $B"));
        assert!(inodes > 1 || done.code() != 0, "{done:?}");
        if done.code() != 0 {
            assert_eq!(done.stderr.lines().count(), 1, "{inodes}: {done:?}");
            done.refuses(&["no space left"]);
        }
        bundle.assert_gone();
    }
}

#[test]
fn a_read_only_state_folder() {
    requires!(root, stake, busybox_image, unshare);
    let bundle = Bundle::busybox();
    privately(&bundle, "mount -t tmpfs -o ro,mode=700 none $S && $R run $B").refuses(&["read-only file system"]);
    privately(&bundle, "mount -t tmpfs -o ro,mode=700 none $S && $R --root $S/deeper run $B")
        .refuses(&["read-only file system"]);
    bundle.assert_gone();
}

/// A container that is there goes on to be known, and can be stopped and deleted, when the folder has become full or read-only.
#[test]
fn a_state_folder_that_fills_up_later() {
    requires!(root, stake, busybox_image, unshare);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    let fill = "mount -t tmpfs -o size=512k,mode=700 none $S && $R create $B && \
                { dd if=/dev/zero of=$S/fill bs=4k 2>/dev/null; $R start $I && $R state $I >/dev/null && \
                $R update --pids-limit 9 $I && $R exec $I /bin/true && $R pause $I && $R resume $I && \
                $R kill $I KILL && $R delete --force $I; }";
    privately(&bundle, fill).ok();
    bundle.assert_gone();
    let lock = "mount -t tmpfs -o mode=700 none $S && $R run --detach $B && mount -o remount,ro $S; \
                $R state $I >/dev/null || exit 3; $R exec $I /bin/true || exit 4; \
                $R delete --force $I && exit 5; mount -o remount,rw $S; $R delete --force $I";
    let done = privately(&bundle, lock).ok();
    assert!(done.stderr.to_lowercase().contains("read-only file system"), "{done:?}");
    bundle.assert_gone();
}

/// The image's file system is full: the folders for mounts can not be made.
#[test]
fn a_full_image() {
    requires!(root, stake, busybox_image, unshare);
    let bundle = Bundle::busybox().mount("tmpfs", "tmpfs", "/new/folder/for/it", &[]);
    let script = "mkdir $F/full; mount -t tmpfs -o nr_inodes=400,size=8m none $F/full && cp -a $F/rootfs/. $F/full || exit 9; \
                  i=0; while touch $F/full/x$i 2>/dev/null; do i=$((i+1)); done; \
                  mount --bind $F/full $F/rootfs && $R run $B";
    privately(&bundle, script).refuses(&["no space left"]);
    bundle.assert_gone();
}
