//! `HostConfig` of `inspect`, in Docker's shape: what was asked for of the host. It is a part of the container's record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stockade_monitor::restart::RestartPolicy;

use crate::inspect::Nothing;

/// `HostConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostConfig {
    /// `SOURCE:TARGET:OPTIONS` of each bind.
    pub binds: Vec<String>,
    /// `--cidfile`.
    #[serde(rename = "ContainerIDFile", default)]
    pub container_id_file: String,
    /// How it is kept.
    pub log_config: LogConfig,
    /// `--network`.
    pub network_mode: String,
    /// `--publish`, by ports of the container.
    #[serde(default)]
    pub port_bindings: BTreeMap<String, Vec<crate::network::settings::PortBinding>>,
    /// `--publish-all`.
    #[serde(default)]
    pub publish_all_ports: bool,
    /// `--dns`.
    #[serde(default)]
    pub dns: Vec<String>,
    /// `--dns-option`.
    #[serde(default)]
    pub dns_options: Vec<String>,
    /// `--dns-search`.
    #[serde(default)]
    pub dns_search: Vec<String>,
    /// `--add-host`, `NAME:ADDRESS` each.
    #[serde(default)]
    pub extra_hosts: Vec<String>,
    /// `--rm`.
    pub auto_remove: bool,
    /// `--restart`.
    #[serde(default)]
    pub restart_policy: InspectedRestart,
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--group-add`.
    pub group_add: Vec<String>,
    /// `--ipc`.
    pub ipc_mode: String,
    /// `--pid`.
    pub pid_mode: String,
    /// `--uts`.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// `--userns`.
    pub userns_mode: String,
    /// `--cgroupns`.
    pub cgroupns_mode: String,
    /// `--cgroup-parent`.
    pub cgroup_parent: String,
    /// `--oom-score-adj`.
    pub oom_score_adj: i32,
    /// `--privileged`.
    pub privileged: bool,
    /// `--read-only`.
    pub readonly_rootfs: bool,
    /// `--security-opt`, in the spelling with `=`.
    pub security_opt: Vec<String>,
    /// `--shm-size`, bytes.
    pub shm_size: u64,
    /// `--sysctl`.
    pub sysctls: BTreeMap<String, String>,
    /// The OCI runtime.
    pub runtime: String,
    /// `--init`.
    pub init: bool,
    /// `--annotation`.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// `--volumes-from`.
    #[serde(default)]
    pub volumes_from: Vec<String>,
    /// `--cpu-shares`; 0 if unset.
    pub cpu_shares: u64,
    /// `--tmpfs` and `--mount type=tmpfs`: options that are not usual, by paths in the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// `--device`.
    #[serde(default)]
    pub devices: Vec<DeviceMapping>,
    /// `--device-cgroup-rule`.
    #[serde(default)]
    pub device_cgroup_rules: Vec<String>,
    /// `--memory`, bytes; 0 if unset.
    pub memory: i64,
    /// `--cpus`, thousand millionths of a processor; 0 if unset.
    #[serde(default)]
    pub nano_cpus: u64,
    /// `--memory-swap`, bytes; 0 if unset, -1 for no limit.
    pub memory_swap: i64,
    /// `--memory-reservation`, bytes; 0 if unset.
    pub memory_reservation: i64,
    /// `--memory-swappiness`; `None` if unset.
    #[serde(default)]
    pub memory_swappiness: Option<u64>,
    /// `--oom-kill-disable`.
    #[serde(default)]
    pub oom_kill_disable: bool,
    /// `--cpu-period`, microseconds; 0 if unset.
    pub cpu_period: u64,
    /// `--cpu-quota`, microseconds; 0 if unset.
    pub cpu_quota: i64,
    /// `--cpuset-cpus`.
    pub cpuset_cpus: String,
    /// `--cpuset-mems`.
    pub cpuset_mems: String,
    /// `--blkio-weight`; 0 if unset.
    #[serde(default)]
    pub blkio_weight: u16,
    /// `--blkio-weight-device`.
    #[serde(default)]
    pub blkio_weight_device: Vec<DeviceWeight>,
    /// `--device-read-bps`.
    #[serde(default)]
    pub blkio_device_read_bps: Vec<DeviceRate>,
    /// `--device-write-bps`.
    #[serde(default)]
    pub blkio_device_write_bps: Vec<DeviceRate>,
    /// `--device-read-iops`.
    #[serde(rename = "BlkioDeviceReadIOps", default)]
    pub blkio_device_read_iops: Vec<DeviceRate>,
    /// `--device-write-iops`.
    #[serde(rename = "BlkioDeviceWriteIOps", default)]
    pub blkio_device_write_iops: Vec<DeviceRate>,
    /// `--pids-limit`; 0 if unset, -1 for no limit.
    pub pids_limit: i64,
    /// `--ulimit`.
    pub ulimits: Vec<InspectedUlimit>,
    /// Paths that the container does not see.
    pub masked_paths: Vec<String>,
    /// Paths that the container cannot write.
    pub readonly_paths: Vec<String>,
    /// What Docker has and no container here: links.
    #[serde(skip_deserializing)]
    pub links: Option<Nothing>,
    /// Other drivers of volumes than `local`.
    #[serde(skip_deserializing)]
    pub volume_driver: &'static str,
    /// Control groups of another container.
    #[serde(skip_deserializing)]
    pub cgroup: &'static str,
    /// GPUs and their like.
    #[serde(skip_deserializing)]
    pub device_requests: Option<Nothing>,
    /// What the kernel lets run in real time.
    #[serde(skip_deserializing)]
    pub cpu_realtime_period: u64,
    /// The same.
    #[serde(skip_deserializing)]
    pub cpu_realtime_runtime: u64,
    /// The size that the terminal was to have, which is that of who is attached.
    #[serde(skip_deserializing)]
    pub console_size: [u16; 2],
    /// What is for containers of Windows only.
    #[serde(skip_deserializing)]
    pub isolation: &'static str,
    /// The same.
    #[serde(skip_deserializing)]
    pub cpu_count: u64,
    /// The same.
    #[serde(skip_deserializing)]
    pub cpu_percent: u64,
    /// The same.
    #[serde(rename = "IOMaximumIOps", skip_deserializing)]
    pub io_maximum_iops: u64,
    /// The same.
    #[serde(rename = "IOMaximumBandwidth", skip_deserializing)]
    pub io_maximum_bandwidth: u64,
}

/// One of `Devices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeviceMapping {
    /// On the host.
    pub path_on_host: String,
    /// In the container.
    pub path_in_container: String,
    /// Letters of `rwm`.
    pub cgroup_permissions: String,
}

/// One of `BlkioWeightDevice`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeviceWeight {
    /// The device file on the host.
    pub path: String,
    /// 10 to 1000, or 0 for none.
    pub weight: u16,
}

/// One of `BlkioDeviceReadBps` and its like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeviceRate {
    /// The device file on the host.
    pub path: String,
    /// Bytes, or operations, a second.
    pub rate: u64,
}

/// `RestartPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedRestart {
    /// `no`, `on-failure`, `always` or `unless-stopped`.
    pub name: String,
    /// How many times at most after a failure; 0 is no limit.
    pub maximum_retry_count: u32,
}

impl Default for InspectedRestart {
    fn default() -> Self {
        RestartPolicy::No.into()
    }
}

impl From<RestartPolicy> for InspectedRestart {
    fn from(policy: RestartPolicy) -> Self {
        let (name, maximum_retry_count) = match policy {
            RestartPolicy::No => ("no", 0),
            RestartPolicy::OnFailure { most } => ("on-failure", most),
            RestartPolicy::Always => ("always", 0),
            RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        };
        Self { name: name.into(), maximum_retry_count }
    }
}

impl InspectedRestart {
    /// What it says. Only what [`From`] writes is ever read.
    pub(crate) fn policy(&self) -> RestartPolicy {
        match self.name.as_str() {
            "on-failure" => RestartPolicy::OnFailure { most: self.maximum_retry_count },
            "always" => RestartPolicy::Always,
            "unless-stopped" => RestartPolicy::UnlessStopped,
            _ => RestartPolicy::No,
        }
    }
}

/// `LogConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogConfig {
    /// The driver's name.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Its options.
    pub config: BTreeMap<String, String>,
}

/// One of `Ulimits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedUlimit {
    /// As `--ulimit` spells it.
    pub name: String,
    /// What may be raised to.
    pub hard: i64,
    /// What is in force; -1 is no limit.
    pub soft: i64,
}
