//! Descriptors that a program hands over at a unix socket: a terminal, or the listener of a system call filter.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

/// How long a program may take to connect.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came, and what started it.
pub struct Handed<T> {
    /// The descriptor.
    pub descriptor: OwnedFd,
    /// The text that came with it.
    pub text: String,
    /// What the caller had started.
    pub started: T,
}

/// Waits at the stream socket `path`, which it makes, for one message with a descriptor, after calling `start`.
///
/// # Errors
/// As `bind(2)` and `recvmsg(2)`; `WouldBlock` if nobody connects, `EBADMSG` for a message without a descriptor.
pub fn receive<T>(path: &Path, start: impl FnOnce() -> T) -> io::Result<Handed<T>> {
    let listener = UnixListener::bind(path)?;
    let started = start();
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + crate::call::patient(PATIENCE);
    let connection = loop {
        match listener.accept() {
            Ok((connection, _)) => break connection,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(3));
            }
            Err(error) => return Err(error),
        }
    };
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = vec![0; 64 << 10];
    let mut content = [io::IoSliceMut::new(&mut text)];
    let message = rustix::net::recvmsg(&connection, &mut content, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    text.truncate(message.bytes);
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Handed { descriptor: descriptor.ok_or(Errno::BADMSG)?, text, started })
}
