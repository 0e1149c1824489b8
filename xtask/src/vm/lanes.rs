//! The lanes: which machine runs which suites, and what it offers them. What a lane offers is fixed here, so that nothing passes
//! because it was skipped: a machine that lost what it is for turns red.

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
}

/// What every machine offers: it has this one's programs.
const COMMON: &[&str] = &[
    "root",
    "user_namespaces",
    "time_namespaces",
    "sys_resource",
    "limits",
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

impl Machine {
    /// What a test may need and this machine has.
    pub(crate) fn offers(self) -> Vec<&'static str> {
        COMMON.iter().copied().chain([self.cgroup.offers()]).chain(self.lsm.offers().iter().copied()).collect()
    }
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What CI has the time for.
    Short,
    /// Everything.
    All,
}

/// A file of tests of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) package: &'static str,
    /// The name of its `[[test]]`; the package's own name for the tests in its library.
    pub(crate) target: &'static str,
    /// What of it is run in [`Scope::Short`]: names of tests contain one of these. Nothing if empty.
    pub(crate) short: &'static [&'static str],
}

/// Everything of a suite, also in [`Scope::Short`].
const WHOLE: &[&str] = &[""];

const SUITES: &[Suite] = &[
    Suite { package: "stockade-cgroups", target: "groups", short: WHOLE },
    Suite { package: "stockade-apparmor", target: "kernel", short: WHOLE },
    Suite { package: "stockade-capabilities", target: "kernel", short: WHOLE },
    Suite { package: "stockade-namespaces", target: "kernel", short: WHOLE },
    Suite { package: "stockade-seccomp", target: "kernel", short: &[] },
    Suite { package: "stockade-runtime", target: "rootfs", short: &[] },
    Suite { package: "stockade-test-runtime", target: "runtime", short: &["limits::", "exec::"] },
    Suite { package: "stockade-test-security", target: "security", short: &["procfs::"] },
    Suite { package: "stockade-test-cli", target: "cli", short: &["limits::", "walls::"] },
];

/// One machine and what it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) machine: Machine,
    /// Whether it is one of CI's.
    pub(crate) short: bool,
    pub(crate) suites: &'static [Suite],
}

const fn lane(name: &'static str, kernel: Kernel, cgroup: Cgroup, lsm: Lsm, short: bool) -> Lane {
    Lane { name, machine: Machine { kernel, cgroup, lsm }, short, suites: SUITES }
}

/// All of them. Linux 6.12 of Debian has no memory and cpuset controllers for v1.
pub(crate) const LANES: &[Lane] = &[
    lane("6.1-v2-apparmor", Kernel::Debian61, Cgroup::V2, Lsm::AppArmor, true),
    lane("6.1-v2-none", Kernel::Debian61, Cgroup::V2, Lsm::None, false),
    lane("6.1-v1-apparmor", Kernel::Debian61, Cgroup::V1, Lsm::AppArmor, false),
    lane("6.1-hybrid-apparmor", Kernel::Debian61, Cgroup::Hybrid, Lsm::AppArmor, false),
    lane("6.12-v2-apparmor", Kernel::Debian612, Cgroup::V2, Lsm::AppArmor, false),
    lane("6.12-v2-none", Kernel::Debian612, Cgroup::V2, Lsm::None, false),
];
