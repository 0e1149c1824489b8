//! containerd with its own shim (`io.containerd.runc.v2`), driven by its own client, `ctr`.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use stockade_testkit::{Call, Finished, Running, cgroup, eventually, programs, requires};

use crate::cell::{Cell, PATIENCE};

const IMAGE: &str = "docker.io/library/busybox:latest";

/// A running containerd with the image.
struct Containerd {
    cell: Cell,
    address: String,
    /// Ends with the cell.
    daemon: Option<Running>,
}

static CONTAINERD: LazyLock<Containerd> = LazyLock::new(Containerd::start);

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Containerd {
    fn start() -> Self {
        let cell = Cell::start("containerd");
        let within = |name: &str| cell.folder().join(name).to_str().expect("a path of a test is UTF-8").to_owned();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            within("data"),
            within("state"),
            within("containerd.sock"),
        );
        std::fs::write(cell.folder().join("config.toml"), config).expect("a file can be written");
        let daemon = cell.call("containerd").args(["--config", &within("config.toml")]).start();
        let mut containerd = Self { address: within("containerd.sock"), cell, daemon: None };
        eventually("containerd to answer", PATIENCE, || containerd.ctr(&["version"]).run().code() == 0);
        containerd.daemon = Some(daemon);
        let archive = programs::images().join("busybox/docker.tar");
        containerd.ctr(&["images", "import", archive.to_str().expect("a path of a test is UTF-8")]).run().ok();
        containerd
    }

    fn ctr(&self, arguments: &[&str]) -> Call {
        self.cell.call("ctr").args(["--address", &self.address]).args(arguments)
    }

    /// A container that is not there yet.
    fn container(&self) -> Container<'_> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Container { containerd: self, id: format!("test-{}-{number}", std::process::id()) }
    }
}

/// A container that a test names. Dropping it removes it and asserts that nothing of it is left.
struct Container<'a> {
    containerd: &'a Containerd,
    id: String,
}

impl Container<'_> {
    fn group(&self) -> String {
        format!("{}/{}", self.containerd.cell.group(), self.id)
    }

    fn words(&self, options: &[&str], command: &[&str]) -> Vec<String> {
        let (runtime, group) = (programs::runtime(), self.group());
        let fixed = [
            "run",
            "--runtime",
            "io.containerd.runc.v2",
            "--runc-binary",
            runtime.to_str().unwrap(),
            "--cgroup",
            &group,
        ];
        let named = [IMAGE, self.id.as_str()];
        let words = fixed.iter().chain(options).chain(&named).chain(command);
        words.map(|word| (*word).to_owned()).collect()
    }

    /// `run` of `script` to its end; the container stays.
    fn run(&self, options: &[&str], command: &[&str]) -> Finished {
        self.containerd.ctr(&[]).args(self.words(options, command)).run()
    }

    #[track_caller]
    fn detached(self, options: &[&str], script: &str) -> Self {
        let options = [&["--detach"], options].concat();
        self.run(&options, &["sh", "-c", script]).ok();
        self
    }

    /// `tasks VERB OPTIONS ID`.
    fn task(&self, verb: &str, options: &[&str]) -> Finished {
        let words = [&["tasks", verb], options, &[self.id.as_str()]].concat();
        self.containerd.ctr(&words).run()
    }

    fn exec(&self, options: &[&str], command: &[&str]) -> Finished {
        let name = format!("exec-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let words = [&["tasks", "exec", "--exec-id", &name], options, &[self.id.as_str()], command].concat();
        self.containerd.ctr(&words).run()
    }

    /// As `tasks ls` says it; empty if there is none.
    fn status(&self) -> String {
        let list = self.containerd.ctr(&["tasks", "ls"]).run().ok().stdout;
        let mut lines = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.find(|words| words.first() == Some(&self.id.as_str())).map_or(String::new(), |words| words[2].to_owned())
    }

    #[track_caller]
    fn until(&self, status: &str) {
        eventually(&format!("the task to be {status:?}"), PATIENCE, || self.status() == status);
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let removed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let task = self.task("delete", &["--force"]);
            (task, self.containerd.ctr(&["containers", "delete", &self.id]).run())
        }));
        let found = self.containerd.cell.leftovers(&self.id);
        if found.is_empty() {
            return;
        }
        let log = self.containerd.daemon.as_ref().map(Running::stderr_so_far).unwrap_or_default();
        let text = format!("left behind after {removed:?}: {found:#?}\n{log}");
        if std::thread::panicking() { eprintln!("{text}") } else { panic!("{text}") }
    }
}

#[test]
fn output_and_exit_codes() {
    requires!(root, runtime, busybox_packed, containerd, ctr, nsenter);
    let container = CONTAINERD.container();
    let done = container.run(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 7"]).exits(7);
    assert_eq!((done.stdout.as_str(), done.stderr.lines().next()), ("out\n", Some("err")));
    let container = CONTAINERD.container();
    container.run(&["--rm"], &["nosuch"]).refuses(&["executable file not found in $PATH"]);
    CONTAINERD.cell.assert_gone(&container.id);
    let container = CONTAINERD.container();
    container.run(&["--rm"], &["/etc/passwd"]).refuses(&["permission denied"]);
}

#[test]
fn a_terminal() {
    requires!(root, runtime, busybox_packed, containerd, ctr, nsenter, script);
    let container = CONTAINERD.container();
    let client = ["ctr".to_owned(), "--address".to_owned(), CONTAINERD.address.clone()];
    let words = container.words(&["--rm", "--tty"], &["sh", "-c", "tty; exit 5"]);
    let done = CONTAINERD.cell.call_on_terminal(&[&client[..], &words].concat()).run().exits(5);
    assert!(done.stdout.contains("/dev/pts/0"), "{done:?}");
    let container = CONTAINERD.container().detached(&[], "exec sleep 1000");
    let words = ["tasks", "exec", "--tty", "--exec-id", "terminal", &container.id, "tty"].map(str::to_owned);
    let done = CONTAINERD.cell.call_on_terminal(&[&client[..], &words].concat()).run();
    assert!(done.stdout.contains("/dev/pts/0"), "{done:?}");
}

#[test]
fn exec() {
    requires!(root, runtime, busybox_packed, containerd, ctr, nsenter);
    let container = CONTAINERD.container().detached(&[], "exec sleep 1000");
    assert_eq!(
        container.exec(&["--cwd", "/tmp", "--user", "1000"], &["sh", "-c", "pwd; id -u"]).ok().stdout,
        "/tmp\n1000\n"
    );
    container.exec(&[], &["sh", "-c", "exit 4"]).exits(4);
    container.exec(&[], &["nosuch"]).refuses(&["executable file not found in $PATH"]);
    container.exec(&["--detach"], &["sleep", "500"]).ok();
    let listed = || container.task("ps", &[]).ok().stdout.lines().count() - 1;
    eventually("the second process to be listed", PATIENCE, || listed() == 2);
    container.task("kill", &["--signal", "SIGKILL", "--all"]).ok();
    container.until("STOPPED");
}

#[test]
fn life() {
    requires!(root, runtime, busybox_packed, containerd, ctr, nsenter);
    let container = CONTAINERD.container();
    let container = container.detached(&[], "trap 'exit 5' TERM; touch /ready; while :; do sleep 0.05; done");
    container.until("RUNNING");
    eventually("the trap to be set", PATIENCE, || container.exec(&[], &["test", "-e", "/ready"]).code() == 0);
    container.task("delete", &[]).refuses(&["must be stopped"]);
    container.task("pause", &[]).ok();
    container.until("PAUSED");
    container.exec(&[], &["true"]).refuses(&["paused"]);
    container.task("resume", &[]).ok();
    container.until("RUNNING");
    container.task("kill", &[]).ok();
    container.until("STOPPED");
    container.task("kill", &[]).refuses(&["already finished", "not found"]);
    let done = container.task("delete", &[]).ok();
    assert!(done.stderr.contains("exit code 5"), "{done:?}");
    container.until("");
}

#[test]
fn limits_and_metrics() {
    requires!(root, runtime, busybox_packed, containerd, ctr, nsenter, cgroup_v1);
    let container = CONTAINERD.container().detached(&["--memory-limit", "33554432"], "exec sleep 1000");
    assert_eq!(cgroup::read("memory", &container.group(), "memory.limit_in_bytes"), "33554432");
    let metrics = container.task("metrics", &[]).ok().stdout;
    assert!(metrics.contains("memory.limit_in_bytes") && metrics.contains("33554432"), "{metrics}");
}

/// One shim serves all containers of a pod, and works in the folder of the first.
#[test]
fn each_of_several_containers_of_a_shim_is_held_against_its_own_configuration() {
    requires!(root, runtime, stockade, busybox_packed, containerd, ctr, nsenter);
    let options = ["--annotation", "io.containerd.runc.v2.group=pod"];
    let pod = [&options[..], &[&options[..], &["--read-only"]].concat(), &options]
        .map(|options| CONTAINERD.container().detached(options, "exec sleep 1000"));
    let list = CONTAINERD.ctr(&["tasks", "ls"]).run().ok().stdout;
    let mut shims = std::collections::BTreeSet::new();
    for container in &pod {
        let line = list.lines().find(|line| line.starts_with(&container.id)).expect("the task is listed");
        let pid = line.split_whitespace().nth(1).expect("a task has a process");
        let parent = CONTAINERD.cell.call("ps").args(["-o", "ppid=", "-p", pid]).run().ok().out().to_owned();
        shims.insert(parent);
        let program = programs::built("stockade");
        let words = ["audit", "--format", "json", &format!("pid:{pid}")];
        let report = CONTAINERD.cell.call(program.to_str().unwrap()).args(words).run().json()[0].clone();
        let asked = report["askedBy"].as_str().unwrap_or_default();
        assert!(asked.ends_with(&format!("/{}/config.json", container.id)), "{}: {asked:?}", container.id);
    }
    assert_eq!(shims.len(), 1, "one shim is to serve them all: {shims:?}");
    // The shim has the name of the first, and stays as long as any is there.
    pod.into_iter().rev().for_each(drop);
}

#[test]
fn running_out_of_memory_is_an_event() {
    requires!(root, runtime, busybox_packed, containerd, ctr, nsenter);
    let events = CONTAINERD.ctr(&["events"]).limit(PATIENCE).start();
    let container = CONTAINERD.container();
    container.run(&["--memory-limit", "16777216"], &["sh", "-c", "x=a; while :; do x=$x$x; done"]).exits(137);
    let ours = |line: &str| line.contains("/tasks/oom") && line.contains(&container.id);
    eventually("the event", PATIENCE, || events.stdout_so_far().lines().any(ours));
    events.signal(rustix::process::Signal::KILL);
    events.wait().exits(137);
}

#[test]
fn a_killed_shim_leaves_nothing() {
    requires!(root, runtime, busybox_packed, containerd, ctr, nsenter);
    let container = CONTAINERD.container().detached(&[], "sleep 1001 & exec sleep 1002");
    let pattern = format!("containerd-shim-runc-v2.*-id {}", container.id);
    // In the cell's pid namespace there are only the cell's processes.
    CONTAINERD.cell.call("pkill").args(["-KILL", "-f", &pattern]).run().ok();
    // containerd lets another shim delete what is left, by the runtime's `delete --force`.
    eventually("the container's cgroup to go", PATIENCE, || cgroup::named(&container.id).is_empty());
}

#[test]
fn what_is_not_supported_is_refused() {
    requires!(root, stake, busybox_packed, containerd, ctr, nsenter);
    let container = CONTAINERD.container().detached(&[], "exec sleep 1000");
    container.task("checkpoint", &[]).refuses(&["not supported", "unknown flag"]);
    container.until("RUNNING");
    // `ctr` gives a path, and no `slice:prefix:name`.
    let container = CONTAINERD.container();
    let done = container.run(&["--runc-systemd-cgroup"], &["true"]);
    done.refuses(&["--systemd-cgroup"]);
    CONTAINERD.cell.assert_gone(&container.id);
}
