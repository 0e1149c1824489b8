//! How much of what there is, told by the container's control groups.

use std::path::PathBuf;

use stockade_cgroups::{Controllers, Layout, Membership, Version};
use stockade_kernel::procfs::{Procfs, Subject};

use super::facts::Peaks;

/// Where the numbers are.
#[derive(Debug)]
pub(super) struct Resources {
    memory: Option<PathBuf>,
    /// The file of the greatest number, if the kernel keeps one (6.10), and of the present one.
    processes: Vec<PathBuf>,
}

impl Resources {
    /// Those of the groups of the process `pid`. What the machine does not count is not told.
    pub(super) fn of(procfs: &Procfs, pid: i32) -> Self {
        let mut found = Self { memory: None, processes: Vec::new() };
        let (Ok(layout), Ok(groups)) = (Layout::detect(), Membership::of(procfs, Subject::Pid(pid))) else {
            return found;
        };
        let folder = |controller| {
            let hierarchy = layout.home(controller)?;
            Some((hierarchy.version, hierarchy.mount.join(groups.below_mount(hierarchy)?)))
        };
        found.memory = folder(Controllers::MEMORY).map(|(version, folder)| match version {
            Version::V1 => folder.join("memory.max_usage_in_bytes"),
            Version::V2 => folder.join("memory.peak"),
        });
        let processes = folder(Controllers::PIDS).map(|(_, folder)| folder);
        found.processes =
            processes.iter().flat_map(|folder| [folder.join("pids.peak"), folder.join("pids.current")]).collect();
        found
    }

    /// Raises `peaks` to what there is now.
    pub(super) fn look(&self, peaks: &mut Peaks) {
        let number = |path: &PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        if let Some(memory) = self.memory.as_ref().and_then(number) {
            peaks.memory = peaks.memory.max(Some(memory));
        }
        if let Some(processes) = self.processes.iter().find_map(number) {
            peaks.processes = peaks.processes.max(Some(processes));
        }
    }
}
