//! The organisation's policy: each way into a container is judged, and each way around it is tried.
//!
//! The policy is at its one place, in a mount namespace of the test's own: there is no other way to give one.

use std::path::PathBuf;

use stockade_testkit::{Call, Finished, Stockade, requires};

/// What these tests' policy says, but for exceptions.
const POLICY: &str = r#"
version = 1
[defaults]
memory = "128m"
pids-limit = 50
no-new-privileges = true
[required]
memory = "256m"
pids-limit = 100
no-new-privileges = true
seccomp = ["builtin"]
[forbidden]
privileged = true
capabilities = ["SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"]
host-namespaces = ["pid", "network", "ipc", "uts"]
mounts = ["/etc", "/root"]
writable-mounts = ["/usr"]
devices = true
"#;

/// An engine whose machine has a policy.
struct Governed {
    stockade: Stockade,
    etc: PathBuf,
}

impl Governed {
    fn by(policy: &str) -> Self {
        let stockade = Stockade::new();
        let etc = stockade.folder().join("etc");
        std::fs::create_dir_all(etc.join("stockade")).unwrap();
        let governed = Self { stockade, etc };
        governed.change(policy);
        governed
    }

    fn change(&self, policy: &str) {
        std::fs::write(self.etc.join("stockade/policy.toml"), policy).unwrap();
    }

    fn call(&self, arguments: &[&str]) -> Call {
        let script = "mount -t overlay overlay -o \"lowerdir=$0:/etc\" /etc && exec \"$@\"";
        let call = Call::new("unshare").args(["--mount", "sh", "-c", script]).arg(&self.etc);
        call.args(self.stockade.command_line()).args(arguments)
    }

    fn ask(&self, arguments: &[&str]) -> Finished {
        self.call(arguments).run()
    }

    /// `run --rm FLAGS IMAGE COMMAND`.
    fn run(&self, flags: &[&str], command: &[&str]) -> Finished {
        self.ask(&[&["run", "--rm"], flags, &[self.stockade.image()], command].concat())
    }

    /// A container that sleeps, made without the policy.
    fn before(&self, flags: &[&str]) -> String {
        self.stockade.detached(flags, &["sleep", "1000"])
    }
}

#[track_caller]
fn refused(done: &Finished, rule: &str) {
    assert!(done.code() != 0 && done.stderr.contains(rule), "not refused for {rule}: {done:?}");
}

#[test]
fn what_the_runtime_would_be_told_is_judged_whichever_flags_led_there() {
    requires!(root, stockade, busybox_packed, unshare);
    let governed = Governed::by(POLICY);
    let folder = governed.stockade.folder();
    let link = folder.join("link");
    std::os::unix::fs::symlink("/etc", &link).unwrap();
    let deep = folder.join("deep");
    std::os::unix::fs::symlink(folder.join("link"), &deep).unwrap();
    let profile = folder.join("open.json");
    std::fs::write(&profile, r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    let texts = [
        format!("{}:/x", link.display()),
        format!("{}/ssl:/x:ro", deep.display()),
        format!("seccomp={}", profile.display()),
    ];
    let volume = "type=volume,source=first,target=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=";
    let (whole, part) =
        (format!("{volume}/etc"), format!("{volume}/,volume-subpath=etc").replace("=first,", "=second,"));
    let all: &[(&[&str], &str)] = &[
        (&["--cap-add", "ALL"], "forbidden.capabilities"),
        (&["--cap-add", "all"], "forbidden.capabilities"),
        (&["--cap-add", "sys_admin"], "forbidden.capabilities"),
        (&["--cap-add", "CAP_NET_ADMIN", "--cap-drop", "ALL"], "forbidden.capabilities"),
        (&["--privileged"], "forbidden.privileged"),
        (&["--privileged", "--cap-drop", "ALL"], "forbidden.privileged"),
        (&["--security-opt", "systempaths=unconfined"], "forbidden.privileged"),
        (&["--security-opt", "seccomp=unconfined"], "required.seccomp"),
        (&["--security-opt", &texts[2]], "required.seccomp"),
        (&["--security-opt", "seccomp=default+bpf"], "required.seccomp"),
        (&["--pid", "host"], "forbidden.host-namespaces"),
        (&["--network", "host"], "forbidden.host-namespaces"),
        (&["--ipc", "host"], "forbidden.host-namespaces"),
        (&["--uts", "host"], "forbidden.host-namespaces"),
        (&["-v", "/:/x"], "forbidden.mounts"),
        (&["-v", "/etc:/x:ro"], "forbidden.mounts"),
        (&["-v", "//etc/./ssl:/x:ro"], "forbidden.mounts"),
        (&["-v", &texts[0]], "forbidden.mounts"),
        (&["-v", &texts[1]], "forbidden.mounts"),
        (&["-v", "/proc/self/root/etc:/x"], "forbidden.mounts"),
        (&["--mount", "type=bind,source=/root,target=/x"], "forbidden.mounts"),
        (&["--mount", &whole], "forbidden.mounts"),
        (&["--userns", "host", "--mount", &part], "forbidden.mounts"),
        (&["-v", "/usr/lib:/x"], "forbidden.writable-mounts"),
        (&["--device", "/dev/kmsg"], "forbidden.devices"),
        (&["--device-cgroup-rule", "c 1:11 rwm"], "forbidden.devices"),
        (&["--memory", "257m"], "required.memory"),
        (&["--memory", "1g", "--memory", "300m"], "required.memory"),
        (&["--pids-limit", "-1"], "required.pids-limit"),
        (&["--pids-limit", "101"], "required.pids-limit"),
    ];
    for (flags, rule) in all {
        refused(&governed.run(flags, &["true"]), rule);
        assert!(governed.stockade.ids().is_empty(), "{flags:?} left a container");
    }
    // No variable names another policy, or switches it off.
    let flags = ["run", "--rm", "--privileged", governed.stockade.image(), "true"];
    let other = folder.join("other.toml");
    std::fs::write(&other, "version = 1").unwrap();
    let call = ["STOCKADE_POLICY", "STOCKADE_CONFIG", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "HOME"]
        .iter()
        .fold(governed.call(&flags), |call, name| call.env(name, &other));
    refused(&call.run(), "forbidden.privileged");
}

#[test]
fn what_is_allowed_runs_with_the_policys_defaults() {
    requires!(root, stockade, busybox_packed, unshare);
    let governed = Governed::by(POLICY);
    let script = "grep -c 'NoNewPrivs:.1' /proc/self/status; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true";
    let done = governed.run(&["-v", "/usr/share:/x:ro", "--cap-add", "SYS_NICE"], &["sh", "-c", script]).ok();
    assert!(done.stdout.starts_with("1\n50\n"), "{done:?}");
    let done = governed.run(&["--pids-limit", "70"], &["sh", "-c", script]).ok();
    assert!(done.stdout.starts_with("1\n70\n"), "what is asked for counts: {done:?}");
}

#[test]
fn every_later_way_into_a_container_is_judged() {
    requires!(root, stockade, busybox_packed, unshare);
    let governed = Governed::by(POLICY);
    let image = governed.stockade.image().to_owned();
    let made = governed.ask(&["run", "-d", "--name", "kept", &image, "sleep", "1000"]).ok();
    governed.stockade.know(made.out());
    governed.ask(&["exec", "kept", "true"]).ok();
    refused(&governed.ask(&["exec", "--privileged", "kept", "true"]), "forbidden.privileged");
    refused(&governed.ask(&["update", "--memory", "512m", "--memory-swap", "512m", "kept"]), "required.memory");
    refused(&governed.ask(&["update", "--pids-limit", "-1", "kept"]), "required.pids-limit");
    governed.ask(&["update", "--pids-limit", "60", "kept"]).ok();
    // What was made before there was a policy, or while it was another one, does not start.
    let flags = ["--security-opt", "no-new-privileges", "-m", "64m", "--pids-limit", "9", "--privileged"];
    let old = governed.before(&flags);
    refused(&governed.ask(&["exec", &old, "true"]), "forbidden.capabilities");
    governed.ask(&["stop", "-t", "0", &old]).ok();
    refused(&governed.ask(&["start", &old]), "forbidden.privileged");
    refused(&governed.ask(&["restart", "-t", "0", &old]), "forbidden.privileged");
    governed.ask(&["rm", &old]).ok();
}

#[test]
fn a_namespace_of_another_container_that_is_the_hosts_is_the_hosts() {
    requires!(root, stockade, busybox_packed, unshare);
    let governed = Governed::by(POLICY);
    for (flag, value) in [("--network", "host"), ("--pid", "host"), ("--ipc", "host")] {
        let other = governed.before(&[flag, value]);
        refused(&governed.run(&[flag, &format!("container:{other}")], &["true"]), "forbidden.host-namespaces");
    }
    let own =
        governed.before(&["--userns", "host", "--security-opt", "no-new-privileges", "-m", "64m", "--pids-limit", "9"]);
    governed.run(&["--userns", "host", "--pid", &format!("container:{own}")], &["true"]).ok();
    governed.change(&POLICY.replace("devices = true", "joined-namespaces = [\"pid\"]"));
    let done = governed.run(&["--userns", "host", "--pid", &format!("container:{own}")], &["true"]);
    refused(&done, "forbidden.joined-namespaces");
}

#[test]
fn a_path_that_means_something_else_at_the_start_is_judged_again() {
    requires!(root, stockade, busybox_packed, unshare);
    let governed = Governed::by(POLICY);
    let (link, harmless) = (governed.stockade.folder().join("link"), governed.stockade.folder().join("harmless"));
    std::fs::create_dir(&harmless).unwrap();
    std::os::unix::fs::symlink(&harmless, &link).unwrap();
    let bind = format!("{}:/x", link.display());
    let made = governed.ask(&["create", "-v", &bind, governed.stockade.image(), "true"]).ok();
    let id = governed.stockade.know(made.out());
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/etc", &link).unwrap();
    refused(&governed.ask(&["start", &id]), "forbidden.mounts");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&harmless, &link).unwrap();
    governed.ask(&["start", "-a", &id]).ok();
}

#[test]
fn only_runtimes_that_are_named_are_executed() {
    requires!(root, stake, stockade, busybox_packed, unshare);
    let governed = Governed::by("version = 1\n[required]\nruntimes = [\"stake\"]\n");
    governed.run(&[], &["true"]).ok();
    // The same program, but at a place that nobody has named.
    let copy = governed.stockade.folder().join("another");
    std::fs::copy(stockade_testkit::programs::built("stake"), &copy).unwrap();
    let link = governed.stockade.folder().join("link");
    std::os::unix::fs::symlink(&copy, &link).unwrap();
    let run = |runtime: &std::path::Path| {
        governed.ask(&["--runtime", runtime.to_str().unwrap(), "run", "--rm", governed.stockade.image(), "true"])
    };
    refused(&run(&copy), "required.runtimes");
    refused(&run(&link), "required.runtimes");
    // One that was made before is not started by another either.
    let words = ["--runtime", copy.to_str().unwrap(), "create", governed.stockade.image(), "true"];
    let made = governed.stockade.know(governed.stockade.ask(&words).ok().out());
    refused(&governed.ask(&["start", &made]), "required.runtimes");
    governed.change(&format!("version = 1\n[required]\nruntimes = [{copy:?}]\n"));
    run(&copy).ok();
    run(&link).ok();
    governed.ask(&["start", "-a", &made]).ok();
    refused(&governed.run(&[], &["true"]), "required.runtimes");
}

#[test]
fn a_policy_that_cannot_be_used_lets_nothing_start_and_everything_end() {
    requires!(root, stockade, busybox_packed, unshare);
    let governed = Governed::by(POLICY);
    let id = governed.before(&["--name", "running"]);
    let made = governed.stockade.ask(&["create", governed.stockade.image(), "true"]).ok();
    let made = governed.stockade.know(made.out());
    for (text, words) in [
        ("version = 1\n[forbidden]\ncapability = []\n", "capability"),
        ("version = 7\n", "version 7"),
        ("[[[", "cannot be used"),
        ("", "version"),
    ] {
        governed.change(text);
        for done in [
            governed.run(&[], &["true"]),
            governed.ask(&["create", governed.stockade.image(), "true"]),
            governed.ask(&["start", &made]),
            governed.ask(&["exec", &id, "true"]),
            governed.ask(&["update", "--pids-limit", "9", &id]),
            governed.ask(&["policy", "check"]),
        ] {
            refused(&done, words);
            assert!(done.stderr.contains("/etc/stockade/policy.toml"), "{done:?}");
        }
    }
    governed.change("version = 1\n");
    governed.run(&[], &["true"]).ok();
    let file = governed.etc.join("stockade/policy.toml");
    let set_mode = |mode| std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    for mode in [0o666, 0o646, 0o664] {
        set_mode(mode);
        refused(&governed.run(&[], &["true"]), "can be changed by others");
    }
    // Root may read it in any case.
    set_mode(0o600);
    governed.run(&[], &["true"]).ok();
    std::os::unix::fs::chown(&file, Some(1000), None).unwrap();
    refused(&governed.run(&[], &["true"]), "can be changed by others");
    governed.ask(&["ps"]).ok();
    governed.ask(&["rm", "-f", &id, &made]).ok();
}

#[test]
fn a_check_tells_what_a_run_would_and_makes_nothing() {
    requires!(root, stockade, busybox_packed, unshare);
    let governed = Governed::by(POLICY);
    let image = governed.stockade.image();
    let check = |words: &[&str]| governed.ask(&[&["policy", "check", "--"], words].concat());
    let volume = "type=volume,source=first,target=/y,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc";
    let done = check(&["run", "--privileged", "-v", "named:/x", "--mount", volume, image, "true"]);
    assert_eq!(done.code(), 3, "{done:?}");
    for rule in ["forbidden.capabilities", "forbidden.privileged", "forbidden.mounts", "required.seccomp"] {
        assert!(done.stdout.lines().any(|line| line.starts_with("not allowed: ") && line.contains(rule)), "{done:?}");
    }
    assert_eq!(check(&["create", "-v", "named:/x", image]).ok().stdout, "allowed\n");
    assert_eq!(check(&["run", "-v", "/nowhere/at/all:/x", image, "sh", "-c", "exit 7"]).ok().stdout, "allowed\n");
    assert_eq!(governed.ask(&["policy", "check"]).ok().stdout, "/etc/stockade/policy.toml can be used\n");
    for wrong in [["stop", image], ["run", "--no-such-flag"]] {
        assert_eq!(check(&wrong).code(), 125);
    }
    assert!(governed.stockade.ids().is_empty() && governed.stockade.volumes().is_empty());
    assert!(!std::path::Path::new("/nowhere").exists());
}

#[test]
fn an_exception_has_an_owner_and_an_end() {
    requires!(root, stockade, busybox_packed, unshare);
    let with = |until: &str, images: &str| {
        format!(
            "{POLICY}\n[[exception]]\nrule = \"forbidden.capabilities\"\nvalues = [\"NET_ADMIN\"]\nimages = [\"{images}\"]\n\
             owner = \"ops@example.com\"\nreason = \"a gateway\"\nuntil = {until}\n"
        )
    };
    let governed = Governed::by(&with("2099-12-31", "oci:*"));
    let flags = ["--cap-add", "NET_ADMIN"];
    // The filter that its capabilities give is another one than that of the default's, and still the policy's.
    governed.run(&flags, &["true"]).ok();
    refused(&governed.run(&["--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE"], &["true"]), "CAP_SYS_PTRACE");
    governed.change(&with("2020-01-01", "oci:*"));
    refused(&governed.run(&flags, &["true"]), "the exception of ops@example.com ended on 2020-01-01");
    governed.change(&with("2099-12-31", "other:*"));
    refused(&governed.run(&flags, &["true"]), "forbidden.capabilities");
}

#[test]
fn a_container_is_held_against_the_policy_as_it_is() {
    requires!(root, stockade, busybox_packed, unshare);
    let governed = Governed::by(POLICY);
    let flags = ["--security-opt", "no-new-privileges", "-m", "64m", "--pids-limit", "9"];
    let good = governed.before(&flags);
    let bad = governed.before(&[&flags[..], &["--cap-add", "NET_ADMIN", "-v", "/etc:/x:ro"]].concat());
    let differ = |one: &str| governed.ask(&["diff-walls", "--format", "json", "policy", one]);
    let done = differ(&good);
    assert_eq!((done.code(), done.json().as_array().unwrap().len()), (0, 0), "{done:?}");
    let done = differ(&bad);
    let parts: Vec<_> =
        done.json().as_array().unwrap().iter().map(|one| one["part"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        (done.code(), parts),
        (3, ["forbidden.capabilities CAP_NET_ADMIN", "forbidden.mounts /etc"].map(str::to_owned).to_vec())
    );
    assert_eq!(governed.stockade.ask(&["diff-walls", "policy", &good]).code(), 1, "there is no policy");
}

/// A runtime that gives less than it was asked for, and says nothing.
#[test]
fn what_the_runtime_does_not_give_is_found_after_the_start_where_that_is_demanded() {
    requires!(root, stake, stockade, busybox_packed, unshare);
    let governed = Governed::by(POLICY);
    let runtime = governed.stockade.folder().join("weak");
    let script = format!(
        "#!/bin/sh\nfor word in \"$@\"; do\n  test \"$before\" = --bundle && bundle=$word\n  before=$word\ndone\n\
         test -n \"$bundle\" || exec {0} \"$@\"\ncp \"$bundle/config.json\" \"$bundle/kept\"\n\
         sed -i 's/\"noNewPrivileges\":true/\"noNewPrivileges\":false/' \"$bundle/config.json\"\n\
         {0} \"$@\"\ncode=$?\nmv \"$bundle/kept\" \"$bundle/config.json\"\nexit $code\n",
        stockade_testkit::programs::built("stake").display()
    );
    std::fs::write(&runtime, script).unwrap();
    std::fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let start = |name: &str, runtime: &str| {
        let image = governed.stockade.image();
        let done = governed.ask(&["--runtime", runtime, "run", "-d", "--name", name, image, "sleep", "1000"]);
        if let Some(id) = done.stdout.lines().next() {
            governed.stockade.know(id);
        }
        done
    };
    let weak = runtime.to_str().unwrap();
    start("unproved", weak).ok();
    governed.change(&POLICY.replace("[required]", "[required]\nproof = true"));
    let done = start("killed", weak);
    refused(&done, "no-new-privileges: no_new_privs");
    assert_eq!(done.code(), 125);
    governed.stockade.until("killed", "exited");
    start("proved", "stake").ok();
    governed.ask(&["restart", "-t", "0", "proved"]).ok();
    assert_eq!(governed.stockade.inspect("proved", "{{.State.Status}}"), "running");
}
