//! Flags, with what they expose.

use stockade_capabilities::Capability;

use crate::explain::{Way, short};
use crate::exposure::{self, Exposure};

/// What a limit that is raised exposes.
const WIDER_LIMIT: &Exposure =
    &Exposure { id: "wider-limit", points: 1, reason: "It can use more of what the limit was to keep from others." };
/// What a network exposes.
const A_NETWORK: &Exposure = &Exposure {
    id: "network",
    points: 2,
    reason: "It reaches other containers of that network, and what the host reaches.",
};

/// Whether a capability counts in the container's user namespace, or in the host's only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Own,
    Host,
}

/// A flag, or several that are needed together.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags {
    words: Vec<String>,
    risks: Vec<&'static Exposure>,
}

impl Flags {
    /// A flag with a value.
    pub(super) fn and(mut self, word: impl Into<String>, risk: &'static Exposure) -> Self {
        self.words.push(word.into());
        self.risks.push(risk);
        self
    }

    pub(super) fn capability(self, capability: Capability) -> Self {
        self.and(format!("--cap-add {}", short(capability)), exposure::of_capability(capability))
    }

    /// The host's users, if what is asked for belongs to the host and the container has users of its own.
    pub(super) fn on(self, place: Where, own_users: bool) -> Self {
        if place == Where::Host && own_users { self.host_users() } else { self }
    }

    pub(super) fn host_users(self) -> Self {
        self.and("--userns=host", exposure::HOST_USERS)
    }

    pub(super) fn limit(self, word: String) -> Self {
        self.and(word, WIDER_LIMIT)
    }

    pub(super) fn network(self) -> Self {
        self.and("--network bridge", A_NETWORK)
    }

    pub(super) fn way(self) -> Way {
        Way { flag: self.words.join(" "), risks: self.risks }
    }
}

/// What calls ask for themselves, beyond the filter, as the kernel's source has it.
const NEEDS: &[(&[&str], Capability, Where)] = &[
    (
        &[
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "pivot_root",
            "setdomainname",
            "sethostname",
            "setns",
            "umount",
            "umount2",
            "unshare",
            "clone",
            "clone3",
        ],
        Capability::SYS_ADMIN,
        Where::Own,
    ),
    (&["chroot"], Capability::SYS_CHROOT, Where::Own),
    (&["reboot"], Capability::SYS_BOOT, Where::Own),
    (&["kcmp", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace"], Capability::SYS_PTRACE, Where::Own),
    (&["adjtimex", "clock_adjtime", "clock_settime", "settimeofday", "stime"], Capability::SYS_TIME, Where::Host),
    (&["delete_module", "finit_module", "init_module"], Capability::SYS_MODULE, Where::Host),
    (&["kexec_file_load", "kexec_load"], Capability::SYS_BOOT, Where::Host),
    (&["fanotify_init", "quotactl", "quotactl_fd", "swapoff", "swapon"], Capability::SYS_ADMIN, Where::Host),
    (&["acct"], Capability::SYS_PACCT, Where::Host),
    (&["ioperm", "iopl"], Capability::SYS_RAWIO, Where::Host),
    (&["syslog"], Capability::SYSLOG, Where::Host),
    (&["bpf"], Capability::BPF, Where::Host),
    (&["perf_event_open"], Capability::PERFMON, Where::Host),
    (&["open_by_handle_at"], Capability::DAC_READ_SEARCH, Where::Host),
    (&["vhangup"], Capability::SYS_TTY_CONFIG, Where::Host),
    (&["userfaultfd"], Capability::SYS_PTRACE, Where::Host),
    (&["mbind", "migrate_pages", "move_pages", "set_mempolicy"], Capability::SYS_NICE, Where::Own),
];

/// `CLONE_NEWUSER`: whoever makes a user namespace has all capabilities in it, and so may make the others with it.
const NEW_USERS: u64 = 0x1000_0000;

/// What the call asks for, with these flags.
pub(super) fn needed(name: &str, flags: u64) -> Option<(Capability, Where)> {
    if matches!(name, "unshare" | "clone" | "clone3") && flags & NEW_USERS != 0 {
        return None;
    }
    NEEDS.iter().find(|(names, ..)| names.contains(&name)).map(|(_, capability, place)| (*capability, *place))
}
