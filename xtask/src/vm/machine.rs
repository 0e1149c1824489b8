//! The machines that can be booted, and what each offers to the tests and is meant not to have.

/// A machine to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    pub(crate) cgroup: Cgroup,
    pub(crate) lsm: Lsm,
}

/// A kernel of Debian 12's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    Debian61,
    Debian612,
}

impl Kernel {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Debian61, Self::Debian612].into_iter().find(|kernel| kernel.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Debian61 => "6.1",
            Self::Debian612 => "6.12",
        }
    }

    /// The package that depends on it, or is it.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Debian61 => "linux-image-amd64",
            Self::Debian612 => "linux-image-6.12-amd64",
        }
    }
}

/// How control groups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cgroup {
    V1,
    Hybrid,
    V2,
}

const SYSTEMD: &str = "systemd";
const NO_CONTROLLERS: &str = "no controllers of cgroup v2";
const NO_PAGES: &str = "it takes root and the controller hugetlb of cgroup2, with pages of 2 MiB";

impl Cgroup {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::V1, Self::Hybrid, Self::V2].into_iter().find(|cgroup| cgroup.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Hybrid => "hybrid",
            Self::V2 => "v2",
        }
    }

    /// What tests call it.
    fn offers(self) -> &'static str {
        match self {
            Self::V1 | Self::Hybrid => "cgroup_v1",
            Self::V2 => "cgroup_v2",
        }
    }

    /// What it lacks, as tests call it. A systemd is booted in a part of the cgroup2 hierarchy.
    fn lacks(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["cgroup_v2", SYSTEMD],
            Self::Hybrid => &["cgroup_v2"],
            Self::V2 => &["cgroup_v1"],
        }
    }

    /// What tests that do not ask for it by name say where it is not as they need it.
    fn silences(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["no cgroup v2 is mounted", NO_CONTROLLERS, NO_PAGES],
            Self::Hybrid => &[NO_CONTROLLERS, NO_PAGES],
            Self::V2 => &["no cgroup v1 hierarchies"],
        }
    }
}

/// The security modules beside capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lsm {
    /// AppArmor, Landlock and Yama.
    AppArmor,
    /// None that takes profiles or rules.
    None,
}

impl Lsm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::AppArmor, Self::None].into_iter().find(|lsm| lsm.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AppArmor => "apparmor",
            Self::None => "none",
        }
    }

    fn offers(self) -> &'static [&'static str] {
        match self {
            Self::AppArmor => &["apparmor"],
            Self::None => &[],
        }
    }

    /// What it lacks, as tests call it.
    fn lacks(self) -> &'static [&'static str] {
        match self {
            Self::AppArmor => &[],
            Self::None => &["apparmor"],
        }
    }

    /// What tests that do not ask for it by name say where it is not as they need it.
    fn silences(self) -> &'static str {
        match self {
            Self::AppArmor => "needs a kernel without AppArmor",
            Self::None => "needs root, AppArmor and apparmor_parser",
        }
    }
}

/// What every machine offers: it has this one's programs.
const COMMON: &[&str] = &[
    "root",
    "user_namespaces",
    "time_namespaces",
    "sys_resource",
    "limits",
    "call_tracepoints",
    "block_device",
    "x86_64",
    "busybox_image",
    "busybox_packed",
    "stake",
    "runtime",
    "stockade",
    "unpacker",
    "apparmor_parser",
    "busybox",
    "capsh",
    "ip",
    "jq",
    "lsns",
    "newuidmap",
    "nsenter",
    "script",
    "setpriv",
    "setsid",
    "skopeo",
    "strace",
    "umoci",
    "unshare",
    "zstd",
    "openssl",
    "htpasswd",
    "docker_registry",
];

/// What no machine offers: the images and programs that none of its suites is there for, and a tracepoint (`cap_capable`) that is newer than both
/// kernels.
const ABSENT: &[&str] = &["crun", "debian_image", "runc", "tracepoints", "youki"];

impl Machine {
    /// What a test may need and this machine has.
    pub(crate) fn offers(self) -> Vec<&'static str> {
        let systemd = (!self.cgroup.lacks().contains(&SYSTEMD)).then_some(SYSTEMD);
        COMMON
            .iter()
            .copied()
            .chain(systemd)
            .chain([self.cgroup.offers()])
            .chain(self.lsm.offers().iter().copied())
            .collect()
    }

    /// Whether a test may skip itself here for this reason: the machine is meant not to have it.
    pub(crate) fn excuses(self, reason: &str) -> bool {
        let lacks = ABSENT.iter().chain(self.lsm.lacks()).chain(self.cgroup.lacks());
        let silences = self.cgroup.silences().iter().copied().chain([self.lsm.silences()]);
        lacks.map(|need| format!("needs {need}, which this run does not offer")).any(|known| known == reason)
            || silences.into_iter().any(|known| known == reason)
    }
}
