//! Where the kernel asks for a capability whose answer decides nothing, so that a container does as well without it: data.
//!
//! Each entry is read of the kernel's source, at the call that it names.

use stockade_capabilities::Capability;

/// One kind of question.
struct Probe {
    /// What is asked for.
    capabilities: &'static [Capability],
    /// In which calls.
    calls: &'static [&'static str],
    /// With which arguments of the call the answer decides nothing.
    when: fn(&str, &[u64; 6]) -> bool,
}

const fn always(capabilities: &'static [Capability], calls: &'static [&'static str]) -> Probe {
    Probe { capabilities, calls, when: |_, _| true }
}

const PROBES: &[Probe] = &[
    // Whoever is what he asks to be needs nothing.
    Probe {
        capabilities: &[Capability::SETUID],
        calls: &["setfsuid", "setresuid", "setreuid", "setuid"],
        when: remains_root,
    },
    Probe {
        capabilities: &[Capability::SETGID],
        calls: &["setfsgid", "setregid", "setresgid", "setgid"],
        when: remains_root,
    },
    // Asked before it is known whether more is wanted than there is (cap_inh_is_capped).
    always(&[Capability::SETPCAP], &["capset"]),
    // Root may use the last three percent of the memory (cap_vm_enough_memory).
    always(
        &[Capability::SYS_ADMIN],
        &[
            "brk", "clone", "clone3", "execve", "execveat", "fork", "mmap", "mprotect", "mremap", "munmap", "shmat",
            "vfork",
        ],
    ),
    // Whether attributes that only the host's root sees are listed.
    always(&[Capability::SYS_ADMIN], &["flistxattr", "listxattr", "llistxattr"]),
    // Questions, to which "no" is an answer: what is then done asks again.
    always(&[Capability::DAC_OVERRIDE, Capability::DAC_READ_SEARCH], &["access", "faccessat", "faccessat2"]),
    // A file that cannot be written is asked about before its owner is (may_linkat).
    always(&[Capability::DAC_OVERRIDE, Capability::DAC_READ_SEARCH], &["link", "linkat"]),
    // Whose memory counts (io_uring_create).
    always(&[Capability::IPC_LOCK], &["io_uring_setup"]),
    // Whether a congestion control that is restricted may be chosen (do_tcp_setsockopt).
    Probe {
        capabilities: &[Capability::NET_ADMIN],
        calls: &["setsockopt"],
        when: |_, arguments| arguments[1] as u32 == TCP,
    },
];

/// `IPPROTO_TCP`.
const TCP: u32 = 6;

/// Who has the capability is root in its namespace: to be that already is allowed to everybody (0), and -1 changes nothing.
fn remains_root(call: &str, arguments: &[u64; 6]) -> bool {
    let count = match call {
        "setresuid" | "setresgid" => 3,
        "setreuid" | "setregid" => 2,
        _ => 1,
    };
    arguments[..count].iter().all(|id| matches!(*id as u32, 0 | u32::MAX))
}

/// Whether it hangs on this call whether a capability that is asked for decides anything.
pub(super) fn hang_on(call: &str) -> bool {
    PROBES.iter().any(|probe| probe.calls.contains(&call))
}

/// Whether `capability`, which the process has and was asked for in `call` with these arguments, decides nothing.
pub(super) fn is_probe(capability: Capability, call: &str, arguments: &[u64; 6]) -> bool {
    let is_one = |probe: &&Probe| probe.capabilities.contains(&capability) && probe.calls.contains(&call);
    PROBES.iter().filter(is_one).any(|probe| (probe.when)(call, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_seccomp::syscall::Syscall;

    #[test]
    fn every_call_is_one() {
        for name in PROBES.iter().flat_map(|probe| probe.calls) {
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
        let of_tcp = [3, 6, 13, 0, 0, 0];
        assert!(is_probe(Capability::NET_ADMIN, "setsockopt", &of_tcp));
        assert!(!is_probe(Capability::NET_ADMIN, "setsockopt", &[3, 1, 32, 0, 0, 0]));
        assert!(is_probe(Capability::SYS_ADMIN, "mmap", &root) && !is_probe(Capability::SYS_ADMIN, "mount", &root));
    }
}
