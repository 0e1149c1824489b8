//! What this machine's control groups can do.

use std::path::Path;

use rustix::io::Errno;

use crate::controller::Controllers;
use crate::files::{Directory, FileError};
use crate::layout::{Kind, Layout, Version};

/// What is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// The arrangement.
    pub kind: Kind,
    /// The controllers whose limits can be written, in whichever hierarchy.
    pub controllers: Controllers,
    /// Whether swap is accounted and can be limited; `None` if only a group below the top could tell and none is there.
    pub swap: Option<bool>,
    /// Whether a burst of processor time can be allowed (Linux 5.14); `None` as for `swap`.
    pub cpu_burst: Option<bool>,
    /// Whether block io weights are BFQ's; `None` as for `swap`.
    pub bfq: Option<bool>,
    /// Whether the kernel kills a whole group at once (`cgroup.kill`, Linux 5.14); `None` as for `swap`.
    pub kill: Option<bool>,
    /// Whether device rules can be enforced, by a v1 hierarchy or by eBPF.
    pub devices: bool,
}

impl Support {
    /// Asks the mounted hierarchies. Files that the topmost group does not have are looked for in one of its children.
    ///
    /// # Errors
    /// [`FileError`] if a hierarchy can not be read.
    pub fn detect(layout: &Layout) -> Result<Self, FileError> {
        let controllers = layout.hierarchies().iter().map(|hierarchy| hierarchy.controllers).collect();
        Ok(Self {
            kind: layout.kind(),
            controllers,
            swap: has(layout, Controllers::MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max")?,
            cpu_burst: has(layout, Controllers::CPU, "cpu.cfs_burst_us", "cpu.max.burst")?,
            bfq: has(layout, Controllers::BLOCK_IO, "blkio.bfq.io_serviced", "io.bfq.weight")?,
            kill: match layout.unified() {
                Some(hierarchy) => has_file(&Directory::top(hierarchy)?, Controllers::empty(), "cgroup.kill")?,
                None => Some(false),
            },
            devices: layout.home(Controllers::DEVICES).is_some() || layout.unified().is_some(),
        })
    }
}

/// Whether the controller's group has the file.
fn has(layout: &Layout, controller: Controllers, legacy: &str, unified: &str) -> Result<Option<bool>, FileError> {
    let Some(hierarchy) = layout.home(controller) else { return Ok(Some(false)) };
    let top = Directory::top(hierarchy)?;
    match hierarchy.version {
        Version::V1 => Ok(Some(top.read_if_there(legacy)?.is_some())),
        Version::V2 => has_file(&top, controller, unified),
    }
}

/// Whether a group below `top` has the file. Such groups come and go meanwhile.
fn has_file(top: &Directory, controllers: Controllers, file: &str) -> Result<Option<bool>, FileError> {
    for child in top.children()? {
        match told_by(top, &child, controllers, file) {
            Ok(None) => {}
            Err(error) if error.is(Errno::NOENT) || error.is(Errno::NODEV) => {}
            told => return told,
        }
    }
    Ok(None)
}

/// Whether `child` has the file; `None` if it has not the `controllers`, without which no group has it.
fn told_by(top: &Directory, child: &Path, controllers: Controllers, file: &str) -> Result<Option<bool>, FileError> {
    let child = top.open(child)?;
    let enabled = Controllers::listed(child.read("cgroup.controllers")?.split_whitespace());
    if !enabled.contains(controllers) {
        return Ok(None);
    }
    Ok(Some(child.files()?.iter().any(|name| name == file)))
}
