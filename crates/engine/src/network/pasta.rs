//! The network of an ordinary user's container: `pasta(1)`, a process that passes on what the container sends and what comes for published
//! ports, as the user's own sockets on the host. Nothing of the host's network changes for it.
//!
//! It is started between the runtime's `create` and `start`, when the network namespace is there and nothing runs in it, and ended by
//! whoever finds that the container is not running any more, first of all by what its monitor has done then ([`crate::finish`]).
//! The container has the address of the host in its namespace, so the host cannot be reached by that, and not by the gateway's either
//! (`--no-map-gw`); nor is any port of the host's loopback in the container (`-T none -U none`).

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use stockade_network::model::{Protocol, PublishedPort};

use super::names::{ResolvConf, hosts};
use super::wanted::{FILE, Wanted};
use super::{NetworksError, attach, ports};
use crate::Engine;
use crate::container::{ContainerError, Folder};
use crate::files::FileError;
use crate::machine::MachineError;

/// The name that `--network` has for it.
pub(crate) const NAME: &str = "pasta";
/// In the container's folder: the id of the process.
const PID: &str = "pasta.pid";
/// In the container's folder, while the process is started: its network namespace.
const NAMESPACE: &str = "network-namespace";
/// What it makes the container's interface with.
const TUN: &str = "/dev/net/tun";
/// Where the program may be: folders that only root can write, whatever PATH says.
const FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin"];
/// Where the container asks for names: what goes there is put to the host's name server (link-local, RFC 3927, so nobody's).
const NAMES: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// How long the process is waited for, at the beginning and at the end.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// Why a container has no network.
#[derive(Debug, thiserror::Error)]
pub enum PastaError {
    /// There is no such program.
    #[error(
        "pasta is not in {}: containers of users other than root need it for a network (on Debian: apt install passt); without it, use \
         --network none or --network host",
        FOLDERS.join(", ")
    )]
    Missing,
    /// A program that others could have put there.
    #[error("{} is not trusted: its owner is not root, or others can write it", .0.display())]
    Untrusted(PathBuf),
    /// The device by which the kernel hands packets over.
    #[error(
        "pasta cannot open {TUN}, which is usually everybody's to open: sudo chmod 666 {TUN} (modprobe tun where it is missing); without \
         it, use --network none or --network host"
    )]
    NoTun(#[source] io::Error),
    /// It did not run, or could not be ended.
    #[error("cannot {action} {}", program.display())]
    Process {
        /// What was attempted.
        action: &'static str,
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended at once.
    #[error("pasta does not connect the container: {0}")]
    Refused(String),
    /// A port that is for root.
    #[error(
        "cannot publish port {port}: ports below {first} of the host are root's (sysctl net.ipv4.ip_unprivileged_port_start); publish \
         another one"
    )]
    Privileged {
        /// The port.
        port: u16,
        /// The first that is not.
        first: u16,
    },
}

/// Refuses what only root can have of networks.
///
/// # Errors
/// [`NetworksError::Refused`], with the way out, where this engine is an ordinary user's.
pub(super) fn refuse_others(name: &str) -> Result<(), NetworksError> {
    if !crate::rootless::is_here().map_err(MachineError::user_namespace)? {
        return Ok(());
    }
    let text = format!(
        "network {name}: networks with bridges are for root to make; use --network {NAME}, which is the default, none or host, or run \
         it as root"
    );
    Err(NetworksError::Refused(text))
}

impl Engine {
    /// Gives the container whose first process is `pid` its network. The folder is locked, or the caller is its monitor's.
    pub(super) fn attach_pasta(&self, folder: &Folder, wanted: &Wanted, pid: i32) -> Result<(), NetworksError> {
        end(&folder.path)?;
        let first = first_port()?;
        let asked = wanted.ports.iter().filter_map(|port| port.host_ports);
        if let Some((port, _)) = asked.into_iter().find(|(port, _)| *port < first) {
            return Err(PastaError::Privileged { port, first }.into());
        }
        let published = ports::choose(&wanted.ports, None, &wanted.published, &[], str::to_owned)?;
        folder.write(FILE, &Wanted { published: published.clone(), ..wanted.clone() })?;
        let added = super::added(&wanted.hosts, None)?;
        attach::overwrite(folder, "hosts", &hosts(&added, &[IpAddr::V4(Ipv4Addr::LOCALHOST)], &wanted.hostname))?;
        let mut servers = ResolvConf::of_host().with(&wanted.names);
        if wanted.names.servers.is_empty() {
            servers.servers = vec![NAMES.into()];
        }
        attach::overwrite(folder, "resolv.conf", &servers.text())?;
        Ok(start(&folder.path, pid, &published)?)
    }
}

/// The first port that an ordinary user may have.
fn first_port() -> Result<u16, NetworksError> {
    let path = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let text = std::fs::read_to_string(path).map_err(FileError::at("read", path)).map_err(ContainerError::from)?;
    // One past the last port is all that does not fit.
    Ok(text.trim().parse().unwrap_or(u16::MAX))
}

/// What it is started with.
fn arguments(folder: &Path, published: &[PublishedPort]) -> Vec<String> {
    let fixed = ["--config-net", "--quiet", "--no-map-gw", "--no-netns-quit", "-T", "none", "-U", "none"];
    let mut all: Vec<String> = fixed.map(str::to_owned).to_vec();
    all.extend(["--dns-forward".to_owned(), NAMES.to_string()]);
    for (flag, protocol) in [("-t", Protocol::Tcp), ("-u", Protocol::Udp)] {
        let before = all.len();
        for port in published.iter().filter(|port| port.protocol == protocol) {
            let address = port.host.map(|host| format!("{host}/")).unwrap_or_default();
            all.extend([flag.to_owned(), format!("{address}{}:{}", port.host_port, port.container_port)]);
        }
        if all.len() == before {
            all.extend([flag, "none"].map(str::to_owned));
        }
    }
    for (flag, name) in [("--netns", NAMESPACE), ("--pid", PID)] {
        all.extend([flag.to_owned(), folder.join(name).to_string_lossy().into_owned()]);
    }
    all
}

/// Starts it; returns when it is connected, for then it goes on in the background.
fn start(folder: &Path, pid: i32, published: &[PublishedPort]) -> Result<(), PastaError> {
    if let Some(port) = published.iter().find(|port| port.protocol == Protocol::Sctp) {
        return Err(PastaError::Refused(format!(
            "it knows tcp and udp only, and port {} is sctp",
            port.container_port
        )));
    }
    let program = find()?;
    rustix::fs::open(TUN, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| PastaError::NoTun(errno.into()))?;
    let failed = |action| {
        let program = program.clone();
        move |source| PastaError::Process { action, program, source }
    };
    // It gives its rights up before it opens the namespace, and could not by the path in /proc.
    show(folder, pid).map_err(failed("show the network namespace to"))?;
    let mut command = Command::new(&program);
    command.args(arguments(folder, published)).env_clear().current_dir("/");
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    hide(folder).map_err(failed("take the network namespace back from"))?;
    let output = output.map_err(failed("run"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        return Err(PastaError::Refused(said.join("; ").escape_debug().to_string()));
    }
    let deadline = Instant::now() + PATIENCE;
    while process(folder, &program)?.is_none() {
        if Instant::now() >= deadline {
            return Err(PastaError::Refused("it does not say which process it is".to_owned()));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Mounts the network namespace of the process on a file in the container's folder, in the mount namespace of the caller, which is
/// nobody else's but perhaps the monitor's.
fn show(folder: &Path, pid: i32) -> io::Result<()> {
    let path = folder.join(NAMESPACE);
    std::fs::File::create(&path)?;
    Ok(rustix::mount::mount_bind(format!("/proc/{pid}/ns/net"), &path)?)
}

/// Takes it away again.
fn hide(folder: &Path) -> io::Result<()> {
    let path = folder.join(NAMESPACE);
    rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    std::fs::remove_file(path)
}

/// The program, as root put it there. In a namespace root of the host has no id of its own.
fn find() -> Result<PathBuf, PastaError> {
    let path = FOLDERS.iter().map(|folder| Path::new(folder).join(NAME)).find(|path| path.exists());
    let path = path.ok_or(PastaError::Missing)?;
    let found = path.metadata();
    let found = found.map_err(|source| PastaError::Process { action: "look at", program: path.clone(), source })?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if !ours && found.mode() & 0o022 == 0 { Ok(path) } else { Err(PastaError::Untrusted(path)) }
}

/// The running process of the container in `folder`; `None` if there is none, or the number is another's by now.
fn process(folder: &Path, program: &Path) -> Result<Option<rustix::fd::OwnedFd>, PastaError> {
    let path = folder.join(PID);
    let failed = |source: io::Error| PastaError::Process { action: "find", program: program.to_owned(), source };
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(failed)?,
    };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return Ok(None) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(None),
        pidfd => pidfd.map_err(|errno| failed(errno.into()))?,
    };
    // Read when it is held: what has this number has it still.
    let words = match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
        words => words.map_err(failed)?,
    };
    let is_it = words.split(|byte| *byte == 0).any(|word| word == path.as_os_str().as_encoded_bytes());
    Ok(is_it.then_some(pidfd))
}

/// Ends the process of the container in `folder`, if there is one, and waits for its end.
pub(super) fn end(folder: &Path) -> Result<(), PastaError> {
    let program = Path::new(NAME);
    let failed = |source: io::Error| PastaError::Process { action: "end", program: program.to_owned(), source };
    if let Some(pidfd) = process(folder, program)? {
        match pidfd_send_signal(&pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        let limit = rustix::time::Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let mut wait = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        let ended = rustix::io::retry_on_intr(|| rustix::event::poll(&mut wait, Some(&limit)));
        if ended.map_err(|errno| failed(errno.into()))? == 0 {
            return Err(failed(Errno::TIMEDOUT.into()));
        }
    }
    match std::fs::remove_file(folder.join(PID)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_published_is_passed_on() {
        let port = |host: Option<&str>, host_port, protocol| PublishedPort {
            host: host.map(|host| host.parse().unwrap()),
            host_port,
            container_port: 80,
            protocol,
        };
        let line = |ports: &[PublishedPort]| arguments(Path::new("/c"), ports).join(" ");
        let none = line(&[]);
        assert!(none.contains("-T none -U none") && none.contains("-t none -u none"), "{none}");
        assert!(
            none.contains("--no-map-gw") && none.ends_with("--netns /c/network-namespace --pid /c/pasta.pid"),
            "{none}"
        );
        let some = line(&[port(Some("127.0.0.1"), 8080, Protocol::Tcp), port(None, 5353, Protocol::Udp)]);
        assert!(some.contains("-t 127.0.0.1/8080:80 -u 5353:80 --netns"), "{some}");
    }

    #[test]
    fn nothing_is_ended_where_nothing_runs() {
        let folder = tempfile::tempdir().unwrap();
        end(folder.path()).unwrap();
        // This process has another command line.
        std::fs::write(folder.path().join(PID), std::process::id().to_string()).unwrap();
        end(folder.path()).unwrap();
        assert!(!folder.path().join(PID).exists());
    }
}
