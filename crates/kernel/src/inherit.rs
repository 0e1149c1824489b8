//! Descriptors that a program was executed with.
//!
//! What tells them from the program's own: `execve(2)` closes every descriptor with close-on-exec, and the standard library,
//! `rustix` and this crate open none without it. So a descriptor without the flag was inherited, and nothing in this process
//! owns it yet.

use std::io;
use std::os::fd::{FromRawFd, RawFd};

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::{Errno, FdFlags};

/// Takes the inherited descriptor `number`, which is close-on-exec from now on, so that it can be taken once only.
///
/// # Errors
/// `EBADF` if it is not open, `EINVAL` if it is close-on-exec: this process opened it, or took it already.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the descriptor is only asked for its flag; a number that is not open is answered by EBADF.
    let seen = unsafe { BorrowedFd::borrow_raw(number) };
    if rustix::io::fcntl_getfd(seen)?.contains(FdFlags::CLOEXEC) {
        return Err(Errno::INVAL.into());
    }
    rustix::io::fcntl_setfd(seen, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and was without close-on-exec: the program was executed with it, and the flag that was just set
    // keeps it from being taken again. See the head of this module.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every inherited descriptor from `first` on that was not taken; the program's own stay.
///
/// # Errors
/// As `open(2)` of `/proc/self/fd`, which it needs. Some may be closed then.
pub fn close_from(first: RawFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, "/proc/self/fd", flags, Mode::empty())?;
    let mut numbers: Vec<RawFd> = Vec::new();
    let mut buffer = Vec::with_capacity(1024);
    let mut entries = RawDir::new(&folder, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        numbers.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for number in numbers.into_iter().filter(|number| *number >= first) {
        match take(number) {
            Ok(inherited) => drop(inherited),
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsRawFd, IntoRawFd};

    #[test]
    fn only_what_is_not_close_on_exec_is_taken_and_once() {
        let own = rustix::io::dup(rustix::stdio::stdin()).unwrap();
        rustix::io::fcntl_setfd(&own, FdFlags::CLOEXEC).unwrap();
        assert_eq!(take(own.as_raw_fd()).unwrap_err().raw_os_error(), Some(Errno::INVAL.raw_os_error()));
        // As if this program had been executed with it.
        let number = rustix::io::dup(&own).unwrap().into_raw_fd();
        let taken = take(number).unwrap();
        assert_eq!(taken.as_raw_fd(), number);
        assert!(take(number).is_err());
        assert_eq!(take(-1).unwrap_err().raw_os_error(), Some(Errno::BADF.raw_os_error()));
        assert_eq!(take(1 << 20).unwrap_err().raw_os_error(), Some(Errno::BADF.raw_os_error()));
    }
}
