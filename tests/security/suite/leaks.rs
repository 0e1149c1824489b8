//! What of the runtime a container can reach: descriptors, environment, memory, and its program file.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use stockade_testkit::{Bundle, Call, Running, eventually, programs, requires};

use crate::sleeping;

/// A container whose first process looks into whatever appears in its pid namespace.
struct Hunt {
    bundle: Bundle,
    running: Running,
}

impl Hunt {
    fn begin(bundle: impl FnOnce(Bundle) -> Bundle) -> Self {
        let bundle = bundle(Bundle::busybox().with_inside().args(&["/inside", "hunt", "50"]));
        let running = bundle.run_started();
        eventually("the hunt to begin", Duration::from_secs(20), || {
            bundle.call(&["state", bundle.id()]).run().stdout.contains("running")
        });
        Self { bundle, running }
    }

    /// What was found; of `starts` processes most must have been met.
    fn end(self, starts: u64) -> Value {
        std::fs::write(self.bundle.rootfs().join("stop"), "").unwrap();
        let found = self.running.wait().ok().json();
        let met = found["met"].as_u64().unwrap();
        assert!(met * 2 > starts, "only {met} of {starts} processes were met: the attack was not made");
        found["taken"].clone()
    }
}

/// Does it with something in the environment that is not for containers.
#[track_caller]
fn succeeds(call: Call) {
    call.env("STOCKADE_TEST_HOST", "secret").run().ok();
}

/// runc: a process of `exec` could be traced, and its descriptors opened, before it was made undumpable.
#[test]
fn cve_2016_9962_nothing_of_the_runtime_is_taken_during_exec() {
    requires!(root, runtime, busybox_image);
    let hunt = Hunt::begin(|bundle| bundle);
    (0..200).for_each(|_| succeeds(hunt.bundle.exec_call(&[], &["/bin/true"])));
    assert_eq!(hunt.end(200), json!([]));
}

/// The same where a container is made in the pid namespace of a hostile one, as in a pod that shares its processes.
#[test]
fn cve_2016_9962_nor_while_a_container_starts_in_a_shared_pid_namespace() {
    requires!(root, runtime, busybox_image);
    let hunt = Hunt::begin(|bundle| bundle);
    let path = format!("/proc/{}/ns/pid", hunt.bundle.pid());
    let victim = Bundle::busybox().without_namespace("pid").namespace(json!({ "type": "pid", "path": path }));
    (0..60).for_each(|_| succeeds(victim.run_call(&[])));
    assert_eq!(hunt.end(60), json!([]));
    victim.assert_gone();
}

/// The same in a user namespace, in which the hostile container's root may trace everything but what is hidden.
#[test]
fn cve_2016_9962_nor_in_a_user_namespace_with_the_right_to_trace() {
    requires!(root, runtime, busybox_image, user_namespaces);
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let prepared = |bundle: Bundle| {
        bundle.without_mount("/sys/fs/cgroup").without_namespace("cgroup").edit(|config| {
            config["linux"]["sysctl"] = json!({});
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_PTRACE"));
            }
        })
    };
    let hunt = Hunt::begin(|bundle| {
        prepared(bundle).namespace(json!({ "type": "user" })).edit(|config| {
            config["linux"]["uidMappings"] = map.clone();
            config["linux"]["gidMappings"] = map;
        })
    });
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", hunt.bundle.pid());
    let victim = prepared(Bundle::busybox()).without_namespace("pid");
    let victim = victim
        .namespace(json!({ "type": "pid", "path": path("pid") }))
        .namespace(json!({ "type": "user", "path": path("user") }));
    for _ in 0..40 {
        succeeds(victim.run_call(&[]));
        succeeds(hunt.bundle.exec_call(&[], &["/bin/true"]));
    }
    assert_eq!(hunt.end(80), json!([]));
    victim.assert_gone();
}

/// runc 1.0.0-rc93 to 1.1.11: descriptors of the host were open in the payload. Only those asked for are, also where the
/// caller has many open itself.
#[test]
fn cve_2024_21626_the_payload_has_only_the_descriptors_that_were_asked_for() {
    requires!(root, runtime, busybox_image);
    let numbers = |found: &Value| -> Vec<u32> {
        let mut numbers: Vec<u32> =
            found.as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    };
    let open = (3..=63).map(|number| format!("exec {number}</etc")).collect::<Vec<_>>().join("; ");
    let bundle = Bundle::busybox().with_inside().args(&["/inside", "fds"]);
    bundle.write();
    let other = sleeping();
    let folder = bundle.folder().to_str().unwrap();
    for (prelude, kept, preserved) in [("true", "0", vec![]), (&open, "0", vec![]), (&open, "3", vec![3, 4, 5])] {
        let wanted: Vec<u32> = [0, 1, 2].into_iter().chain(preserved).collect();
        let options = ["run", "--preserve-fds", kept, "--bundle", folder, bundle.id()];
        assert_eq!(numbers(&bundle.call_after(prelude, &options).run().ok().json()), wanted, "run, {kept}");
        let options = ["exec", "--preserve-fds", kept, other.id(), "/inside", "fds"];
        assert_eq!(numbers(&other.call_after(prelude, &options).run().ok().json()), wanted, "exec, {kept}");
    }
}

/// The environment of whoever started the runtime is not the container's.
#[test]
fn the_environment_of_the_caller_stays_outside() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().with_inside().args(&["/inside", "env"]);
    let bundle = bundle.edit(|config| config["process"]["env"] = json!(["PATH=/bin", "HOME=/x", "A=1", "A=2"]));
    let mut seen = bundle.run_call(&[]).env("SECRET", "s").env("LD_PRELOAD", "/no/such").run().ok().json();
    seen.as_array_mut().unwrap().sort_by_key(Value::to_string);
    assert_eq!(seen, json!([["A", "2"], ["HOME", "/x"], ["PATH", "/bin"]]));
    let other = sleeping();
    let seen = other.exec_call(&[], &["/inside", "env"]).env("SECRET", "s").run().ok().stdout;
    assert!(!seen.contains("SECRET") && !seen.contains("STOCKADE"), "{seen}");
}

/// A script at `path` whose interpreter is the program that executes it.
fn trap(path: &Path, interpreter: &str) {
    std::fs::write(path, format!("#!{interpreter}\n")).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// runc, LXC; again in RHEL's rebuild (CVE-2020-14298): the host's runtime was overwritten through `/proc/self/exe`. Tried is the
/// program that was built, at its own path.
#[test]
fn cve_2019_5736_and_2020_14298_the_runtime_cannot_be_overwritten() {
    requires!(root, runtime, busybox_image);
    let before = std::fs::read(programs::runtime()).unwrap();
    let watch = "while :; do for p in /proc/[0-9]*/exe /proc/[0-9]*/map_files/*; do /inside write-exe $p; done; done \
                 2>/dev/null | grep -F '\"open\":true' > /tmp/found";
    let bundle = Bundle::busybox().with_inside().sh(watch);
    trap(&bundle.rootfs().join("bin/trap"), "/proc/self/exe");
    std::os::unix::fs::symlink("/proc/self/exe", bundle.rootfs().join("bin/self")).unwrap();
    trap(&bundle.rootfs().join("bin/twice"), "/bin/self");
    let bundle = bundle.detached();
    for _ in 0..10 {
        for program in ["/bin/trap", "/bin/self", "/bin/twice", "/proc/self/exe", "/proc/1/exe"] {
            // Whatever it answers: the attack is the point.
            bundle.exec_call(&[], &[program, "--version"]).limit(Duration::from_secs(20)).run().either_way();
        }
    }
    assert!(std::fs::read(programs::runtime()).unwrap() == before, "the runtime changed");
    let found = std::fs::read_to_string(bundle.rootfs().join("tmp/found")).unwrap();
    assert_eq!(found, "", "a program was open for writing");
}

/// The same as the container's first program: it then is the runtime, and tries to write to its own file.
#[test]
fn cve_2019_5736_nor_by_an_entrypoint_that_is_the_runtime() {
    requires!(root, runtime, busybox_image);
    let before = std::fs::read(programs::runtime()).unwrap();
    for program in ["/bin/trap", "/bin/self", "/proc/self/exe"] {
        let bundle = Bundle::busybox().args(&[program, "--version"]);
        trap(&bundle.rootfs().join("bin/trap"), "/proc/self/exe");
        std::os::unix::fs::symlink("/proc/self/exe", bundle.rootfs().join("bin/self")).unwrap();
        bundle.run().either_way();
        bundle.assert_gone();
    }
    assert!(std::fs::read(programs::runtime()).unwrap() == before, "the runtime changed");
}

/// containerd-shim's, krun's and others' weakness: the runtime's own process is still there, and writable, as the parent.
#[test]
fn cve_2019_5736_the_waiting_runtime_is_out_of_reach() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().with_inside().sh("ls -d /proc/[0-9]*; cat /proc/1/comm; readlink /proc/1/exe");
    let text = bundle.run().ok().stdout;
    assert!(text.starts_with("/proc/1\n") && text.ends_with("sh\n/bin/busybox\n"), "{text}");
}
