//! `linux.resources`: what the container may use, in the vocabulary of the cgroups room. As in runc, a zero that can not
//! be a limit means that none was asked.

use stockade_cgroups::model::{
    BlockDevice, BlockIo, Cpu, CpuBurst, CpuPeriod, CpuQuota, CpuShares, Cpuset, DeviceRate, DeviceWeight,
    HugePageLimit, IdList, InterfacePriority, IoWeight, LimitError, Limits, Max, Memory, Network, RdmaLimit,
    Swappiness, UnifiedValue,
};
use stockade_spec::{Resources, ThrottleDevice};

use super::{PlanError, device_rules};

/// Plans limits. Device rules are `None` if the section has none, and end with those that every container has otherwise.
///
/// # Errors
/// [`PlanError`] with a path that begins with `linux.resources`.
pub fn limits(resources: &Resources) -> Result<Limits, PlanError> {
    let devices = if resources.devices.is_empty() { None } else { Some(device_rules::plan(&resources.devices)?) };
    let pids = resources.pids.as_ref().and_then(|pids| pids.limit);
    let mut limits = Limits {
        pids: max("pids.limit", pids)?,
        memory: memory(resources.memory.as_ref())?,
        block_io: block_io(resources.block_io.as_ref())?,
        network: network(resources.network.as_ref())?,
        devices,
        ..Limits::default()
    };
    if let Some(wanted) = &resources.cpu {
        limits.cpu = cpu(wanted)?;
        limits.cpuset = cpuset(wanted)?;
    }
    for (index, page) in resources.hugepage_limits.iter().enumerate() {
        let path = format!("hugepageLimits[{index}].pageSize");
        let limit = at(&path, HugePageLimit::new(&page.page_size, page.limit))?;
        if limits.huge_pages.iter().any(|other| other.page_bytes() == limit.page_bytes()) {
            let other = "linux.resources.hugepageLimits";
            return Err(PlanError::conflict(full(&path), &page.page_size, other, "each size has one limit"));
        }
        limits.huge_pages.push(limit);
    }
    for (device, rdma) in &resources.rdma {
        let bound = |limit: Option<u32>| limit.map(|limit| Max::At(limit.into()));
        let limit = RdmaLimit::new(device, bound(rdma.hca_handles), bound(rdma.hca_objects));
        limits.rdma.push(at(&format!("rdma[{device:?}]"), limit)?);
    }
    for (file, value) in &resources.unified {
        limits.unified.push(at(&format!("unified[{file:?}]"), UnifiedValue::new(file, value))?);
    }
    limits.check().map_err(|source| PlanError::Limit { path: "linux.resources".to_owned(), source })?;
    Ok(limits)
}

/// The path of a property of the section.
fn full(path: &str) -> String {
    format!("linux.resources.{path}")
}

/// Says which property a limit came from.
fn at<T>(path: &str, result: Result<T, LimitError>) -> Result<T, PlanError> {
    result.map_err(|source| PlanError::Limit { path: full(path), source })
}

/// A bound of which -1 is none.
fn max(path: &'static str, value: Option<i64>) -> Result<Option<Max>, PlanError> {
    value.map(|value| at(path, Max::new(path, value))).transpose()
}

/// Memory and swap.
fn memory(wanted: Option<&stockade_spec::Memory>) -> Result<Memory, PlanError> {
    let Some(wanted) = wanted else {
        return Ok(Memory::default());
    };
    let asked = |value: Option<i64>| value.filter(|value| *value != 0);
    let swappiness = wanted.swappiness.map(Swappiness::new).transpose();
    Ok(Memory {
        limit: max("memory.limit", asked(wanted.limit))?,
        swap: max("memory.swap", asked(wanted.swap))?,
        reservation: max("memory.reservation", asked(wanted.reservation))?,
        swappiness: at("memory.swappiness", swappiness)?,
        disable_oom_killer: wanted.disable_oom_killer,
        kernel: max("memory.kernel", asked(wanted.kernel))?,
        kernel_tcp: max("memory.kernelTCP", asked(wanted.kernel_tcp))?,
        use_hierarchy: wanted.use_hierarchy,
        check_before_update: wanted.check_before_update.unwrap_or(false),
    })
}

/// Processor time.
fn cpu(wanted: &stockade_spec::Cpu) -> Result<Cpu, PlanError> {
    let idle = match wanted.idle {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(other) => return Err(PlanError::invalid(full("cpu.idle"), other, "0 or 1")),
    };
    if let Some(runtime) = wanted.realtime_runtime.filter(|runtime| *runtime < -1) {
        return Err(PlanError::invalid(full("cpu.realtimeRuntime"), runtime, "-1 (unlimited) or at least 0"));
    }
    let asked = |value: Option<u64>| value.filter(|value| *value != 0);
    let quota = wanted.quota.filter(|quota| *quota != 0).map(CpuQuota::new).transpose();
    Ok(Cpu {
        shares: at("cpu.shares", asked(wanted.shares).map(CpuShares::new).transpose())?,
        quota: at("cpu.quota", quota)?,
        period: at("cpu.period", asked(wanted.period).map(CpuPeriod::new).transpose())?,
        burst: wanted.burst.map(CpuBurst::new),
        idle,
        realtime_period: asked(wanted.realtime_period),
        realtime_runtime: wanted.realtime_runtime.filter(|runtime| *runtime != 0),
    })
}

/// Processors and memory nodes.
fn cpuset(wanted: &stockade_spec::Cpu) -> Result<Cpuset, PlanError> {
    let list = |path: &'static str, text: &str| match text {
        "" => Ok(None),
        text => at(path, IdList::parse(path, text)).map(Some),
    };
    Ok(Cpuset { cpus: list("cpu.cpus", &wanted.cpus)?, mems: list("cpu.mems", &wanted.mems)? })
}

/// Block devices.
fn block_io(wanted: Option<&stockade_spec::BlockIo>) -> Result<BlockIo, PlanError> {
    let Some(wanted) = wanted else {
        return Ok(BlockIo::default());
    };
    let mut device_weights = Vec::with_capacity(wanted.weight_device.len());
    for (index, device) in wanted.weight_device.iter().enumerate() {
        let path = format!("blockIO.weightDevice[{index}]");
        device_weights.push(DeviceWeight {
            device: block_device(&path, device.major, device.minor)?,
            weight: weight(&format!("{path}.weight"), device.weight)?,
            leaf_weight: weight(&format!("{path}.leafWeight"), device.leaf_weight)?,
        });
    }
    Ok(BlockIo {
        weight: weight("blockIO.weight", wanted.weight)?,
        leaf_weight: weight("blockIO.leafWeight", wanted.leaf_weight)?,
        device_weights,
        read_bps: rates("throttleReadBpsDevice", &wanted.throttle_read_bps_device)?,
        write_bps: rates("throttleWriteBpsDevice", &wanted.throttle_write_bps_device)?,
        read_iops: rates("throttleReadIOPSDevice", &wanted.throttle_read_iops_device)?,
        write_iops: rates("throttleWriteIOPSDevice", &wanted.throttle_write_iops_device)?,
    })
}

/// A weight.
fn weight(path: &str, value: Option<u16>) -> Result<Option<IoWeight>, PlanError> {
    at(path, value.filter(|value| *value != 0).map(IoWeight::new).transpose())
}

/// Rates by device.
fn rates(list: &str, devices: &[ThrottleDevice]) -> Result<Vec<DeviceRate>, PlanError> {
    let rate = |(index, device): (usize, &ThrottleDevice)| {
        let path = format!("blockIO.{list}[{index}]");
        Ok(DeviceRate { device: block_device(&path, device.major, device.minor)?, rate: device.rate })
    };
    devices.iter().enumerate().map(rate).collect()
}

/// A block device's numbers.
fn block_device(path: &str, major: i64, minor: i64) -> Result<BlockDevice, PlanError> {
    let number = |field: &str, number: i64, highest: u32| {
        let fits = u32::try_from(number).ok().filter(|number| *number <= highest);
        fits.ok_or_else(|| PlanError::invalid(full(&format!("{path}.{field}")), number, format!("0 to {highest}")))
    };
    Ok(BlockDevice { major: number("major", major, 4095)?, minor: number("minor", minor, 1_048_575)? })
}

/// Marks on packets.
fn network(wanted: Option<&stockade_spec::NetworkResources>) -> Result<Network, PlanError> {
    let Some(wanted) = wanted else {
        return Ok(Network::default());
    };
    let mut priorities = Vec::with_capacity(wanted.priorities.len());
    for (index, entry) in wanted.priorities.iter().enumerate() {
        let path = format!("network.priorities[{index}].name");
        priorities.push(at(&path, InterfacePriority::new(&entry.name, entry.priority))?);
    }
    Ok(Network { class_id: wanted.class_id.filter(|class| *class != 0), priorities })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Limits, PlanError> {
        limits(&stockade_spec::parse::<Resources>(json.as_bytes()).unwrap().0)
    }

    #[test]
    fn nothing_asked_is_nothing() {
        for json in ["{}", r#"{"memory":{"limit":0},"cpu":{"shares":0,"quota":0},"blockIO":{"weight":0}}"#] {
            assert_eq!(parse(json).unwrap(), Limits::default());
        }
    }

    #[test]
    fn every_section_arrives() {
        let json = r#"{"pids":{"limit":6},"memory":{"limit":1048576,"swap":-1},"cpu":{"quota":50000,"period":100000,
            "cpus":"0-1","idle":1},"blockIO":{"weight":10,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}]},
            "hugepageLimits":[{"pageSize":"2MB","limit":0}],"rdma":{"mlx5_1":{"hcaHandles":3}},
            "network":{"classID":7},"unified":{"memory.high":"5"}}"#;
        let limits = parse(json).unwrap();
        assert_eq!(limits.pids, Some(Max::At(6)));
        assert_eq!(limits.memory.swap, Some(Max::Unlimited));
        assert_eq!(limits.cpu.idle, Some(true));
        assert_eq!(limits.block_io.read_bps.len(), 1);
        assert_eq!((limits.huge_pages.len(), limits.rdma.len(), limits.unified.len()), (1, 1, 1));
        assert_eq!(limits.devices, None);
    }

    #[test]
    fn errors_name_the_property() {
        for (json, path) in [
            (r#"{"pids":{"limit":-2}}"#, "pids.limit"),
            (r#"{"memory":{"limit":-2}}"#, "memory.limit"),
            (r#"{"memory":{"swappiness":101}}"#, "memory.swappiness"),
            (r#"{"cpu":{"quota":999}}"#, "cpu.quota"),
            (r#"{"cpu":{"period":1}}"#, "cpu.period"),
            (r#"{"cpu":{"idle":2}}"#, "cpu.idle"),
            (r#"{"cpu":{"cpus":"x"}}"#, "cpu.cpus"),
            (r#"{"cpu":{"realtimeRuntime":-2}}"#, "cpu.realtimeRuntime"),
            (r#"{"blockIO":{"weight":9}}"#, "blockIO.weight"),
            (
                r#"{"blockIO":{"throttleWriteIOPSDevice":[{"major":-1,"minor":0,"rate":1}]}}"#,
                "blockIO.throttleWriteIOPSDevice[0].major",
            ),
            (r#"{"hugepageLimits":[{"pageSize":"3MB","limit":0}]}"#, "hugepageLimits[0].pageSize"),
            (r#"{"rdma":{"a/b":{"hcaHandles":1}}}"#, "rdma[\"a/b\"]"),
            (r#"{"unified":{"cgroup.procs":"1"}}"#, "unified[\"cgroup.procs\"]"),
            (r#"{"network":{"priorities":[{"name":"","priority":1}]}}"#, "network.priorities[0].name"),
            (r#"{"devices":[{"allow":true,"access":"x"}]}"#, "devices[0].access"),
        ] {
            assert_eq!(parse(json).unwrap_err().path(), format!("linux.resources.{path}"), "{json}");
        }
        assert_eq!(parse(r#"{"memory":{"swap":1}}"#).unwrap_err().path(), "linux.resources");
    }
}
