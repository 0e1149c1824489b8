//! Docker's default posture, as data with a reason per entry.

use stockade_capabilities::Capability;
use stockade_spec::{DeviceRule, DeviceType, Mount};

/// One entry and why it is there.
#[derive(Clone, Copy, Debug)]
pub struct Entry<T: 'static> {
    /// What.
    pub value: T,
    /// Why.
    pub reason: &'static str,
}

/// Makes an [`Entry`].
pub(crate) const fn entry<T>(value: T, reason: &'static str) -> Entry<T> {
    Entry { value, reason }
}

/// The capabilities of a container's root: what package managers and servers that start as root use on their own files.
pub const CAPABILITIES: &[Entry<Capability>] = &[
    entry(Capability::CHOWN, "installers give files to their users"),
    entry(Capability::DAC_OVERRIDE, "root expects to read and write every file of the image"),
    entry(Capability::FSETID, "installers change files with set-user-id bits"),
    entry(Capability::FOWNER, "installers change modes of files that others own"),
    entry(Capability::MKNOD, "some installers make device files; the device rules limit their use"),
    entry(Capability::NET_RAW, "ping"),
    entry(Capability::SETGID, "servers leave root's groups"),
    entry(Capability::SETUID, "servers leave root"),
    entry(Capability::SETFCAP, "installers set file capabilities"),
    entry(Capability::SETPCAP, "servers drop from their bounding set"),
    entry(Capability::NET_BIND_SERVICE, "servers listen on ports below 1024"),
    entry(Capability::SYS_CHROOT, "servers confine themselves with chroot"),
    entry(Capability::KILL, "supervisors signal processes of other users"),
    entry(Capability::AUDIT_WRITE, "login programs write audit records"),
];

/// Paths that the container does not see.
pub const MASKED_PATHS: &[Entry<&str>] = &[
    entry("/proc/acpi", "controls hardware, such as disks (CVE-2018-10892)"),
    entry("/proc/asound", "describes the host's sound devices"),
    entry("/proc/interrupts", "timing of the host's devices is a side channel (keystrokes)"),
    entry("/proc/kcore", "the host's memory"),
    entry("/proc/keys", "keys of other containers: keyrings are not in a namespace"),
    entry("/proc/latency_stats", "what other processes wait for"),
    entry("/proc/sched_debug", "names of processes outside the container"),
    entry("/proc/scsi", "removes disks from the host (CVE-2017-16539)"),
    entry("/proc/timer_list", "processes outside the container, and kernel addresses"),
    entry("/proc/timer_stats", "processes outside the container"),
    entry("/sys/devices/virtual/powercap", "power readings betray keys (CVE-2020-8694)"),
    entry("/sys/firmware", "firmware variables and tables of the host"),
];

/// Paths that the container sees and cannot write.
pub const READONLY_PATHS: &[Entry<&str>] = &[
    entry("/proc/bus", "configures PCI and input devices"),
    entry("/proc/fs", "settings of the host's file systems"),
    entry("/proc/irq", "binds the host's interrupts to processors"),
    entry("/proc/sys", "kernel settings, most of them not in any namespace"),
    entry("/proc/sysrq-trigger", "reboots the host"),
];

/// Sysctls of a private network namespace.
pub const NETWORK_SYSCTLS: &[Entry<(&str, &str)>] = &[
    entry(("net.ipv4.ip_unprivileged_port_start", "0"), "a user may listen on any port of the container's own network"),
    entry(
        (GROUP_RANGE, "0 2147483647"),
        "ping without raw sockets; in a user namespace for the groups that are mapped",
    ),
];

/// The setting whose value is a range of groups.
pub const GROUP_RANGE: &str = "net.ipv4.ping_group_range";
/// The last group that the kernel takes in it.
pub const LAST_GROUP: u32 = i32::MAX as u32;

/// A device rule as data: allowed, kind, major, minor, access.
type Rule = (bool, DeviceType, i64, i64, &'static str);

/// The device rules, later ones winning. -1 is every number.
pub const DEVICE_RULES: &[Entry<Rule>] = &[
    entry((false, DeviceType::All, -1, -1, "rwm"), "no device of the host"),
    entry((true, DeviceType::Character, 1, 5, "rwm"), "/dev/zero"),
    entry((true, DeviceType::Character, 1, 3, "rwm"), "/dev/null"),
    entry((true, DeviceType::Character, 1, 9, "rwm"), "/dev/urandom"),
    entry((true, DeviceType::Character, 1, 8, "rwm"), "/dev/random"),
    entry((true, DeviceType::Character, 5, 0, "rwm"), "/dev/tty, the process' own terminal"),
    entry((true, DeviceType::Character, 5, 1, "rwm"), "/dev/console, the container's terminal"),
    entry((false, DeviceType::Character, 10, 229, "rwm"), "/dev/fuse mounts file systems"),
];

/// A mount as data: destination, type, source, options.
type MountEntry = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// The mounts, in their order. `/dev/shm` gets its size from [`DEFAULT_SHM_SIZE`] or `--shm-size`.
pub const MOUNTS: &[Entry<MountEntry>] = &[
    entry(("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]), "processes"),
    entry(
        ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        "a fresh /dev: no device file of the image is used",
    ),
    entry(
        ("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        "terminals of the container's own",
    ),
    entry(("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]), "kernel objects, not to be changed"),
    entry(
        ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        "own limits can be read and not raised (CVE-2022-0492)",
    ),
    entry(("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]), "message queues of the container's own"),
    entry(
        ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777"]),
        "shared memory of the container's own",
    ),
];

/// The group of terminals, `tty` everywhere: `gid=5` above.
pub const TTY_GROUP: u32 = 5;

/// Docker's size of `/dev/shm`, 64 MiB.
pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;

/// What every container's environment begins with.
pub const ENVIRONMENT: &[Entry<&str>] = &[entry(
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "programs are found although the image names no path",
)];

/// The masked paths of a machine with this many possible processors: the list, and what each processor's thermal state
/// betrays of others' work. The runtime skips those that do not exist.
pub fn masked_paths(processors: usize) -> impl Iterator<Item = String> {
    let thermal = (0..processors).map(|n| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle"));
    MASKED_PATHS.iter().map(|entry| entry.value.to_owned()).chain(thermal)
}

/// [`DEVICE_RULES`] in OCI's words.
pub fn device_rules() -> impl Iterator<Item = DeviceRule> {
    DEVICE_RULES.iter().map(|entry| {
        let (allow, kind, major, minor, access) = entry.value;
        let number = |number: i64| (number >= 0).then_some(number);
        DeviceRule {
            allow,
            kind: Some(kind),
            major: number(major),
            minor: number(minor),
            access: Some(access.to_owned()),
        }
    })
}

/// [`MOUNTS`] in OCI's words.
pub fn mounts() -> impl Iterator<Item = Mount> {
    MOUNTS.iter().map(|entry| {
        let (destination, kind, source, options) = entry.value;
        Mount {
            destination: destination.into(),
            kind: Some(kind.to_owned()),
            source: Some(source.into()),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Mount::default()
        }
    })
}
