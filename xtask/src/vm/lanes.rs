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

    /// What it lacks, as tests call it.
    fn lacks(self) -> &'static str {
        match self {
            Self::V1 | Self::Hybrid => "cgroup_v2",
            Self::V2 => "cgroup_v1",
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

/// What no machine offers: the images and programs that none of its suites is there for.
const ABSENT: &[&str] = &["debian_image", "runc"];

impl Machine {
    /// What a test may need and this machine has.
    pub(crate) fn offers(self) -> Vec<&'static str> {
        // One is booted in a part of the cgroup2 hierarchy.
        let systemd = (self.cgroup != Cgroup::V1).then_some("systemd");
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
        let lacks = ABSENT.iter().chain(self.lsm.lacks()).copied().chain([self.cgroup.lacks()]);
        let silences = self.cgroup.silences().iter().copied().chain([self.lsm.silences()]);
        lacks.map(|need| format!("needs {need}, which this run does not offer")).any(|known| known == reason)
            || silences.into_iter().any(|known| known == reason)
    }
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What CI has the time for.
    Short,
    /// All that is telling of a kernel.
    All,
}

/// A file of tests of a package. What is run of it are the tests whose names contain one of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) package: &'static str,
    /// The name of its `[[test]]`; the package's own name for the tests in its library.
    pub(crate) target: &'static str,
    /// In [`Scope::Short`].
    pub(crate) short: &'static [&'static str],
    /// In [`Scope::All`].
    pub(crate) all: &'static [&'static str],
}

/// Every name contains it.
const WHOLE: &[&str] = &[""];

/// What depends on the kernel, its control groups and its security modules. What does not is left to `cargo xtask test`: to start a
/// process takes an emulated machine forty times as long.
const SUITES: &[Suite] = &[
    Suite {
        package: "stockade-cgroups",
        target: "groups",
        short: &["devices", "limit", "read_back", "frozen", "bomb", "told"],
        all: WHOLE,
    },
    Suite { package: "stockade-cgroups", target: "delegated", short: WHOLE, all: WHOLE },
    Suite { package: "stockade-apparmor", target: "kernel", short: WHOLE, all: WHOLE },
    Suite { package: "stockade-capabilities", target: "kernel", short: &[], all: WHOLE },
    Suite { package: "stockade-namespaces", target: "kernel", short: &[], all: WHOLE },
    Suite {
        package: "stockade-test-runtime",
        target: "runtime",
        short: &["limits::", "limits_are_felt_told_to_systemd"],
        all: &[
            "limits::",
            "systemd::",
            "resource_properties_in",
            "in_a_group",
            "in_the_first_process_group",
            "bad_input::limits",
        ],
    },
    Suite {
        package: "stockade-test-security",
        target: "security",
        short: &["label", "is_moved", "is_lifted"],
        all: &["label", "is_moved", "is_lifted", "of_an_ancestor", "cve_2022_0492"],
    },
    Suite {
        package: "stockade-test-cli",
        target: "cli",
        short: &["apparmor::", "limits::", "what_explain_says"],
        all: &[
            "apparmor::",
            "limits::",
            "systemd::",
            "explain_says",
            "is_audited",
            "limits_are_updated",
            "info_says",
            "namespaces",
            "is_delegated",
            "of_a_delegated",
            "one_id_is_enough",
            "root_of_a_container_is_the_user",
            "doctor",
        ],
    },
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
    lane("6.12-v2-none", Kernel::Debian612, Cgroup::V2, Lsm::None, true),
    lane("6.1-v2-none", Kernel::Debian61, Cgroup::V2, Lsm::None, false),
    lane("6.1-v1-apparmor", Kernel::Debian61, Cgroup::V1, Lsm::AppArmor, false),
    lane("6.1-hybrid-apparmor", Kernel::Debian61, Cgroup::Hybrid, Lsm::AppArmor, false),
    lane("6.12-v2-apparmor", Kernel::Debian612, Cgroup::V2, Lsm::AppArmor, false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_excused_by_what_the_machine_is_meant_not_to_have() {
        let machine = LANES[0].machine;
        assert_eq!((machine.cgroup, machine.lsm), (Cgroup::V2, Lsm::AppArmor));
        for excused in ["needs cgroup_v1, which this run does not offer", "no cgroup v1 hierarchies"] {
            assert!(machine.excuses(excused), "{excused}");
        }
        for lost in ["needs apparmor, which this run does not offer", "needs podman, which this run does not offer", ""]
        {
            assert!(!machine.excuses(lost), "{lost}");
        }
    }

    #[test]
    fn what_is_offered_is_known_and_not_missed() {
        for lane in LANES {
            for offer in lane.machine.offers() {
                assert!(stockade_testkit::offers::NEEDS.iter().any(|need| need.name == offer), "{offer}");
                assert!(!lane.machine.excuses(&format!("needs {offer}, which this run does not offer")), "{offer}");
            }
        }
    }
}
