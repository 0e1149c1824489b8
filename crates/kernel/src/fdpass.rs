//! Passing bytes and descriptors over a unix socket (`SCM_RIGHTS`, `unix(7)`).
//!
//! Used for the console socket, the seccomp listener and the runtime's own processes. What was cut off is an error:
//! a receiver never acts on half a message or on fewer descriptors than were sent.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The most descriptors that one message may carry here (the kernel's own limit is 253).
pub const MOST_DESCRIPTORS: usize = 16;

/// Room for that many descriptors.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS));

/// Sends `bytes` with `descriptors` in one message. `bytes` must not be empty on a stream socket.
///
/// # Errors
/// `EINVAL` for more than [`MOST_DESCRIPTORS`] or no bytes; `EIO` if only a part was taken; `EPIPE` (never SIGPIPE) and
/// otherwise as `sendmsg(2)`.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || descriptors.len() > MOST_DESCRIPTORS {
        return Err(Errno::INVAL.into());
    }
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL.into());
    }
    let content = [IoSlice::new(bytes)];
    let sent =
        rustix::io::retry_on_intr(|| rustix::net::sendmsg(&socket, &content, &mut control, SendFlags::NOSIGNAL))?;
    if sent == bytes.len() { Ok(()) } else { Err(Errno::IO.into()) }
}

/// Receives by `receive`, again when a signal interrupts it, and also the last words of another side that has ended without reading all that it was
/// told: that it has is said once by a unix socket (`ECONNRESET`), and before them.
///
/// # Errors
/// Those of `receive`; `ECONNRESET` only if it says so twice.
pub fn to_the_last_word<T>(mut receive: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    match rustix::io::retry_on_intr(&mut receive) {
        Err(Errno::CONNRESET) => rustix::io::retry_on_intr(receive),
        received => received,
    }
}

/// Receives one message into `bytes`: how many bytes, 0 at the end of the stream, and the descriptors, close-on-exec.
///
/// Last words are received too ([`to_the_last_word`]).
///
/// # Errors
/// `EMSGSIZE` if bytes or descriptors were cut off (what did arrive is closed); otherwise as `recvmsg(2)`.
pub fn receive(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut content = [IoSliceMut::new(bytes)];
    let message =
        to_the_last_word(|| rustix::net::recvmsg(&socket, &mut content, &mut control, RecvFlags::CMSG_CLOEXEC))?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::MSGSIZE.into());
    }
    Ok((message.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::FdFlags;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn last_words_arrive_of_a_side_that_did_not_listen() {
        let (left, right) = pair(SocketType::SEQPACKET);
        send(&left, b"unread", &[]).unwrap();
        send(&right, b"last", &[]).unwrap();
        drop(right);
        let mut bytes = [0; 8];
        assert_eq!(receive(&left, &mut bytes).unwrap().0, 4);
        assert_eq!(receive(&left, &mut bytes).unwrap().0, 0);
    }

    #[test]
    fn descriptors_arrive_as_the_same_files() {
        let (left, right) = pair(SocketType::SEQPACKET);
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        send(&left, b"two", &[reader.as_fd(), writer.as_fd()]).unwrap();
        let mut bytes = [0; 8];
        let (count, received) = receive(&right, &mut bytes).unwrap();
        assert_eq!((&bytes[..count], received.len()), (&b"two"[..], 2));
        assert!(rustix::io::fcntl_getfd(&received[0]).unwrap().contains(FdFlags::CLOEXEC));
        rustix::io::write(&received[1], b"x").unwrap();
        assert_eq!(rustix::io::read(&reader, &mut bytes).unwrap(), 1);
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let (left, right) = pair(SocketType::SEQPACKET);
        send(&left, b"too long", &[left.as_fd()]).unwrap();
        let error = receive(&right, &mut [0; 3]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::MSGSIZE.raw_os_error()));
    }

    #[test]
    fn too_many_descriptors_and_empty_messages_are_refused() {
        let (left, right) = pair(SocketType::STREAM);
        assert!(send(&left, b"x", &[left.as_fd(); MOST_DESCRIPTORS + 1]).is_err());
        assert!(send(&left, b"", &[left.as_fd()]).is_err());
        send(&left, b"x", &[left.as_fd(); MOST_DESCRIPTORS]).unwrap();
        assert_eq!(receive(&right, &mut [0; 4]).unwrap().1.len(), MOST_DESCRIPTORS);
    }

    #[test]
    fn the_end_is_zero_bytes_and_a_gone_reader_is_no_signal() {
        let (left, right) = pair(SocketType::STREAM);
        drop(left);
        assert_eq!(receive(&right, &mut [0; 4]).unwrap().0, 0);
        assert_eq!(send(&right, b"x", &[]).unwrap_err().raw_os_error(), Some(Errno::PIPE.raw_os_error()));
    }
}
