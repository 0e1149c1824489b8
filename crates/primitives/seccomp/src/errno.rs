//! The names of error numbers, which Podman's profiles use.

/// `asm-generic/errno-base.h`, in order from 1: the same on all architectures.
const BASE: [&str; 34] = [
    "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC", "EBADF", "ECHILD", "EAGAIN", "ENOMEM",
    "EACCES", "EFAULT", "ENOTBLK", "EBUSY", "EEXIST", "EXDEV", "ENODEV", "ENOTDIR", "EISDIR", "EINVAL", "ENFILE",
    "EMFILE", "ENOTTY", "ETXTBSY", "EFBIG", "ENOSPC", "ESPIPE", "EROFS", "EMLINK", "EPIPE", "EDOM", "ERANGE",
];

/// Those of `asm-generic/errno.h` that a filter may sensibly answer. They are others on MIPS, which this program is not
/// built for.
const MORE: [(&str, u16); 5] =
    [("ENOSYS", 38), ("EPROTONOSUPPORT", 93), ("EOPNOTSUPP", 95), ("ENOTSUP", 95), ("EAFNOSUPPORT", 97)];

/// The number of the error called `name`; `None` if it is not one of those that are known here.
pub(crate) fn from_name(name: &str) -> Option<u16> {
    let base = BASE.iter().position(|known| *known == name).map(|index| index as u16 + 1);
    let more = || MORE.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    base.or_else(more)
}
