//! The controls of each profile.

use super::Control;

/// Findings of a check.
type About = &'static [(&'static str, &'static [&'static str])];

const fn control(id: &'static str, title: &'static str, about: About, forbids: &'static [&'static str]) -> Control {
    Control { id, title, about, forbids, but: &[] }
}

const fn control_but(
    id: &'static str,
    title: &'static str,
    about: About,
    forbids: &'static [&'static str],
    but: &'static [&'static str],
) -> Control {
    Control { id, title, about, forbids, but }
}

/// The capabilities of Docker's default, which the benchmark takes for restricted (but NET_RAW, which it has dropped).
const DOCKERS: &[&str] = &[
    "cap-chown",
    "cap-dac-override",
    "cap-fsetid",
    "cap-fowner",
    "cap-mknod",
    "cap-setgid",
    "cap-setuid",
    "cap-setfcap",
    "cap-setpcap",
    "cap-net-bind-service",
    "cap-sys-chroot",
    "cap-kill",
    "cap-audit-write",
];

/// CIS Docker Benchmark 1.6.0, chapter 5, as far as a live process shows it.
pub(super) const CIS: &[Control] = &[
    control("5.2", "an AppArmor profile or SELinux label is in force", &[("label", &[])], &["no-lsm"]),
    control_but("5.4", "capabilities are restricted", &[("capabilities", &[])], &["cap-*"], DOCKERS),
    control(
        "5.5",
        "it is not privileged",
        &[("capabilities", &[]), ("device-filter", &[]), ("seccomp", &[])],
        &["cap-sys-admin", "cap-sys-module", "cap-sys-rawio", "no-device-filter", "memory-device"],
    ),
    control(
        "5.6",
        "no folder of the host that steers it is mounted",
        &[("host-paths", &[])],
        &["host-folder", "writable-host-folder", "whole-host", "host-proc"],
    ),
    control("5.10", "the network is its own", &[("namespaces", &["net"])], &["host-network"]),
    control("5.11", "memory is limited", &[("bounds", &["memory"])], &["unlimited-memory"]),
    control("5.12", "processor time is limited", &[("bounds", &["cpu"])], &["unlimited-cpu"]),
    control("5.13", "the root file system is read-only", &[("root", &["read-only"])], &["writable-root"]),
    control("5.14", "ports are published on one address", &[("network", &["published ports"])], &["published-port"]),
    control("5.16", "processes are its own", &[("namespaces", &["pid"])], &["host-pid"]),
    control("5.17", "IPC objects are its own", &[("namespaces", &["ipc"])], &["host-ipc"]),
    control(
        "5.18",
        "devices of the host are not exposed",
        &[("device-filter", &[])],
        &["device", "disk-device", "memory-device", "no-device-filter"],
    ),
    control("5.20", "mounts are not shared with the host", &[("mounts", &[])], &["shared-propagation"]),
    control("5.21", "the host name is its own", &[("namespaces", &["uts"])], &["host-uts"]),
    control("5.22", "system calls are filtered", &[("seccomp", &["mode"])], &["no-seccomp"]),
    control("5.25", "it is in the control group asked for", &[("limits", &[])], &["raised-limit"]),
    control("5.26", "it cannot gain privileges", &[("no-new-privileges", &["no_new_privs"])], &["new-privileges"]),
    control("5.29", "processes are limited", &[("bounds", &["pids"])], &["unlimited-pids"]),
    control("5.31", "its users are not the host's", &[("namespaces", &["user"])], &["host-users"]),
    control("5.32", "no engine's socket is mounted", &[("host-paths", &[])], &["engine-socket"]),
];

/// Kubernetes' Pod Security Standards, baseline.
pub(super) const BASELINE: &[Control] = &[
    control(
        "host-namespaces",
        "network, processes and IPC are not the host's",
        &[("namespaces", &["net"]), ("namespaces", &["pid"]), ("namespaces", &["ipc"])],
        &["host-network", "host-pid", "host-ipc"],
    ),
    control(
        "privileged",
        "it is not privileged",
        &[("device-filter", &[]), ("capabilities", &[])],
        &["no-device-filter", "memory-device", "cap-sys-module", "cap-sys-rawio"],
    ),
    control_but(
        "capabilities",
        "no capability beyond the usual is there",
        &[("capabilities", &[])],
        &["cap-*"],
        // The standard's list is that of Docker's default, without NET_RAW.
        DOCKERS,
    ),
    control(
        "host-path",
        "no folder of the host is mounted",
        &[("host-paths", &[])],
        &["host-folder", "writable-host-folder", "whole-host", "host-proc", "engine-socket"],
    ),
    control("host-ports", "no port of the host is taken", &[("network", &["published ports"])], &["published-port"]),
    control("app-armor", "the default label is not taken off", &[("label", &[])], &["no-lsm"]),
    control(
        "proc-mount",
        "files of the kernel's are hidden",
        &[("masked-paths", &[])],
        &["unmasked", "writable-kernel-files"],
    ),
    control("seccomp", "system calls are filtered", &[("seccomp", &["mode"])], &["no-seccomp"]),
    control("sysctls", "settings are those asked for", &[("sysctls", &[])], &["changed-sysctl"]),
];

/// What restricted adds to baseline.
pub(super) const RESTRICTED: &[Control] = &[
    control(
        "privilege-escalation",
        "it cannot gain privileges",
        &[("no-new-privileges", &["no_new_privs"])],
        &["new-privileges"],
    ),
    control("non-root", "it does not run as root", &[("identity", &["user"])], &["root-user"]),
    control_but(
        "drop-all",
        "no capability is there but that of low ports",
        &[("capabilities", &[])],
        &["cap-*"],
        &["cap-net-bind-service"],
    ),
];

/// NIST SP 800-190, chapter 4, as far as a live process shows it.
pub(super) const NIST: &[Control] = &[
    control(
        "4.4.2",
        "network access is bounded",
        &[("namespaces", &["net"]), ("abstract-sockets", &[])],
        &["host-network", "abstract-sockets"],
    ),
    control_but(
        "4.4.3",
        "the runtime is configured securely",
        &[
            ("capabilities", &[]),
            ("seccomp", &[]),
            ("filter", &[]),
            ("calls", &[]),
            ("device-filter", &[]),
            ("masked-paths", &[]),
            ("mounts", &[]),
        ],
        &["*"],
        // Usual capabilities, and what is asked of the host's administrator elsewhere.
        DOCKERS,
    ),
    control(
        "4.4.4",
        "a broken program cannot change its own files, and is labelled",
        &[("root", &["read-only"]), ("label", &[])],
        &["writable-root", "no-lsm"],
    ),
    control("4.5.1", "the host's attack surface is small", &[("host", &[])], &["host-hardening"]),
    control(
        "4.5.2",
        "the shared kernel is walled off",
        &[("namespaces", &[]), ("calls", &[])],
        &["host-mount", "host-pid", "host-ipc", "host-users", "open-call", "other-abi"],
    ),
    control(
        "4.5.4",
        "users of the host cannot be reached",
        &[("namespaces", &["user"]), ("host-paths", &[])],
        &["host-users", "engine-socket"],
    ),
    control(
        "4.5.5",
        "the host's files cannot be changed",
        &[("host-paths", &[]), ("root", &["root"]), ("descriptors", &[])],
        &["writable-host-folder", "whole-host", "host-root", "host-descriptor"],
    ),
];
