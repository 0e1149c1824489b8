//! The engine of an ordinary user: whose files and processes a container's are, what it cannot reach, and whom it does not trust.
//!
//! The user is made of a number of its own and of private copies of `/etc/passwd` and the files of ranges, which are mounted over the
//! machine's in a mount namespace of each command's: nothing of the machine is changed.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use stockade_testkit::{Call, Finished, Stockade, eventually, programs, requires};

/// How many ids a user with ranges has besides the own one.
const RANGE: u32 = 65536;
/// The numbers of users begin here, and their ranges there.
const FIRST_USER: u32 = 30_000;
const FIRST_RANGE: u32 = 500_000_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An ordinary user with a home, a runtime folder, and containers. Dropping it removes them, and fails the test if a process is left.
struct User {
    place: tempfile::TempDir,
    uid: u32,
}

impl User {
    /// One with a range of ids.
    fn new() -> Self {
        let user = Self::without_ranges();
        let line = format!("tester:{}:{RANGE}\n", user.range());
        std::fs::write(user.path("subuid"), line).unwrap();
        user
    }

    /// One with the own id only.
    fn without_ranges() -> Self {
        let place = tempfile::Builder::new().prefix("stockade-rootless-").tempdir().unwrap();
        std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
        // Unlike those of a test in another process that runs at the same time.
        let number = std::process::id() % 3000 * 10 + NEXT.fetch_add(1, Ordering::Relaxed) % 10;
        let user = Self { place, uid: FIRST_USER + number };
        for (folder, mode) in [("home", 0o700), ("run", 0o700), ("bin", 0o755), ("image", 0o755)] {
            std::fs::create_dir(user.path(folder)).unwrap();
            std::fs::set_permissions(user.path(folder), PermissionsExt::from_mode(mode)).unwrap();
        }
        for folder in ["home", "run"] {
            chown(user.path(folder), Some(user.uid), Some(user.uid)).unwrap();
        }
        let image = programs::image("busybox");
        let packed = image.parent().unwrap().join("oci");
        if packed.is_dir() {
            Call::new("cp").arg("-r").arg(packed).arg(user.path("image")).run().ok();
            Call::new("chmod").args(["-R", "a+rX"]).arg(user.path("image")).run().ok();
        }
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
        let own = format!("tester:x:{0}:{0}::{1}:/bin/sh\n", user.uid, user.path("home").display());
        std::fs::write(user.path("passwd"), format!("{accounts}{own}")).unwrap();
        std::fs::write(user.path("subuid"), "").unwrap();
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn range(&self) -> u32 {
        FIRST_RANGE + (self.uid - FIRST_USER) * (RANGE + 1)
    }

    /// A shell script of root's in a mount namespace with the user's files; `$S` is `stockade` as the user, `$AS` what makes a program the
    /// user's, `$I` the image.
    fn script(&self, script: &str) -> Finished {
        self.script_in(&["-m"], script)
    }

    /// The same in these namespaces, in the words of `unshare(1)`; that of mounts is among them.
    fn script_in(&self, namespaces: &[&str], script: &str) -> Finished {
        let place = self.place.path().display();
        let programs = programs::built("stockade");
        let mounts = format!(
            "mount --bind {} {place}/bin && mount --bind {place}/passwd /etc/passwd && \
             mount --bind {place}/subuid /etc/subuid && mount --bind {place}/subuid /etc/subgid && cd / || exit 99",
            programs.parent().unwrap().display(),
        );
        let variables =
            format!("env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME={place}/home XDG_RUNTIME_DIR={place}/run");
        let user = format!("{variables} setpriv --reuid {0} --regid {0} --clear-groups --inh-caps=-all", self.uid);
        let script =
            format!("{mounts}; AS='{user}'; S=\"$AS {place}/bin/stockade\"; I=oci:{place}/image/oci; {script}");
        Call::new("unshare").args(namespaces).args(["sh", "-c", &script]).limit(Duration::from_secs(120)).run()
    }

    /// A command of `stockade` to its end.
    fn ask(&self, line: &str) -> Finished {
        self.script(&format!("exec $S {line}"))
    }

    /// `run --rm --network none` with busybox's `sh -c`.
    fn shell(&self, flags: &str, script: &str) -> Finished {
        assert!(!script.contains('\''), "{script}");
        self.ask(&format!("run --rm --network none {flags} $I sh -c '{script}'"))
    }

    /// The process that keeps the user's namespace.
    fn holder(&self) -> i32 {
        std::fs::read_to_string(self.path("run/stockade/rootless/holder")).unwrap().parse().unwrap()
    }

    fn kill(pid: i32) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let gone = || rustix::process::test_kill_process(pid).is_err();
        eventually("the process to be gone", Duration::from_secs(10), gone);
    }

    /// The processes of the user and of the ids in the range, by name.
    fn processes(&self) -> Vec<String> {
        let owned = |uid: u32| uid == self.uid || (self.range()..=self.range() + RANGE).contains(&uid);
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let of_user = all.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
        let of_user = of_user.filter(|entry| entry.metadata().is_ok_and(|found| owned(found.uid())));
        of_user.filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok()).collect()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.script("$S rm -f $($S ps -aq)").either_way();
        } else {
            let left = self.ask("ps -aq --no-trunc").ok();
            assert_eq!(left.out(), "", "the test has removed its containers");
        }
        if self.path("run/stockade/rootless/holder").exists() {
            Self::kill(self.holder());
        }
        if !std::thread::panicking() {
            eventually("no process of the user to be left", Duration::from_secs(10), || self.processes().is_empty());
        }
    }
}

/// The lines of an id map, as numbers.
fn numbers(map: &str) -> Vec<Vec<u32>> {
    map.lines().map(|line| line.split_whitespace().map(|number| number.parse().unwrap()).collect()).collect()
}

#[test]
fn root_of_a_container_is_the_user_and_others_are_of_the_range() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv);
    let user = User::new();
    let said = user.shell("", "id -u; cat /proc/self/uid_map").ok();
    let (id, map) = said.out().split_once('\n').unwrap();
    assert_eq!(id, "0");
    assert_eq!(numbers(map), [[0, user.uid, 1], [1, user.range(), RANGE]], "{map}");
    // What is made in a folder of the user's is so on the host too.
    std::fs::create_dir(user.path("home/shared")).unwrap();
    chown(user.path("home/shared"), Some(user.uid), Some(user.uid)).unwrap();
    let shared = format!("-v {}:/shared", user.path("home/shared").display());
    user.shell(&shared, "cd /shared; touch root five; chown 5:5 five; chmod 4755 root five").ok();
    let owner = |name: &str| std::fs::metadata(user.path("home/shared").join(name)).unwrap().uid();
    assert_eq!((owner("root"), owner("five")), (user.uid, user.range() + 4));
    // No id of anybody else's can be had, and none of root's files changed.
    user.shell(&shared, &format!("chown {} /shared/five", RANGE + 1)).refuses(&["invalid argument"]);
    std::fs::write(user.path("home/shared/of-the-host"), "root").unwrap();
    std::fs::set_permissions(user.path("home/shared/of-the-host"), PermissionsExt::from_mode(0o600)).unwrap();
    user.shell(&shared, "cat /shared/of-the-host").refuses(&["permission denied"]);
    user.shell(&shared, "chown 0 /shared/of-the-host").refuses(&["not permitted", "permission denied", "invalid"]);
    user.ask("run --rm --network none --user 70000 $I true").refuses(&["/etc/subuid"]);
}

/// Root's of this machine loads it; who cannot load one finds it all the same.
#[test]
fn a_profile_that_is_loaded_confines_the_containers_of_users() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv, apparmor, apparmor_parser);
    Stockade::new().run(&[], &["true"]).ok();
    let user = User::new();
    let said = user.shell("", "cat /proc/self/attr/current; echo x >/proc/sysrq-trigger").refuses(&["sysrq-trigger"]);
    assert_eq!(said.out(), "stockade-default (enforce)", "{said:?}");
    let file = user.path("home/profile");
    std::fs::write(&file, "profile stockade-test-of-a-user { file, }\n").unwrap();
    let named = format!("--security-opt apparmor={}", file.display());
    user.shell(&named, "true").refuses(&["only root of this machine can load"]);
    user.shell("--security-opt apparmor=stockade-test-absent", "true").refuses(&["stockade-test-absent is not loaded"]);
}

#[test]
fn a_container_goes_on_while_other_commands_look_at_it() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv);
    let user = User::new();
    let script = "trap \"exit 3\" TERM; echo started; while :; do sleep 0.1; done";
    user.ask(&format!("run -d --name one --network none -v kept:/kept $I sh -c '{script}'")).ok();
    let exec = || user.ask("exec one sh -c 'echo new >> /kept/file; cat /kept/file'").ok();
    assert_eq!(exec().out(), "new");
    // Whoever kills what keeps the namespace loses nothing of the containers: it is found by them.
    let first = user.holder();
    User::kill(first);
    assert_eq!(exec().out(), "new\nnew");
    assert_ne!(user.holder(), first);
    eventually("the output", Duration::from_secs(10), || user.ask("logs one").ok().out() == "started");
    assert!(user.ask("top one").ok().stdout.contains("sleep"));
    assert_eq!(user.ask("ps --format {{.Names}}:{{.State}}").ok().out(), "one:running");
    // What an audit reads is held against the namespace that it is read in.
    let audit = user.script("$S audit --format json one").json();
    let checks = audit[0]["checks"].as_array().unwrap();
    let verdict =
        |id: &str| checks.iter().find(|check| check["id"] == id).map(|check| check["verdict"].clone()).unwrap();
    assert_eq!(verdict("identity"), "holds", "{audit}");
    assert_eq!(verdict("device-filter"), "not-asked", "{audit}");
    user.ask("pause one").refuses(&["cgroup"]);
    assert!(!audit.to_string().contains("the host's ids"), "{audit}");
    assert_eq!(user.ask("inspect -f {{.State.Status}} one").ok().out(), "running");
    user.ask("stop one").ok();
    assert_eq!(user.ask("inspect -f {{.State.ExitCode}} one").ok().out(), "3");
    user.ask("start one").ok();
    user.ask("rm -f one").ok();
    // Another one is made where the last was killed and nothing runs.
    User::kill(user.holder());
    let content = user.shell("-v kept:/kept", "cat /kept/file").ok();
    assert_eq!(content.out(), "new\nnew");
    user.ask("volume rm kept").ok();
}

/// A user's engine keeps the machine's policy, and makes nothing where it may not read it or others could change it.
#[test]
fn a_user_is_held_to_the_policy_of_the_machine() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv);
    let user = User::new();
    let policy = "version = 1\n[required]\nno-new-privileges = true\n[forbidden]\ncapabilities = [\"NET_ADMIN\"]\nmounts = [\"/etc\"]\n";
    std::fs::create_dir_all(user.path("etc/stockade")).unwrap();
    std::fs::write(user.path("etc/stockade/policy.toml"), policy).unwrap();
    let under = |mode: u32, line: &str| {
        let place = user.place.path().display();
        user.script(&format!(
            "chmod {mode:o} {place}/etc/stockade/policy.toml && mount -t overlay overlay -o lowerdir={place}/etc:/etc /etc && \
             mount --bind {place}/passwd /etc/passwd && mount --bind {place}/subuid /etc/subuid && \
             mount --bind {place}/subuid /etc/subgid || exit 99; exec $S run --rm --network none {line} $I true"
        ))
    };
    let keeps = "--security-opt no-new-privileges";
    under(0o644, keeps).ok();
    under(0o644, "").refuses(&["required.no-new-privileges"]);
    under(0o644, &format!("{keeps} --cap-add NET_ADMIN")).refuses(&["forbidden.capabilities"]);
    under(0o644, &format!("{keeps} -v /etc/ssl:/x")).refuses(&["forbidden.mounts"]);
    under(0o600, keeps).refuses(&["cannot read the policy"]);
    under(0o666, keeps).refuses(&["can be changed by others"]);
}

/// A cgroup2 group that a user may make others in, as systemd gives one to each. It is removed after the user.
struct Delegated(PathBuf);

impl Delegated {
    fn to(user: u32) -> Self {
        let all = stockade_testkit::cgroup::hierarchies();
        let unified = all.iter().find(|one| one.kind == "cgroup2").expect("cgroup2 is mounted");
        let path = unified.mount.join(format!("stockade-rootless-{}-{user}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        for name in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            chown(path.join(name), Some(user), Some(user)).unwrap();
        }
        Self(path)
    }

    /// A script for a user's shell that is in the group: where a container's limits have had its processes moved aside, the shell is with them.
    fn within(&self, script: &str) -> String {
        let enter = "G=$GROUP/stockade-callers; [ -d $G ] || G=$GROUP; echo $$ >$G/cgroup.procs || exit 99";
        format!("GROUP={}; {enter}; {script}", self.0.display())
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let remove = || {
            let find = Call::new("find").arg(&self.0).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
            find.run().either_way();
            !self.0.exists()
        };
        if std::thread::panicking() {
            remove();
        } else {
            eventually("the group to be removed", Duration::from_secs(20), remove);
        }
    }
}

#[test]
fn where_a_group_is_delegated_containers_have_their_own() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv);
    if !stockade_testkit::cgroup::hierarchies().iter().any(|one| one.kind == "cgroup2") {
        return eprintln!("skipped: no cgroup v2 is mounted");
    }
    let user = User::without_ranges();
    let group = Delegated::to(user.uid);
    // Dropped before the group, in which its processes are.
    let user = user;
    let script = group.within("$S run -d --name one --network none $I sleep 1000");
    let id = user.script(&script).ok().out().to_owned();
    let own = group.0.join("stockade").join(&id);
    assert!(own.is_dir(), "{}", own.display());
    let ask = |line: &str| user.script(&group.within(&format!("exec $S {line}")));
    ask("pause one").ok();
    assert_eq!(std::fs::read_to_string(own.join("cgroup.freeze")).unwrap().trim(), "1");
    assert_eq!(ask("inspect -f {{.State.Status}} one").ok().out(), "paused");
    ask("unpause one").ok();
    ask("exec one true").ok();
    assert_eq!(ask("stats --no-stream --format {{.Name}} one").ok().out(), "one");
    let audit = ask("audit --format json one").json();
    assert!(!audit.to_string().contains("the host's ids"), "{audit}");
    assert!(ask("info").ok().stdout.contains("Cgroup Driver: cgroupfs"));
    ask("restart -t 0 one").ok();
    assert!(own.is_dir());
    // Who comes from elsewhere has the same container.
    assert_eq!(user.ask("inspect -f {{.State.Status}} one").ok().out(), "running");
    ask("rm -f one").ok();
    assert!(!own.exists());
}

#[test]
fn limits_of_a_delegated_group_are_felt() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv, cgroup_v2);
    let user = User::without_ranges();
    let group = Delegated::to(user.uid);
    let user = user;
    let ask = |line: &str| user.script(&group.within(&format!("exec $S {line}")));
    let id = ask("run -d --name one --network none --memory 64m --pids-limit 6 --cpus 0.5 $I sleep 1000")
        .ok()
        .out()
        .to_owned();
    let file = |name: &str| {
        let path = group.0.join("stockade").join(&id).join(name);
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    };
    assert_eq!((file("memory.max"), file("pids.max")), ("67108864".to_owned(), "6".to_owned()));
    assert_eq!(file("cpu.max"), "50000 100000");
    let many = "exec one sh -c 'for i in 1 2 3 4 5 6 7; do sleep 1 & done; wait'";
    assert!(ask(many).stderr.contains("fork"));
    ask("update --pids-limit 20 one").ok();
    assert_eq!(file("pids.max"), "20");
    ask("rm -f one").ok();
    let info = ask("info --format '{{json .}}'").ok().json();
    assert_eq!((&info["MemoryLimit"], &info["PidsLimit"]), (&true.into(), &true.into()), "{info}");
}

#[test]
fn one_id_is_enough_and_told_once() {
    requires!(root, stockade, busybox_packed, user_namespaces, setpriv);
    let user = User::without_ranges();
    let said = user.shell("", "id -u; cat /proc/self/uid_map; touch /tmp/x").ok();
    let (id, map) = said.out().split_once('\n').unwrap();
    assert_eq!((id, numbers(map)), ("0", vec![vec![0, user.uid, 1]]));
    assert!(said.stderr.contains("--add-subuids"), "{said:?}");
    let again = user.shell("", "true").ok();
    assert!(!again.stderr.contains("--add-subuids"), "{again:?}");
    user.ask("run --rm --network none --user 1 $I true").refuses(&["/etc/subuid"]);
    user.ask("run --rm --network none --group-add 7 $I true").refuses(&["/etc/subgid"]);
    // Who is in other groups cannot leave them without ranges, which the container then is in too.
    let groups = "S=$(echo \"$S\" | sed s/--clear-groups/--groups=4/); exec $S run --rm --network none $I id -G";
    assert_eq!(user.script(groups).ok().out(), "0 65534");
}

#[test]
fn what_needs_the_hosts_root_is_refused_by_name() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv);
    let user = User::new();
    for (flags, word) in [
        ("--memory 64m", "memory"),
        ("--cpus 1", "processors"),
        ("--pids-limit 10", "--pids-limit"),
        ("--userns auto", "--userns"),
        ("--pid host", "pid namespace"),
        ("--device /dev/null:/dev/other", "/dev/other"),
        ("--device /dev/null:/dev/null:r", "--device"),
    ] {
        let refused = user.shell(flags, "true").refuses(&[word]);
        assert!(refused.stderr.contains("root"), "{refused:?}");
    }
    let info = user.ask("info --format '{{json .}}'").ok().json();
    assert!(info["SecurityOptions"].as_array().unwrap().contains(&"name=rootless".into()), "{info}");
    assert_eq!(info["MemoryLimit"], false);
    assert!(info["Warnings"].to_string().contains("No control groups"), "{info}");
}

#[test]
fn a_privileged_container_has_no_more_than_the_user() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv);
    let user = User::new();
    user.shell("--privileged", "mknod /tmp/disk b 8 0").refuses(&["not permitted"]);
    user.shell("--privileged", "echo 1 > /proc/sys/kernel/dmesg_restrict").refuses(&["denied", "read-only"]);
    // The host's network is shared, and nothing in it can be changed.
    let host = |script: &str| user.ask(&format!("run --rm --network host --privileged $I sh -c '{script}'"));
    host("ip link add test type dummy").refuses(&["not permitted"]);
    host("echo 1 > /sys/kernel/mm/ksm/run").refuses(&["read-only", "denied"]);
    let namespace = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(host("readlink /proc/self/ns/net").ok().out(), namespace.display().to_string());
}

/// A machine with one neighbour, 192.0.2.1, that answers at port 7000.
/// `/dev/net/tun` is everybody's, as on most machines.
const NEIGHBOUR: &str = "mount -t tmpfs -o mode=755 none /dev/net; mknod -m 666 /dev/net/tun c 10 200; chmod 666 /dev/net/tun; \
    ip link set lo up; ip link add up0 type veth peer name peer0; unshare -n sleep 100 & P=$!; \
    until [ \"$(readlink /proc/$P/ns/net)\" != \"$(readlink /proc/$$/ns/net)\" ]; do sleep 0.02; done; \
    ip link set peer0 netns $P; ip addr add 192.0.2.2/24 dev up0; ip link set up0 up; ip route add default via 192.0.2.1; \
    nsenter -t $P -n sh -c 'ip link set lo up; ip addr add 192.0.2.1/24 dev peer0; ip link set peer0 up'; \
    nsenter -t $P -n socat TCP-LISTEN:7000,fork,reuseaddr SYSTEM:'echo outside' & Q=$!; \
    socat TCP-LISTEN:9000,fork,reuseaddr SYSTEM:'echo host' & H=$!; ";

#[test]
fn pasta_leads_out_and_published_ports_in() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv, ip, nsenter, socat, pasta);
    let user = User::new();
    let done = user.script_in(
        &["-m", "-n"],
        &format!(
            "{NEIGHBOUR} $S run -d --name web -p 127.0.0.1:8080:80 $I sh -c 'while :; do echo inside | nc -l -p 80; done' >&2; \
             echo out $($S exec web sh -c 'sleep 1 | timeout 5 nc 192.0.2.1 7000 | head -n 1'); \
             until R=$(socat -T5 - TCP:127.0.0.1:8080 </dev/null); [ -n \"$R\" ]; do sleep 0.1; done; echo in $R; \
             echo neighbour $(nsenter -t $P -n socat -T5 - TCP:192.0.2.2:8080 </dev/null 2>&1); \
             echo host $($S exec web sh -c 'sleep 1 | timeout 5 nc -w 2 192.0.2.2 9000 2>&1 | head -n 1'); \
             echo loopback $($S exec web sh -c 'sleep 1 | timeout 5 nc -w 2 127.0.0.1 9000 2>&1 | head -n 1'); \
             echo port $($S port web); echo mode $($S inspect -f '{{{{.HostConfig.NetworkMode}}}}' web); \
             echo again $($S run --rm -p 127.0.0.1:8080:80 $I true 2>&1); \
             echo low $($S run --rm -p 80:80 $I true 2>&1); \
             echo before $(pgrep -f -c '[-]-pid {0}/home'); $S restart -t 0 web >&2; until R=$(socat -T5 - TCP:127.0.0.1:8080 </dev/null); [ -n \"$R\" ]; do sleep 0.1; done; echo in $R; \
             $S rm -f web >&2; echo after $(pgrep -f -c '[-]-pid {0}/home'); kill $P $Q $H",
            user.place.path().display()
        ),
    );
    let said: Vec<&str> = done.out().lines().collect();
    let begins = |line: usize, text: &str| assert!(said[line].starts_with(text), "line {line}, not {text:?}: {done:?}");
    begins(0, "out outside");
    begins(1, "in inside");
    assert!(said[2].contains("refused"), "only the loopback is published: {done:?}");
    assert!(said[3].contains("refused") && said[4].contains("refused"), "the host is not reached: {done:?}");
    begins(5, "port 80/tcp -> 127.0.0.1:8080");
    begins(6, "mode pasta");
    assert!(said[7].contains("8080"), "{done:?}");
    assert!(said[8].contains("ip_unprivileged_port_start"), "{done:?}");
    assert_eq!(&said[9..], ["before 1", "in inside", "after 0"], "{done:?}");
}

#[test]
fn networks_of_root_are_refused_by_name() {
    requires!(root, stockade, busybox_packed, user_namespaces, newuidmap, setpriv);
    let user = User::new();
    for line in ["run --rm --network bridge $I true", "run --rm --network mine $I true", "network create mine"] {
        let refused = user.ask(line).refuses(&["network bridge", "network mine"]);
        assert!(refused.stderr.contains("--network pasta"), "{refused:?}");
    }
}

#[test]
fn the_doctor_tells_what_a_user_lacks() {
    requires!(root, stockade, user_namespaces, setpriv);
    let user = User::without_ranges();
    let found = user.ask("doctor --format json").ok().json();
    let about = |name: &str| {
        let all = found.as_array().unwrap().iter();
        all.into_iter().find(|one| one["about"] == name).unwrap_or_else(|| panic!("{name}: {found}")).clone()
    };
    assert_eq!(about("/etc/subuid")["rank"], "weaker");
    assert!(about("/etc/subgid")["mend"].as_str().unwrap().contains("usermod --add-subgids"), "{found}");
    assert_eq!(about("kernel")["rank"], "good");
    let text = user.ask("doctor").ok();
    assert!(text.stdout.contains("mend it: sudo usermod --add-subuids"), "{text:?}");
    // Without the right to user namespaces there are no containers, and that is what the exit code says.
    let none = "mount -t tmpfs none /usr/local; echo 0 > /usr/local/zero; mount --bind /usr/local/zero /proc/sys/user/max_user_namespaces; ";
    let blocked = user.script(&format!("{none} exec $S doctor")).exits(1);
    assert!(blocked.stdout.starts_with("blocks   user.max_user_namespaces"), "{blocked:?}");
    user.ask("doctor --format '{{.}}'").exits(64).refuses(&["json"]);
    // Nothing was made for the question.
    assert!(std::fs::read_dir(user.path("home")).unwrap().next().is_none());
}

#[test]
fn folders_that_others_can_change_are_not_used() {
    requires!(root, stockade, user_namespaces, setpriv);
    let user = User::without_ranges();
    let own = |path: &Path, uid: u32, mode: u32| {
        std::fs::create_dir_all(path).unwrap();
        chown(path, Some(uid), Some(uid)).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let with = |exec: &Path| user.ask(&format!("--exec-root {} ps", exec.display()));
    // Another user's, and what is below a folder that everybody may write.
    let other = user.path("other");
    own(&other, user.uid + 1, 0o777);
    with(&other).refuses(&["not used"]);
    with(&other.join("below")).refuses(&["can be changed by others"]);
    let open = user.path("open");
    own(&open, user.uid, 0o777);
    with(&open.join("exec")).refuses(&["can be changed by others"]);
    assert!(!open.join("exec").exists());
    // As in /tmp: a link there that another user has put where the user's own folder would be.
    let sticky = user.path("sticky");
    own(&sticky, 0, 0o1777);
    let valuable = user.path("home/valuable");
    own(&valuable, user.uid, 0o700);
    symlink(&valuable, sticky.join("stockade")).unwrap();
    std::os::unix::fs::lchown(sticky.join("stockade"), Some(user.uid + 1), Some(user.uid + 1)).unwrap();
    with(&sticky.join("stockade")).refuses(&["can be changed by others"]);
    let runtime = user.script(&format!(
        "$AS env XDG_RUNTIME_DIR={0} {1}/bin/stockade ps",
        sticky.display(),
        user.place.path().display()
    ));
    runtime.refuses(&["can be changed by others"]);
    assert_eq!(std::fs::read_dir(&valuable).unwrap().count(), 0);
    // The user's own, which others can enter.
    let wide = user.path("home/wide");
    own(&wide, user.uid, 0o755);
    with(&wide).refuses(&["chmod 700"]);
    assert!(user.processes().is_empty());
}

#[test]
fn a_namespace_of_somebody_else_is_not_entered() {
    requires!(root, stockade, user_namespaces, setpriv, unshare);
    let user = User::without_ranges();
    user.ask("ps").ok();
    User::kill(user.holder());
    // A process of root's in a user namespace, which whoever can write the user's file names.
    let file = user.path("run/stockade/rootless/holder");
    let script = format!("exec 9<>{}; flock 9; exec unshare -U sleep 1000", file.display());
    let trap = Call::new("sh").args(["-c", &script]).start();
    let inside = || {
        std::fs::read_link(format!("/proc/{}/ns/user", trap.pid())).ok()
            != std::fs::read_link("/proc/self/ns/user").ok()
    };
    eventually("the namespace", Duration::from_secs(10), inside);
    std::fs::write(&file, trap.pid().to_string()).unwrap();
    user.ask("ps").refuses(&["not the user's own", "permission denied"]);
    std::fs::write(&file, "nonsense").unwrap();
    user.ask("ps").refuses(&["names no process"]);
    trap.signal(rustix::process::Signal::KILL);
    trap.wait().either_way();
    std::fs::remove_file(&file).unwrap();
}
