//! Limits: Docker's flags, their rules, and OCI's words.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use stockade_spec::{BlockIo, Cpu, Memory, Pids, Resources, ThrottleDevice, WeightDevice};

use crate::devices::{Lookup, look};
use crate::error::{PolicyError, invalid};
use crate::limits::parse_size;

/// The least memory limit that Docker accepts: less than this starts nothing.
pub const LEAST_MEMORY: u64 = 6 << 20;

/// The period that `--cpus` is counted in, microseconds.
const PERIOD: u64 = 100_000;

/// What the resource flags say; `None` and empty are not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceOptions {
    /// `--memory`, bytes.
    pub memory: Option<u64>,
    /// `--memory-swap`: memory and swap together, bytes; -1 is no limit.
    pub memory_swap: Option<i64>,
    /// `--memory-reservation`, bytes.
    pub memory_reservation: Option<u64>,
    /// `--memory-swappiness`, 0 to 100; -1 is not given.
    pub memory_swappiness: Option<i64>,
    /// `--oom-kill-disable`.
    pub oom_kill_disable: bool,
    /// `--cpus`.
    pub cpus: Option<Cpus>,
    /// `--cpu-shares`, 0 being the kernel's default.
    pub cpu_shares: Option<u64>,
    /// `--cpu-quota`, microseconds.
    pub cpu_quota: Option<i64>,
    /// `--cpu-period`, microseconds.
    pub cpu_period: Option<u64>,
    /// `--cpuset-cpus`.
    pub cpuset_cpus: Option<CpuList>,
    /// `--cpuset-mems`.
    pub cpuset_mems: Option<CpuList>,
    /// `--pids-limit`; 0 and less are no limit.
    pub pids_limit: Option<i64>,
    /// `--blkio-weight`, 10 to 1000, 0 being not given.
    pub blkio_weight: Option<u16>,
    /// `--blkio-weight-device`.
    pub blkio_weight_device: Vec<DeviceWeight>,
    /// `--device-read-bps`.
    pub device_read_bps: Vec<ByteRate>,
    /// `--device-write-bps`.
    pub device_write_bps: Vec<ByteRate>,
    /// `--device-read-iops`.
    pub device_read_iops: Vec<OperationRate>,
    /// `--device-write-iops`.
    pub device_write_iops: Vec<OperationRate>,
}

/// `--cpus`: thousand millionths of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus(u64);

impl FromStr for Cpus {
    type Err = PolicyError;

    /// A decimal number above 0 with at most nine digits after the point.
    fn from_str(value: &str) -> Result<Self, PolicyError> {
        let wrong = || invalid("--cpus", value, "not a number of processors above 0 such as 1.5");
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
            return Err(wrong());
        }
        let whole: u64 = format!("0{whole}").parse().map_err(|_overflow| wrong())?;
        let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_overflow| wrong())?;
        let nano = whole.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(fraction));
        // Less than a hundredth gives a quota below the kernel's least, 1 ms.
        nano.filter(|nano| *nano >= 10_000_000 && *nano <= i64::MAX as u64 / PERIOD).map(Self).ok_or_else(wrong)
    }
}

impl Cpus {
    /// Thousand millionths of a processor.
    #[must_use]
    pub const fn nano(self) -> u64 {
        self.0
    }

    /// Microseconds in a period of [`PERIOD`].
    const fn quota(self) -> i64 {
        (self.0 * PERIOD / 1_000_000_000) as i64
    }

    /// Whether it is more than `processors`.
    const fn exceeds(self, processors: usize) -> bool {
        self.0 > (processors as u64).saturating_mul(1_000_000_000)
    }
}

/// A list of processors or memory nodes as `cpuset(7)` takes it: `0-3,7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList {
    text: String,
    last: u32,
}

impl FromStr for CpuList {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        let wrong = |reason| invalid("--cpuset-cpus or --cpuset-mems", value, reason);
        let number = |text: &str| {
            let digits = !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| digits).ok_or_else(|| wrong("not a list such as 0-3,7"))
        };
        let mut last = 0;
        for range in value.split(',') {
            let (first, end) = range.split_once('-').unwrap_or((range, range));
            let (first, end) = (number(first)?, number(end)?);
            if first > end {
                return Err(wrong("a range that runs backwards"));
            }
            last = last.max(end);
        }
        Ok(Self { text: value.to_owned(), last })
    }
}

/// `--blkio-weight-device PATH:WEIGHT`: 10 to 1000, or 0 for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceWeight(PathBuf, u16);

/// `--device-read-bps PATH:RATE` and its like: a rate in bytes per second, with units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteRate(PathBuf, u64);

/// `--device-read-iops PATH:RATE` and its like: operations per second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRate(PathBuf, u64);

impl DeviceWeight {
    /// The device file on the host, and its weight.
    #[must_use]
    pub fn parts(&self) -> (&Path, u16) {
        (&self.0, self.1)
    }
}

impl ByteRate {
    /// The device file on the host, and bytes per second.
    #[must_use]
    pub fn parts(&self) -> (&Path, u64) {
        (&self.0, self.1)
    }
}

impl OperationRate {
    /// The device file on the host, and operations per second.
    #[must_use]
    pub fn parts(&self) -> (&Path, u64) {
        (&self.0, self.1)
    }
}

/// Splits `PATH:RATE` at the last colon; the path must be a device's.
fn rate<'a>(flag: &'static str, value: &'a str) -> Result<(PathBuf, &'a str), PolicyError> {
    match value.rsplit_once(':') {
        Some((path, rate)) if path.starts_with("/dev/") => Ok((path.into(), rate)),
        _ => Err(invalid(flag, value, "not of the form /dev/DEVICE:RATE")),
    }
}

impl FromStr for DeviceWeight {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        const FLAG: &str = "--blkio-weight-device";
        let wrong = || invalid(FLAG, value, "not of the form /dev/DEVICE:WEIGHT with a weight from 10 to 1000");
        let (path, weight) = rate(FLAG, value).map_err(|_other_words| wrong())?;
        let digits = weight.bytes().all(|b| b.is_ascii_digit());
        let weight: u16 = weight.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        if weight == 0 || (10..=1000).contains(&weight) { Ok(Self(path, weight)) } else { Err(wrong()) }
    }
}

impl FromStr for ByteRate {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        const FLAG: &str = "--device-read-bps or --device-write-bps";
        let (path, rate) = rate(FLAG, value)?;
        Ok(Self(path, parse_size(FLAG, rate)?))
    }
}

impl FromStr for OperationRate {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        const FLAG: &str = "--device-read-iops or --device-write-iops";
        let (path, rate) = rate(FLAG, value)?;
        let digits = rate.bytes().all(|b| b.is_ascii_digit());
        let number = rate.parse().ok().filter(|_| digits).ok_or_else(|| invalid(FLAG, value, "not a number"))?;
        Ok(Self(path, number))
    }
}

impl ResourceOptions {
    /// Checks Docker's rules and says it in OCI's words. `processors` is the number of possible ones.
    ///
    /// # Errors
    /// A value out of its range, a conflict, or a device that cannot be looked at.
    pub fn resources(&self, processors: usize, lookup: &Lookup<'_>) -> Result<Resources, PolicyError> {
        Ok(Resources {
            memory: self.memory()?,
            cpu: self.cpu(processors)?,
            pids: self.pids_limit.map(|limit| Pids { limit: Some(if limit <= 0 { -1 } else { limit }) }),
            block_io: self.block_io(lookup)?,
            ..Resources::default()
        })
    }

    /// Memory, reservation, swap, and what happens when it is short.
    fn memory(&self) -> Result<Option<Memory>, PolicyError> {
        let limit = self.memory.filter(|limit| *limit != 0);
        let reservation = self.memory_reservation.filter(|limit| *limit != 0);
        let swap = self.memory_swap.filter(|swap| *swap != 0);
        let small = |flag, value: u64| invalid(flag, value.to_string(), "the least is 6 MiB");
        let swappiness = self.memory_swappiness.filter(|swappiness| *swappiness != -1);
        let swappiness = match swappiness.map(u64::try_from) {
            None => None,
            Some(Ok(swappiness @ 0..=100)) => Some(swappiness),
            Some(_) => {
                let given = self.memory_swappiness.unwrap_or_default();
                return Err(invalid("--memory-swappiness", given.to_string(), "not from 0 to 100"));
            }
        };
        match (limit, reservation, swap) {
            (Some(limit), _, _) if limit < LEAST_MEMORY => return Err(small("--memory", limit)),
            (_, Some(reserved), _) if reserved < LEAST_MEMORY => return Err(small("--memory-reservation", reserved)),
            (Some(limit), Some(reserved), _) if limit < reserved => {
                return Err(invalid("--memory-reservation", reserved.to_string(), "more than --memory"));
            }
            (None, _, Some(swap)) if swap > 0 => {
                return Err(PolicyError::Incomplete { option: "--memory-swap", needs: "--memory" });
            }
            (_, _, Some(swap)) if swap < -1 => {
                return Err(invalid("--memory-swap", swap.to_string(), "negative"));
            }
            (Some(limit), _, Some(swap)) if swap > 0 && swap.unsigned_abs() < limit => {
                return Err(invalid("--memory-swap", swap.to_string(), "less than --memory, which it includes"));
            }
            _ => {}
        }
        let signed = |value: u64| i64::try_from(value).map_err(|_large| small("--memory", value));
        let limit = limit.map(signed).transpose()?;
        let swap = swap.or_else(|| limit.map(|limit| limit.saturating_mul(2)));
        let memory = Memory {
            limit,
            reservation: reservation.map(signed).transpose()?,
            swap,
            swappiness,
            disable_oom_killer: self.oom_kill_disable.then_some(true),
            ..Memory::default()
        };
        Ok((memory != Memory::default()).then_some(memory))
    }

    /// Quota, period, shares and sets.
    fn cpu(&self, processors: usize) -> Result<Option<Cpu>, PolicyError> {
        let (period, quota) = (self.cpu_period.filter(|p| *p != 0), self.cpu_quota.filter(|q| *q != 0));
        if self.cpus.is_some() && period.is_some() {
            return Err(PolicyError::Conflict { first: "--cpus", second: "--cpu-period" });
        }
        if self.cpus.is_some() && quota.is_some() {
            return Err(PolicyError::Conflict { first: "--cpus", second: "--cpu-quota" });
        }
        if let Some(cpus) = self.cpus.filter(|cpus| cpus.exceeds(processors)) {
            let value = format!("{}", cpus.0 as f64 / 1e9);
            return Err(invalid("--cpus", value, "more than this machine has"));
        }
        if let Some(period) = period.filter(|period| !(1000..=1_000_000).contains(period)) {
            return Err(invalid("--cpu-period", period.to_string(), "not from 1000 to 1000000 microseconds"));
        }
        if let Some(quota) = quota.filter(|quota| *quota < 1000 && *quota != -1) {
            return Err(invalid("--cpu-quota", quota.to_string(), "less than 1000 microseconds"));
        }
        if let Some(cpus) = self.cpuset_cpus.as_ref().filter(|cpus| cpus.last as usize >= processors) {
            return Err(invalid("--cpuset-cpus", &cpus.text, "names a processor that this machine has not"));
        }
        let shares = self.cpu_shares.filter(|shares| *shares != 0);
        if let Some(shares) = shares.filter(|shares| *shares > 262_144) {
            return Err(invalid("--cpu-shares", shares.to_string(), "more than 262144"));
        }
        let text = |list: &Option<CpuList>| list.as_ref().map_or_else(String::new, |list| list.text.clone());
        let cpu = Cpu {
            shares,
            quota: self.cpus.map(Cpus::quota).or(quota),
            period: self.cpus.map(|_| PERIOD).or(period),
            cpus: text(&self.cpuset_cpus),
            mems: text(&self.cpuset_mems),
            ..Cpu::default()
        };
        Ok((cpu != Cpu::default()).then_some(cpu))
    }

    /// Weight and rates.
    fn block_io(&self, lookup: &Lookup<'_>) -> Result<Option<BlockIo>, PolicyError> {
        let weight = self.blkio_weight.filter(|weight| *weight != 0);
        if let Some(weight) = weight.filter(|weight| !(10..=1000).contains(weight)) {
            return Err(invalid("--blkio-weight", weight.to_string(), "not from 10 to 1000"));
        }
        let weigh = |device: &DeviceWeight| {
            let node = look(&device.0, lookup)?;
            let weight =
                WeightDevice { major: node.major, minor: node.minor, weight: Some(device.1), leaf_weight: None };
            Ok::<_, PolicyError>(weight)
        };
        let throttle = |path: &PathBuf, rate| {
            let node = look(path, lookup)?;
            Ok::<_, PolicyError>(ThrottleDevice { major: node.major, minor: node.minor, rate })
        };
        let bytes =
            |rates: &[ByteRate]| rates.iter().map(|rate| throttle(&rate.0, rate.1)).collect::<Result<Vec<_>, _>>();
        let operations =
            |rates: &[OperationRate]| rates.iter().map(|rate| throttle(&rate.0, rate.1)).collect::<Result<Vec<_>, _>>();
        let block_io = BlockIo {
            weight,
            weight_device: self
                .blkio_weight_device
                .iter()
                .filter(|device| device.1 != 0)
                .map(weigh)
                .collect::<Result<_, _>>()?,
            throttle_read_bps_device: bytes(&self.device_read_bps)?,
            throttle_write_bps_device: bytes(&self.device_write_bps)?,
            throttle_read_iops_device: operations(&self.device_read_iops)?,
            throttle_write_iops_device: operations(&self.device_write_iops)?,
            ..BlockIo::default()
        };
        Ok((block_io != BlockIo::default()).then_some(block_io))
    }
}
