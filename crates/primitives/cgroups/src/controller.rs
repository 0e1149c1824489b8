//! The kernel's controllers, by name.

bitflags::bitflags! {
    /// A set of controllers.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Controllers: u16 {
        /// Processor time.
        const CPU = 1;
        /// Processor statistics; cgroup v1 only (on v2 a part of every group).
        const CPUACCT = 1 << 1;
        /// Processors and memory nodes.
        const CPUSET = 1 << 2;
        /// Memory and swap.
        const MEMORY = 1 << 3;
        /// Device nodes; v1 only (on v2 an eBPF program).
        const DEVICES = 1 << 4;
        /// Freezing; v1 only (on v2 a part of every group).
        const FREEZER = 1 << 5;
        /// Block input and output: `blkio` on v1, `io` on v2.
        const BLOCK_IO = 1 << 6;
        /// The number of tasks.
        const PIDS = 1 << 7;
        /// Huge pages.
        const HUGETLB = 1 << 8;
        /// Network class ids; v1 only.
        const NET_CLS = 1 << 9;
        /// Network priorities; v1 only.
        const NET_PRIO = 1 << 10;
        /// Performance events; nothing to write.
        const PERF_EVENT = 1 << 11;
        /// RDMA.
        const RDMA = 1 << 12;
        /// Miscellaneous scalar resources; by `unified` only.
        const MISC = 1 << 13;
        /// Device memory; by `unified` only.
        const DMEM = 1 << 14;
    }
}

/// Names in `/proc/self/mountinfo` and `cgroup.controllers`.
const NAMES: [(&str, Controllers); 16] = [
    ("cpu", Controllers::CPU),
    ("cpuacct", Controllers::CPUACCT),
    ("cpuset", Controllers::CPUSET),
    ("memory", Controllers::MEMORY),
    ("devices", Controllers::DEVICES),
    ("freezer", Controllers::FREEZER),
    ("blkio", Controllers::BLOCK_IO),
    ("io", Controllers::BLOCK_IO),
    ("pids", Controllers::PIDS),
    ("hugetlb", Controllers::HUGETLB),
    ("net_cls", Controllers::NET_CLS),
    ("net_prio", Controllers::NET_PRIO),
    ("perf_event", Controllers::PERF_EVENT),
    ("rdma", Controllers::RDMA),
    ("misc", Controllers::MISC),
    ("dmem", Controllers::DMEM),
];

impl Controllers {
    /// The controller of this name; none for a name that is not a controller, such as the mount option `rw`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        NAMES.iter().find(|(known, _)| *known == name).map_or(Self::empty(), |(_, controller)| *controller)
    }

    /// The controllers named in `words`, unknown words skipped.
    pub(crate) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        words.map(Self::named).fold(Self::empty(), |all, one| all | one)
    }

    /// The names of the set's controllers, as cgroup v2 (`io`) or v1 (`blkio`) has them.
    pub(crate) fn names(self, unified: bool) -> impl Iterator<Item = &'static str> {
        let other = if unified { "blkio" } else { "io" };
        NAMES.iter().filter(move |(name, one)| self.contains(*one) && *name != other).map(|(name, _)| *name)
    }
}

impl std::fmt::Display for Controllers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, name) in self.names(false).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{name}")?;
        }
        Ok(())
    }
}
