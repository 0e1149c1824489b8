//! What the process may do.

use clap::Args;
use stockade_engine::policy::devices::DeviceFlag;
use stockade_engine::policy::limits::Ulimit;
use stockade_engine::policy::sysctl::Sysctl;

/// Capabilities, filters, devices and settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Walls")]
pub(crate) struct WallFlags {
    /// Add a capability, with or without CAP_, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Take a capability away, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// Give all capabilities and devices, and no system call filter: as good as root on this machine
    #[arg(long)]
    pub(crate) privileged: bool,
    /// seccomp=FILE|NAME|default[+CALL-CALL...]|unconfined, apparmor=PROFILE|unconfined, no-new-privileges[=BOOL],
    /// systempaths=unconfined, writable-cgroups[=BOOL], label=disable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) security_opt: Vec<String>,
    /// Give a device of the host: HOST[:CONTAINER[:rwm]]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Vec<DeviceFlag>,
    /// Allow devices by number: TYPE MAJOR:MINOR ACCESS, such as 'c 10:229 rwm'
    #[arg(long, value_name = "RULE")]
    pub(crate) device_cgroup_rule: Vec<String>,
    /// Set a resource limit of the process: NAME=SOFT[:HARD], such as nofile=1024:2048
    #[arg(long, value_name = "LIMIT")]
    pub(crate) ulimit: Vec<Ulimit>,
    /// Set a kernel parameter of the container's own namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) sysctl: Vec<Sysctl>,
}
