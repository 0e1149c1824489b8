//! The listener's side of `SECCOMP_RET_USER_NOTIF` (Linux 5.0, `seccomp_unotify(2)`).

use std::io;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};

use super::listener_call;

const IOCTL_RECEIVE: u32 = 0xc050_2100;
const IOCTL_SEND: u32 = 0xc018_2101;
const IOCTL_ID_VALID: u32 = 0x4008_2102;
const IOCTL_ADD_FD: u32 = 0x4018_2103;

/// The sizes that this kernel uses for its structures (`struct seccomp_notif_sizes`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NotificationSizes {
    /// Bytes of `struct seccomp_notif`.
    pub notification: u16,
    /// Bytes of `struct seccomp_notif_resp`.
    pub response: u16,
    /// Bytes of `struct seccomp_data`.
    pub data: u16,
}

/// A system call that waits for an answer, laid out as `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Notification {
    /// The cookie that the answer must carry.
    pub id: u64,
    /// The calling thread in the listener's pid namespace, 0 if it is not visible there.
    pub pid: u32,
    /// Zero.
    pub flags: u32,
    /// The system call's number.
    pub number: i32,
    /// The architecture, an `AUDIT_ARCH_*` value.
    pub architecture: u32,
    /// The address of the instruction.
    pub instruction_pointer: u64,
    /// The argument registers.
    pub arguments: [u64; 6],
}

/// What a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The call returns this value without being made.
    Value(i64),
    /// The call fails with this errno.
    Errno(i32),
    /// The call is made after all (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`, Linux 5.5). The caller can change what pointers
    /// point to in between, so this is never a security decision on their content.
    Continue,
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    source: u32,
    target: u32,
    target_flags: u32,
}

/// The sizes that this kernel uses (`SECCOMP_GET_NOTIF_SIZES`).
///
/// # Errors
/// `EINVAL` before Linux 5.0.
pub fn notification_sizes() -> io::Result<NotificationSizes> {
    let mut sizes = NotificationSizes::default();
    // SAFETY: the kernel writes three u16 to the pointer, which is what it points to.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, std::ptr::from_mut(&mut sizes)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(sizes) }
}

/// Waits for the next notification of `listener`.
///
/// # Errors
/// `ENOENT` if the caller died meanwhile; otherwise as `seccomp_unotify(2)`.
pub fn receive(listener: impl AsFd) -> io::Result<Notification> {
    let mut notification = Notification::default();
    listener_call(listener, IOCTL_RECEIVE, &mut notification)?;
    Ok(notification)
}

/// Answers the notification `id`.
///
/// # Errors
/// `ENOENT` if the caller is no longer waiting; otherwise as `seccomp_unotify(2)`.
pub fn reply(listener: impl AsFd, id: u64, answer: Reply) -> io::Result<()> {
    let mut response = match answer {
        Reply::Value(value) => Response { id, value, error: 0, flags: 0 },
        Reply::Errno(errno) => Response { id, value: 0, error: -errno, flags: 0 },
        Reply::Continue => Response { id, value: 0, error: 0, flags: 1 },
    };
    listener_call(listener, IOCTL_SEND, &mut response).map(drop)
}

/// Whether the notification `id` still waits, so that its `pid` is still the caller.
///
/// # Errors
/// As `ioctl(2)`, but not `ENOENT`, which is the answer no.
pub fn id_valid(listener: impl AsFd, mut id: u64) -> io::Result<bool> {
    match listener_call(listener, IOCTL_ID_VALID, &mut id) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the caller of the notification `id` a copy of `source`, close-on-exec, and returns its number there (Linux 5.9).
///
/// # Errors
/// `EINPROGRESS` before the notification was received, `ENOENT` if the caller is gone; otherwise as `seccomp_unotify(2)`.
pub fn add_fd(listener: impl AsFd, id: u64, source: BorrowedFd<'_>) -> io::Result<i32> {
    let source = source.as_raw_fd() as u32;
    let mut request = AddFd { id, flags: 0, source, target: 0, target_flags: libc::O_CLOEXEC as u32 };
    listener_call(listener, IOCTL_ADD_FD, &mut request)
}
