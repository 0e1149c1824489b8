//! containerd as a kubelet uses it: pods by the Container Runtime Interface (`runtime/v1/api.proto`), with the runtime as a
//! handler of its own, registered as `docs/kubernetes.md` says, and a network by plugins.
//!
//! There is no client for it that could be had everywhere, so `curl` speaks gRPC: HTTP/2, one framed message each way, and the
//! outcome in the trailers.

mod message;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use stockade_testkit::{Call, Running, cgroup, eventually, programs, requires};

use crate::cell::{Cell, PATIENCE};
use message::{Answer, Message};

const IMAGE: &str = "docker.io/library/busybox:latest";

/// What keeps a pod's namespaces: the same image with a program that does not end.
const PAUSE: &str = "docker.io/library/pause";

/// Where Debian has the network plugins.
const PLUGINS: &str = "/usr/lib/cni";

/// A running containerd that offers the interface.
struct Node {
    cell: Cell,
    _daemon: Running,
}

static NODE: LazyLock<Node> = LazyLock::new(Node::start);

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Node {
    fn start() -> Self {
        let cell = Cell::start("cri");
        let folder = cell.folder().to_owned();
        std::fs::write(folder.join("config.toml"), configuration(&folder)).expect("a file can be written");
        std::fs::create_dir(folder.join("networks")).expect("a folder can be made");
        let bridge = json!({ "cniVersion": "0.4.0", "name": "pods", "plugins": [{ "type": "bridge", "bridge": "pods",
            "isGateway": true, "ipam": { "type": "host-local", "subnet": "10.88.0.0/16", "dataDir": folder.join("leases") } }] });
        std::fs::write(folder.join("networks/pods.conflist"), bridge.to_string()).expect("a file can be written");
        let daemon = cell.call("containerd").arg("--config").arg(folder.join("config.toml")).start();
        let node = Self { cell, _daemon: daemon };
        eventually("containerd to answer", PATIENCE, || node.ctr(&["version"]).run().code() == 0);
        node.ctr(&["images", "import"]).arg(programs::images().join("busybox/docker.tar")).run().ok();
        node.ctr(&["images", "import", "--base-name", PAUSE]).arg(pause_archive(&folder)).run().ok();
        // The plugin hears of new images.
        eventually("the images to be known", PATIENCE, || node.knows(IMAGE) && node.knows(&format!("{PAUSE}:pause")));
        node
    }

    fn ctr(&self, arguments: &[&str]) -> Call {
        let address = self.cell.folder().join("sock");
        self.cell.call("ctr").arg("--address").arg(address).args(["--namespace", "k8s.io"]).args(arguments)
    }

    fn knows(&self, image: &str) -> bool {
        let request = Message::default().message(1, &Message::default().text(1, image));
        self.call("ImageService/ImageStatus", &request).is_ok_and(|answer| !answer.message(1).text(1).is_empty())
    }

    /// Calls `method`; the error's message if it failed.
    fn call(&self, method: &str, request: &Message) -> Result<Answer, String> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.cell.folder().join(format!("{name}-{number}"));
        std::fs::write(file("request"), request.framed()).expect("a file can be written");
        let curl = Call::new("curl").args(["--silent", "--show-error", "--http2-prior-knowledge", "--unix-socket"]);
        let curl = curl.arg(self.cell.folder().join("sock")).args(["-H", "content-type: application/grpc"]);
        let curl = curl.args(["-H", "te: trailers", "--data-binary"]).arg(format!("@{}", file("request").display()));
        let curl = curl.arg("--dump-header").arg(file("headers")).arg("--output").arg(file("answer"));
        curl.arg(format!("http://localhost/runtime.v1.{method}")).run().ok();
        let headers = std::fs::read_to_string(file("headers")).expect("there are headers");
        if headers.lines().any(|line| line.trim() == "grpc-status: 0") {
            return Ok(Answer::framed(&std::fs::read(file("answer")).unwrap_or_default()));
        }
        Err(headers)
    }

    /// Calls `method` of the runtime's service.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    fn runtime(&self, method: &str, request: &Message) -> Answer {
        let answer = self.call(&format!("RuntimeService/{method}"), request);
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn pod(&self) -> Pod<'_> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pod-{number}");
        let metadata = Message::default().text(1, &name).text(2, &format!("uid-{number}")).text(3, "default");
        let group = format!("{}/{name}", self.cell.group());
        let logs = self.cell.folder().join(&name);
        // Network and IPC are the pod's, process ids each container's own.
        let context = Message::default().message(1, &Message::default().number(2, 1));
        let linux = Message::default().text(1, &group).message(2, &context);
        let config = Message::default().message(1, &metadata).text(2, &name).text(3, logs.to_str().expect("UTF-8"));
        let config = config.message(8, &linux);
        let made = self.runtime("RunPodSandbox", &Message::default().message(1, &config).text(2, "stake"));
        Pod { node: self, id: made.text(1), config, group, logs }
    }
}

/// The page's section for containerd 1.x with the runtime under test, and what a cell needs.
fn configuration(folder: &Path) -> String {
    let runtime = programs::runtime();
    let page = crate::registration::block("toml", "version = 2");
    let page = page.replace(crate::registration::INSTALLED, runtime.to_str().expect("UTF-8"));
    // What the page says where systemd does not run.
    assert!(page.contains("SystemdCgroup = true"), "{page}");
    let page = page.replace("SystemdCgroup = true", "SystemdCgroup = false");
    let [root, state, socket, networks] =
        ["root", "state", "sock", "networks"].map(|name| format!("{:?}", folder.join(name)));
    // Without CAP_SYS_RESOURCE nobody's oom_score_adj can become less.
    format!(
        "root = {root}\nstate = {state}\n{page}\n[grpc]\naddress = {socket}\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"{PAUSE}:pause\"\nrestrict_oom_score_adj = true\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"{PLUGINS}\"\nconf_dir = {networks}\n"
    )
}

/// The image with another program, as an OCI archive.
fn pause_archive(folder: &Path) -> PathBuf {
    let (layout, archive) = (folder.join("pause"), folder.join("pause.tar"));
    Call::new("cp").arg("-r").arg(programs::images().join("busybox/oci")).arg(&layout).run().ok();
    let image = format!("{}:latest", layout.display());
    let program = ["--tag", "pause", "--config.cmd", "sleep", "--config.cmd", "100000"];
    Call::new("umoci").args(["config", "--image", &image]).args(program).run().ok();
    Call::new("tar").arg("-C").arg(&layout).arg("-cf").arg(&archive).arg(".").run().ok();
    archive
}

/// A pod. Dropping it removes it and asserts that nothing of it is left.
struct Pod<'a> {
    node: &'a Node,
    id: String,
    config: Message,
    group: String,
    logs: PathBuf,
}

impl Pod<'_> {
    /// Starts a container that runs `script` as user 1000 with `linux` resources.
    #[track_caller]
    fn container(&self, name: &str, script: &str, resources: &Message) -> String {
        // Default filter, no_new_privs, and no capability but one.
        let capabilities = Message::default().text(1, "NET_RAW").text(2, "ALL");
        let namespaces = Message::default().number(2, 1);
        let context = Message::default().message(1, &capabilities).message(3, &namespaces);
        let context =
            context.message(5, &Message::default().number(1, 1000)).number(11, 1).message(15, &Message::default());
        let context = context.texts(13, &["/proc/keys"]).texts(14, &["/proc/sys"]);
        let linux = Message::default().message(1, resources).message(2, &context);
        let image = Message::default().text(1, IMAGE);
        let config = Message::default().message(1, &Message::default().text(1, name)).message(2, &image);
        let config = config.texts(3, &["sh", "-c", script]).text(11, name).message(15, &linux);
        let request = Message::default().text(1, &self.id).message(2, &config).message(3, &self.config);
        let id = self.node.runtime("CreateContainer", &request).text(1);
        self.node.runtime("StartContainer", &Message::default().text(1, &id));
        id
    }

    /// Runs `script` in a container: its output and exit code.
    #[track_caller]
    fn exec(&self, container: &str, script: &str) -> (String, u64) {
        let request = Message::default().text(1, container).texts(2, &["sh", "-c", script]).number(3, 20);
        let answer = self.node.runtime("ExecSync", &request);
        (answer.text(1), answer.number(3))
    }

    /// State (1 runs, 2 ended) and exit code of a container.
    #[track_caller]
    fn status(&self, container: &str) -> (u64, u64) {
        let status = self.node.runtime("ContainerStatus", &Message::default().text(1, container)).message(1);
        (status.number(3), status.number(7))
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        let request = Message::default().text(1, &self.id);
        let stopped = self.node.call("RuntimeService/StopPodSandbox", &request);
        let removed = self.node.call("RuntimeService/RemovePodSandbox", &request);
        let found = self.node.cell.leftovers(&self.id);
        if found.is_empty() {
            return;
        }
        let text = format!("left behind after {stopped:?}, {removed:?}: {found:#?}");
        if std::thread::panicking() { eprintln!("{text}") } else { panic!("{text}") }
    }
}

#[test]
fn a_pod_lives_as_kubernetes_wants_it() {
    requires!(root, runtime, busybox_packed, containerd, ctr, umoci, curl, cni_plugins, nsenter, cgroup_v1);
    let pod = NODE.pod();
    let resources = Message::default().number(1, 100_000).number(2, 50_000).number(3, 512).number(4, 64 << 20);
    let script = "echo hello; trap 'exit 6' TERM; touch /tmp/ready; while :; do sleep 0.05; done";
    let container = pod.container("first", script, &resources);
    let group = format!("{}/{container}", pod.group);
    assert_eq!(cgroup::read("memory", &group, "memory.limit_in_bytes"), (64 << 20).to_string());
    assert_eq!(cgroup::read("cpu", &group, "cpu.cfs_quota_us"), "50000");
    let request = Message::default().text(1, &container).message(2, &Message::default().number(4, 96 << 20));
    NODE.runtime("UpdateContainerResources", &request);
    assert_eq!(cgroup::read("memory", &group, "memory.limit_in_bytes"), (96 << 20).to_string());
    eventually("the trap to be set", PATIENCE, || pod.exec(&container, "test -e /tmp/ready").1 == 0);
    NODE.runtime("StopContainer", &Message::default().text(1, &container).number(2, 20));
    assert_eq!(pod.status(&container), (2, 6));
    let log = std::fs::read_to_string(pod.logs.join("first")).unwrap();
    assert!(log.ends_with(" stdout F hello\n"), "{log}");
    NODE.runtime("RemoveContainer", &Message::default().text(1, &container));
    NODE.cell.assert_gone(&container);
}

#[test]
fn a_pods_containers_are_walled_and_share_its_network() {
    requires!(root, runtime, busybox_packed, containerd, ctr, umoci, curl, cni_plugins, nsenter);
    let pod = NODE.pod();
    let server = pod.container(
        "server",
        "mkdir /tmp/w; echo page > /tmp/w/index.html; httpd -f -p 8080 -h /tmp/w",
        &Message::default(),
    );
    let client = pod.container("client", "exec sleep 1000", &Message::default());
    let fetched = || pod.exec(&client, "wget -q -O- http://127.0.0.1:8080/");
    eventually("the server to answer", PATIENCE, || fetched() == ("page\n".to_owned(), 0));
    let links = "for kind in net ipc; do readlink /proc/self/ns/$kind; done; hostname; ip -4 addr show dev eth0 | grep -o 10.88";
    let (ours, code) = pod.exec(&client, links);
    assert_eq!((pod.exec(&server, links), code), ((ours.clone(), 0), 0));
    assert!(ours.contains("pod-") && ours.ends_with("10.88\n"), "{ours}");
    let walls = "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t '; exit 3";
    let expected = "1000\nCapEff:0000000000000000\nCapBnd:0000000000002000\nNoNewPrivs:1\nSeccomp:2\n";
    assert_eq!(pod.exec(&client, walls), (expected.to_owned(), 3));
    // Process ids are each container's own.
    assert_eq!(pod.exec(&client, "cat /proc/1/cmdline").0, "sleep\u{0}1000\u{0}");
}
