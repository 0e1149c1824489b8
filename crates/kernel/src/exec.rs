//! Replacing the program of this process, and what goes with it: closing descriptors, ending at once.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::AsRawFd;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;

use crate::sys::check;

/// Strings in the form that `execve(2)` takes, made beforehand so that nothing is left to fail or allocate later.
#[derive(Debug)]
pub struct Strings {
    /// Owns what `pointers` points to; a `CString`'s bytes stay in place when the vector moves.
    strings: Vec<CString>,
    /// One pointer per string, then null.
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// Takes the strings over.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect();
        Self { strings, pointers }
    }

    /// Copies byte strings.
    ///
    /// # Errors
    /// `EINVAL` if one contains a zero byte.
    pub fn from_bytes<B: Into<Vec<u8>>>(strings: impl IntoIterator<Item = B>) -> io::Result<Self> {
        let strings: Result<Vec<_>, _> = strings.into_iter().map(CString::new).collect();
        Ok(Self::new(strings.map_err(io::Error::from)?))
    }

    /// The strings.
    #[must_use]
    pub fn as_slice(&self) -> &[CString] {
        &self.strings
    }
}

/// Executes the file `fd` itself (`execveat(2)` with `AT_EMPTY_PATH`). A script needs `fd` without close-on-exec and a
/// `/proc` or `/dev/fd` for its interpreter to open.
///
/// # Errors
/// The only way to return; as `execve(2)`.
pub fn execute_fd(fd: impl AsFd, arguments: &Strings, environment: &Strings) -> io::Result<Infallible> {
    execveat(fd.as_fd().as_raw_fd(), c"", arguments, environment, libc::AT_EMPTY_PATH)
}

/// Executes the program at `path`, resolved by the kernel from the calling process' root and working directory.
///
/// # Errors
/// The only way to return; as `execve(2)`.
pub fn execute(path: &CStr, arguments: &Strings, environment: &Strings) -> io::Result<Infallible> {
    // Not execveat: a filter that lets a program run at all allows execve.
    // SAFETY: the path and all strings end in zero and both arrays in null; they live until the call is over.
    let result = unsafe { libc::execve(path.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    Err(check(result).err().unwrap_or_else(|| io::ErrorKind::Other.into()))
}

/// The first descriptor after the standard ones.
const FIRST: RawFd = 3;

/// Executes the program at `path` with `descriptors` at the numbers from 3 on, open across the exec, and nothing else besides the
/// standard ones. If that fails, `on_failure` is told with duplicates of the descriptors (none if they could not be made), and
/// what it answers is the exit code: for a child made by [`crate::clone::clone3`].
pub fn execute_with(
    descriptors: &[BorrowedFd<'_>],
    path: &CStr,
    arguments: &Strings,
    environment: &Strings,
    on_failure: impl FnOnce(io::Error, &[OwnedFd]) -> u8,
) -> ! {
    let first_free = FIRST + descriptors.len() as RawFd;
    // Out of the way first: a number that is to be given may be in use by another of them.
    let moved: Result<Vec<_>, Errno> =
        descriptors.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, first_free)).collect();
    let moved = match moved {
        Ok(moved) => moved,
        Err(errno) => exit_now(on_failure(errno.into(), &[])),
    };
    let placed = place(&moved).and_then(|()| close_on_exec_from(first_free as u32));
    let Err(error) = placed.and_then(|()| execute(path, arguments, environment));
    exit_now(on_failure(error, &moved))
}

/// Gives each descriptor its number from [`FIRST`] on.
fn place(descriptors: &[OwnedFd]) -> io::Result<()> {
    for (number, descriptor) in (FIRST..).zip(descriptors) {
        // SAFETY: whoever owned the number in this process never runs again: the only caller executes or ends.
        check(unsafe { libc::dup2(descriptor.as_raw_fd(), number) })?;
    }
    Ok(())
}

/// `execveat(2)` (Linux 3.19).
fn execveat(fd: RawFd, path: &CStr, arguments: &Strings, environment: &Strings, flags: i32) -> io::Result<Infallible> {
    // SAFETY: the path and all strings end in zero and both arrays in null; they live until the call is over.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd,
            path.as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
            flags,
        )
    };
    Err(check(result).err().unwrap_or_else(|| io::ErrorKind::Other.into()))
}

/// Marks every descriptor from `first` to the highest as close-on-exec (`close_range(2)`, Linux 5.11).
///
/// # Errors
/// As `close_range(2)`.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: setting close-on-exec takes no descriptor from its owner in this program.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) })?;
    Ok(())
}

/// Ends the process at once with `code`, running no destructor and no exit handler and flushing nothing: for a child made
/// by [`crate::clone::clone3`] that holds copies of its parent's values.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(i32::from(code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_byte_is_refused() {
        assert!(Strings::from_bytes(["a\0b"]).is_err());
        assert_eq!(Strings::from_bytes(["a", ""]).unwrap().as_slice(), [c"a".to_owned(), c"".to_owned()]);
    }

    #[test]
    fn a_missing_program_is_told() {
        let none = Strings::new(Vec::new());
        let arguments = Strings::from_bytes(["x"]).unwrap();
        let error = execute(c"/nonexistent", &arguments, &none).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::NOENT.raw_os_error()));
    }
}
