//! What a missing wall exposes, and how much that weighs: data with reasons, which the grade is made of.
//!
//! Points are for comparing: 100 is what gives the host away by itself, 1 is what an attacker has to be lucky for.

use stockade_capabilities::Capability;

/// One thing that a container reaches because a wall is not there.
#[derive(Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Its name, such as `host-network`.
    pub id: &'static str,
    /// How much it weighs, 1 to 100.
    pub points: u32,
    /// Why it weighs so much.
    pub reason: &'static str,
}

macro_rules! exposures {
    ($($name:ident $id:literal $points:literal $reason:literal;)*) => {
        $(
            #[doc = $reason]
            pub const $name: &Exposure = &Exposure { id: $id, points: $points, reason: $reason };
        )*
        /// All of them but those of capabilities.
        const ALL: &[&Exposure] = &[$($name),*];
    };
}

exposures! {
    HOST_MOUNT "host-mount" 60 "Sees and, with CAP_SYS_ADMIN, changes the host's mounts.";
    HOST_PID "host-pid" 25 "Sees all processes of the host, and signals or traces those of its user.";
    HOST_NETWORK "host-network" 20 "Reaches services on the host's loopback and abstract sockets, and can take its ports.";
    HOST_IPC "host-ipc" 8 "Reads and writes shared memory and queues of the host's programs.";
    HOST_UTS "host-uts" 2 "Sees the host's name, and with CAP_SYS_ADMIN changes it.";
    HOST_CGROUP "host-cgroup" 3 "Sees the host's control groups, which tell of all other containers.";
    HOST_TIME "host-time" 1 "Shares the host's clocks since boot, which only tells how long it has run.";
    HOST_USERS "host-users" 15 "Its root is the host's root: any other way out ends with all rights.";
    MAPPED_HOST_ROOT "mapped-host-root" 15 "A user of its user namespace is the host's root.";
    SETGROUPS "setgroups" 1 "May drop groups that deny access to files.";
    INHERITABLE "inheritable-capabilities" 3 "Files with inheritable capabilities give more than was meant (CVE-2022-29162).";
    ROOT_USER "root-user" 1 "It runs as root of its own: what it is broken into has all that its capabilities give.";
    NEW_PRIVILEGES "new-privileges" 3 "Set-user-id programs and file capabilities of the image raise privileges.";
    NO_SECCOMP "no-seccomp" 20 "The whole interface of the kernel is there to be attacked.";
    OPEN_CALL "open-call" 5 "The filter lets through system calls that ways out have used.";
    OTHER_ABI "other-abi" 8 "Another system call interface lets through what the native one does not.";
    UPPER_BITS "upper-bits" 5 "Argument rules are passed by upper bits that the kernel does not look at.";
    NO_LSM "no-lsm" 5 "No mandatory access control stands behind the other walls.";
    HOST_ROOT "host-root" 80 "Its root folder is the host's.";
    WRITABLE_ROOT "writable-root" 1 "What was broken into can write programs to its own file system and start them.";
    SHARED_PROPAGATION "shared-propagation" 5 "Mounts that it makes appear on the host.";
    UNEXPECTED_MOUNT "unexpected-mount" 10 "Something is mounted that was not asked for.";
    MOUNT_FLAGS "mount-flags" 5 "A mount allows devices, set-user-id programs, programs or writing that it should not.";
    UNMASKED "unmasked" 5 "A file of the kernel's that tells of the host or steers it can be read.";
    WRITABLE_KERNEL_FILES "writable-kernel-files" 15 "Files by which the kernel is steered can be written.";
    HOST_PROC "host-proc" 25 "The host's procfs: all its processes and their roots.";
    FAKE_PROC "fake-proc" 10 "What is at /proc or /sys is not the kernel's: labels and settings written there go astray (CVE-2019-16884).";
    NO_DEVICE_FILTER "no-device-filter" 30 "Every device of the host can be opened once its node can be made.";
    DEVICE "device" 15 "A device of the host that was not asked for can be opened.";
    MEMORY_DEVICE "memory-device" 90 "The host's memory or I/O ports can be opened.";
    DISK_DEVICE "disk-device" 70 "A disk of the host can be opened, with all files on it.";
    DEVICE_NODE "device-node" 2 "A device node stands in /dev that was not asked for.";
    HOST_DESCRIPTOR "host-descriptor" 60 "A file or folder of the host is open in it (CVE-2024-21626).";
    OUTSIDE_ROOT "outside-root" 60 "Its working directory or program is outside of its root (CVE-2024-21626).";
    ENGINE_VARIABLE "engine-variable" 3 "A variable of the engine's tells of the host, or steers what the container starts.";
    UNLIMITED_MEMORY "unlimited-memory" 2 "It can use up the host's memory.";
    UNLIMITED_PIDS "unlimited-pids" 2 "It can use up the host's process ids.";
    UNLIMITED_CPU "unlimited-cpu" 1 "It can use all processors.";
    RAISED_LIMIT "raised-limit" 2 "A limit in force is wider than what was asked for.";
    OOM_PROTECTED "oom-protected" 3 "The kernel kills other programs before it when memory is short.";
    CHANGED_SYSCTL "changed-sysctl" 2 "A setting of its namespaces is not what was asked for.";
    PUBLISHED_PORT "published-port" 1 "A port of it is reached from everywhere.";
    ENGINE_SOCKET "engine-socket" 95 "The socket of a container engine: whoever can write to it starts containers with all rights.";
    HOST_FOLDER "host-folder" 10 "A folder of the host that steers it can be read.";
    WRITABLE_HOST_FOLDER "writable-host-folder" 60 "A folder of the host that steers it can be written.";
    WHOLE_HOST "whole-host" 80 "The host's root folder is mounted in it.";
    ABSTRACT_SOCKETS "abstract-sockets" 5 "Abstract sockets of the host's programs are reached, which no permissions guard (CVE-2020-15257).";
    KEYRING "keyring" 2 "Keys can be asked for that are in no namespace.";
    CORE_PATTERN "core-pattern" 90 "It can say which program the host starts, as root, when one crashes.";
    RUNTIME_REACHABLE "runtime-reachable" 40 "The runtime's program can be opened, and overwritten, from inside (CVE-2019-5736).";
    WEAKER_PROCESS "weaker-process" 10 "Another process of it has fewer walls than the first.";
    DRIFT "drift" 5 "A wall became weaker since an earlier audit.";
    HOST_HARDENING "host-hardening" 1 "The host leaves a protection of the kernel's off.";
}

/// What each capability weighs where the container's users are the host's, by its number, and why.
const CAPABILITIES: &[(Capability, &str, u32, &str)] = &[
    (Capability::SYS_ADMIN, "cap-sys-admin", 60, "Mounts, enters namespaces, and has a hundred other rights."),
    (Capability::SYS_MODULE, "cap-sys-module", 95, "Loads code into the kernel."),
    (Capability::SYS_RAWIO, "cap-sys-rawio", 60, "Reads and writes I/O ports and the kernel's memory."),
    (Capability::SYS_PTRACE, "cap-sys-ptrace", 25, "Traces every process that it sees."),
    (Capability::SYS_BOOT, "cap-sys-boot", 20, "Reboots the host."),
    (Capability::SYS_TIME, "cap-sys-time", 5, "Sets the host's clock."),
    (Capability::SYS_NICE, "cap-sys-nice", 2, "Takes processor time from others."),
    (Capability::SYS_RESOURCE, "cap-sys-resource", 4, "Passes over limits."),
    (Capability::SYS_TTY_CONFIG, "cap-sys-tty-config", 3, "Configures the host's virtual terminals."),
    (Capability::SYS_PACCT, "cap-sys-pacct", 2, "Switches process accounting."),
    (Capability::SYSLOG, "cap-syslog", 4, "Reads the kernel's log and addresses."),
    (
        Capability::DAC_READ_SEARCH,
        "cap-dac-read-search",
        60,
        "Opens any file of a mounted file system by its handle (shocker).",
    ),
    (Capability::DAC_OVERRIDE, "cap-dac-override", 2, "Passes by permissions of files that it sees."),
    (Capability::NET_ADMIN, "cap-net-admin", 8, "Configures its network, by much code of the kernel's."),
    (Capability::NET_RAW, "cap-net-raw", 3, "Sends frames in others' names (CVE-2020-13401)."),
    (Capability::NET_BIND_SERVICE, "cap-net-bind-service", 1, "Listens on ports below 1024."),
    (Capability::BPF, "cap-bpf", 25, "Loads programs into the kernel."),
    (Capability::PERFMON, "cap-perfmon", 10, "Watches the whole machine."),
    (Capability::CHECKPOINT_RESTORE, "cap-checkpoint-restore", 6, "Reads filters and memory maps of others."),
    (Capability::MKNOD, "cap-mknod", 2, "Makes device files; the device filter limits their use."),
    (Capability::SETFCAP, "cap-setfcap", 2, "Gives capabilities to files."),
    (Capability::SETPCAP, "cap-setpcap", 1, "Changes its own sets."),
    (Capability::SETUID, "cap-setuid", 1, "Takes any user id."),
    (Capability::SETGID, "cap-setgid", 1, "Takes any group id."),
    (Capability::CHOWN, "cap-chown", 1, "Gives files away."),
    (Capability::FOWNER, "cap-fowner", 1, "Does what a file's owner may."),
    (Capability::FSETID, "cap-fsetid", 1, "Keeps set-user-id bits."),
    (Capability::KILL, "cap-kill", 1, "Signals processes of other users."),
    (Capability::SYS_CHROOT, "cap-sys-chroot", 1, "Uses chroot."),
    (Capability::AUDIT_WRITE, "cap-audit-write", 1, "Writes audit records."),
    (Capability::AUDIT_CONTROL, "cap-audit-control", 5, "Switches auditing off."),
    (Capability::AUDIT_READ, "cap-audit-read", 3, "Reads the host's audit log."),
    (Capability::MAC_ADMIN, "cap-mac-admin", 20, "Changes mandatory access control."),
    (Capability::MAC_OVERRIDE, "cap-mac-override", 20, "Passes by mandatory access control."),
    (Capability::IPC_LOCK, "cap-ipc-lock", 1, "Locks memory."),
    (Capability::IPC_OWNER, "cap-ipc-owner", 2, "Passes by permissions of shared memory."),
    (Capability::LINUX_IMMUTABLE, "cap-linux-immutable", 1, "Sets attributes of files."),
    (Capability::NET_BROADCAST, "cap-net-broadcast", 1, "Unused by the kernel."),
    (Capability::LEASE, "cap-lease", 1, "Takes leases on files."),
    (Capability::WAKE_ALARM, "cap-wake-alarm", 1, "Wakes the machine."),
    (Capability::BLOCK_SUSPEND, "cap-block-suspend", 1, "Keeps the machine awake."),
];

macro_rules! capability_exposures {
    () => {
        &{
            let mut all = [const { Exposure { id: "", points: 0, reason: "" } }; CAPABILITIES.len()];
            let mut index = 0;
            while index < CAPABILITIES.len() {
                let (_, id, points, reason) = CAPABILITIES[index];
                all[index] = Exposure { id, points, reason };
                index += 1;
            }
            all
        }
    };
}

/// Those of [`CAPABILITIES`], in the same order.
static OF_CAPABILITIES: &[Exposure] = capability_exposures!();

/// A capability that is newer than the table.
static UNKNOWN_CAPABILITY: Exposure =
    Exposure { id: "cap-unknown", points: 20, reason: "A capability that is newer than this program." };

/// What `capability` exposes where the container's users are the host's.
#[must_use]
pub fn of_capability(capability: Capability) -> &'static Exposure {
    let place = CAPABILITIES.iter().position(|(other, ..)| *other == capability);
    place.and_then(|place| OF_CAPABILITIES.get(place)).unwrap_or(&UNKNOWN_CAPABILITY)
}

/// All exposures.
pub fn all() -> impl Iterator<Item = &'static Exposure> {
    ALL.iter().copied().chain(OF_CAPABILITIES).chain([&UNKNOWN_CAPABILITY])
}

/// The exposure with this id.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static Exposure> {
    all().find(|exposure| exposure.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_exposure_has_an_id_of_its_own_and_a_reason() {
        let ids: BTreeSet<&str> = all().map(|exposure| exposure.id).collect();
        assert_eq!(ids.len(), all().count());
        for exposure in all() {
            assert!((1..=100).contains(&exposure.points) && exposure.reason.ends_with(['.', ')']), "{exposure:?}");
            assert_eq!(by_id(exposure.id), Some(exposure));
        }
    }

    #[test]
    fn every_named_capability_weighs_something() {
        for capability in Capability::named() {
            assert_ne!(of_capability(capability).id, "cap-unknown", "{capability}");
        }
        assert_eq!(of_capability(Capability::SYS_ADMIN).id, "cap-sys-admin");
        assert_eq!(Capability::new(63).map(|one| of_capability(one).id), Some("cap-unknown"));
    }
}
