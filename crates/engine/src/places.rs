//! Where this machine's containers and the programs that run them are.

use std::path::PathBuf;

use crate::cgroup::CgroupDriver;

/// The folders and programs that every command works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// What outlives a reboot: layers, and a folder per container (`--data-root`, `/var/lib/stockade`).
    pub data: PathBuf,
    /// What does not: the OCI runtime's state (`--exec-root`, `/run/stockade`).
    pub exec: PathBuf,
    /// The folder of `stake`, `stockade-dns`, `stockade-monitor`, `stockade-init`, `stockade-unpack` and of `stockade` itself, which are installed together.
    pub programs: PathBuf,
    /// The OCI runtime (`--runtime`), if not `stake` of [`Places::programs`]: an absolute path.
    pub runtime: Option<PathBuf>,
    /// Who makes the control groups of new containers (`--cgroup-driver`).
    pub cgroups: CgroupDriver,
}
