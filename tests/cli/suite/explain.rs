//! `run --explain` and `explain CONTAINER`: real denials, each by the wall that is named, and gone with the flag that is named.

use std::time::Duration;

use stockade_testkit::{Stockade, requires};

/// One denial.
struct Case {
    /// Flags that the container has anyway.
    flags: &'static [&'static str],
    /// A script of the image's shell that fails if it is denied.
    script: &'static str,
    /// The wall, as the report names it.
    wall: &'static str,
    /// The flag that is to be named.
    way: &'static str,
}

const fn case(script: &'static str, wall: &'static str, way: &'static str) -> Case {
    Case { flags: &[], script, wall, way }
}

const fn with(flags: &'static [&'static str], script: &'static str, wall: &'static str, way: &'static str) -> Case {
    Case { flags, script, wall, way }
}

/// Runs the case, looks for the wall and the flag, and runs it again with the flag.
fn judge(stockade: &Stockade, case: &Case) -> Result<(), String> {
    let mut flags = case.flags.to_vec();
    flags.extend(["-e", "FORWARD=/proc/sys/net/ipv4/ip_forward", "--explain"]);
    let denied = stockade.sh(&flags, case.script);
    let mark = format!("[{}]", case.wall);
    if denied.code() == 0 && !["no-new-privileges", "masked-path"].contains(&case.wall) {
        return Err(format!("{}: is not denied: {denied:?}", case.script));
    }
    let named = format!("  {} would allow it, at", case.way);
    let paragraphs: Vec<String> = paragraphs(&denied.stderr);
    if !paragraphs.iter().any(|one| one.contains(&mark) && one.contains(&named)) {
        return Err(format!("{}: {mark} {} is not named:\n{}", case.script, case.way, denied.stderr));
    }
    // What a program would write there, and what is free to be used here.
    let way = case.way.replace("VALUE", "1");
    let mut flags = case.flags.to_vec();
    flags.extend(["-e", "FORWARD=/proc/sys/net/ipv4/ip_forward"]);
    flags.extend(way.split(' '));
    let allowed = stockade.sh(&flags, case.script);
    if allowed.code() != 0 {
        return Err(format!("{}: with {way} it still fails: {allowed:?}", case.script));
    }
    Ok(())
}

/// Follows the flags that are named, one run after the other, until `script` is denied nothing: all of them.
fn follow(stockade: &Stockade, script: &str) -> Vec<String> {
    let mut given: Vec<String> = Vec::new();
    loop {
        let flags: Vec<&str> = given.iter().flat_map(|flag| flag.split(' ')).chain(["--explain"]).collect();
        let done = stockade.sh(&flags, script);
        if done.code() == 0 {
            return given;
        }
        let lines = || done.stderr.lines();
        let named = lines().find_map(|line| line.strip_prefix("  ")?.split_once(" would allow it, at"));
        let (flag, _) = named.unwrap_or_else(|| panic!("{given:?}: no way is named: {done:?}"));
        assert!(!given.iter().any(|known| known == flag), "{flag} was given: {done:?}");
        given.push(flag.to_owned());
    }
}

/// The report, one piece for each denial.
fn paragraphs(report: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in report.lines() {
        match all.last_mut() {
            Some(last) if line.starts_with("  ") => last.extend(["\n", line]),
            _ => all.push(line.to_owned()),
        }
    }
    all
}

fn judge_all(stockade: &Stockade, cases: &[Case]) {
    let wrong: Vec<String> = cases.iter().filter_map(|case| judge(stockade, case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

#[test]
fn programs_of_busybox() {
    requires!(root, stockade, busybox_packed, tracepoints);
    const ADMIN: &str = "--cap-add SYS_ADMIN";
    judge_all(
        &Stockade::new(),
        &[
            case("mount -t tmpfs none /tmp", "seccomp", ADMIN),
            case("umount /dev/shm", "seccomp", ADMIN),
            case("unshare -m true", "seccomp", ADMIN),
            case("unshare -n true", "seccomp", ADMIN),
            case("unshare -U true", "seccomp", "--security-opt seccomp=default+unshare"),
            case("nsenter -t 1 -u true", "seccomp", ADMIN),
            case("hostname other", "seccomp", ADMIN),
            case(
                "! pivot_root /tmp /tmp 2>&1 | grep -q permitted",
                "seccomp",
                "--security-opt seccomp=default+pivot_root --cap-add SYS_ADMIN",
            ),
            case("dmesg > /dev/null", "seccomp", "--cap-add SYSLOG --userns=host"),
            case("mknod /x c 1 3", "user-namespace", "--userns=host"),
            case(
                "grep -q 1 $FORWARD || /bin/busybox truncate -s 0 $FORWARD",
                "read-only-path",
                "--sysctl net.ipv4.ip_forward=VALUE",
            ),
            case("chown 70000 /tmp", "user-namespace", "--userns=host"),
            case("/bin/busybox grep -q CPU /proc/interrupts", "masked-path", "--security-opt systempaths=unconfined"),
            with(&["--cap-drop", "CHOWN"], "touch /f; chown 1000 /f", "capability", "--cap-add CHOWN"),
            with(&["--cap-drop", "FOWNER"], "touch /f; chown 5 /f; chmod 700 /f", "capability", "--cap-add FOWNER"),
            with(&["--cap-drop", "SETUID"], "su -s /bin/true user", "capability", "--cap-add SETUID"),
            with(&["--cap-drop", "SETGID"], "su -s /bin/true user", "capability", "--cap-add SETGID"),
            with(&["--cap-drop", "SYS_CHROOT"], "chroot / true", "seccomp", "--cap-add SYS_CHROOT"),
            with(
                &["--cap-drop", "NET_RAW", "--sysctl", "net.ipv4.ping_group_range=1 0", "--userns=host"],
                "ping -c 1 127.0.0.1",
                "capability",
                "--cap-add NET_RAW",
            ),
            case("ip link set lo down", "capability", "--cap-add NET_ADMIN"),
            case("ip address add 10.9.8.7/32 dev lo", "capability", "--cap-add NET_ADMIN"),
            case("ip route add 10.9.0.0/16 dev lo", "capability", "--cap-add NET_ADMIN"),
            case("ifconfig lo mtu 1400", "capability", "--cap-add NET_ADMIN"),
            with(
                &["--cap-drop", "NET_BIND_SERVICE", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"],
                "httpd -p 80",
                "capability",
                "--cap-add NET_BIND_SERVICE",
            ),
            with(
                &["--cap-drop", "DAC_OVERRIDE"],
                "touch /f; chown 5 /f; chmod 600 /f; cat /f",
                "capability",
                "--cap-add DAC_OVERRIDE",
            ),
            with(&["--cap-drop", "KILL"], "su -s /bin/sleep user 9 & sleep 1; kill $!", "capability", "--cap-add KILL"),
            with(&["--cap-drop", "MKNOD", "--userns=host"], "mknod /x c 1 3", "capability", "--cap-add MKNOD"),
            with(&["--read-only"], "/bin/busybox mkdir /tmp/x", "read-only-root", "--tmpfs /tmp"),
            with(&["--read-only"], "touch /x", "read-only-root", "--read-only=false"),
            with(&["--ulimit", "nofile=64:64"], "ulimit -n 100", "resource-limit", "--ulimit nofile=100:100"),
            with(&["--ulimit", "fsize=4096:4096"], "ulimit -f 100", "resource-limit", "--ulimit fsize=51200:51200"),
            with(
                &["--pids-limit", "8"],
                "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 2 & done; wait; sleep 1",
                "pids-limit",
                "--pids-limit 16",
            ),
            with(
                &["--memory", "32m"],
                "head -c 40000000 /dev/zero | tail -c 40000000 > /dev/null",
                "memory-limit",
                "--memory 67108864",
            ),
            with(
                &["--security-opt", "no-new-privileges"],
                "cp /bin/busybox /tmp/sleep && chmod 4755 /tmp/sleep && su -s /bin/sh user -c '/tmp/sleep 1'",
                "no-new-privileges",
                "--security-opt no-new-privileges=false",
            ),
        ],
    );
}

/// A call by its number on x86-64, which goes well unless a wall denies it.
macro_rules! call {
    ($($text:literal),*) => {
        concat!(
            "perl -e '$x = \"/nothing\"; $f = \"/etc/passwd\"; exit(syscall(",
            $($text),*,
            ") == -1 && grep {$! == $_} (1, 13, 38))'"
        )
    };
}

#[test]
fn calls_by_number() {
    requires!(root, stockade, debian_image, tracepoints, x86_64);
    let stockade = Stockade::with_debian();
    const ADMIN: &str = "--cap-add SYS_ADMIN";
    const BARE: &[&str] = &["--cap-drop", "ALL"];
    judge_all(
        &stockade,
        &[
            case(call!("425, 0, 0"), "seccomp", "--security-opt seccomp=default+io_uring_setup"),
            case(call!("250, 0, -3, 0"), "seccomp", "--security-opt seccomp=default+keyctl"),
            case(call!("248, 0, 0, 0, 0, 0"), "seccomp", "--security-opt seccomp=default+add_key"),
            case(call!("249, 0, 0, 0, 0"), "seccomp", "--security-opt seccomp=default+request_key"),
            case(call!("41, 40, 1, 0"), "seccomp", "--security-opt seccomp=default+socket"),
            case(call!("135, 0x40000"), "seccomp", "--security-opt seccomp=default+personality"),
            case(call!("272, 0x20000"), "seccomp", ADMIN),
            case(call!("272, 0x10000000"), "seccomp", "--security-opt seccomp=default+unshare"),
            case(call!("308, 99, 0"), "seccomp", ADMIN),
            case(call!("430, 0, 0"), "seccomp", ADMIN),
            case(call!("428, -1, 0, 0"), "seccomp", ADMIN),
            case(call!("429, -1, 0, -1, 0, 0"), "seccomp", ADMIN),
            case(call!("442, -1, 0, 0, 0, 0"), "seccomp", ADMIN),
            case(call!("171, 0, 0"), "seccomp", ADMIN),
            case(call!("164, 0, 0"), "seccomp", "--cap-add SYS_TIME --userns=host"),
            case(call!("169, 0, 0, 0, 0"), "seccomp", "--cap-add SYS_BOOT"),
            case(call!("321, 99, 0, 0"), "seccomp", "--cap-add BPF --userns=host"),
            case(call!("298, 0, 0, -1, -1, 0"), "seccomp", "--cap-add PERFMON --userns=host"),
            case(call!("304, -1, 0, 0"), "seccomp", "--cap-add DAC_READ_SEARCH --userns=host"),
            case(call!("153"), "seccomp", "--cap-add SYS_TTY_CONFIG --userns=host"),
            case(call!("103, 10, 0, 0"), "seccomp", "--cap-add SYSLOG --userns=host"),
            case(
                call!("167, $x, 0"),
                "seccomp",
                "--security-opt seccomp=default+swapon --cap-add SYS_ADMIN --userns=host",
            ),
            case(
                call!("323, 0"),
                "seccomp",
                "--security-opt seccomp=default+userfaultfd --cap-add SYS_PTRACE --userns=host",
            ),
            with(BARE, call!("41, 2, 3, 1"), "capability", "--cap-add NET_RAW"),
            with(BARE, call!("41, 17, 3, 0"), "capability", "--cap-add NET_RAW"),
            with(BARE, call!("105, 1000"), "capability", "--cap-add SETUID"),
            with(BARE, call!("106, 1000"), "capability", "--cap-add SETGID"),
            with(BARE, call!("116, 0, 0"), "capability", "--cap-add SETGID"),
            with(BARE, call!("157, 24, 1, 0, 0, 0"), "capability", "--cap-add SETPCAP"),
            with(BARE, call!("94, $f, 1, 1"), "capability", "--cap-add CHOWN"),
            case(call!("141, 0, 0, -10"), "user-namespace", "--cap-add SYS_NICE --userns=host"),
        ],
    );
}

/// `clone3` for these namespaces, whose flags are in memory as long as the caller is there.
macro_rules! clone3 {
    ($flags:literal) => {
        concat!(
            "perl -e '$a = pack(\"Q8\", ",
            $flags,
            ", 0, 0, 0, 17, 0, 0, 0); exit(0) if syscall(435, $a, 64) != -1; sleep 1; exit(1)'"
        )
    };
}

#[test]
fn programs_of_debian() {
    requires!(root, stockade, debian_image, tracepoints, x86_64);
    let stockade = Stockade::with_debian();
    // Who may read the kernel's log, if there were a file of it.
    const HOST: &[&str] = &["--userns=host", "--cap-add", "SYSLOG"];
    judge_all(
        &stockade,
        &[
            case(clone3!("0x40000000"), "seccomp", "--cap-add SYS_ADMIN"),
            case(clone3!("0x10000000"), "seccomp", "--security-opt seccomp=default+clone3"),
            with(
                &["--security-opt", "no-new-privileges"],
                "cp /usr/bin/perl /tmp/perl && setcap cap_net_raw+ep /tmp/perl && chroot --userspec=1000:1000 / /tmp/perl \
                 -MSocket -e 'exit(0) if socket(S, 2, 3, 1); sleep 1; exit(1)'",
                "no-new-privileges",
                "--security-opt no-new-privileges=false",
            ),
            // Its file is missing, or was made in the container and cannot be opened.
            with(HOST, "dd if=/dev/kmsg count=0", "device", "--device /dev/kmsg"),
            with(HOST, "mknod /x c 1 11 && dd if=/x count=0", "device", "--device /dev/kmsg"),
            with(HOST, "mknod /x c 1 11 && dd if=/dev/null of=/x", "device", "--device /dev/kmsg"),
        ],
    );
    let nested = "unshare --user --map-root-user --mount --pid --fork --mount-proc true";
    let given = follow(&stockade, nested);
    let expected =
        ["--security-opt seccomp=default+unshare", "--cap-add SYS_ADMIN", "--security-opt systempaths=unconfined"];
    assert_eq!(given, expected);
}

/// The kernel ends the watching of a process that gets rights by executing a program.
#[test]
fn a_process_that_gets_rights_is_watched_on() {
    requires!(root, stockade, debian_image, tracepoints, x86_64);
    let stockade = Stockade::with_debian();
    for made in ["chmod 4755 /raising", "setcap cap_net_raw+ep /raising"] {
        let program = "sleep 3; syscall(272, 0x40000000); sleep 1";
        let script = format!(
            "cp /usr/bin/perl /raising && {made} && chroot --userspec=1000:1000 / /raising -e '{program}; exit 0'"
        );
        let done = stockade.sh(&["--explain"], &script).ok();
        let denials = paragraphs(&done.stderr);
        let denied = denials.iter().filter(|one| one.starts_with("unshare(") && one.contains("[seccomp]"));
        assert_eq!(denied.count(), 1, "{made}: {done:?}");
        assert!(!done.stderr.contains(" times"), "{made}: {done:?}");
    }
}

/// The host's programs, with their libraries.
#[test]
fn packet_filters_are_not_a_containers() {
    requires!(root, stockade, debian_image, tracepoints, nft);
    let stockade = Stockade::with_debian();
    let script = |command: &str| {
        format!("cd /host && mkdir run && for i in bin lib lib64; do ln -s usr/$i $i; done && chroot /host {command}")
    };
    // A host has nft at least.
    let there = |command: &&str| {
        command.split(' ').next().is_some_and(|name| std::path::Path::new("/usr/sbin").join(name).exists())
    };
    for command in ["nft add table t", "iptables-nft -L", "ip6tables-nft -L"].into_iter().filter(there) {
        let flags = &["-v", "/usr:/host/usr:ro"];
        let script: &'static str = script(command).leak();
        judge_all(&stockade, &[with(flags, script, "capability", "--cap-add NET_ADMIN")]);
    }
}

#[test]
fn ordinary_programs_are_denied_nothing() {
    requires!(root, stockade, debian_image, busybox_packed, tracepoints);
    let quiet = |stockade: &Stockade, script: &str| {
        let done = stockade.run_call(&["--explain"], &["sh", "-c", script]).limit(Duration::from_secs(600)).run();
        assert!(done.stderr.contains("explain: nothing was denied by a wall"), "{script}: {}", done.stderr);
    };
    let debian = Stockade::with_image(&stockade_testkit::stockade::named_reference("debian", "oci"));
    for script in [
        "ls -lR /etc /usr/share/doc > /dev/null; dpkg -l > /dev/null; dpkg --verify > /dev/null",
        "perl -MPOSIX -MSocket -e 'fork() || exit 0; wait; print strftime(\"%c\", localtime)'",
        "useradd -m someone && su someone -c 'id; cat /etc/shadow' 2> /dev/null; true",
        "tar -C /usr/share -cf - doc | gzip > /tmp/doc.tgz && tar -C /tmp -xzf /tmp/doc.tgz",
        "sort -R /etc/services | head > /tmp/x && find / -xdev -name x -print > /dev/null",
        "apt-get --version > /dev/null; apt-cache policy > /dev/null; apt-config dump > /dev/null",
    ] {
        quiet(&debian, script);
    }
    quiet(&Stockade::new(), "httpd -p 80 -h /etc && wget -q -O /dev/null http://127.0.0.1/passwd; cat /nothing; true");
}

/// Servers and an interpreter of Debian's, started, used and stopped.
#[test]
fn servers_at_work_are_denied_nothing() {
    requires!(root, stockade, servers_image, tracepoints);
    let image = stockade_testkit::programs::image("servers");
    let stockade = Stockade::with_image(&format!("rootfs:{}", image.display()));
    let until = |test: &str| format!("for i in $(seq 300); do {test} && break; sleep 0.1; done");
    let scripts = [
        format!(
            "nginx -g 'daemon off;' & {}; for i in 1 2 3; do curl -sf -o /dev/null http://127.0.0.1/; done; nginx -s quit; wait",
            until("curl -s -o /dev/null http://127.0.0.1/")
        ),
        format!(
            "redis-server --save '' --dir /tmp > /dev/null & {}; redis-cli set a b; redis-cli shutdown nosave; wait",
            until("redis-cli ping > /dev/null 2>&1")
        ),
        "install -d -o postgres /tmp/pg /var/run/postgresql; bin=/usr/lib/postgresql/15/bin; su postgres -c \"\
         $bin/initdb -D /tmp/pg > /dev/null && $bin/pg_ctl -D /tmp/pg -w -l /tmp/pg/log start > /dev/null && \
         psql -c 'create table t(a int)' && psql -c 'insert into t select generate_series(1, 100)'; \
         $bin/pg_ctl -D /tmp/pg -w stop\""
            .to_owned(),
        "python3 -c \"import ssl, sqlite3, subprocess, threading, multiprocessing; subprocess.run(['true']); \
         t = threading.Thread(target=print); t.start(); t.join(); print(multiprocessing.Pool(2).map(abs, [1, 2]))\""
            .to_owned(),
    ];
    for script in scripts {
        let done = stockade.run_call(&["--explain"], &["sh", "-c", &script]).limit(Duration::from_secs(600)).run();
        assert_eq!(done.code(), 0, "{script}: {done:?}");
        assert!(done.stderr.contains("explain: nothing was denied by a wall"), "{script}: {}", done.stderr);
    }
}

#[test]
fn a_container_that_runs_is_watched_with_what_exec_brings_in() {
    requires!(root, stockade, busybox_packed, tracepoints);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sh", "-c", "while true; do mount -t tmpfs none /mnt; sleep 1; done"]);
    let told = stockade.ask(&["explain", "--time", "3s", &id]).ok();
    assert!(told.stdout.contains("mount(\"/mnt\") failed with EPERM"), "{told:?}");
    assert_eq!(told.stdout.matches("[seccomp]").count(), 1, "{told:?}");
    let watching = stockade.call(&["explain", "--follow", &id]).start();
    stockade.ask(&["exec", &id, "sh", "-c", "sleep 2; hostname other; sleep 1"]).ok();
    stockade.ask(&["rm", "-f", &id]).ok();
    let told = watching.wait().ok();
    assert!(told.stdout.contains("sethostname() failed with EPERM"), "{told:?}");
    assert!(told.stderr.contains("explain: 2 things were denied"), "{told:?}");
    let gone = stockade.ask(&["explain", &id]);
    assert_eq!(gone.code(), 1, "{gone:?}");
}

#[test]
fn a_container_that_ends_at_once_for_want_of_rights_is_told_about_once() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let hint = "'stockade run --explain ...' tells what said no";
    let denied = stockade.sh(&[], "mount -t tmpfs none /mnt");
    assert_eq!(denied.stderr.matches(hint).count(), 1, "{denied:?}");
    for (flags, script) in [
        (&[][..], "echo Operation not permitted"),
        (&[], "exit 1"),
        (&["-d"], "mount -t tmpfs none /mnt"),
        (&[], "sleep 2; mount -t tmpfs none /mnt"),
    ] {
        let other = stockade.sh(flags, script);
        assert!(!other.stderr.contains(hint), "{script}: {other:?}");
    }
}

#[test]
fn what_cannot_be_explained_is_refused() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let conflicting = stockade.run(&["-d", "--explain"], &["true"]);
    assert!(conflicting.code() == 125 && conflicting.stderr.contains("--detach"), "{conflicting:?}");
    let id = stockade.ask(&["create", stockade.image(), "true"]).ok().out().to_owned();
    let id = stockade.know(&id);
    let stopped = stockade.ask(&["explain", &id]);
    assert!(stopped.code() == 1 && stopped.stderr.contains("stockade run --explain"), "{stopped:?}");
    for arguments in [&["explain", "--time", "soon", &id][..], &["explain", "--follow", "--time", "1s", &id]] {
        assert_eq!(stockade.ask(arguments).code(), 125, "{arguments:?}");
    }
}
