//! What a group has used, in the field names of runc's `events --stats`, which other programs read.
//!
//! Times are nanoseconds and sizes bytes in both worlds. What a machine does not count is zero or absent.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::controller::Controllers;
use crate::files::{Directory, FileError};
use crate::group::Group;
use crate::layout::Version;
use crate::model::Max;
use crate::write::read_bound;

/// Statistics of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block io.
    pub blkio: BlockIoStats,
    /// Huge pages by size.
    pub hugetlb: BTreeMap<String, HugePageStats>,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuStats {
    /// Time used.
    pub usage: CpuUsage,
    /// Time withheld.
    pub throttling: Throttling,
}

/// Processor time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuUsage {
    /// In all.
    pub total: u64,
    /// On each processor; v1 only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In user mode.
    pub user: u64,
}

/// What the quota did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods that passed.
    pub periods: u64,
    /// Periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Nanoseconds that tasks were kept waiting.
    pub throttled_time: u64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryStats {
    /// Bytes of page cache.
    pub cache: u64,
    /// Memory.
    pub usage: MemoryUse,
    /// v1: memory and swap together; v2: swap.
    pub swap: MemoryUse,
    /// Kernel memory; v1 only.
    pub kernel: MemoryUse,
    /// Kernel TCP buffers; v1 only.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryUse,
    /// Every number of `memory.stat`.
    pub raw: BTreeMap<String, u64>,
}

/// One counter of memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryUse {
    /// The limit; the highest number if there is none.
    pub limit: u64,
    /// The present use.
    pub usage: u64,
    /// The highest use so far.
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

/// Tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// The limit; 0 if there is none.
    pub limit: u64,
}

/// Block io.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIoStats {
    /// Bytes.
    pub io_service_bytes_recursive: Vec<BlockIoEntry>,
    /// Operations.
    pub io_serviced_recursive: Vec<BlockIoEntry>,
}

/// One counter of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlockIoEntry {
    /// The device's major number.
    pub major: u64,
    /// The device's minor number.
    pub minor: u64,
    /// `Read`, `Write`, ...
    pub op: String,
    /// The count.
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HugePageStats {
    /// The present use.
    pub usage: u64,
    /// The highest use so far; v1 only.
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

impl Group {
    /// Reads what the group and those below it have used.
    ///
    /// # Errors
    /// [`FileError`] if a file that is there can not be read.
    pub fn stats(&self) -> Result<Stats, FileError> {
        let mut stats = Stats::default();
        if let Some((version, directory)) = self.directory(Controllers::CPU) {
            stats.cpu = cpu(version, directory)?;
        }
        if let Some((Version::V1, directory)) = self.directory(Controllers::CPUACCT) {
            stats.cpu.usage = cpuacct(directory)?;
        }
        if let Some((version, directory)) = self.directory(Controllers::MEMORY) {
            stats.memory = if version == Version::V1 { memory_v1(directory)? } else { memory_v2(directory)? };
        }
        if let Some((_, directory)) = self.directory(Controllers::PIDS) {
            let limit = directory.read_if_there("pids.max")?.and_then(|text| read_bound(&text));
            let limit = if let Some(Max::At(limit)) = limit { limit } else { 0 };
            stats.pids = PidsStats { current: number(directory, "pids.current")?, limit };
        }
        if let Some((version, directory)) = self.directory(Controllers::BLOCK_IO) {
            stats.blkio = if version == Version::V1 { block_io_v1(directory)? } else { block_io_v2(directory)? };
        }
        if let Some((version, directory)) = self.directory(Controllers::HUGETLB) {
            stats.hugetlb = huge_pages(version, directory)?;
        }
        Ok(stats)
    }
}

/// The number in a file, an unlimited bound being the highest number; 0 if there is no such file.
pub(crate) fn number(directory: &Directory, file: &str) -> Result<u64, FileError> {
    Ok(match directory.read_if_there(file)?.and_then(|text| read_bound(&text)) {
        Some(Max::At(number)) => number,
        Some(Max::Unlimited) => u64::MAX,
        None => 0,
    })
}

/// The `key number` lines of a file; empty if there is no such file.
pub(crate) fn keyed(directory: &Directory, file: &str) -> Result<BTreeMap<String, u64>, FileError> {
    let text = directory.read_if_there(file)?.unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?))).collect())
}

/// The value of a key, or 0.
pub(crate) fn value(map: &BTreeMap<String, u64>, key: &str) -> u64 {
    map.get(key).copied().unwrap_or(0)
}

/// `cpu.stat`; on v2 its times are microseconds.
fn cpu(version: Version, directory: &Directory) -> Result<CpuStats, FileError> {
    let stat = keyed(directory, "cpu.stat")?;
    let micros = |key| value(&stat, key).saturating_mul(1000);
    let (usage, throttled_time) = match version {
        Version::V1 => (CpuUsage::default(), value(&stat, "throttled_time")),
        Version::V2 => {
            let (total, kernel, user) = (micros("usage_usec"), micros("system_usec"), micros("user_usec"));
            (CpuUsage { total, percpu: Vec::new(), kernel, user }, micros("throttled_usec"))
        }
    };
    let (periods, throttled_periods) = (value(&stat, "nr_periods"), value(&stat, "nr_throttled"));
    Ok(CpuStats { usage, throttling: Throttling { periods, throttled_periods, throttled_time } })
}

/// The v1 accounting controller.
fn cpuacct(directory: &Directory) -> Result<CpuUsage, FileError> {
    let each = directory.read_if_there("cpuacct.usage_percpu")?.unwrap_or_default();
    Ok(CpuUsage {
        total: number(directory, "cpuacct.usage")?,
        percpu: each.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect(),
        kernel: number(directory, "cpuacct.usage_sys")?,
        user: number(directory, "cpuacct.usage_user")?,
    })
}

/// cgroup v1 memory.
fn memory_v1(directory: &Directory) -> Result<MemoryStats, FileError> {
    let counter = |prefix: &str| -> Result<MemoryUse, FileError> {
        let read = |name: &str| number(directory, &format!("{prefix}.{name}"));
        let (limit, usage) = (read("limit_in_bytes")?, read("usage_in_bytes")?);
        Ok(MemoryUse { limit, usage, max: read("max_usage_in_bytes")?, failcnt: read("failcnt")? })
    };
    let raw = keyed(directory, "memory.stat")?;
    Ok(MemoryStats {
        cache: value(&raw, "cache"),
        usage: counter("memory")?,
        swap: counter("memory.memsw")?,
        kernel: counter("memory.kmem")?,
        kernel_tcp: counter("memory.kmem.tcp")?,
        raw,
    })
}

/// cgroup v2 memory.
fn memory_v2(directory: &Directory) -> Result<MemoryStats, FileError> {
    let counter = |prefix: &str| -> Result<MemoryUse, FileError> {
        let read = |name: &str| number(directory, &format!("{prefix}.{name}"));
        let failcnt = value(&keyed(directory, &format!("{prefix}.events"))?, "max");
        Ok(MemoryUse { limit: read("max")?, usage: read("current")?, max: read("peak")?, failcnt })
    };
    let raw = keyed(directory, "memory.stat")?;
    let (usage, swap) = (counter("memory")?, counter("memory.swap")?);
    Ok(MemoryStats { cache: value(&raw, "file"), usage, swap, raw, ..MemoryStats::default() })
}

/// cgroup v1 block io: BFQ's numbers where it is at work, else those of the throttle, which count everything.
fn block_io_v1(directory: &Directory) -> Result<BlockIoStats, FileError> {
    let read = |name: &str| -> Result<Vec<BlockIoEntry>, FileError> {
        for prefix in ["blkio.bfq", "blkio.throttle"] {
            let text = directory.read_if_there(&format!("{prefix}.{name}"))?.unwrap_or_default();
            let entries: Vec<_> = text.lines().filter_map(legacy_entry).collect();
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        Ok(Vec::new())
    };
    Ok(BlockIoStats {
        io_service_bytes_recursive: read("io_service_bytes_recursive")?,
        io_serviced_recursive: read("io_serviced_recursive")?,
    })
}

/// `8:0 Read 5`; the line with the grand total has no device.
fn legacy_entry(line: &str) -> Option<BlockIoEntry> {
    let mut words = line.split(' ');
    let (major, minor) = words.next()?.split_once(':')?;
    let (op, value) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    Some(BlockIoEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, op, value })
}

/// cgroup v2 block io: `8:0 rbytes=5 wbytes=6 rios=1 wios=2 dbytes=0 dios=0`.
fn block_io_v2(directory: &Directory) -> Result<BlockIoStats, FileError> {
    let mut stats = BlockIoStats::default();
    for line in directory.read_if_there("io.stat")?.unwrap_or_default().lines() {
        let mut words = line.split(' ');
        let numbers = words.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = numbers.map(|(major, minor)| (major.parse(), minor.parse())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut stats.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut stats.io_service_bytes_recursive, "Write"),
                "rios" => (&mut stats.io_serviced_recursive, "Read"),
                "wios" => (&mut stats.io_serviced_recursive, "Write"),
                _ => continue,
            };
            if let Ok(value) = value.parse() {
                list.push(BlockIoEntry { major, minor, op: op.to_owned(), value });
            }
        }
    }
    Ok(stats)
}

/// Every size that the kernel has.
fn huge_pages(version: Version, directory: &Directory) -> Result<BTreeMap<String, HugePageStats>, FileError> {
    let ending = if version == Version::V1 { ".usage_in_bytes" } else { ".current" };
    let mut stats = BTreeMap::new();
    for file in directory.files()? {
        let size = file.strip_prefix("hugetlb.").and_then(|rest| rest.strip_suffix(ending));
        let Some(size) = size.filter(|size| !size.contains('.')) else { continue };
        let failcnt = match version {
            Version::V1 => number(directory, &format!("hugetlb.{size}.failcnt"))?,
            Version::V2 => value(&keyed(directory, &format!("hugetlb.{size}.events"))?, "max"),
        };
        let max = number(directory, &format!("hugetlb.{size}.max_usage_in_bytes"))?;
        stats.insert(size.to_owned(), HugePageStats { usage: number(directory, &file)?, max, failcnt });
    }
    Ok(stats)
}
