//! `features`: what this runtime can do (runtime-spec `features.md`).

use std::io;

use serde_json::{Value, json};
use stockade_capabilities::CapSet;
use stockade_kernel::procfs::Procfs;
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::model::Flags;

/// The answer, in the specification's form.
///
/// # Errors
/// As reading `/proc/sys/kernel/cap_last_cap` and [`stockade_seccomp::support::Support::probe`].
pub fn features() -> io::Result<Value> {
    let last = stockade_capabilities::support::last_cap(&Procfs::host()?)?;
    let capabilities: Vec<String> = CapSet::up_to(last).iter().map(|capability| capability.to_string()).collect();
    let mut options: Vec<_> = crate::plan::mount_option_names().collect();
    options.sort_unstable();
    let (modes, flags) = crate::plan::memory_policy_names();
    Ok(json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": stockade_spec::VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": options,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": true },
            "seccomp": seccomp(stockade_seccomp::support::Support::probe()?.flags),
            "apparmor": { "enabled": true },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false, "schemata": false, "monitoring": false },
            "memoryPolicy": { "modes": modes, "flags": flags },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true },
        },
        "annotations": {},
        "potentiallyUnsafeConfigAnnotations": [],
    }))
}

/// What of filters is known, with the flags that this kernel takes.
fn seccomp(supported: Flags) -> Value {
    let actions = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_LOG",
        "SCMP_ACT_NOTIFY",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_TRAP",
    ];
    let operators = [
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_LE",
        "SCMP_CMP_LT",
        "SCMP_CMP_MASKED_EQ",
        "SCMP_CMP_NE",
    ];
    let flags: Vec<_> = Flags::all().oci_names().collect();
    let mut architectures: Vec<_> = Arch::all().map(Arch::oci_name).collect();
    architectures.sort_unstable();
    json!({
        "enabled": true,
        "actions": actions,
        "operators": operators,
        "archs": architectures,
        "knownFlags": flags,
        "supportedFlags": supported.oci_names().collect::<Vec<_>>(),
    })
}
