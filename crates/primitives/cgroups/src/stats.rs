//! What a group has used, in the field names of runc's `events --stats`, which other programs read.
//!
//! Times are nanoseconds and sizes bytes in both worlds. What a machine does not count is zero or absent.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::controller::Controllers;
use crate::files::{Directory, FileError};
use crate::group::Group;
use crate::layout::Version;
use crate::model::{IdList, Max};
use crate::write::read_bound;

/// Statistics of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Processors and memory nodes; v1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset: Option<CpusetStats>,
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
    /// Time waited for processors; v2 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Processor time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuUsage {
    /// In all.
    pub total: u64,
    /// On each processor; v1 only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// On each processor in the kernel; v1 only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// On each processor in user mode; v1 only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In user mode.
    pub user: u64,
}

/// Where the group may run, and the settings of its cpuset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpusetStats {
    /// The processors.
    pub cpus: Vec<u32>,
    /// The memory nodes.
    pub mems: Vec<u32>,
    /// Every other number, by its name without `cpuset.`.
    #[serde(flatten)]
    pub settings: BTreeMap<&'static str, i64>,
}

/// Time for which something was waited (`psi.rst`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pressure {
    /// By at least one task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub some: Option<PressureLine>,
    /// By all tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<PressureLine>,
}

/// One line of it. The averages are hundredths of a percent here, and written as percent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PressureLine {
    /// Over ten seconds.
    #[serde(serialize_with = "percent")]
    pub avg10: u32,
    /// Over a minute.
    #[serde(serialize_with = "percent")]
    pub avg60: u32,
    /// Over five minutes.
    #[serde(serialize_with = "percent")]
    pub avg300: u32,
    /// Microseconds in all.
    pub total: u64,
}

/// Writes hundredths of a percent as percent.
fn percent<S: serde::Serializer>(hundredths: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(f64::from(*hundredths) / 100.0)
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
    /// Time waited for memory; v2 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
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
    /// Time waited for devices; v2 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
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
        if let Some((Version::V1, directory)) = self.directory(Controllers::CPUSET) {
            stats.cpuset = Some(cpuset(directory)?);
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

/// The number in a file; `max`, as v2 writes no bound, is the highest number, and 0 stands for a file that is not there.
pub(crate) fn number(directory: &Directory, file: &str) -> Result<u64, FileError> {
    let text = directory.read_if_there(file)?.unwrap_or_default();
    Ok(if text.trim() == "max" { u64::MAX } else { text.trim().parse().unwrap_or(0) })
}

/// The pressure file `file` of v2; `None` where the kernel does not count it.
fn pressure(directory: &Directory, file: &str) -> Result<Option<Pressure>, FileError> {
    match directory.read_if_there(file) {
        Ok(text) => Ok(text.as_deref().map(parse_pressure)),
        // `psi=0`
        Err(error) if error.is(rustix::io::Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `some avg10=0.12 avg60=0.00 avg300=0.00 total=5`, and the same for `full`.
fn parse_pressure(text: &str) -> Pressure {
    let line = |kind: &str| {
        let words = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let value = |key: &str| words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let average = |key| value(key).and_then(|text| text.replace('.', "").parse().ok()).unwrap_or(0);
        let total = value("total").and_then(|text| text.parse().ok()).unwrap_or(0);
        Some(PressureLine { avg10: average("avg10"), avg60: average("avg60"), avg300: average("avg300"), total })
    };
    Pressure { some: line("some "), full: line("full ") }
}

/// The v1 cpuset controller.
fn cpuset(directory: &Directory) -> Result<CpusetStats, FileError> {
    const SETTINGS: [&str; 9] = [
        "cpu_exclusive",
        "mem_hardwall",
        "mem_exclusive",
        "memory_migrate",
        "memory_spread_page",
        "memory_spread_slab",
        "memory_pressure",
        "sched_load_balance",
        "sched_relax_domain_level",
    ];
    let list = |name: &str| -> Result<Vec<u32>, FileError> {
        let text = directory.read_if_there(name)?.unwrap_or_default();
        Ok(IdList::parse("", text.trim()).map(|list| list.ids().collect()).unwrap_or_default())
    };
    let mut settings = BTreeMap::new();
    for name in SETTINGS {
        let text = directory.read_if_there(&format!("cpuset.{name}"))?;
        settings.extend(text.and_then(|text| text.trim().parse().ok()).map(|number| (name, number)));
    }
    Ok(CpusetStats { cpus: list("cpuset.cpus")?, mems: list("cpuset.mems")?, settings })
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
            (CpuUsage { total, kernel, user, ..CpuUsage::default() }, micros("throttled_usec"))
        }
    };
    let (periods, throttled_periods) = (value(&stat, "nr_periods"), value(&stat, "nr_throttled"));
    let psi = if version == Version::V2 { pressure(directory, "cpu.pressure")? } else { None };
    Ok(CpuStats { usage, throttling: Throttling { periods, throttled_periods, throttled_time }, psi })
}

/// The v1 accounting controller.
fn cpuacct(directory: &Directory) -> Result<CpuUsage, FileError> {
    let each = |file: &str| -> Result<Vec<u64>, FileError> {
        let text = directory.read_if_there(file)?.unwrap_or_default();
        Ok(text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect())
    };
    Ok(CpuUsage {
        total: number(directory, "cpuacct.usage")?,
        percpu: each("cpuacct.usage_percpu")?,
        percpu_kernel: each("cpuacct.usage_percpu_sys")?,
        percpu_user: each("cpuacct.usage_percpu_user")?,
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
        psi: None,
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
    let psi = pressure(directory, "memory.pressure")?;
    Ok(MemoryStats { cache: value(&raw, "file"), usage, swap, raw, psi, ..MemoryStats::default() })
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
        psi: None,
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
    let mut stats = BlockIoStats { psi: pressure(directory, "io.pressure")?, ..BlockIoStats::default() };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_written_as_percent() {
        let text = "some avg10=1.25 avg60=0.00 avg300=100.00 total=7\nfull avg10=0.00 avg60=0.50 avg300=0.00 total=5\n";
        let parsed = parse_pressure(text);
        assert_eq!(parsed.some.as_ref().map(|line| (line.avg10, line.avg300, line.total)), Some((125, 10_000, 7)));
        let json = serde_json::to_string(&parsed.full).unwrap();
        assert_eq!(json, r#"{"avg10":0.0,"avg60":0.5,"avg300":0.0,"total":5}"#);
        assert_eq!(parse_pressure("damaged"), Pressure::default());
    }
}
