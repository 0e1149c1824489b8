//! Huge pages, RDMA, network marks and verbatim cgroup v2 values.
//!
//! v1: `hugetlb.SIZE.limit_in_bytes` (and `.rsvd`), `rdma.max`, `net_cls.classid`, `net_prio.ifpriomap`.
//! v2: `hugetlb.SIZE.max` (and `.rsvd`), `rdma.max`, any file of `unified`.

use crate::controller::Controllers;
use crate::layout::{Kind, Version};
use crate::model::{HugePageLimit, Max, Network, RdmaLimit, UnifiedValue};
use crate::plan::{Draft, PlanError};
use crate::write::{Expect, Write};

/// Plans limits on huge pages: on those faulted in, and on those reserved where the kernel counts them (Linux 5.7).
pub(super) fn write_huge_pages(draft: &mut Draft<'_>, limits: &[HugePageLimit]) -> Result<(), PlanError> {
    for limit in limits {
        let ending = match draft.version(Controllers::HUGETLB, "a limit on huge pages")? {
            Version::V1 => "limit_in_bytes",
            Version::V2 => "max",
        };
        let write = |file: String| {
            Write::new(file, limit.limit).expecting(Expect::Bound(Max::At(limit.limit), limit.page_bytes()))
        };
        draft.write(Controllers::HUGETLB, write(format!("hugetlb.{}.{ending}", limit.size())));
        let reserved = write(format!("hugetlb.{}.rsvd.{ending}", limit.size()));
        draft.write(Controllers::HUGETLB, reserved.or_degrade("this kernel does not limit reserved huge pages"));
    }
    Ok(())
}

/// Plans limits on RDMA.
pub(super) fn write_rdma(draft: &mut Draft<'_>, limits: &[RdmaLimit]) -> Result<(), PlanError> {
    for limit in limits {
        draft.version(Controllers::RDMA, "a limit on rdma")?;
        for (key, bound) in [("hca_handle", limit.handles), ("hca_object", limit.objects)] {
            if let Some(bound) = bound {
                let word = format!("{key}={}", bound.unified());
                let value = format!("{} {word}", limit.device());
                let expect = Expect::Word(limit.device().to_owned(), word, false);
                draft.write(Controllers::RDMA, Write::new("rdma.max", value).expecting(expect));
            }
        }
    }
    Ok(())
}

/// Plans marks on packets, which only v1 has.
pub(super) fn write_network(draft: &mut Draft<'_>, network: &Network) -> Result<(), PlanError> {
    if let Some(class) = network.class_id {
        draft.version(Controllers::NET_CLS, "the network class id")?;
        draft.write(Controllers::NET_CLS, Write::new("net_cls.classid", class));
    }
    for priority in &network.priorities {
        draft.version(Controllers::NET_PRIO, "a network priority")?;
        let value = format!("{} {}", priority.interface(), priority.priority);
        let write = Write::new("net_prio.ifpriomap", &value).expecting(Expect::Line(value));
        draft.write(Controllers::NET_PRIO, write);
    }
    Ok(())
}

/// Plans values of `unified`. They are not compared afterwards: the kernel shows most of them in another form.
pub(super) fn write_unified(draft: &mut Draft<'_>, values: &[UnifiedValue]) -> Result<(), PlanError> {
    for value in values {
        if draft.kind() != Kind::Unified {
            let asked = format!("unified {}", value.file()).into();
            return Err(PlanError::Inexpressible { asked, why: "this machine's controllers are on cgroup v1" });
        }
        if let Some(other) = contradicted(draft, value) {
            let (key, value) = (value.file().to_owned(), value.value().to_owned());
            return Err(PlanError::Repeated { property: property(&key), key, value, other });
        }
        let write = Write::new(value.file().to_owned(), value.value()).expecting(Expect::Unchecked);
        match Controllers::named(value.controller()) {
            controller if controller.is_empty() => draft.write_unified(write),
            controller => {
                draft.version(controller, "a unified value")?;
                draft.write(controller, write);
            }
        }
    }
    Ok(())
}

/// What a limit with a name of its own writes to the same file, if that is something else. Some files have a line for each device, which the
/// first word names.
fn contradicted(draft: &Draft<'_>, value: &UnifiedValue) -> Option<String> {
    let by_device = matches!(value.file(), "io.max" | "rdma.max");
    let device = |text: &str| text.split_whitespace().next().map(str::to_owned);
    let mut others = draft.unified_writes().filter(|write| write.file == value.file() && !write.value.is_empty());
    let other = others.find(|write| {
        write.value != value.value().trim() && (!by_device || device(&write.value) == device(value.value()))
    });
    other.map(|write| write.value.clone())
}

/// The property of the runtime specification's resources that is written to a file of cgroup v2.
fn property(file: &str) -> &'static str {
    match file {
        "cpu.max" => "cpu.quota or cpu.period",
        "cpu.max.burst" => "cpu.burst",
        "cpu.weight" => "cpu.shares",
        "cpu.idle" => "cpu.idle",
        "cpuset.cpus" => "cpu.cpus",
        "cpuset.mems" => "cpu.mems",
        "io.bfq.weight" | "io.weight" => "blockIO.weight",
        "io.max" => "a throttle of blockIO",
        "memory.low" => "memory.reservation",
        "memory.max" => "memory.limit",
        "memory.swap.max" => "memory.swap",
        "pids.max" => "pids.limit",
        "rdma.max" => "rdma",
        file if file.starts_with("hugetlb.") => "hugepageLimits",
        _ => "another property",
    }
}
