//! Processor time.
//!
//! v1: `cpu.shares`, `cpu.cfs_period_us`, `cpu.cfs_quota_us`, `cpu.cfs_burst_us`, `cpu.idle`, `cpu.rt_period_us`,
//! `cpu.rt_runtime_us`. v2: `cpu.weight`, `cpu.max` ("QUOTA PERIOD"), `cpu.max.burst`, `cpu.idle`; nothing for real time.

use crate::controller::Controllers;
use crate::layout::Version;
use crate::model::{Cpu, CpuQuota};
use crate::plan::{Draft, PlanError};
use crate::write::{Expect, Write};

/// Plans the limits.
pub(super) fn write(draft: &mut Draft<'_>, cpu: &Cpu) -> Result<(), PlanError> {
    if *cpu == Cpu::default() {
        return Ok(());
    }
    let version = draft.version(Controllers::CPU, "a limit on processor time")?;
    if version == Version::V2 && (cpu.realtime_period.is_some() || cpu.realtime_runtime.is_some()) {
        let why = "cgroup v2 does not divide real-time scheduling";
        return Err(PlanError::Inexpressible { asked: "cpu real-time period and runtime".into(), why });
    }
    if let Some(idle) = cpu.idle {
        draft.write(Controllers::CPU, Write::new("cpu.idle", u8::from(idle)));
    }
    if let Some(shares) = cpu.shares {
        match (cpu.idle, version) {
            (Some(true), _) => draft.degrade("cpu shares", "an idle group has no weight"),
            (_, Version::V1) => draft.write(Controllers::CPU, Write::new("cpu.shares", shares.get())),
            (_, Version::V2) => draft.write(Controllers::CPU, Write::new("cpu.weight", weight(shares.get()))),
        }
    }
    match version {
        Version::V1 => write_v1(draft, cpu),
        Version::V2 => write_v2(draft, cpu),
    }
    Ok(())
}

/// cgroup v1. A combination that the old values forbid for a moment is tried again after the others.
fn write_v1(draft: &mut Draft<'_>, cpu: &Cpu) {
    let mut add = |write| draft.write(Controllers::CPU, write);
    if let Some(period) = cpu.period {
        add(Write::new("cpu.cfs_period_us", period.get()));
    }
    if let Some(quota) = cpu.quota {
        add(match quota {
            CpuQuota::Micros(micros) => Write::new("cpu.cfs_quota_us", micros),
            CpuQuota::Unlimited => Write::new("cpu.cfs_quota_us", -1),
        });
    }
    if let Some(burst) = cpu.burst {
        add(Write::new("cpu.cfs_burst_us", burst.get()));
    }
    if let Some(period) = cpu.realtime_period {
        add(Write::new("cpu.rt_period_us", period));
    }
    if let Some(runtime) = cpu.realtime_runtime {
        add(Write::new("cpu.rt_runtime_us", runtime));
    }
}

/// cgroup v2. A quota alone keeps the period; a period alone must name the quota, which an update fills in.
fn write_v2(draft: &mut Draft<'_>, cpu: &Cpu) {
    let quota = match cpu.quota {
        Some(CpuQuota::Micros(micros)) => micros.to_string(),
        Some(CpuQuota::Unlimited) | None => "max".to_owned(),
    };
    match (cpu.quota, cpu.period) {
        (_, Some(period)) => draft.write(Controllers::CPU, Write::new("cpu.max", format!("{quota} {}", period.get()))),
        (Some(_), None) => {
            let expect = Expect::Word(quota.clone(), quota.clone(), false);
            draft.write(Controllers::CPU, Write::new("cpu.max", quota).expecting(expect));
        }
        (None, None) => {}
    }
    if let Some(burst) = cpu.burst {
        draft.write(Controllers::CPU, Write::new("cpu.max.burst", burst.get()));
    }
}

/// The v2 weight of v1 shares, so that the smallest, the usual (1024 -> 100) and the largest fall together:
/// `ceil(10 ^ ((l^2 + 125 l)/612 - 7/34))` with `l = log2(shares)`.
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn weights() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 100, 10_000]);
        assert!((2..262_144).all(|shares| weight(shares) <= weight(shares + 1)));
    }
}
