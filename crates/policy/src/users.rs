//! Which containers can have user ids of their own although nobody said so: those that ask for nothing that only the host's have.

use stockade_capabilities::{CapSet, Capability};

use crate::defaults::{Entry, entry};
use crate::namespaces::{IpcMode, Mode, NetworkMode};
use crate::options::Options;
use crate::sysctl::Owner;

/// Capabilities that the kernel asks of the host's root for, whatever the root of another user namespace holds.
pub const OF_THE_HOST: &[Entry<Capability>] = &[
    entry(Capability::AUDIT_CONTROL, "the machine's audit rules"),
    entry(Capability::AUDIT_READ, "the machine's audit log"),
    entry(Capability::BLOCK_SUSPEND, "the machine's sleep"),
    entry(Capability::BPF, "programs in the kernel"),
    entry(Capability::IPC_LOCK, "memory that the machine cannot swap"),
    entry(Capability::LINUX_IMMUTABLE, "attributes of files that root itself obeys"),
    entry(Capability::MAC_ADMIN, "security modules"),
    entry(Capability::MAC_OVERRIDE, "security modules"),
    entry(Capability::MKNOD, "device files"),
    entry(Capability::PERFMON, "counters of the whole machine"),
    entry(Capability::SYSLOG, "the kernel's messages"),
    entry(Capability::SYS_BOOT, "reboots"),
    entry(Capability::SYS_MODULE, "code in the kernel"),
    entry(Capability::SYS_NICE, "priorities above those of others"),
    entry(Capability::SYS_PACCT, "accounting of the whole machine"),
    entry(Capability::SYS_RAWIO, "hardware"),
    entry(Capability::SYS_RESOURCE, "limits above those that were given"),
    entry(Capability::SYS_TIME, "the machine's clock"),
    entry(Capability::SYS_TTY_CONFIG, "the machine's consoles"),
    entry(Capability::WAKE_ALARM, "the machine's sleep"),
];

/// Why a container has the host's user ids unless it is told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostUsers {
    /// The flag shares something with the host, and says so.
    Shared(&'static str),
    /// The flag is of no use in a user namespace, which it does not say.
    Needed(&'static str),
}

impl HostUsers {
    /// Finds a flag among `options` that needs the host's user ids; `None` where a user namespace can be had.
    #[must_use]
    pub fn of(options: &Options) -> Option<Self> {
        let mounts_devices = options.device_rules.iter().any(|rule| {
            let access = rule.access.as_deref().unwrap_or("rwm");
            rule.allow && access.contains('m')
        });
        let names = options.sysctls.iter().any(|sysctl| sysctl.namespace == Owner::Uts);
        [
            (options.privileged, Self::Shared("--privileged")),
            (options.pid.0 == Mode::Host, Self::Shared("--pid host")),
            (options.network == NetworkMode::Host, Self::Shared("--network host")),
            (options.ipc == IpcMode::Host, Self::Shared("--ipc host")),
            (options.security.writable_cgroups, Self::Needed("--security-opt writable-cgroups")),
            (adds_of_the_host(options), Self::Needed("--cap-add")),
            (mounts_devices, Self::Needed("--device-cgroup-rule")),
            (names, Self::Needed("--sysctl kernel.domainname or kernel.hostname")),
        ]
        .into_iter()
        .find_map(|(applies, why)| applies.then_some(why))
    }
}

/// Whether `--cap-add` names what only the host's root has. A name that is none is refused elsewhere.
fn adds_of_the_host(options: &Options) -> bool {
    let host: CapSet = OF_THE_HOST.iter().map(|entry| entry.value).collect();
    options.cap_add.iter().any(|name| {
        let name = name.to_ascii_uppercase();
        let capability = name.strip_prefix("CAP_").unwrap_or(&name);
        capability == "ALL" || host.iter().any(|of_host| of_host.to_string() == format!("CAP_{capability}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::parse_rule;

    #[test]
    fn what_is_the_hosts_needs_its_ids() {
        let of = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            HostUsers::of(&options)
        };
        assert_eq!(of(|_options| {}), None);
        assert_eq!(of(|options| options.privileged = true), Some(HostUsers::Shared("--privileged")));
        assert_eq!(of(|options| options.network = NetworkMode::Host), Some(HostUsers::Shared("--network host")));
        for name in ["all", "CAP_SYS_TIME", "mknod", "cap_bpf"] {
            let options = Options { cap_add: vec![name.to_owned()], ..Options::default() };
            assert_eq!(HostUsers::of(&options), Some(HostUsers::Needed("--cap-add")), "{name}");
        }
        assert_eq!(of(|options| options.cap_add = ["NET_ADMIN", "sys_ptrace"].map(str::to_owned).to_vec()), None);
        for (rule, needs) in [("c 1:11 rm", true), ("c 1:11 rw", false)] {
            let options = Options { device_rules: vec![parse_rule(rule).unwrap()], ..Options::default() };
            assert_eq!(HostUsers::of(&options).is_some(), needs, "{rule}");
        }
        let sysctls = ["kernel.domainname=x", "net.ipv4.ip_forward=1"].map(|text| text.parse().unwrap());
        let [domain, network] = sysctls.map(|sysctl| Options { sysctls: vec![sysctl], ..Options::default() });
        assert!(HostUsers::of(&domain).is_some() && HostUsers::of(&network).is_none());
    }
}
