//! What matters of which call: data.

/// Calls that say what they are for in numbers, which are few and the same in every run of a program: which argument, and how many of its
/// bits the kernel uses. A call with more than [`MOST_VALUES`] is not narrowed.
const ARGUMENTS: &[(&str, &[(u8, u32)])] = &[
    // Code that sets thread areas, or features of the processor.
    ("arch_prctl", &[(0, 32)]),
    // Flags, the namespaces among them.
    ("clone", &[(0, 64)]),
    // The request: what a driver can be asked for is most of the kernel.
    ("ioctl", &[(1, 32)]),
    ("keyctl", &[(0, 32)]),
    ("personality", &[(0, 32)]),
    ("prctl", &[(0, 32)]),
    ("ptrace", &[(0, 64)]),
    ("seccomp", &[(0, 32)]),
    // Family and type: a raw socket is another thing than a stream.
    ("socket", &[(0, 32), (1, 32)]),
    ("socketpair", &[(0, 32), (1, 32)]),
    ("unshare", &[(0, 64)]),
];

/// The most values of a call that are told apart.
pub const MOST_VALUES: usize = 24;

/// Calls by which a process waits for others: that a container's first process makes one ends its start.
const WAITING: &[&str] = &[
    "accept",
    "accept4",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "io_uring_enter",
    "pause",
    "poll",
    "ppoll",
    "pselect6",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "select",
];

/// Calls that are allowed although nobody made them, and why.
pub const ALWAYS: &[(&str, &str)] = &[
    ("pread64", "the runtime reads back what is in force, after the filter is"),
    ("execve", "the runtime executes the program"),
    ("exit", "a thread that cannot end runs into what is behind"),
    ("exit_group", "a program that is killed while it is recorded did not come to it"),
    ("restart_syscall", "the kernel has a call that was interrupted go on by it, whoever stopped the process"),
    ("rt_sigreturn", "the end of every signal's handler"),
];

/// The arguments by which the call is told apart, with their widths in bits.
#[must_use]
pub fn arguments(call: &str) -> &'static [(u8, u32)] {
    ARGUMENTS.iter().find(|(name, _)| *name == call).map_or(&[], |(_, arguments)| arguments)
}

/// Whether a process waits for others by this call.
pub(super) fn waits(call: &str) -> bool {
    WAITING.contains(&call)
}

/// Whether nothing more can be learned of this call once it was seen: it has no argument of interest, and of no capability does it hang on the call
/// whether it is needed.
pub(super) fn is_plain(call: &str) -> bool {
    arguments(call).is_empty() && !super::probes::hang_on(call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_seccomp::syscall::Syscall;

    #[test]
    fn every_call_is_one() {
        let all = ARGUMENTS.iter().map(|(name, _)| *name);
        for name in all.chain(WAITING.iter().copied()).chain(ALWAYS.iter().map(|(name, _)| *name)) {
            assert!(Syscall::from_name(name).is_some(), "{name}");
        }
        assert!(is_plain("read") && !is_plain("socket") && !is_plain("setuid"));
        // Without them it is not known that nobody needs what they ask for.
        assert!(!is_plain("link") && !is_plain("access") && !is_plain("mmap") && !is_plain("setsockopt"));
    }
}
