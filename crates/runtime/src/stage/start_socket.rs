//! `start.sock`: where a created container waits for its start.
//!
//! The socket listens in the container's own folder, which only the runtime's user can enter. Whoever connects and says `Start`
//! starts the payload; the answer is a [`Failure`], or end of file once the payload was executed, for exec closes the connection.
//! That somebody listens is what tells a created container from a running one: exec ends that too, and unlike the file it does
//! not stay when whoever started the container is killed before the file is removed.

use std::io;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType};

use super::channel::{Channel, Order, Report};
use super::failure::Failure;

/// Its name in the container's folder.
const NAME: &str = "start.sock";

/// The listening end.
#[derive(Debug)]
pub struct StartSocket(OwnedFd);

impl StartSocket {
    /// Makes the socket in the folder `directory`.
    ///
    /// # Errors
    /// As `bind(2)`: `EADDRINUSE` if it is there already. The file stays when the value is dropped.
    pub fn listen(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let socket = new_socket()?;
        rustix::net::bind(&socket, &address(directory)?)?;
        rustix::fs::chmodat(directory, NAME, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
        rustix::net::listen(&socket, 1)?;
        Ok(Self(socket))
    }

    /// Waits until somebody says that the payload is to start. Those who only look whether somebody waits hang up.
    pub(super) fn accept(&self) -> io::Result<Channel> {
        loop {
            let accepted = rustix::io::retry_on_intr(|| rustix::net::accept_with(&self.0, SocketFlags::CLOEXEC))?;
            let channel = Channel::over(accepted);
            if let Ok(Some(Order::Start)) = channel.receive() {
                // From now on nobody is told any more that the container waits.
                rustix::net::shutdown(&self.0, Shutdown::Both)?;
                return Ok(channel);
            }
        }
    }
}

/// Whether a container with the folder `directory` waits for its start.
///
/// # Errors
/// As `connect(2)`, other than that there is no socket or that nobody listens.
pub(crate) fn is_waited_at(directory: BorrowedFd<'_>) -> io::Result<bool> {
    let socket = new_socket()?;
    // A frozen container accepts nobody, and its queue is short.
    rustix::io::ioctl_fionbio(&socket, true)?;
    match rustix::net::connect(&socket, &address(directory)?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

impl AsFd for StartSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

/// The address by way of the folder's descriptor: a path of any length fits.
fn address(directory: BorrowedFd<'_>) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()))?)
}

/// Why a container did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody waits at the socket.
    #[error("the container is not waiting to be started")]
    NotWaiting(#[source] io::Error),
    /// The connection broke.
    #[error("cannot speak with the container's process")]
    Channel(#[source] io::Error),
    /// A step of the start failed; the container has ended.
    #[error(transparent)]
    Failed(Failure),
    /// The container answered with something else.
    #[error("the container's process gave an unexpected answer")]
    Unexpected,
}

/// Starts the payload of the container with the folder `directory` and waits until it was executed; then the socket is gone.
///
/// # Errors
/// [`StartError`].
pub fn start(directory: BorrowedFd<'_>) -> Result<(), StartError> {
    let socket = new_socket().map_err(StartError::Channel)?;
    let address = address(directory).map_err(StartError::Channel)?;
    rustix::net::connect(&socket, &address).map_err(|errno| StartError::NotWaiting(errno.into()))?;
    let channel = Channel::over(socket);
    channel.send(&Order::Start).map_err(StartError::Channel)?;
    match channel.receive::<Report>().map_err(StartError::Channel)? {
        None => {}
        Some(Report::Failed(failure)) => return Err(StartError::Failed(failure)),
        Some(_) => return Err(StartError::Unexpected),
    }
    match rustix::fs::unlinkat(directory, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(StartError::Channel(error.into())),
    }
}
