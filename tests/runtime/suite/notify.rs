//! System calls that an agent outside the container answers (`config-linux.md`, "listenerPath"; `seccomp_unotify(2)`).

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use stockade_kernel::seccomp::{Notification, Reply, id_valid, receive, reply};
use stockade_testkit::{Bundle, programs, requires};

/// `mkdir(2)` of x86_64, which busybox' mkdir calls.
const MKDIR: i32 = 83;

/// The seccomp agent of a test, listening on a socket.
struct Agent {
    _folder: tempfile::TempDir,
    path: PathBuf,
    listener: UnixListener,
}

impl Agent {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        Self { listener: UnixListener::bind(&path).unwrap(), path, _folder: folder }
    }

    /// What the next container's process says of itself, and the descriptor of its notifications.
    #[track_caller]
    fn accept(&self) -> (Value, OwnedFd) {
        wait_for(&self.listener, "a container to connect");
        let (socket, _) = self.listener.accept().unwrap();
        wait_for(&socket, "the state");
        let mut text = vec![0; 64 << 10];
        let (length, mut descriptors) = stockade_kernel::fdpass::receive(&socket, &mut text).unwrap();
        assert_eq!(descriptors.len(), 1);
        (serde_json::from_slice(&text[..length]).unwrap(), descriptors.remove(0))
    }
}

/// Waits until `file` can be read; nothing in a test waits for ever.
#[track_caller]
fn wait_for(file: impl AsFd, what: &str) {
    let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
    let mut fds = [PollFd::new(&file, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "waited 20 seconds for {what}");
}

/// The next call that waits for an answer.
#[track_caller]
fn next(notifications: &OwnedFd) -> Notification {
    wait_for(notifications, "a notification");
    receive(notifications).unwrap()
}

/// Allows everything, and asks the agent at `path` about `calls`.
fn asking(path: &Path, calls: &[&str]) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "listenerPath": path,
        "listenerMetadata": "the agent's own words",
        "syscalls": [{ "names": calls, "action": "SCMP_ACT_NOTIFY" }]
    })
}

fn asking_about_mkdir(agent: &Agent) -> Bundle {
    let section = asking(&agent.path, &["mkdir", "mkdirat"]);
    Bundle::busybox().edit(|config| config["linux"]["seccomp"] = section)
}

#[test]
fn an_agent_answers_the_calls_of_a_container() {
    requires!(root, runtime, busybox_image, x86_64);
    let agent = Agent::new();
    let bundle =
        asking_about_mkdir(&agent).sh("mkdir /refused; mkdir /pretended && echo done; mkdir /made; ls -d /*ed /made");
    let running = bundle.run_started();
    let (told, notifications) = agent.accept();
    assert_eq!(told["fds"], json!(["seccompFd"]));
    assert_eq!(told["metadata"], "the agent's own words");
    assert_eq!(
        told["state"]["id"].as_str(),
        bundle.config()["linux"]["cgroupsPath"].as_str().unwrap().strip_prefix('/')
    );
    assert_eq!(told["state"]["bundle"], json!(bundle.folder()));
    assert_eq!(told["state"]["pid"], told["pid"]);
    assert!(told["ociVersion"].is_string() && told["state"]["ociVersion"].is_string(), "{told}");
    let root = std::fs::read_link(format!("/proc/{}/root", told["pid"])).unwrap();
    assert_eq!(root, Path::new("/"), "the pid is the host's");
    for answer in [Reply::Errno(99), Reply::Value(0), Reply::Continue] {
        let asked = next(&notifications);
        assert_eq!(asked.number, MKDIR);
        assert!(id_valid(&notifications, asked.id).unwrap());
        reply(&notifications, asked.id, answer).unwrap();
    }
    let finished = running.wait();
    assert!(
        finished.stderr.contains("Cannot assign requested address") || finished.stderr.contains("Address not"),
        "{finished:?}"
    );
    assert_eq!(finished.out(), "done\n/made", "{finished:?}");
    bundle.assert_gone();
}

/// What `exec` adds gets a filter of its own, and its agent hears of the process and of the container.
#[test]
fn an_agent_hears_of_processes_that_are_added() {
    requires!(root, runtime, busybox_image, x86_64);
    let agent = Agent::new();
    let bundle = asking_about_mkdir(&agent).args(&["/bin/sleep", "1000"]).detached();
    let (of_first, first) = agent.accept();
    assert_eq!(of_first["pid"], json!(bundle.pid()));
    let added = bundle.exec_call(&[], &["/bin/mkdir", "/added"]).start();
    let (told, notifications) = agent.accept();
    assert_eq!(told["state"]["pid"], json!(bundle.pid()), "the container's");
    assert_ne!(told["pid"], told["state"]["pid"], "the added process'");
    assert_eq!(told["state"]["status"], "running");
    let asked = next(&notifications);
    assert_eq!(asked.number, MKDIR);
    assert_eq!(json!(asked.pid), told["pid"], "who asks is who was told of");
    reply(&notifications, asked.id, Reply::Errno(1)).unwrap();
    let finished = added.wait();
    assert!(finished.stderr.contains("Operation not permitted"), "{finished:?}");
    // The first process' notifications are its own.
    let mut fds = [PollFd::new(&first, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap(), 0);
}

/// The agent has gone: nobody can allow the call.
#[test]
fn without_its_agent_a_call_is_not_made() {
    requires!(root, runtime, busybox_image, x86_64);
    let agent = Agent::new();
    let bundle = asking_about_mkdir(&agent).sh("mkdir /x; ls -d /x");
    let running = bundle.run_started();
    drop(agent.accept());
    let finished = running.wait();
    assert!(finished.stderr.contains("Function not implemented"), "{finished:?}");
    assert!(finished.stderr.contains("No such file"), "{finished:?}");
}

/// The agent dies while the call waits for it.
#[test]
fn a_waiting_call_fails_when_its_agent_dies() {
    requires!(root, runtime, busybox_image, x86_64);
    let agent = Agent::new();
    let bundle = asking_about_mkdir(&agent).sh("mkdir /x; ls -d /x");
    let running = bundle.run_started();
    let (_, notifications) = agent.accept();
    assert_eq!(next(&notifications).number, MKDIR);
    drop(notifications);
    let finished = running.wait();
    assert!(finished.stderr.contains("Function not implemented"), "{finished:?}");
    assert!(finished.stderr.contains("No such file"), "{finished:?}");
}

#[test]
fn an_agent_that_is_not_there_is_an_error() {
    requires!(root, runtime, busybox_image, x86_64);
    let folder = tempfile::tempdir().unwrap();
    let refuses_connections = folder.path().join("dead.sock");
    drop(UnixListener::bind(&refuses_connections).unwrap());
    let too_long = folder.path().join("x".repeat(120));
    for path in [folder.path().join("missing.sock"), refuses_connections, too_long, folder.path().to_owned()] {
        let section = asking(&path, &["mkdir"]);
        let bundle = Bundle::busybox().edit(|config| config["linux"]["seccomp"] = section);
        bundle.run().refuses(&["agent", "listener"]);
        bundle.assert_gone();
    }
}

/// The runtime would wait for an agent that has no descriptor yet.
#[test]
fn calls_that_the_runtime_needs_are_not_asked_about() {
    requires!(root, stake, busybox_image, x86_64);
    let agent = Agent::new();
    for call in ["sendmsg", "execve", "pread64", "capset"] {
        let section = asking(&agent.path, &[call]);
        let bundle = Bundle::busybox().edit(|config| config["linux"]["seccomp"] = section);
        bundle.run().refuses(&[call]);
        bundle.assert_gone();
    }
    let conditional = |config: &mut Value| {
        config["linux"]["seccomp"] = asking(&agent.path, &["sendmsg"]);
        config["linux"]["seccomp"]["syscalls"][0]["args"] = json!([{ "index": 0, "value": 3, "op": "SCMP_CMP_EQ" }]);
    };
    let bundle = Bundle::busybox().edit(conditional);
    bundle.run().refuses(&["sendmsg"]);
    bundle.assert_gone();
}

#[test]
fn notifications_that_nobody_could_serve_are_refused() {
    requires!(root, runtime, busybox_image, x86_64);
    let agent = Agent::new();
    let sections = [
        (
            "listenerPath",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }] }),
        ),
        ("NOTIFY", json!({ "defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": agent.path })),
        ("listenerMetadata", json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m", "syscalls": [] })),
    ];
    for (word, section) in sections {
        if word == "listenerMetadata" && !programs::runtime_is_ours() {
            continue;
        }
        let bundle = Bundle::busybox().edit(|config| config["linux"]["seccomp"] = section);
        bundle.run().refuses(&[word, "listenerPath", "notify"]);
        bundle.assert_gone();
    }
}
