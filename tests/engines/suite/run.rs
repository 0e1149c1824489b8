//! `run` in the foreground: exit codes, streams, terminals, and what the options make of the container.

use crate::cell::SIZE;
use crate::engine::Engine;

with_both_engines!(
    exit_codes,
    streams,
    a_terminal,
    the_default_walls,
    capabilities_and_privileges,
    identity_and_names,
    file_systems,
    namespaces_of_the_host_and_of_another_container,
    streams_can_be_opened_again_by_a_user,
);

fn exit_codes(engine: &Engine) {
    for code in [0, 7, 255] {
        engine.sh(&[], &format!("exit {code}")).exits(code);
    }
    // The engines read these from the runtime's words.
    engine.run_call(&[], &["nosuch"]).run().exits(127).refuses(&["executable file not found in $PATH"]);
    engine.run_call(&[], &["/no/such"]).run().exits(127).refuses(&["no such file or directory"]);
    engine.run_call(&[], &["/etc/passwd"]).run().exits(126).refuses(&["permission denied"]);
    engine.run_call(&[], &["/etc"]).run().exits(126).refuses(&["permission denied"]);
}

fn streams(engine: &Engine) {
    let script = "cat; echo bad >&2";
    let done = engine.run_call(&["--interactive"], &["sh", "-c", script]).stdin(b"some input").run().ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("some input", "bad\n"));
    // More than a pipe holds.
    let done = engine.sh(&[], "yes | head -c 1000000").ok();
    assert_eq!(done.stdout.len(), 1_000_000);
}

fn a_terminal(engine: &Engine) {
    // The client tells the size when the container runs already.
    let (rows, columns) = SIZE;
    let script = format!(
        "until [ \"$(stty size 2>/dev/null)\" = '{rows} {columns}' ]; do sleep 0.1; done; tty; test -t 2; echo $?"
    );
    let text = engine.run_on_terminal(&[], &script).run().ok().stdout;
    let lines: Vec<&str> = text.split_whitespace().filter(|word| !word.starts_with('^')).collect();
    assert_eq!(lines, ["/dev/pts/0", "0"], "{text}");
    let text = engine.run_on_terminal(&["--interactive"], "read line; echo got $line; exit 5").stdin(b"typed\n").run();
    assert!(text.stdout.contains("got typed"), "{text:?}");
    text.exits(5);
}

fn the_default_walls(engine: &Engine) {
    let script = "
        grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | tr -d '\\t '
        mount -t tmpfs none /tmp 2>/dev/null || echo no mount
        (echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo no sysctl
        test -s /proc/keys || echo no keys
        test -z \"$(ls -A /sys/firmware)\" && echo no firmware
        (mknod /dev/disk b 259 0 && cat /dev/disk) 2>/dev/null || echo no disk
        cat /proc/1/comm
        true";
    let text = engine.sh(&[], script).ok().stdout;
    let expected = ["NoNewPrivs:0", "Seccomp:2", "no mount", "no sysctl", "no keys", "no firmware", "no disk", "sh"];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{text}");
}

fn capabilities_and_privileges(engine: &Engine) {
    let status = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -d '\\t '";
    let options = ["--cap-drop", "ALL", "--cap-add", "CHOWN", "--security-opt", "no-new-privileges"];
    let text = engine.sh(&options, status).ok().stdout;
    let none = "0000000000000000";
    let one = "0000000000000001";
    let expected =
        format!("CapInh:{none}\nCapPrm:{one}\nCapEff:{one}\nCapBnd:{one}\nCapAmb:{none}\nNoNewPrivs:1\nSeccomp:2");
    assert_eq!(text.trim(), expected);
    let text = engine.sh(&["--security-opt", "seccomp=unconfined"], status).ok().stdout;
    assert!(text.ends_with("Seccomp:0\n"), "{text}");
    let text = engine.sh(&["--user", "1000", "--cap-add", "NET_ADMIN"], status).ok().stdout;
    assert!(!text.contains("Seccomp:0"), "{text}");
    let profile = engine.cell.folder().join(format!("profile-{:?}.json", engine.kind));
    let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
    std::fs::write(&profile, json).unwrap();
    let option = format!("seccomp={}", profile.display());
    engine.sh(&["--security-opt", &option], "mkdir /x").exits(1).refuses(&["not implemented"]);
}

fn identity_and_names(engine: &Engine) {
    let options = [
        "--user",
        "12:13",
        "--group-add",
        "14",
        "--workdir",
        "/var",
        "--env",
        "A=b c",
        "--hostname",
        "box",
        "--oom-score-adj",
        "100",
        "--ulimit",
        "nofile=50:60",
        "--ulimit",
        "nproc=100:100",
        "--sysctl",
        "net.core.somaxconn=33",
    ];
    let script = "id -u; id -g; id -G; pwd; echo $A; hostname; cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn
        cat /proc/sys/net/core/somaxconn";
    let text = engine.sh(&options, script).ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, ["12", "13", "13 14", "/var", "b c", "box", "100", "50", "60", "33"]);
    engine.sh(&["--sysctl", "kernel.panic=1"], "true").refuses(&["kernel.panic"]);
    // Without CAP_SYS_RESOURCE nobody can raise them, and nothing may pretend to.
    engine.sh(&["--ulimit", "nofile=2000000000"], "true").refuses(&["nofile", "rlimit"]);
}

fn file_systems(engine: &Engine) {
    let shared = engine.cell.folder().join(format!("shared-{:?}", engine.kind));
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("file"), "of the host").unwrap();
    let (one, two) = (format!("{}:/one:ro", shared.display()), format!("{}:/two", shared.display()));
    let options =
        ["--read-only", "--tmpfs", "/t:rw,size=1m,mode=0700", "--volume", &one, "--volume", &two, "--shm-size", "2m"];
    let script = "
        touch /x 2>/dev/null || echo root is read-only
        touch /one/x 2>/dev/null || echo one is read-only
        cat /one/file; echo
        echo of the container > /two/new
        stat -c %a /t; touch /t/x; df -k /t /dev/shm | awk 'NR > 1 { print $2 }'
        ls -l /dev/foo | cut -c1,5-6,8-9; echo x > /dev/foo";
    let device = ["--device", "/dev/null:/dev/foo"];
    let text = engine.sh(&[&options[..], &device].concat(), script).ok().stdout;
    let expected = ["root is read-only", "one is read-only", "of the host", "700", "1024", "2048", "crwrw"];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(std::fs::read_to_string(shared.join("new")).unwrap(), "of the container\n");
}

fn namespaces_of_the_host_and_of_another_container(engine: &Engine) {
    let other = engine.detached(&["--ipc", "shareable", "--hostname", "other"], "exec sleep 1000");
    let joined = ["pid", "ipc", "network"].map(|kind| format!("--{kind}=container:{}", other.id));
    let options: Vec<&str> = joined.iter().map(String::as_str).collect();
    let links = "for kind in ipc net pid; do readlink /proc/self/ns/$kind; done; cat /proc/1/comm";
    // `--network` stands once only.
    let mut words = vec!["run", "--rm", "--cgroup-parent", engine.cell.group()];
    words.extend(options);
    words.extend(["busybox", "sh", "-c", links]);
    let text = engine.call(&words).run().ok().stdout;
    let theirs = other.exec(&[], &["sh", "-c", links]).ok().stdout;
    assert_eq!(text, theirs);
    assert!(text.ends_with("sleep\n"), "{text}");
    let host = engine.cell.call("readlink").args(["/proc/1/ns/ipc", "/proc/1/ns/net", "/proc/1/ns/pid"]).run().ok();
    let options = ["--network", "host", "--ipc", "host", "--pid", "host"];
    let text = engine.sh(&options, "for kind in ipc net pid; do readlink /proc/self/ns/$kind; done").ok().stdout;
    assert_eq!(text, host.stdout);
}

fn streams_can_be_opened_again_by_a_user(engine: &Engine) {
    let script = "echo out > /dev/stdout; echo err > /dev/stderr";
    let done = engine.sh(&["--user", "1000"], script).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    let text = engine.run_on_terminal(&["--user", "1000"], script).run().ok().stdout;
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["out", "err"], "{text:?}");
    let container = engine.detached(&["--user", "1000"], "exec sleep 1000");
    let done = container.exec(&[], &["sh", "-c", script]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
}
