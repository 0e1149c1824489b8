//! One container with its monitor: what the engine would do.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, flock};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Signal;
use stockade_monitor::control::{self, Report};
use stockade_monitor::frame::{Frame, LONGEST};
use stockade_monitor::order::{JsonFile, Log, Order, RuntimeKind, Stdin};
use stockade_monitor::restart::RestartPolicy;
use stockade_monitor::state::{Phase, State};
use stockade_testkit::{Bundle, eventually, programs};

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A bundle and what its monitor is told.
pub(crate) struct Scene {
    pub(crate) bundle: Bundle,
    pub(crate) order: Order,
    /// Where the container's folder is, if not in the bundle's.
    pub(crate) far: Option<PathBuf>,
}

impl Scene {
    /// A container of `bundle` with open input that the first client ends, a log, and nothing to do at its end.
    pub(crate) fn new(bundle: Bundle) -> Self {
        let terminal = bundle.config()["process"]["terminal"] == true;
        let runtime = [programs::runtime(), "--root".into(), bundle.state_folder().to_owned()];
        let order = Order {
            id: bundle.id().to_owned(),
            runtime: runtime.map(|word| word.into_os_string().into_string().unwrap()).to_vec(),
            kind: if programs::runtime_is_ours() { RuntimeKind::Stake } else { RuntimeKind::Oci },
            bundle: bundle.folder().to_owned(),
            terminal,
            stdin: Stdin::UntilFirstClientEnds,
            log: Log::JsonFile(JsonFile::unlimited("log.json".into())),
            on_exit: Vec::new(),
            events: None,
            health: None,
            restart: RestartPolicy::No,
            before_restart: Vec::new(),
            on_restart: Vec::new(),
        };
        Self { bundle, order, far: None }
    }

    pub(crate) fn sh(script: &str) -> Self {
        Self::new(Bundle::busybox().sh(script))
    }

    pub(crate) fn terminal(script: &str) -> Self {
        Self::new(Bundle::busybox().sh(script).edit(|config| config["process"]["terminal"] = true.into()))
    }

    /// With a runtime of which that is known.
    pub(crate) fn kind(mut self, kind: RuntimeKind) -> Self {
        self.order.kind = kind;
        self
    }

    /// With another runtime than ours.
    pub(crate) fn runtime(mut self, words: &[&str]) -> Self {
        self.order.runtime = words.iter().copied().map(str::to_owned).collect();
        self.kind(RuntimeKind::Oci)
    }

    pub(crate) fn stdin(mut self, stdin: Stdin) -> Self {
        self.order.stdin = stdin;
        self
    }

    /// The container's folder; its name has the id, so that the kit finds a monitor that is left.
    pub(crate) fn folder(&self) -> PathBuf {
        self.far.as_deref().unwrap_or(self.bundle.folder()).join(self.bundle.id())
    }

    pub(crate) fn on_exit(mut self, script: &str) -> Self {
        self.order.on_exit = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        self
    }

    /// Starts the monitor.
    pub(crate) fn launch(self) -> Live {
        self.bundle.write();
        let folder = self.folder();
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(stockade_monitor::ORDER), serde_json::to_vec(&self.order).unwrap()).unwrap();
        let attach = packets();
        rustix::net::bind(&attach, &address(&folder).1).unwrap();
        rustix::net::listen(&attach, 16).unwrap();
        let pair =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let lock = std::fs::File::create(folder.join(stockade_monitor::LOCK)).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        // The standard streams are the way to hand descriptors on that other threads' children do not see. A descriptor that
        // the monitor must not keep comes along.
        let script = "exec 3<&0 4<&1 5<&2 0</dev/null 1>/dev/null 2>\"$1/stderr\" 9</etc/passwd; trap '' INT; exec \"$0\" \"$1\"";
        let child = Command::new("bash")
            .args(["-c", script, env!("CARGO_BIN_EXE_stockade-monitor")])
            .arg(&folder)
            .stdin(Stdio::from(attach))
            .stdout(Stdio::from(pair.1))
            .stderr(Stdio::from(lock))
            .spawn()
            .unwrap();
        limit(&pair.0);
        Live { scene: self, control: Some(pair.0), child, folder }
    }

    /// Starts the monitor, and the container too.
    pub(crate) fn run(self) -> Live {
        let mut live = self.launch();
        live.created();
        live.start();
        live
    }
}

/// The address of the socket for clients by way of the folder's descriptor, which is to live as long.
fn address(folder: &Path) -> (OwnedFd, SocketAddrUnix) {
    let folder = OwnedFd::from(std::fs::File::open(folder).unwrap());
    let path = format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), stockade_monitor::ATTACH);
    (folder, SocketAddrUnix::new(path).unwrap())
}

fn packets() -> OwnedFd {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

#[track_caller]
fn receive(socket: &OwnedFd, packet: &mut [u8]) -> usize {
    stockade_kernel::fdpass::receive(socket, packet).unwrap().0
}

fn limit(socket: &OwnedFd) {
    set_socket_timeout(socket, Timeout::Recv, Some(LIMIT)).unwrap();
    set_socket_timeout(socket, Timeout::Send, Some(LIMIT)).unwrap();
}

/// A scene whose monitor was started.
pub(crate) struct Live {
    pub(crate) scene: Scene,
    pub(crate) control: Option<OwnedFd>,
    pub(crate) child: Child,
    pub(crate) folder: PathBuf,
}

impl Live {
    /// What the monitor says; `None` if it has closed the connection.
    #[track_caller]
    pub(crate) fn hear(&self) -> Option<Report> {
        let mut packet = vec![0; control::LONGEST];
        let length = receive(self.control.as_ref().unwrap(), &mut packet);
        (length > 0).then(|| serde_json::from_slice(&packet[..length]).unwrap())
    }

    /// Waits until the container is there; its pid.
    #[track_caller]
    pub(crate) fn created(&self) -> i32 {
        let Some(Report::Created { pid }) = self.hear().inspect(|said| eprintln!("{said:?}")) else {
            panic!("not created")
        };
        assert_eq!(self.phase(), Phase::Created { pid });
        pid
    }

    /// Starts the container, and waits until it was started.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        self.say_start();
        assert_eq!(self.hear(), Some(Report::Started));
        assert_eq!(self.hear(), None);
        self.control = None;
    }

    pub(crate) fn say_start(&self) {
        self.say(control::Command::Start);
    }

    pub(crate) fn say(&self, command: control::Command) {
        let text = serde_json::to_vec(&command).unwrap();
        rustix::net::send(self.control.as_ref().unwrap(), &text, SendFlags::NOSIGNAL).unwrap();
    }

    pub(crate) fn state(&self) -> State {
        serde_json::from_slice(&std::fs::read(self.folder.join(stockade_monitor::STATE)).unwrap()).unwrap()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Whether nobody holds the monitor's lock.
    pub(crate) fn is_unlocked(&self) -> bool {
        let file = std::fs::File::open(self.folder.join(stockade_monitor::LOCK)).unwrap();
        flock(&file, FlockOperation::NonBlockingLockShared).is_ok()
    }

    pub(crate) fn attach(&self) -> Client {
        let socket = packets();
        limit(&socket);
        rustix::net::connect(&socket, &address(&self.folder).1).unwrap();
        Client(socket)
    }

    pub(crate) fn signal_monitor(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the monitor has ended; its exit code.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<i32> {
        eventually("the monitor to end", LIMIT, || self.child.try_wait().unwrap().is_some());
        self.child.try_wait().unwrap().unwrap().code()
    }

    /// Waits for the end; the recorded exit code. Nothing of the container may be left, and nothing may have gone wrong.
    #[track_caller]
    pub(crate) fn exited(&mut self) -> u8 {
        assert_eq!(self.end(), Some(0));
        assert_eq!(self.troubles(), "");
        let Phase::Exited { code, started, finished, .. } = self.phase() else { panic!("{:?}", self.phase()) };
        assert!(started <= finished, "{started} {finished}");
        self.scene.bundle.assert_gone();
        code
    }

    /// What the monitor noted.
    pub(crate) fn troubles(&self) -> String {
        self.text("monitor.log")
    }

    /// The file `name` of the container's folder; nothing if it is not there.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// What is in the log of `stream`.
    pub(crate) fn logged(&self, stream: &str) -> String {
        let lines = self.text("log.json");
        let parse = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect(line) };
        let lines = lines.lines().map(parse).filter(|line| line["stream"] == stream);
        lines.map(|line| line["log"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A failed test's monitor; one that has ended is not there to be killed.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        if std::thread::panicking() {
            for name in ["stderr", "monitor.log", "runtime.log", "state.json"] {
                eprintln!("--- {name}\n{}", self.text(name));
            }
        }
    }
}

/// What a client heard until the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) output: Vec<u8>,
    pub(crate) error: Vec<u8>,
    /// `None`: the connection ended without it.
    pub(crate) code: Option<u8>,
}

/// An attached client.
pub(crate) struct Client(pub(crate) OwnedFd);

impl Client {
    #[track_caller]
    pub(crate) fn send(&self, frame: &Frame<'_>) {
        self.send_raw(&frame.encode());
    }

    #[track_caller]
    pub(crate) fn send_raw(&self, packet: &[u8]) {
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&self.0, packet, SendFlags::NOSIGNAL));
        assert_eq!(sent, Ok(packet.len()));
    }

    /// Whether a packet is there, or the end of the connection.
    pub(crate) fn has_word(&self) -> bool {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        rustix::net::recv(&self.0, &mut byte[..], flags) != Err(rustix::io::Errno::AGAIN)
    }

    /// The next packet; `None` at the end of the connection.
    #[track_caller]
    pub(crate) fn next(&self) -> Option<Vec<u8>> {
        let mut packet = vec![0; LONGEST];
        let length = receive(&self.0, &mut packet);
        packet.truncate(length);
        (length > 0).then_some(packet)
    }

    /// Reads until `text` was written to standard output.
    #[track_caller]
    pub(crate) fn until(&self, text: &str) -> String {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let packet = self.next().unwrap_or_else(|| panic!("{:?} without {text:?}", String::from_utf8_lossy(&seen)));
            match Frame::decode(&packet).unwrap() {
                Frame::Output(bytes) => seen.extend_from_slice(bytes),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&seen)),
            }
        }
        String::from_utf8(seen).unwrap()
    }

    /// Everything to the end of the connection.
    #[track_caller]
    pub(crate) fn rest(&self) -> Heard {
        self.rest_slowly(|| {})
    }

    /// The same, with `pause` before each packet.
    #[track_caller]
    pub(crate) fn rest_slowly(&self, mut pause: impl FnMut()) -> Heard {
        let mut heard = Heard::default();
        loop {
            pause();
            let Some(packet) = self.next() else { return heard };
            assert_eq!(heard.code, None, "something follows the end");
            match Frame::decode(&packet).unwrap() {
                Frame::Output(bytes) => heard.output.extend_from_slice(bytes),
                Frame::ErrorOutput(bytes) => heard.error.extend_from_slice(bytes),
                Frame::Exited(code) => heard.code = Some(code),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The whole file.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
