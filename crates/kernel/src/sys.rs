//! The result of a raw system call.

use std::io;

/// The value of a system call that went well.
///
/// # Errors
/// The calling thread's `errno` if `result` is negative, which libc's `syscall(2)` and wrappers set.
pub(crate) fn check<T: Into<i64>>(result: T) -> io::Result<i64> {
    let result = result.into();
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
