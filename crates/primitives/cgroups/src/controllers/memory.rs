//! Memory and swap.
//!
//! v1: `memory.limit_in_bytes`, `memory.memsw.limit_in_bytes` (memory and swap together),
//! `memory.soft_limit_in_bytes`, `memory.swappiness`, `memory.oom_control`.
//! v2: `memory.max`, `memory.swap.max` (swap alone), `memory.low`.
//!
//! Where the kernel does not account swap, its file is missing. A finite limit is then an error; asking for no limit
//! (and on v2 for no swap at all, as other runtimes hold it) is a degradation.

use crate::controller::Controllers;
use crate::layout::Version;
use crate::model::{Max, Memory};
use crate::plan::{Draft, PlanError};
use crate::write::{Expect, Write};

/// The reason when swap is not accounted.
const NO_SWAP: &str = "this kernel does not account swap (swapaccount=0 or no swap support)";

/// Plans the limits.
pub(super) fn write(draft: &mut Draft<'_>, memory: &Memory) -> Result<(), PlanError> {
    for (asked, name) in
        [(memory.kernel, "the kernel memory limit"), (memory.kernel_tcp, "the kernel TCP memory limit")]
    {
        if asked.is_some() {
            draft.degrade(name, "the kernel no longer has one of its own; the memory limit includes kernel memory");
        }
    }
    if memory.check_before_update {
        draft.check_memory_use();
    }
    if (Memory { kernel: None, kernel_tcp: None, check_before_update: false, ..*memory }) == Memory::default() {
        return Ok(());
    }
    let version = draft.version(Controllers::MEMORY, "a memory limit")?;
    if memory.use_hierarchy == Some(false) {
        let why = "the kernel accounts memory hierarchically, always (Linux 5.11)";
        return Err(PlanError::Inexpressible { asked: "memory without hierarchy".into(), why });
    }
    match version {
        Version::V1 => write_v1(draft, memory),
        Version::V2 => write_v2(draft, memory),
    }
    Ok(())
}

/// A write of a size, read back rounded down to pages.
fn size(file: &'static str, text: String, limit: Max) -> Write {
    Write::new(file, text).expecting(Expect::Bound(limit, rustix::param::page_size() as u64))
}

/// cgroup v1.
fn write_v1(draft: &mut Draft<'_>, memory: &Memory) {
    let mut add = |write| draft.write(Controllers::MEMORY, write);
    if let Some(limit) = memory.limit {
        add(size("memory.limit_in_bytes", limit.legacy(), limit));
    }
    // Unlimited memory under a finite bound of memory and swap would be refused by the kernel.
    let swap = memory.swap.or(memory.limit.filter(|&limit| limit == Max::Unlimited));
    if let Some(swap) = swap {
        let write = size("memory.memsw.limit_in_bytes", swap.legacy(), swap);
        match (swap, memory.swap) {
            (Max::Unlimited, _) => add(write.or_degrade(NO_SWAP)),
            (Max::At(_), _) => add(write),
        }
    }
    if let Some(reservation) = memory.reservation {
        add(size("memory.soft_limit_in_bytes", reservation.legacy(), reservation));
    }
    if let Some(swappiness) = memory.swappiness {
        add(Write::new("memory.swappiness", swappiness.get()));
    }
    if let Some(disable) = memory.disable_oom_killer {
        let value = u8::from(disable);
        let expect = Expect::Line(format!("oom_kill_disable {value}"));
        add(Write::new("memory.oom_control", value).expecting(expect));
    }
    if memory.use_hierarchy == Some(true) {
        add(Write::new("memory.use_hierarchy", 1));
    }
}

/// cgroup v2.
fn write_v2(draft: &mut Draft<'_>, memory: &Memory) {
    if let Some(limit) = memory.limit {
        draft.write(Controllers::MEMORY, size("memory.max", limit.unified(), limit));
    }
    let swap = memory.swap.or(memory.limit.filter(|&limit| limit == Max::Unlimited));
    if let Some(swap) = swap {
        let alone = match (swap, memory.limit) {
            (Max::At(both), Some(Max::At(limit))) => Max::At(both.saturating_sub(limit)),
            _ => Max::Unlimited,
        };
        let write = size("memory.swap.max", alone.unified(), alone);
        let harmless = matches!(alone, Max::Unlimited | Max::At(0));
        draft.write(Controllers::MEMORY, if harmless { write.or_degrade(NO_SWAP) } else { write });
    }
    if let Some(reservation) = memory.reservation {
        draft.write(Controllers::MEMORY, size("memory.low", reservation.unified(), reservation));
    }
    if memory.swappiness.is_some() {
        draft.degrade("memory swappiness", "cgroup v2 has no such setting");
    }
    if memory.disable_oom_killer == Some(true) {
        draft.degrade("disabling the OOM killer", "cgroup v2 has no such setting");
    }
}
