//! Calls and errors in words.

use super::Attempt;

/// Errors by name, with what the C library says of them.
const ERRORS: &[(i32, &str)] = &[
    (1, "EPERM (Operation not permitted)"),
    (2, "ENOENT (No such file or directory)"),
    (11, "EAGAIN (Resource temporarily unavailable)"),
    (12, "ENOMEM (Cannot allocate memory)"),
    (13, "EACCES (Permission denied)"),
    (22, "EINVAL (Invalid argument)"),
    (24, "EMFILE (Too many open files)"),
    (27, "EFBIG (File too large)"),
    (30, "EROFS (Read-only file system)"),
    (38, "ENOSYS (Function not implemented)"),
    (101, "ENETUNREACH (Network is unreachable)"),
];

/// The error's name.
pub(super) fn error_name(errno: i32) -> String {
    ERRORS
        .iter()
        .find(|(number, _)| *number == errno)
        .map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}

/// How many arguments are shown of calls without a path whose arguments decide.
const SHOWN: &[(&str, usize)] = &[
    ("bind", 1),
    ("bpf", 1),
    ("clone", 1),
    ("fchown", 3),
    ("ioctl", 2),
    ("keyctl", 1),
    ("personality", 1),
    ("prctl", 2),
    ("prlimit64", 2),
    ("ptrace", 2),
    ("sched_setscheduler", 2),
    ("setgid", 1),
    ("setpriority", 3),
    ("setresgid", 3),
    ("setresuid", 3),
    ("setrlimit", 1),
    ("setuid", 1),
    ("socket", 3),
    ("syslog", 1),
    ("unshare", 1),
];

/// The call as somebody would write it.
pub(super) fn tried(attempt: &Attempt) -> String {
    let name = match attempt.call {
        Some(call) => call.name().to_owned(),
        None => format!("system call {}", attempt.number),
    };
    if let Some(path) = &attempt.path {
        return format!("{name}({:?})", path.display().to_string());
    }
    let count = SHOWN.iter().find(|(shown, _)| *shown == name).map(|(_, count)| *count);
    let arguments: Vec<String> = attempt.arguments.iter().take(count.unwrap_or_default()).map(number).collect();
    format!("{name}({})", arguments.join(", "))
}

/// A number, as the kernel reads most: 32 bits of it where the upper ones are only its sign.
fn number(argument: &u64) -> String {
    match *argument {
        small @ 0..1024 => small.to_string(),
        negative if negative.cast_signed() < 0 => negative.cast_signed().to_string(),
        other => format!("{other:#x}"),
    }
}
