//! The cgroups: one in each hierarchy, with the limits of the bundle.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::{Failed, to};

/// The limits of the bundle, file by file; a file that is not in a group is one of another hierarchy or version.
const LIMITS: [(&str, &[&str]); 9] = [
    ("cpu.shares", &["1024"]),
    ("cpu.cfs_period_us", &["100000"]),
    ("cpu.cfs_quota_us", &["100000"]),
    ("memory.limit_in_bytes", &["268435456"]),
    ("pids.max", &["512"]),
    ("devices.deny", &["a"]),
    (
        "devices.allow",
        &[
            "b *:* m",
            "c *:* m",
            "c 1:3 rwm",
            "c 1:5 rwm",
            "c 1:7 rwm",
            "c 1:8 rwm",
            "c 1:9 rwm",
            "c 5:0 rwm",
            "c 5:1 rwm",
            "c 5:2 rwm",
            "c 136:* rwm",
        ],
    ),
    ("memory.max", &["268435456"]),
    ("cpu.max", &["100000 100000"]),
];

/// Groups that are there, and how a process comes into them.
pub(crate) struct Groups {
    mounts: Vec<PathBuf>,
    /// The files of v1 by which a process joins by itself.
    tasks: Vec<File>,
    /// The folder of v2 in which a process is made.
    unified: Option<File>,
}

/// Makes `group` in every one of `hierarchies`, and writes the limits.
pub(crate) fn make(hierarchies: &[&str], group: &str) -> Result<Groups, Failed> {
    for hierarchy in hierarchies {
        let folder = Path::new(hierarchy).join(group);
        std::fs::create_dir(&folder).map_err(to("make a cgroup"))?;
        let controller = hierarchy.rsplit('/').next().unwrap_or_default();
        if controller.split(',').any(|controller| controller == "cpuset") {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = std::fs::read(Path::new(hierarchy).join(file)).map_err(to("read the processors"))?;
                std::fs::write(folder.join(file), value.trim_ascii()).map_err(to("write the processors"))?;
            }
        }
        let belongs = |file: &str| {
            let prefix = file.split('.').next().unwrap_or_default();
            controller.split(',').any(|controller| controller == prefix) || controller == "cgroup"
        };
        for (file, values) in LIMITS.iter().filter(|(file, _)| belongs(file)) {
            let Ok(mut file) = OpenOptions::new().write(true).open(folder.join(file)) else { continue };
            for value in *values {
                file.write_all(value.as_bytes()).map_err(to("write a limit"))?;
            }
        }
    }
    open(hierarchies, group)
}

/// Opens `group` in every one of `hierarchies` to join it.
pub(crate) fn open(hierarchies: &[&str], group: &str) -> Result<Groups, Failed> {
    let mut groups =
        Groups { mounts: hierarchies.iter().map(PathBuf::from).collect(), tasks: Vec::new(), unified: None };
    for mount in &groups.mounts {
        let folder = mount.join(group);
        match OpenOptions::new().write(true).open(folder.join("tasks")) {
            Ok(tasks) => groups.tasks.push(tasks),
            Err(_v2) => groups.unified = Some(File::open(&folder).map_err(to("open the cgroup"))?),
        }
    }
    Ok(groups)
}

impl Groups {
    /// Where a process is to be made.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Joins those of v1.
    pub(crate) fn join(&self) -> Result<(), Failed> {
        self.tasks.iter().try_for_each(|mut tasks| tasks.write_all(b"0")).map_err(to("join a cgroup"))
    }

    /// Removes them.
    pub(crate) fn remove(&self, group: &str) -> Result<(), Failed> {
        self.mounts.iter().try_for_each(|mount| std::fs::remove_dir(mount.join(group))).map_err(to("remove a cgroup"))
    }
}
