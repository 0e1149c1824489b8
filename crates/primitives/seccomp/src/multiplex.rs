//! `socketcall(2)` and `ipc(2)`: one call that makes others, by a number in its first argument.
//!
//! The arguments of the call that is made lie in memory there, out of a filter's sight.

use crate::architecture::Arch;
use crate::model::{Condition, Operator};
use crate::syscall::Syscall;

/// `SYS_*` of `linux/net.h`, in order from 1.
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// `linux/ipc.h`.
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The other way to make `call` on `arch`: the multiplexer, and the condition on it that means `call`.
pub(crate) fn other_way(call: Syscall, arch: Arch) -> Option<(Syscall, Condition)> {
    if !arch.multiplexes() {
        return None;
    }
    let condition = |operator, value, second| Condition { argument: 0, operator, value, second };
    if let Some(index) = SOCKETCALL.iter().position(|name| *name == call.name()) {
        return Some((Syscall::from_name("socketcall")?, condition(Operator::Equal, index as u64 + 1, 0)));
    }
    // The upper half of the first argument is a version, which the kernel cuts off.
    let (_, number) = IPC.iter().find(|(name, _)| *name == call.name())?;
    Some((Syscall::from_name("ipc")?, condition(Operator::MaskedEqual, 0xffff, *number)))
}
