//! Disks that take nothing any more: every command says so or works, and what frees the disk works.

use std::time::Duration;

use stockade_testkit::{Call, Finished, Stockade, requires};

/// A script with the program as `stockade`, in a mount namespace where the data folder is a disk of its own, `$DATA`, with a container
/// `web` that runs.
fn on_a_disk(stockade: &Stockade, disk: &str, script: &str) -> Finished {
    let line = stockade.command_line().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    std::fs::create_dir_all(stockade.data()).unwrap();
    std::fs::set_permissions(stockade.data(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let (data, image) = (stockade.data().display().to_string(), stockade.image());
    let script = format!(
        "DATA='{data}'; IMAGE='{image}'; stockade() {{ {line} \"$@\"; }}; mount -t tmpfs -o {disk},mode=700 none $DATA; \
         stockade run -d --name web $IMAGE sh -c 'trap \"exit 3\" TERM; while :; do sleep 0.05; done' >/dev/null || exit 99; {script}"
    );
    Call::new("unshare").args(["-m", "sh", "-c", &script]).limit(Duration::from_secs(120)).run()
}

/// What is asked of a disk that takes nothing: the container is listed, stopped and removed, and a new one is refused in one line.
const ASKED: &str = "stockade ps --format '{{.Names}} {{.State}}'; stockade run --rm $IMAGE true; echo run $?; \
                     stockade stop web; echo stop $?; stockade ps -a --format '{{.Names}} {{.State}}'; ";

#[test]
fn a_full_disk_keeps_nobody_from_stopping_and_removing() {
    requires!(root, stockade, busybox_packed, unshare);
    let stockade = Stockade::new();
    let fill = "cat /dev/zero >$DATA/fill 2>/dev/null; ";
    let removed =
        "stockade rm -f web; echo rm $?; rm $DATA/fill; stockade run --rm $IMAGE echo again; stockade ps -aq | wc -l";
    let done = on_a_disk(&stockade, "size=24m", &[fill, ASKED, removed].concat());
    assert_eq!(done.stdout, "web running\nrun 125\nweb\nstop 0\nweb exited\nweb\nrm 0\nagain\n0\n", "{done:?}");
    assert!(done.stderr.contains("No space left on device"), "{done:?}");
}

#[test]
fn a_disk_without_inodes_keeps_nobody_from_stopping_and_removing() {
    requires!(root, stockade, busybox_packed, unshare);
    let stockade = Stockade::new();
    let fill = "mkdir $DATA/fill; i=0; while : 2>/dev/null >$DATA/fill/$i; do i=$((i+1)); done; ";
    let removed = "stockade rm -f web; echo rm $?; rm -r $DATA/fill; stockade run --rm $IMAGE echo again; stockade ps -aq | wc -l";
    // A subshell: a redirection that fails ends some shells.
    let fill = format!("({fill}) 2>/dev/null; ");
    let done = on_a_disk(&stockade, "nr_inodes=3000", &[&fill, ASKED, removed].concat());
    assert_eq!(done.stdout, "web running\nrun 125\nweb\nstop 0\nweb exited\nweb\nrm 0\nagain\n0\n", "{done:?}");
    assert!(done.stderr.contains("No space left on device"), "{done:?}");
}

#[test]
fn a_read_only_disk_is_told_and_what_runs_can_be_stopped() {
    requires!(root, stockade, busybox_packed, unshare);
    let stockade = Stockade::new();
    // What the monitor has open it can write: a file system that is read-only as a whole must have no file open for writing.
    let fill = "mount --bind $DATA $DATA; mount -o remount,bind,ro $DATA; ";
    let removed = "stockade rm web; echo rm $?; umount $DATA; stockade rm -f web; stockade ps -aq | wc -l";
    let done = on_a_disk(&stockade, "size=24m", &[fill, ASKED, removed].concat());
    assert_eq!(done.stdout, "web running\nrun 125\nweb\nstop 0\nweb exited\nrm 1\nweb\n0\n", "{done:?}");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
}
