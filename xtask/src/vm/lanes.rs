//! The lanes: which machine runs which suites. What each offers them is fixed ([`super::machine`]), so that nothing passes
//! because it was skipped: a machine that lost what it is for turns red.

use super::machine::{Cgroup, Kernel, Lsm, Machine};

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What CI has the time for.
    Short,
    /// All that is telling of a kernel.
    All,
}

impl Scope {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::All => "all",
        }
    }
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
        short: &[
            "apparmor::",
            "limits::",
            "nested::",
            "what_explain_says",
            "one_id_is_enough",
            "root_of_a_container_is_the_user",
            "confines_the_containers_of_users",
            "the_doctor_tells",
        ],
        all: &[
            "apparmor::",
            "limits::",
            "nested::",
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
            "confines_the_containers_of_users",
            "the_doctor_tells",
        ],
    },
];

/// What is run of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What is short in CI, and all in the matrix.
    Everywhere,
    /// All in the matrix.
    Matrix,
    /// What is short, in the matrix.
    Telling,
}

/// One machine and what it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) machine: Machine,
    part: Part,
    pub(crate) suites: &'static [Suite],
}

impl Lane {
    /// Whether `scope` has it.
    pub(crate) fn is_in(&self, scope: Scope) -> bool {
        scope == Scope::All || self.part == Part::Everywhere
    }

    /// The words of which one is in the names of the tests that are run of `suite`; nothing if none is.
    pub(crate) fn words(&self, suite: &Suite, scope: Scope) -> &'static [&'static str] {
        match (scope, self.part) {
            (Scope::Short, _) | (Scope::All, Part::Telling) => suite.short,
            (Scope::All, Part::Everywhere | Part::Matrix) => suite.all,
        }
    }
}

const fn lane(name: &'static str, kernel: Kernel, cgroup: Cgroup, lsm: Lsm, part: Part) -> Lane {
    Lane { name, machine: Machine { kernel, cgroup, lsm }, part, suites: SUITES }
}

/// All of them. Three cells are cut down to what is telling, because a whole one takes a quarter of an hour: two of them differ in one respect only from
/// each of two that are whole, and a hybrid machine without AppArmor is what `cargo xtask test` usually runs on.
/// Linux 6.12 of Debian has no memory and cpuset controllers for v1.
pub(crate) const LANES: &[Lane] = &[
    lane("6.1-v2-apparmor", Kernel::Debian61, Cgroup::V2, Lsm::AppArmor, Part::Everywhere),
    lane("6.12-v2-none", Kernel::Debian612, Cgroup::V2, Lsm::None, Part::Everywhere),
    lane("6.1-v2-none", Kernel::Debian61, Cgroup::V2, Lsm::None, Part::Telling),
    lane("6.1-v1-apparmor", Kernel::Debian61, Cgroup::V1, Lsm::AppArmor, Part::Matrix),
    lane("6.1-hybrid-apparmor", Kernel::Debian61, Cgroup::Hybrid, Lsm::AppArmor, Part::Telling),
    lane("6.12-v2-apparmor", Kernel::Debian612, Cgroup::V2, Lsm::AppArmor, Part::Telling),
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
