//! The name server of a container: started with its networks, and once more when these change.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use stockade_kernel::chain::chain;
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::{Strings, execute_with, exit_now};
use stockade_kernel::netlink;
use stockade_kernel::signal::reset_for_exec;
use stockade_network::firewall;
use stockade_network::model::Network;
use stockade_network::store::Networks;

use super::names::{INSIDE, PORT, ResolvConf};
use crate::Engine;
use crate::container::Folder;
use crate::files;
use crate::runtime::PATH;

/// The file that the name server holds locked, with its process id.
const LOCK: &str = "names.lock";
/// How long one that was killed, or whose container has ended, may take to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often its lock is tried.
const PAUSE: Duration = Duration::from_millis(2);

/// Why a container has no name server.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// A step failed.
    #[error("cannot {action} for the container's name server")]
    Step {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It does not serve.
    #[error("the container's name server did not start: {0}")]
    Refused(String),
    /// The network namespace or its rules.
    #[error(transparent)]
    Kernel(#[from] stockade_network::KernelError),
    /// The last one does not end.
    #[error("the container's last name server does not end")]
    DoesNotEnd,
}

fn doing<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> ResolverError {
    move |source| ResolverError::Step { action, source: source.into() }
}

/// Sockets in the container's network namespace, and the rule that leads to them.
fn sockets() -> Result<[OwnedFd; 2], ResolverError> {
    let bound = |kind| -> Result<(OwnedFd, u16), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
        // Port 53 stays the container's own, who may serve names itself.
        rustix::net::bind(&socket, &std::net::SocketAddrV4::new(INSIDE, 0))?;
        if kind == SocketType::STREAM {
            rustix::net::listen(&socket, 64)?;
        }
        let address = std::net::SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
        Ok((socket, address.port()))
    };
    let (datagrams, udp) = bound(SocketType::DGRAM).map_err(doing("make a socket"))?;
    let (streams, tcp) = bound(SocketType::STREAM).map_err(doing("make a socket"))?;
    firewall::redirect((INSIDE, PORT), [udp, tcp])?;
    Ok([datagrams, streams])
}

/// Starts the name server for these networks, in place of one that runs; returns when it serves.
pub(crate) fn start(
    engine: &Engine,
    folder: &Folder,
    (pid, target): (i32, BorrowedFd<'_>),
    networks: (&Networks, &[Network]),
    servers: &ResolvConf,
) -> Result<(), ResolverError> {
    let lock = stop(folder)?;
    let (store, networks) = networks;
    let [datagrams, streams] = netlink::inside(target, sockets).map_err(stockade_network::KernelError::from)??;
    let process = Pid::from_raw(pid).ok_or(Errno::SRCH).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let process = process.map_err(doing("open the container's process"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |network: &Network| rustix::fs::open(store.endpoints_folder(&network.id), flags, Mode::empty());
    let folders = networks.iter().map(open).collect::<Result<Vec<_>, _>>();
    let folders = folders.map_err(doing("open the folders of endpoints"))?;
    let servers: Vec<String> = servers.addresses().iter().map(ToString::to_string).collect();
    let servers = if servers.is_empty() { "-".to_owned() } else { servers.join(",") };
    let program = engine.program("stockade-dns");
    let names = networks.iter().map(|network| network.name.as_str().as_bytes());
    let path = folder.path.as_os_str().as_bytes();
    let words = [program.as_os_str().as_bytes(), path, servers.as_bytes()].into_iter().chain(names);
    let words = Strings::from_bytes(words.map(<[u8]>::to_vec)).map_err(doing("put the words together"))?;
    let environment = Strings::from_bytes([PATH]).map_err(doing("put the words together"))?;
    let program = CString::new(program.as_os_str().as_bytes()).map_err(doing("find the program"))?;
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(doing("make a pipe"))?;
    let mut given = vec![datagrams.as_fd(), streams.as_fd(), process.as_fd(), lock.as_fd()];
    given.extend(folders.iter().map(AsFd::as_fd));
    if let Forked::Child = clone3(&Request::default()).map_err(doing("make a process"))? {
        let refuse = |text: String| -> ! { exit_now(told(&theirs, &text)) };
        if let Err(error) = prepare(&lock, &theirs) {
            refuse(chain(&error));
        }
        execute_with(&given, &program, &words, &environment, |error, _| {
            told(rustix::stdio::stdout(), &error.to_string())
        });
    }
    drop(theirs);
    let mut said = String::new();
    let heard = std::fs::File::from(ours).take(1 << 16).read_to_string(&mut said);
    heard.map_err(doing("hear the process"))?;
    if said.is_empty() { Ok(()) } else { Err(ResolverError::Refused(said)) }
}

/// Says why there is no name server; the exit code. Whoever does not hear it sees that the process has ended.
fn told(pipe: impl AsFd, text: &str) -> u8 {
    match rustix::io::write(pipe, text.as_bytes()) {
        Ok(_) => 1,
        Err(_unheard) => 2,
    }
}

/// In the child: a session of its own, and nothing of the caller's.
fn prepare(lock: &OwnedFd, told: &OwnedFd) -> Result<(), ResolverError> {
    rustix::process::setsid().map_err(doing("leave the session"))?;
    let pid = rustix::process::getpid().as_raw_nonzero().to_string();
    rustix::fs::ftruncate(lock, 0).map_err(doing("write the lock"))?;
    rustix::io::pwrite(lock, pid.as_bytes(), 0).map_err(doing("write the lock"))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()).map_err(doing("open /dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(doing("let go of standard input"))?;
    rustix::stdio::dup2_stderr(&null).map_err(doing("let go of standard error"))?;
    rustix::stdio::dup2_stdout(told).map_err(doing("let go of standard output"))?;
    rustix::process::chdir("/").map_err(doing("leave the working directory"))?;
    reset_for_exec().map_err(doing("set the signals back"))
}

/// Ends the container's name server, if one runs; the lock that it held.
pub(crate) fn stop(folder: &Folder) -> Result<OwnedFd, ResolverError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(&folder.fd, LOCK, flags, Mode::RUSR | Mode::WUSR).map_err(doing("open the lock"))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                kill(folder)?;
                std::thread::sleep(PAUSE);
            }
            Err(Errno::WOULDBLOCK) => return Err(ResolverError::DoesNotEnd),
            Err(errno) => return Err(doing("take the lock")(errno)),
        }
    }
}

/// Kills the process that the lock's file names, if that is this container's name server.
fn kill(folder: &Folder) -> Result<(), ResolverError> {
    let text = files::read(folder.fd.as_fd(), LOCK).map_err(doing("read the lock"))?;
    let pid = text.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()).and_then(Pid::from_raw);
    let Some(pid) = pid else { return Ok(()) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(doing("open the process")(errno)),
    };
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_it = words.split(|byte| *byte == 0).nth(1) == Some(folder.path.as_os_str().as_encoded_bytes());
    if !is_it {
        return Ok(());
    }
    match pidfd_send_signal(&process, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(doing("end the process")(errno)),
    }
}
