//! `stats`: what containers use now, from their control groups in either world and their networks.

use std::time::Instant;

use stockade_monitor::group::{Groups, Place, Version};

use crate::container::ContainerError;
use crate::files::FileError;
use crate::{ContainerId, Engine};

/// What a container uses. A number is `None` where it does not run, or the machine does not count it.
#[derive(Clone, Debug)]
pub struct Usage {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// When this was read.
    pub at: Instant,
    /// Processor time since its start, in nanoseconds.
    pub cpu: Option<u64>,
    /// Memory in bytes, without the cache that could be given back at once.
    pub memory: Option<u64>,
    /// Its limit in bytes, or what the machine has.
    pub memory_limit: Option<u64>,
    /// Bytes that came from its network and went to it, without its loopback; not of the host's.
    pub network: Option<(u64, u64)>,
    /// Bytes that were read from block devices and written to them.
    pub block: Option<(u64, u64)>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// What the container uses now. One that does not run uses nothing.
///
/// # Errors
/// [`ContainerError`] if it is not there, or cannot be read.
pub fn usage(engine: &Engine, id: &ContainerId) -> Result<Usage, ContainerError> {
    let view = engine.view(id)?;
    let mut usage = Usage {
        id: id.clone(),
        name: view.record.name.to_string(),
        at: Instant::now(),
        cpu: None,
        memory: None,
        memory_limit: None,
        network: None,
        block: None,
        pids: None,
    };
    let Some(pid) = view.pid else { return Ok(usage) };
    // It may end at any instant: what cannot be read then is not there.
    let Ok(groups) = Groups::of(pid) else { return Ok(usage) };
    usage.at = Instant::now();
    // What a container of an ordinary user has no group of its own for is counted for others too.
    let own = Groups::of(std::process::id().cast_signed()).map_err(FileError::at("read", "/proc/self/cgroup"))?;
    count(&mut usage, &groups.apart_from(&own));
    if view.record.host_config.network_mode != "host" {
        usage.network = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok().map(|text| network(&text));
    }
    Ok(usage)
}

/// What the container's groups count.
fn count(usage: &mut Usage, groups: &Groups) {
    usage.cpu = groups.place("cpuacct").and_then(|place| cpu(&place));
    if let Some(place) = groups.place("memory") {
        usage.memory = memory(&place);
        let limit = place.and_above().filter_map(|place| place.memory_limit()).min();
        usage.memory_limit = limit.into_iter().chain(machine_memory()).min();
    }
    usage.pids = groups.place("pids").and_then(|place| place.number("pids.current"));
    usage.block = groups.place("blkio").and_then(|place| block(&place));
}

fn cpu(place: &Place) -> Option<u64> {
    match place.version {
        Version::V1 => place.number("cpuacct.usage"),
        Version::V2 => place.keyed("cpu.stat", "usage_usec").map(|microseconds| microseconds * 1000),
    }
}

fn memory(place: &Place) -> Option<u64> {
    let (used, cache) = match place.version {
        Version::V1 => (place.number("memory.usage_in_bytes")?, place.keyed("memory.stat", "total_inactive_file")),
        Version::V2 => (place.number("memory.current")?, place.keyed("memory.stat", "inactive_file")),
    };
    Some(used.saturating_sub(cache.unwrap_or_default()))
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let words = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    words.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn block(place: &Place) -> Option<(u64, u64)> {
    match place.version {
        Version::V1 => {
            let recursive = place.text("blkio.throttle.io_service_bytes_recursive");
            Some(block_v1(&recursive.or_else(|| place.text("blkio.throttle.io_service_bytes"))?))
        }
        Version::V2 => Some(block_v2(&place.text("io.stat")?)),
    }
}

/// Lines such as `8:0 Read 4096`.
fn block_v1(text: &str) -> (u64, u64) {
    let sum = |what: &str| {
        let number = |line: &str| line.split_once(what)?.1.trim().parse::<u64>().ok();
        text.lines().filter_map(number).sum()
    };
    (sum(" Read "), sum(" Write "))
}

/// Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn block_v2(text: &str) -> (u64, u64) {
    let sum = |key: &str| text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum();
    (sum("rbytes="), sum("wbytes="))
}

/// `/proc/PID/net/dev`: of each interface but the loopback the first number is of bytes that came, the ninth of those that went.
fn network(text: &str) -> (u64, u64) {
    let (mut received, mut sent) = (0, 0);
    for (name, numbers) in text.lines().filter_map(|line| line.split_once(':')) {
        if name.trim() != "lo" {
            let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            received += numbers.first().copied().unwrap_or_default();
            sent += numbers.get(8).copied().unwrap_or_default();
        }
    }
    (received, sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes() {
        assert_eq!(block_v1("8:0 Read 10\n8:0 Write 2\n8:16 Read 5\n8:0 Total 17\nTotal 17\n"), (15, 2));
        assert_eq!(block_v2("8:0 rbytes=10 wbytes=2 rios=1 wios=1\n8:16 rbytes=5 wbytes=0\n"), (15, 2));
        let text = "Inter-| Receive | Transmit\n face |bytes packets\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\n";
        assert_eq!(network(text), (100, 20));
        assert!(machine_memory().unwrap() > 1 << 20);
    }
}
