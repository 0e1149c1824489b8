//! Where the kernel asks for a capability whose answer decides nothing, so that a container does as well without it: data.
//!
//! Each entry is read of the kernel's source, at the call that it names.

use stockade_capabilities::Capability;

/// Sets of user or group ids: whoever is what he asks to be needs nothing.
const IDS: &[&str] = &["setfsuid", "setresuid", "setreuid", "setuid"];
const GROUP_IDS: &[&str] = &["setfsgid", "setregid", "setresgid", "setgid"];
/// `cap_vm_enough_memory`: root may use the last three percent of the memory.
const MEMORY: &[&str] =
    &["brk", "clone", "clone3", "execve", "execveat", "fork", "mmap", "mprotect", "mremap", "munmap", "shmat", "vfork"];
/// Whether attributes that only the host's root sees are listed.
const LISTS: &[&str] = &["flistxattr", "listxattr", "llistxattr"];
const LINKS: &[&str] = &["link", "linkat"];
/// Questions, to which "no" is an answer: what is then done asks again.
const QUESTIONS: &[&str] = &["access", "faccessat", "faccessat2"];

/// Further ones, each for a capability of its own.
const OTHERS: &[&str] = &["capset", "io_uring_setup", "setsockopt"];

/// Whether it hangs on this call whether a capability that is asked for decides anything.
pub(super) fn hang_on(call: &str) -> bool {
    [IDS, GROUP_IDS, MEMORY, LISTS, LINKS, QUESTIONS, OTHERS].iter().any(|calls| calls.contains(&call))
}

/// Whether `capability`, which the process has and was asked for in `call` with these arguments, decides nothing.
pub(super) fn is_probe(capability: Capability, call: &str, arguments: &[u64; 6]) -> bool {
    let one_of = |names: &[&str]| names.contains(&call);
    match capability {
        // Who has the capability is root in its namespace: to be that already is allowed to everybody (0), and -1 changes nothing.
        Capability::SETUID | Capability::SETGID
            if one_of(if capability == Capability::SETUID { IDS } else { GROUP_IDS }) =>
        {
            let count = match call {
                "setresuid" | "setresgid" => 3,
                "setreuid" | "setregid" => 2,
                _ => 1,
            };
            arguments[..count].iter().all(|id| matches!(*id as u32, 0 | u32::MAX))
        }
        // Asked before it is known whether more is wanted than there is (cap_inh_is_capped).
        Capability::SETPCAP => call == "capset",
        Capability::SYS_ADMIN => one_of(MEMORY) || one_of(LISTS),
        // A file that cannot be written is asked about before its owner is (may_linkat).
        Capability::DAC_OVERRIDE | Capability::DAC_READ_SEARCH => one_of(QUESTIONS) || one_of(LINKS),
        // Whose memory counts (io_uring_create).
        Capability::IPC_LOCK => call == "io_uring_setup",
        // Whether a congestion control that is restricted may be chosen (do_tcp_setsockopt).
        Capability::NET_ADMIN => call == "setsockopt" && arguments[1] as u32 == 6,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_seccomp::syscall::Syscall;

    #[test]
    fn every_call_is_one() {
        for name in [IDS, GROUP_IDS, MEMORY, LINKS, LISTS, QUESTIONS, OTHERS].concat() {
            assert!(Syscall::from_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn to_become_what_one_is_needs_nothing() {
        let root = [0, 0, 0, 7, 7, 7];
        assert!(is_probe(Capability::SETUID, "setuid", &root));
        assert!(is_probe(Capability::SETGID, "setresgid", &[u64::MAX, 0xffff_ffff, 0, 5, 5, 5]));
        assert!(!is_probe(Capability::SETUID, "setuid", &[33, 0, 0, 0, 0, 0]));
        assert!(!is_probe(Capability::SETGID, "setgroups", &root));
        assert!(!is_probe(Capability::SETGID, "setuid", &root));
        assert!(!is_probe(Capability::CHOWN, "chown", &root));
    }
}
