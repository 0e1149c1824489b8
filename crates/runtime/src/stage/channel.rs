//! The socket pair between the runtime and the container's first process.
//!
//! Each message is one packet. End of file tells that the other side is gone: for the runtime, after it said `Start`, that
//! the payload was executed, because the descriptor is closed by exec; for the container, that the runtime has died before
//! it recorded the container, so that nobody would know of it, and it ends.

use std::io;

use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stockade_kernel::fdpass::to_the_last_word;

use super::failure::Failure;

/// The longest message: a failure with its reasons.
const LONGEST: usize = 64 << 10;

/// What the container's process tells.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// It is in its cgroups.
    Joined,
    /// It is in all its namespaces and waits for what the runtime does from outside.
    Namespaced,
    /// It is confined as far as it can be before `start`; after `Commit`: it no longer ends with the runtime.
    Ready,
    /// It could not go on, and ends.
    Failed(Failure),
}

/// What the runtime tells.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// The id maps are written.
    Mapped,
    /// What is done from outside is done; this is the process' id there.
    Continue(i32),
    /// The container is recorded; wait for `start`.
    Commit,
    /// The container is recorded; execute the payload.
    Start,
}

/// One end.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Both ends, close-on-exec.
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(left), Self(right)))
    }

    /// One end of a connection made by other means.
    pub(super) fn over(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Tells `message`.
    pub(super) fn send(&self, message: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        rustix::io::retry_on_intr(|| rustix::net::send(&self.0, &text, SendFlags::NOSIGNAL))?;
        Ok(())
    }

    /// Waits for a message; `None` at the end.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        self.take(RecvFlags::empty())
    }

    /// A message that is there already; `None` if there is none.
    pub(super) fn pending<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        self.take(RecvFlags::DONTWAIT)
    }

    fn take<T: DeserializeOwned>(&self, flags: RecvFlags) -> io::Result<Option<T>> {
        // Not filled: most messages are of a few bytes, and a process that was just made pays for each page that it writes to.
        let mut buffer = Vec::with_capacity(LONGEST);
        match to_the_last_word(|| rustix::net::recv(&self.0, spare_capacity(&mut buffer), flags)) {
            Ok((0, _)) | Err(Errno::CONNRESET | Errno::AGAIN) => Ok(None),
            Ok(_) => Ok(Some(serde_json::from_slice(&buffer)?)),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_and_the_end_is_told() {
        let (left, right) = Channel::pair().unwrap();
        left.send(&Order::Continue(7)).unwrap();
        assert_eq!(right.receive::<Order>().unwrap(), Some(Order::Continue(7)));
        drop(left);
        assert_eq!(right.receive::<Order>().unwrap(), None);
    }

    #[test]
    fn last_words_are_heard_of_one_who_did_not_listen_any_more() {
        let (left, right) = Channel::pair().unwrap();
        assert_eq!(left.pending::<Report>().unwrap(), None);
        left.send(&Order::Start).unwrap();
        right.send(&Report::Joined).unwrap();
        right.send(&Report::Ready).unwrap();
        drop(right);
        assert!(left.send(&Order::Start).is_err());
        assert_eq!(left.receive::<Report>().unwrap(), Some(Report::Joined));
        assert_eq!(left.pending::<Report>().unwrap(), Some(Report::Ready));
        assert_eq!((left.pending::<Report>().unwrap(), left.receive::<Report>().unwrap()), (None, None));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let (left, right) = Channel::pair().unwrap();
        left.send(&Report::Ready).unwrap();
        assert!(right.receive::<Order>().is_err());
    }
}
