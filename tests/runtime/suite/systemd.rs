//! `--systemd-cgroup`: systemd makes the container's scope, and knows its limits; when the container is deleted it knows nothing of it.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;
use stockade_testkit::systemd::Systemd;
use stockade_testkit::{Bundle, eventually, programs, requires};

const PATIENCE: Duration = Duration::from_secs(60);

/// A systemd and the runtime beside it.
struct Place {
    systemd: Systemd,
    runtime: std::path::PathBuf,
}

impl Place {
    fn new() -> Self {
        let systemd = Systemd::boot();
        let runtime = systemd.door(&programs::runtime());
        Self { systemd, runtime }
    }

    /// A container that sleeps, whose scope is `stake-ID.scope` in `slice`.
    fn bundle(&self, slice: &str) -> Bundle {
        let bundle = Bundle::busybox().runtime(&self.runtime).args(&["/bin/sleep", "1000"]);
        let path = format!("{slice}:stake:{}", bundle.id());
        // Where v1 has the controllers the place has none, and no limits but those about devices.
        bundle.edit(|config| {
            config["linux"]["cgroupsPath"] = json!(path);
            config["linux"]["resources"] = json!({ "devices": config["linux"]["resources"]["devices"] });
        })
    }
}

/// `run --detach` by systemd.
#[track_caller]
fn run(bundle: &Bundle) {
    run_call(bundle).run().ok();
}

fn run_call(bundle: &Bundle) -> stockade_testkit::Call {
    bundle.write();
    let folder = bundle.folder().to_str().unwrap().to_owned();
    bundle.call(&["--systemd-cgroup", "run", "--detach", "--bundle", &folder, bundle.id()])
}

fn scope(bundle: &Bundle) -> String {
    format!("stake-{}.scope", bundle.id())
}

/// One for all tests: they have scopes of different names. It ends with the process.
static PLACE: LazyLock<Place> = LazyLock::new(Place::new);

#[test]
fn a_scope_comes_and_goes_with_its_container() {
    requires!(root, stake, busybox_image, systemd);
    let bundle = PLACE.bundle("machine-test.slice");
    run(&bundle);
    let unit = scope(&bundle);
    let group = format!("/machine.slice/machine-test.slice/{unit}");
    let says = |name: &str| PLACE.systemd.property(&unit, name);
    assert_eq!(says("ActiveState"), "active");
    assert_eq!(says("ControlGroup"), group);
    assert_eq!(says("Delegate"), "yes");
    // The process that held the scope open is gone.
    let inside = std::fs::read_to_string(PLACE.systemd.group(&group).join("cgroup.procs")).unwrap();
    assert_eq!(inside.lines().count(), 1, "{inside}");
    bundle.exec(&["/bin/true"]).ok();
    bundle.call(&["pause", bundle.id()]).run().ok();
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["resume", bundle.id()]).run().ok();
    bundle.delete_by_force().ok();
    assert!(!PLACE.systemd.knows(&unit));
    assert!(!PLACE.systemd.group(&group).exists());
    bundle.assert_gone();
}

#[test]
fn one_that_ends_by_itself_leaves_no_unit() {
    requires!(root, stake, busybox_image, systemd);
    let bundle = PLACE.bundle("system.slice").sh("exit 3");
    bundle.write();
    let folder = bundle.folder().to_str().unwrap().to_owned();
    bundle.call(&["--systemd-cgroup", "run", "--bundle", &folder, bundle.id()]).run().exits(3);
    assert!(!PLACE.systemd.knows(&scope(&bundle)));
    bundle.assert_gone();
}

#[test]
fn who_stops_the_scope_ends_the_container() {
    requires!(root, stake, busybox_image, systemd);
    let bundle = PLACE.bundle("system.slice").sh("trap 'exit 0' TERM; while :; do sleep 0.1; done");
    run(&bundle);
    PLACE.systemd.call("systemctl").args(["stop", &scope(&bundle)]).run().ok();
    bundle.until("stopped");
    bundle.delete().ok();
    assert!(!PLACE.systemd.knows(&scope(&bundle)));
}

#[test]
fn device_rules_survive_a_reload() {
    requires!(root, stake, busybox_image, systemd);
    let bundle = PLACE.bundle("system.slice");
    run(&bundle);
    // /dev/null is every container's, the kernel's log is nobody's; making the node is allowed to all.
    let script = "echo x >/dev/null && rm -f /tmp/k && mknod /tmp/k c 1 11 && ! cat /tmp/k";
    let tried = || bundle.exec(&["/bin/sh", "-c", script]).ok().refuses_in_output();
    tried();
    let unit = scope(&bundle);
    assert_eq!(PLACE.systemd.property(&unit, "DevicePolicy"), "strict");
    assert!(PLACE.systemd.property(&unit, "DeviceAllow").contains("/dev/char/1:3 rwm"));
    for _ in 0..2 {
        PLACE.systemd.call("systemctl").arg("daemon-reload").run().ok();
        tried();
    }
}

/// That the forbidden device was refused by the rules, and not missing.
trait Refused {
    fn refuses_in_output(self);
}

impl Refused for stockade_testkit::Finished {
    #[track_caller]
    fn refuses_in_output(self) {
        assert!(self.stderr.contains("Operation not permitted"), "{}", self.stderr);
    }
}

#[test]
fn another_container_with_the_name_of_a_scope_is_refused_and_the_first_lives() {
    requires!(root, stake, busybox_image, systemd);
    let first = PLACE.bundle("system.slice");
    run(&first);
    let path = first.cgroup().to_owned();
    let second = PLACE.bundle("system.slice").edit(|config| config["linux"]["cgroupsPath"] = json!(path));
    run_call(&second).run().exits(1).refuses(&["already"]);
    second.assert_gone();
    assert_eq!(first.status(), "running");
    first.exec(&["/bin/true"]).ok();
    assert_eq!(PLACE.systemd.property(&scope(&first), "ActiveState"), "active");
}

#[test]
fn what_cannot_be_a_scope_is_refused() {
    requires!(root, stake, busybox_image, systemd);
    for (path, word) in [
        ("/a/b", "slice:prefix:name"),
        ("system:stake:x", "no slice"),
        ("system.slice:stake:x.slice", "is a scope"),
        ("../x.slice:stake:x", "cgroup path"),
        ("system.slice:stake:a b", "a unit's name"),
    ] {
        let bundle = PLACE.bundle("").edit(|config| config["linux"]["cgroupsPath"] = json!(path));
        run_call(&bundle).run().exits(1).refuses(&[word]);
        bundle.assert_gone();
    }
}

#[test]
fn cve_2024_3154_annotations_give_a_few_properties_and_no_limits() {
    requires!(root, stake, busybox_image, systemd);
    let annotated = |name: &str, text: &str| {
        let key = format!("org.systemd.property.{name}");
        PLACE.bundle("system.slice").edit(|config| config["annotations"] = json!({ key: text }))
    };
    let bundle = annotated("TimeoutStopSec", "7");
    run(&bundle);
    assert_eq!(PLACE.systemd.property(&scope(&bundle), "TimeoutStopUSec"), "7s");
    for (name, text) in
        [("DevicePolicy", "'auto'"), ("MemoryMax", "uint64 5"), ("Slice", "'-.slice'"), ("ExecStart", "'x'")]
    {
        let bundle = annotated(name, text);
        run_call(&bundle).run().exits(1).refuses(&[name]);
        bundle.assert_gone();
    }
}

#[test]
fn a_runtime_that_is_killed_leaves_no_scope() {
    requires!(root, stake, busybox_image, systemd, strace);
    let bundle = PLACE.bundle("system.slice").sh("sleep 1000");
    bundle.write();
    let folder = bundle.folder().to_str().unwrap().to_owned();
    // Killed when the scope is there, and the container's process not yet: at the second clone3.
    let strace = PLACE.systemd.call("strace");
    let call = strace.args(["-qq", "-o", "/dev/null", "-e", "trace=clone3", "-e", "inject=clone3:signal=KILL:when=2"]);
    let call = call.arg(programs::runtime()).arg("--root").arg(bundle.state_folder());
    call.args(["--systemd-cgroup", "run", "--detach", "--bundle", &folder, bundle.id()]).run().either_way();
    eventually("the scope to go", PATIENCE, || !PLACE.systemd.knows(&scope(&bundle)));
    bundle.delete_by_force().ok();
    bundle.assert_gone();
}

#[test]
fn limits_are_felt_told_to_systemd_and_changed_in_both() {
    requires!(root, stake, busybox_image, systemd, cgroup_v2);
    let bundle = PLACE.bundle("system.slice").edit(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 67_108_864, "swap": 67_108_864 });
        config["linux"]["resources"]["cpu"] = json!({ "quota": 12_345, "period": 50_000, "shares": 512, "cpus": "0" });
        config["linux"]["resources"]["pids"] = json!({ "limit": 6 });
    });
    run(&bundle);
    let unit = scope(&bundle);
    let file = |name: &str| {
        let group = PLACE.systemd.group(&format!("/system.slice/{unit}"));
        std::fs::read_to_string(group.join(name)).unwrap().trim().to_owned()
    };
    let says = |name: &str| PLACE.systemd.property(&unit, name);
    assert_eq!((says("MemoryMax"), says("TasksMax"), says("AllowedCPUs")), ("67108864".into(), "6".into(), "0".into()));
    assert_eq!(file("memory.max"), "67108864");
    assert_eq!(file("cpu.max"), "12345 50000");
    let script = "for i in 1 2 3 4 5 6 7; do sleep 100 & done; wait";
    let running = bundle.exec_call(&[], &["/bin/sh", "-c", script]).limit(Duration::from_secs(300)).start();
    eventually("fork to fail", Duration::from_secs(60), || running.stderr_so_far().contains("fork"));
    let call = bundle.call(&[
        "update",
        "--memory",
        "33554432",
        "--memory-swap",
        "33554432",
        "--pids-limit",
        "50",
        bundle.id(),
    ]);
    call.run().ok();
    assert_eq!((says("MemoryMax"), says("TasksMax")), ("33554432".into(), "50".into()));
    bundle.call(&["update", "--cpu-quota", "20000", bundle.id()]).run().ok();
    PLACE.systemd.call("systemctl").arg("daemon-reload").run().ok();
    assert_eq!((file("memory.max"), file("pids.max")), ("33554432".into(), "50".into()));
    assert_eq!(file("cpu.max"), "20000 50000");
    bundle.delete_by_force().ok();
    running.wait().either_way();
}

#[test]
fn an_update_that_systemd_refuses_changes_nothing() {
    requires!(root, stake, busybox_image, systemd, cgroup_v2);
    let bundle =
        PLACE.bundle("system.slice").edit(|config| config["linux"]["resources"]["pids"] = json!({ "limit": 60 }));
    run(&bundle);
    // systemd does not know the unit any more: its name in the record is another.
    let record = bundle.state_folder().join(bundle.id()).join("state.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let mut changed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(changed["unit"]["name"], json!(scope(&bundle)));
    changed["unit"]["name"] = json!("not-there.scope");
    std::fs::write(&record, changed.to_string()).unwrap();
    bundle.call(&["update", "--pids-limit", "50", bundle.id()]).run().refuses(&["as before"]);
    let group = PLACE.systemd.group(&format!("/system.slice/{}", scope(&bundle)));
    assert_eq!(std::fs::read_to_string(group.join("pids.max")).unwrap().trim(), "60");
    std::fs::write(&record, text).unwrap();
}
