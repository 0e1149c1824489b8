//! How much of the machine the container may use.

use clap::Args;
use stockade_engine::policy::PolicyError;
use stockade_engine::policy::limits::parse_size;
use stockade_engine::policy::resources::{ByteRate, CpuList, Cpus, DeviceWeight, OperationRate, ResourceOptions};

use crate::grammar::{Invalid, invalid};

/// The control groups' limits.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitFlags {
    /// Most memory, such as 512m; at least 6m
    #[arg(long, short, value_name = "SIZE", value_parser = |text: &str| parse_size("--memory", text))]
    pub(crate) memory: Option<u64>,
    /// Most memory and swap together; -1 is no limit. Without it, twice the memory
    #[arg(long, value_name = "SIZE", value_parser = memory_swap)]
    pub(crate) memory_swap: Option<i64>,
    /// Memory that is left to the container when it runs short
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| parse_size("--memory-reservation", text))]
    pub(crate) memory_reservation: Option<u64>,
    /// How readily memory is swapped out, 0 to 100
    #[arg(long, value_name = "N")]
    pub(crate) memory_swappiness: Option<i64>,
    /// Let processes wait for memory instead of killing one
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// How readily the kernel kills the container when the machine has no memory left, -1000 to 1000
    #[arg(long, value_name = "N")]
    pub(crate) oom_score_adj: Option<i32>,
    /// Most processors, such as 1.5
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<Cpus>,
    /// Share of the processors against other containers, 2 to 262144, 1024 being usual
    #[arg(long, short = 'c', value_name = "N")]
    pub(crate) cpu_shares: Option<u64>,
    /// Microseconds of processor time in each period
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_quota: Option<i64>,
    /// Length of the period, 1000 to 1000000
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<u64>,
    /// Processors to run on, such as 0-3,7
    #[arg(long, value_name = "LIST", value_parser = |text: &str| cpu_list("--cpuset-cpus", text))]
    pub(crate) cpuset_cpus: Option<CpuList>,
    /// Memory nodes to use, such as 0
    #[arg(long, value_name = "LIST", value_parser = |text: &str| cpu_list("--cpuset-mems", text))]
    pub(crate) cpuset_mems: Option<CpuList>,
    /// Most processes and threads; -1 is no limit
    #[arg(long, value_name = "N")]
    pub(crate) pids_limit: Option<i64>,
    /// Share of the disks against other containers, 10 to 1000, or 0 for none
    #[arg(long, value_name = "N")]
    pub(crate) blkio_weight: Option<u16>,
    /// The same for one disk: /dev/DEVICE:WEIGHT
    #[arg(long, value_name = "DEVICE:N")]
    pub(crate) blkio_weight_device: Vec<DeviceWeight>,
    /// Most bytes a second that are read from a disk: /dev/DEVICE:SIZE
    #[arg(long, value_name = "DEVICE:SIZE")]
    pub(crate) device_read_bps: Vec<ByteRate>,
    /// Most bytes a second that are written to a disk
    #[arg(long, value_name = "DEVICE:SIZE")]
    pub(crate) device_write_bps: Vec<ByteRate>,
    /// Most reads a second from a disk: /dev/DEVICE:N
    #[arg(long, value_name = "DEVICE:N")]
    pub(crate) device_read_iops: Vec<OperationRate>,
    /// Most writes a second to a disk
    #[arg(long, value_name = "DEVICE:N")]
    pub(crate) device_write_iops: Vec<OperationRate>,
    /// Control group that the container's own is made in, instead of /stockade; a slice with --cgroup-driver systemd
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_parent: Option<String>,
}

impl LimitFlags {
    /// The limits in the policy's words.
    pub(crate) fn resources(self) -> ResourceOptions {
        ResourceOptions {
            memory: self.memory,
            memory_swap: self.memory_swap,
            memory_reservation: self.memory_reservation,
            memory_swappiness: self.memory_swappiness,
            oom_kill_disable: self.oom_kill_disable,
            cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpu_quota: self.cpu_quota,
            cpu_period: self.cpu_period,
            cpuset_cpus: self.cpuset_cpus,
            cpuset_mems: self.cpuset_mems,
            pids_limit: self.pids_limit,
            blkio_weight: self.blkio_weight,
            blkio_weight_device: self.blkio_weight_device,
            device_read_bps: self.device_read_bps,
            device_write_bps: self.device_write_bps,
            device_read_iops: self.device_read_iops,
            device_write_iops: self.device_write_iops,
        }
    }
}

/// `--memory-swap`.
pub(crate) fn memory_swap(text: &str) -> Result<i64, PolicyError> {
    if text == "-1" {
        return Ok(-1);
    }
    parse_size("--memory-swap", text).map(|size| i64::try_from(size).unwrap_or(i64::MAX))
}

/// `--cpuset-cpus` and `--cpuset-mems`.
pub(crate) fn cpu_list(flag: &'static str, text: &str) -> Result<CpuList, Invalid> {
    match text.parse() {
        Ok(list) => Ok(list),
        Err(PolicyError::Invalid { reason, .. }) => Err(invalid(flag, text, reason)),
        Err(other) => Err(invalid(flag, text, other.to_string())),
    }
}
