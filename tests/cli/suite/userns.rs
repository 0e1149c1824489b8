//! User namespaces: whose ids a container has, and what its root can reach by them.

use std::collections::BTreeSet;
use std::fs::read_link;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use stockade_testkit::{Call, Finished, Stockade, eventually, programs, requires};

/// What nobody may do without a capability: Docker's 14 in the host's user namespace would let it.
const DENIED: [i32; 2] = [1, 13];

/// The first id of the host that the process' ids stand for, and how many they are.
fn ids_of(pid: i32, map: &str) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{map}")).unwrap();
    let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!((numbers.len(), numbers[0]), (3, 0), "{text}");
    (numbers[1], numbers[2])
}

/// A container's configuration, which the runtime is given.
fn configuration(stockade: &Stockade, id: &str) -> Value {
    let file = stockade.data().join("containers").join(id).join("config.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// How many ranges are some container's.
fn reserved(stockade: &Stockade) -> usize {
    let names = std::fs::read_dir(stockade.data().join("ids")).unwrap().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().contains('-')).count()
}

/// Runs a script in a mount namespace in which both files of ranges say `ranges`; `$S` is the command line of `stockade`.
fn with_ranges(stockade: &Stockade, ranges: &str, script: &str) -> Finished {
    let file = stockade.folder().join("ranges");
    std::fs::write(&file, ranges).unwrap();
    let line = stockade.command_line().join(" ");
    let mounts = ["/etc/subuid", "/etc/subgid"].map(|path| format!("mount --bind {} {path}", file.display()));
    let script = format!("S='{line}'; I='{}'; {}; {script}", stockade.image(), mounts.join(" && "));
    Call::new("unshare").args(["-m", "sh", "-c", &script]).limit(Duration::from_secs(120)).run()
}

#[test]
fn auto_gives_each_container_ids_of_its_own() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let [one, two] = [(); 2].map(|()| stockade.detached(&["--userns", "auto"], &["sleep", "1000"]));
    let (first, second) = (ids_of(stockade.pid(&one), "uid_map"), ids_of(stockade.pid(&two), "uid_map"));
    assert_eq!((first.1, second.1), (65536, 65536));
    assert!(first.0.abs_diff(second.0) >= 65536, "{first:?} {second:?}");
    // Host root is not among them, neither as a user nor as a group.
    let process = std::fs::metadata(format!("/proc/{}", stockade.pid(&one))).unwrap();
    assert_eq!(u64::from(process.uid()), first.0);
    assert_eq!(u64::from(process.gid()), ids_of(stockade.pid(&one), "gid_map").0);
    assert_eq!(stockade.inspect(&one, "{{.HostConfig.UsernsMode}}"), "auto");
    // Nobody but root is let into the data folder.
    for folder in [stockade.data(), stockade.data().join("containers"), stockade.data().join("ids")] {
        let found = folder.metadata().unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o700, 0, 0), "{}", folder.display());
    }
    // They are the container's for its whole life.
    stockade.ask(&["stop", "-t", "0", &one]).ok();
    stockade.ask(&["start", &one]).ok();
    assert_eq!(ids_of(stockade.pid(&one), "uid_map"), first);
    assert_eq!(reserved(&stockade), 2);
    stockade.ask(&["rm", "-f", &one, &two]).ok();
    assert_eq!(reserved(&stockade), 0);
    let sized = stockade.run(&["--userns", "auto:size=1000"], &["cat", "/proc/self/uid_map"]).ok();
    assert!(sized.out().ends_with(" 1000"), "{sized:?}");
    let given = "auto:size=5,uidmapping=3:7:1,gidmapping=100:8:1";
    let sized = stockade.sh(&["--userns", given], "cat /proc/self/uid_map; cat /proc/self/gid_map").ok();
    let lines: Vec<Vec<&str>> = sized.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.iter().map(|line| line[0]).collect::<Vec<_>>(), ["0", "3", "4", "0", "100"], "{sized:?}");
    assert_eq!((&lines[1][1..], &lines[4][1..]), (&["7", "1"][..], &["8", "1"][..]));
}

#[test]
fn five_hundred_at_once_have_different_ids() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    stockade.sh(&[], "true").ok();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let stockade = &stockade;
            scope.spawn(move || {
                for _ in 0..63 {
                    let call = stockade.call(&["create", "--userns", "auto", stockade.image(), "true"]);
                    call.limit(Duration::from_secs(180)).run().ok();
                }
            });
        }
    });
    let ids = stockade.ids();
    assert_eq!(ids.len(), 504);
    for map in ["uidMappings", "gidMappings"] {
        let mappings = ids.iter().map(|id| configuration(&stockade, id)["linux"][map].clone());
        let mut firsts: Vec<u64> = mappings.map(|list| list[0]["hostID"].as_u64().unwrap()).collect();
        firsts.sort_unstable();
        let apart = firsts.windows(2).all(|pair| pair[1] - pair[0] >= 65536);
        assert!(apart, "{map}: two containers share ids");
    }
    stockade.call(&["rm", "-f"]).args(&ids).limit(Duration::from_secs(180)).run().ok();
    assert_eq!(reserved(&stockade), 0);
}

#[test]
fn ids_of_killed_commands_are_given_again() {
    requires!(root, stockade, busybox_packed, unshare, user_namespaces);
    let stockade = Stockade::new();
    // Room for one container. Whatever a killed command leaves, there is room for the next.
    let script = "$S create --userns auto $I true >/dev/null || exit 9
        for n in 0 1 2 3 4 5 6 7; do
            $S rm -f $($S ps -aq) >/dev/null 2>&1
            $S create --userns auto $I true >/dev/null 2>&1 &
            usleep ${n}000 2>/dev/null || sleep 0.00$n; kill -9 $!; wait $! 2>/dev/null
        done
        $S rm -f $($S ps -aq) >/dev/null 2>&1
        $S run --rm --userns auto $I cat /proc/self/uid_map";
    let done = with_ranges(&stockade, "stockade:200000:65536\n", script);
    let map: Vec<&str> = done.stdout.split_whitespace().collect();
    assert_eq!(map, ["0", "200000", "65536"], "{done:?}");
}

#[test]
fn what_is_written_down_of_ranges_may_be_lost() {
    requires!(root, stockade, busybox_packed, unshare, user_namespaces);
    let stockade = Stockade::new();
    // As a machine that stops leaves it: the record was on the disk, and the range's file was not.
    let lose = format!("rm {}/ids/both-*", stockade.data().display());
    let script = format!(
        "$S create --name one --userns auto $I cat /proc/self/uid_map >/dev/null; {lose}; $S start -a one; {lose}; \
         $S create --name two --userns auto $I true >/dev/null; $S start -a one; $S rm one two >/dev/null"
    );
    let done = with_ranges(&stockade, "stockade:200000:65536\n", &script).ok();
    assert_eq!(done.stdout.split_whitespace().collect::<Vec<_>>(), ["0", "200000", "65536"], "{done:?}");
    assert!(done.stderr.contains("have become another container's"), "{done:?}");
}

#[test]
fn ranges_end_and_say_so() {
    requires!(root, stockade, busybox_packed, unshare, user_namespaces);
    let stockade = Stockade::new();
    let script = "$S create --name one --userns auto $I cat /proc/self/uid_map >/dev/null; $S start -a one; \
                  $S create --userns auto $I true; $S create --userns auto:size=1000 $I true; $S create --userns private $I true; \
                  $S rm one; $S run --rm --userns private $I cat /proc/self/uid_map";
    let done = with_ranges(&stockade, "other:1:5\nstockade:200000:65536\nroot:300000:65536\n", script);
    let lines: Vec<Vec<&str>> = done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [vec!["0", "200000", "65536"], vec!["one"], vec!["0", "200000", "65536"]], "{done:?}");
    assert_eq!(done.stderr.matches("of stockade in /etc/subuid are free").count(), 2, "{done:?}");
    assert!(done.stderr.contains("add a line") && done.stderr.contains("--userns host"), "{done:?}");
    assert_eq!(done.stderr.matches("those of a container with --userns auto").count(), 1, "{done:?}");
    let done = with_ranges(&stockade, "stockade:200000\n", "$S run --rm --userns auto $I true");
    assert!(done.stderr.contains("OWNER:FIRST:COUNT"), "{done:?}");
}

#[test]
fn a_file_that_is_set_user_id_to_root_is_not_so_on_the_host() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let script = "cp /bin/busybox /su && chmod 4755 /su && mkdir /own && chmod 700 /own && echo secret > /own/file && sleep 1000";
    let id = stockade.detached(&["--userns", "auto"], &["sh", "-c", script]);
    let upper = stockade.data().join("containers").join(&id).join("upper");
    eventually("the file", Duration::from_secs(20), || upper.join("own/file").exists());
    let (first, count) = ids_of(stockade.pid(&id), "uid_map");
    let found = upper.join("su").metadata().unwrap();
    assert_eq!(found.mode() & 0o7777, 0o4755);
    assert!((first..first + count).contains(&u64::from(found.uid())) && found.uid() != 0, "{found:?}");
    // Layers stay as they are.
    let layers = stockade.data().join("layers/sha256");
    let layer = std::fs::read_dir(layers).unwrap().flatten().next().unwrap().path();
    assert_eq!(layer.join("bin/busybox").metadata().unwrap().uid(), 0);
}

/// A folder of the host's with files of several users.
fn shared_folder(stockade: &Stockade) -> PathBuf {
    let folder = stockade.folder().join("shared");
    std::fs::create_dir(&folder).unwrap();
    for (name, owner) in [("roots", 0), ("users", 1000)] {
        std::fs::write(folder.join(name), name).unwrap();
        std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(folder.join(name), Some(owner), Some(owner)).unwrap();
    }
    folder
}

fn owner(path: &Path) -> (u32, u32) {
    let found = path.metadata().unwrap();
    (found.uid(), found.gid())
}

#[test]
fn folders_of_the_host_keep_their_owners() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let folder = shared_folder(&stockade);
    let volume = format!("{}:/data", folder.display());
    let auto = ["--userns", "auto", "-v", &volume];
    let script =
        "stat -c %u:%g /data/roots /data/users; cat /data/roots /data/users; echo x > /data/new; chown 7:8 /data/users";
    let done = stockade.sh(&auto, script).ok();
    assert_eq!(done.out(), "0:0\n1000:1000\nrootsusers");
    assert_eq!([owner(&folder.join("new")), owner(&folder.join("users")), owner(&folder)], [(0, 0), (7, 8), (0, 0)]);
    // Users of the container are those users, and no more.
    let user = [&auto[..], &["-u", "7:8"]].concat();
    let done = stockade.sh(&user, "cat /data/users; cat /data/roots; touch /data/x");
    assert_eq!((done.out(), done.stderr.matches("Permission denied").count()), ("users", 2), "{done:?}");
    let read_only = format!("type=bind,src={},dst=/data,readonly", folder.display());
    let done = stockade.sh(&["--userns", "auto", "--mount", &read_only], "cat /data/roots; touch /data/x");
    assert!(done.out() == "roots" && done.stderr.contains("Read-only file system"), "{done:?}");
    // One that is made is root's.
    let missing = stockade.folder().join("missing");
    let volume = format!("{}:/data", missing.display());
    stockade.sh(&["--userns", "auto", "-v", &volume], "touch /data/x").ok();
    assert_eq!([owner(&missing), owner(&missing.join("x"))], [(0, 0), (0, 0)]);
    // Two containers with different ids share it.
    let id = stockade.detached(&auto, &["sh", "-c", "echo from the other > /data/news; sleep 1000"]);
    eventually("the news", Duration::from_secs(20), || {
        folder.join("news").metadata().is_ok_and(|found| found.len() > 0)
    });
    assert_eq!(stockade.sh(&auto, "cat /data/news").ok().out(), "from the other");
    stockade.ask(&["rm", "-f", &id]).ok();
}

#[test]
fn a_file_system_that_cannot_show_other_ids_is_named() {
    requires!(root, stockade, busybox_packed, unshare, user_namespaces);
    let stockade = Stockade::new();
    let done = stockade.sh(&["--userns", "auto", "-v", "/proc:/data"], "true").exits(125);
    done.refuses(&["/proc cannot be shown with the ids of a user namespace", "--userns host"]);
    assert_eq!((stockade.ids().len(), reserved(&stockade)), (0, 0), "it is decided beforehand");
    // Also if only one that is mounted below cannot.
    let folder = stockade.folder().join("folder");
    std::fs::create_dir_all(folder.join("below")).unwrap();
    let line = stockade.command_line().join(" ");
    let run = |flag: &str| {
        format!(
            "{line} run --rm --userns auto --mount type=bind,src={},dst=/data{flag} {} true",
            folder.display(),
            stockade.image()
        )
    };
    let script =
        format!("mount -t proc none {}/below && {}; {}", folder.display(), run(""), run(",bind-recursive=disabled"));
    let done = Call::new("unshare").args(["-m", "sh", "-c", &script]).run().ok();
    assert_eq!(done.stderr.matches("cannot be shown").count(), 1, "{done:?}");
}

#[test]
fn what_is_not_shared_is_out_of_reach() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let folder = stockade.folder().join("meeting");
    std::fs::create_dir(&folder).unwrap();
    let meeting = format!("{}:/meeting", folder.display());
    let inside = format!("{}:/inside:ro", programs::built("inside").display());
    let flags = ["-v", &meeting, "-v", &inside];
    let attempt = |userns: &str| {
        let script = "mkdir /own; chmod 755 /own; echo secret > /own/file; chmod 600 /own/file; exec /inside lend /meeting/socket /own";
        let lender = [&flags[..], &["--userns", userns]].concat();
        let lender = stockade.detached(&lender, &["sh", "-c", script]);
        eventually("the socket", Duration::from_secs(20), || folder.join("socket").exists());
        let borrower = [&flags[..], &["--userns", userns]].concat();
        let answer = stockade.run(&borrower, &["/inside", "borrow", "/meeting/socket", "file"]).ok().json();
        stockade.ask(&["rm", "-f", &lender]).ok();
        std::fs::remove_file(folder.join("socket")).unwrap();
        answer
    };
    // A container that lets a descriptor of its own folder out, be it by a shared volume, lets the other do what anybody may.
    let answer = attempt("auto");
    assert_eq!(answer["list"], Value::Null, "what anybody may do is no proof: {answer}");
    for what in ["read", "write", "make", "remove", "own", "mode"] {
        let errno = i32::try_from(answer[what].as_i64().unwrap_or_default()).unwrap();
        assert!(DENIED.contains(&errno), "{what}: {answer}");
    }
    let answer = attempt("host");
    assert_eq!(answer["read"], Value::Null, "with the host's ids all containers' roots are the same: {answer}");
}

#[test]
fn root_of_a_container_cannot_reach_hosts_root_files() {
    requires!(root, stockade, busybox_packed, nsenter, user_namespaces);
    let stockade = Stockade::new();
    let folder = shared_folder(&stockade);
    let id = stockade.detached(&["--userns", "auto"], &["sleep", "1000"]);
    // As who has escaped into the host's mount namespace with all that the container's root is.
    let escaped = |script: &str| {
        let pid = stockade.pid(&id).to_string();
        Call::new("nsenter").args(["-U", "-t", &pid, "-S", "0", "-G", "0", "sh", "-c", script]).run()
    };
    let path = folder.display();
    let done = escaped(&format!("id -u; cat {path}/roots; echo x > {path}/roots; ls {}", stockade.data().display()));
    assert_eq!((done.out(), done.stderr.matches("Permission denied").count()), ("0", 3), "{done:?}");
    // What the host's root may write without any capability: its old value, for the case that it can.
    let done = escaped("old=$(cat /proc/sys/kernel/core_pattern) && echo \"$old\" > /proc/sys/kernel/core_pattern");
    assert!(done.code() != 0 && done.stderr.contains("Permission denied"), "{done:?}");
}

#[test]
fn device_files_are_for_the_containers_root() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let flags = ["--userns", "auto", "--device", "/dev/zero:/dev/nothing:r", "--device", "/dev/fuse"];
    let script = "stat -c '%u:%g %t:%T' /dev/nothing /dev/fuse; head -c 3 /dev/nothing | wc -c; mknod /dev/other c 1 5";
    let done = stockade.sh(&flags, script);
    assert_eq!(done.stdout, "0:0 1:5\n0:0 a:e5\n3\n", "{done:?}");
    assert!(done.stderr.contains("mknod: /dev/other: Operation not permitted"), "{done:?}");
}

#[test]
fn a_container_that_joins_another_has_its_ids() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let other = stockade.detached(&["--userns", "auto", "--name", "other"], &["sleep", "1000"]);
    let namespace = read_link(format!("/proc/{}/ns/user", stockade.pid(&other))).unwrap().display().to_string();
    for flags in [
        &["--network=container:other"][..],
        &["--ipc=container:other"],
        &["--pid=container:other", "--network=container:other"],
        &["--userns=container:other"],
    ] {
        let script = "readlink /proc/self/ns/user; stat -c %u / /etc/hosts; touch /x";
        let done = stockade.sh(flags, script).ok();
        assert_eq!(done.out(), format!("{namespace}\n0\n0"), "{flags:?}");
    }
    let third = stockade.ask(&["create", "--network=container:other", stockade.image(), "sleep", "1000"]).ok();
    let third = stockade.know(third.out());
    assert_eq!(reserved(&stockade), 2);
    // Both are stopped and started again, in the one's user namespace.
    stockade.ask(&["stop", "-t", "0", &other]).ok();
    stockade.ask(&["start", &other]).ok();
    stockade.ask(&["start", &third]).ok();
    let of = |id: &str| read_link(format!("/proc/{}/ns/user", stockade.pid(id))).unwrap();
    assert_eq!(of(&other), of(&third));
    // Their ids are given to nobody as long as one of them is there.
    stockade.ask(&["rm", "-f", &other]).ok();
    assert_eq!(reserved(&stockade), 1);
    stockade.ask(&["rm", "-f", &third]).ok();
    assert_eq!(reserved(&stockade), 0);
}

#[test]
fn what_cannot_go_together_is_refused() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    for (mode, name) in [("auto", "one"), ("host", "two")] {
        assert_eq!(stockade.detached(&["--userns", mode, "--name", name], &["sleep", "1000"]).len(), 64);
    }
    let refused = |flags: &[&str], words: &[&str]| stockade.run(flags, &["true"]).exits(125).refuses(words);
    for flag in ["--privileged", "--pid=host", "--network=host", "--ipc=host", "--security-opt=writable-cgroups=true"] {
        for mode in ["auto", "keep-id"] {
            let name = flag.split('=').next().unwrap();
            refused(&["--userns", mode, flag], &["conflicting options", name, "--userns"]);
        }
    }
    refused(&["--userns=auto", "--network=container:one"], &["--userns auto", "net namespace", "--userns host"]);
    refused(&["--network=container:one", "--pid=container:two"], &["different user namespaces", "--userns host"]);
    refused(&["--userns=auto:size=1000", "-u", "1000"], &["user 1000 is not among the ids", "auto:size=COUNT"]);
    refused(&["--userns=auto:size=1000", "--group-add", "5000"], &["group 5000 is not among the ids"]);
    refused(&["--userns=auto:uidmapping=0:1000:2,uidmapping=1:5000:1"], &["uidmapping", "each other's way"]);
    refused(&["--userns=container:three"], &["no such container: three"]);
    for mode in ["nomap", "keep-id:uid=5", "auto:colour=red", "own"] {
        stockade.run(&["--userns", mode], &["true"]).exits(125).refuses(&["--userns"]);
    }
    // The host's root may join what a container has.
    stockade.run(&["--userns=host", "--network=container:one"], &["true"]).ok();
    assert_eq!(stockade.ids().len(), 2);
}

#[test]
fn keep_id_is_a_namespace_with_the_ids_that_there_are() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let script = "cat /proc/self/uid_map; readlink /proc/self/ns/user; stat -c %u /; touch /x";
    let done = stockade.sh(&["--userns", "keep-id"], script).ok();
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["0", "0", "4294967295"]);
    assert_ne!(lines[1], read_link("/proc/self/ns/user").unwrap().to_str().unwrap());
    assert_eq!(lines[2], "0");
}

/// Whether the container runs in a user namespace of its own, and what was said.
fn by_default(stockade: &Stockade, flags: &[&str]) -> (bool, String) {
    let done = stockade.run(flags, &["readlink", "/proc/self/ns/user"]).ok();
    (done.out() != read_link("/proc/self/ns/user").unwrap().to_str().unwrap(), done.stderr.trim().to_owned())
}

#[test]
fn without_being_told_a_container_has_ids_of_its_own() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let folder = shared_folder(&stockade);
    let volume = format!("{}:/data", folder.display());
    for flags in [&[][..], &["-v", &volume], &["--device", "/dev/zero:/dev/nothing"], &["--cap-add", "NET_ADMIN"]] {
        assert_eq!(by_default(&stockade, flags), (true, String::new()), "{flags:?}");
    }
    // What says itself that it shares with the host.
    for flags in [["--privileged"], ["--pid=host"], ["--network=host"], ["--ipc=host"], ["--userns=host"]] {
        let (own, said) = by_default(&stockade, &flags);
        assert!(!own && !said.contains("user ids"), "{flags:?}: {said}");
    }
    // What does not, and would not work.
    let other = stockade.folder().join("other");
    std::fs::create_dir(&other).unwrap();
    std::os::unix::fs::chown(&other, Some(100_000), None).unwrap();
    let others = format!("{}:/data", other.display());
    for (flags, why) in [
        (["--cap-add", "sys_time"], "--cap-add is of no use"),
        (["--device-cgroup-rule", "c 1:11 rwm"], "--device-cgroup-rule is of no use"),
        (["--sysctl", "kernel.domainname=x"], "kernel.hostname is of no use"),
        (["-v", "/proc:/data"], "/proc has no id-mapped mounts"),
        (["-v", &others], "is not among 65536 ids"),
        (["-u", "70000"], "user 70000 is not among 65536 ids"),
        (["--group-add", "70000"], "group 70000 is not among 65536 ids"),
    ] {
        let (own, said) = by_default(&stockade, &flags);
        let expected = said.contains("WARNING: the container's user ids are the host's: ") && said.contains(why);
        assert!(!own && expected && said.lines().count() == 1, "{flags:?}: {said}");
    }
    assert_eq!(reserved(&stockade), 0);
}

#[test]
fn a_user_can_open_the_streams() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    // As servers do whose image has links to these for their logs.
    let script = "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin; stat -L -c %u /proc/self/fd/1";
    for user in ["0", "1000"] {
        let call = stockade.run_call(&["-i", "--userns", "auto", "-u", user], &["sh", "-c", script]);
        let done = call.stdin(b"in\n").run().ok();
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (&*format!("out\nin\n{user}\n"), "err\n"), "{user}");
    }
}

#[test]
fn private_is_one_range_for_all() {
    requires!(root, stockade, busybox_packed, unshare, user_namespaces);
    let stockade = Stockade::new();
    let folder = shared_folder(&stockade);
    let payload =
        "cat /proc/self/uid_map; id -u; stat -c %u /etc/passwd; readlink /proc/self/ns/user; cat /data/roots; touch /y";
    let script = format!(
        "$S create --userns private $I true >/dev/null; $S run --rm --userns=private -v {}:/data $I sh -c '{payload}'",
        folder.display()
    );
    let done = with_ranges(&stockade, "stockade:200000:65536\n", &script).ok();
    let lines: Vec<Vec<&str>> = done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[..3], [vec!["0", "200000", "65536"], vec!["0"], vec!["0"]], "{done:?}");
    assert_ne!(lines[3][0], read_link("/proc/self/ns/user").unwrap().to_str().unwrap());
    assert_eq!(lines[4], ["roots"]);
}

#[test]
fn settings_of_a_containers_namespaces_can_be_made() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let flags = ["--userns", "auto", "--sysctl", "net.ipv4.ip_forward=1"];
    let script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start";
    assert_eq!(stockade.sh(&flags, script).ok().out(), "1\n0\t65535\n0");
    // In cgroup v2 the folder is the group itself, which stays the host's.
    let group = if stockade_testkit::cgroup::is_v1("pids") { "0:0" } else { "65534:65534" };
    let listed = "stat -c %u:%g /dev/shm /dev/pts /etc/hosts /etc/hostname /etc/resolv.conf /proc/1; stat -c %u:%g /sys/fs/cgroup";
    let owners = stockade.sh(&["--userns", "auto"], listed).ok();
    let (last, others) =
        owners.out().lines().collect::<Vec<_>>().split_last().map(|(last, others)| (*last, others.to_vec())).unwrap();
    assert_eq!((others.into_iter().collect::<BTreeSet<_>>(), last), (BTreeSet::from(["0:0"]), group));
    for flags in [
        &["--cgroupns", "host"][..],
        &["--uts", "host"],
        &["--init"],
        &["--read-only", "--tmpfs", "/t"],
        &["-u", "1000"],
    ] {
        stockade.run(&[&["--userns", "auto"], flags].concat(), &["true"]).ok();
    }
}
