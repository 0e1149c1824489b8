//! How a process is scheduled: `process.scheduler`, `process.ioPriority`, `process.execCPUAffinity`,
//! `linux.memoryPolicy`.

use stockade_kernel::sched::{HIGHEST_NODE, IoClass, MemoryFlags, MemoryMode, Policy, Scheduler, SchedulerFlags};
use stockade_spec::{ExecCpuAffinity, IoPriority, IoPriorityClass};

use super::model::MemoryPolicy;
use super::{PlanError, id_list};

/// The most processors that any kernel is built for (`NR_CPUS` of x86).
const HIGHEST_CPU: u32 = 8191;

const POLICIES: [(&str, Policy); 7] = [
    ("SCHED_OTHER", Policy::Other),
    ("SCHED_FIFO", Policy::Fifo),
    ("SCHED_RR", Policy::RoundRobin),
    ("SCHED_BATCH", Policy::Batch),
    ("SCHED_ISO", Policy::Iso),
    ("SCHED_IDLE", Policy::Idle),
    ("SCHED_DEADLINE", Policy::Deadline),
];

const SCHEDULER_FLAGS: [(&str, SchedulerFlags); 5] = [
    ("SCHED_FLAG_RESET_ON_FORK", SchedulerFlags::RESET_ON_FORK),
    ("SCHED_FLAG_RECLAIM", SchedulerFlags::RECLAIM),
    ("SCHED_FLAG_DL_OVERRUN", SchedulerFlags::DEADLINE_OVERRUN),
    ("SCHED_FLAG_KEEP_POLICY", SchedulerFlags::KEEP_POLICY),
    ("SCHED_FLAG_KEEP_PARAMS", SchedulerFlags::KEEP_PARAMETERS),
];

const MODES: [(&str, MemoryMode); 7] = [
    ("MPOL_DEFAULT", MemoryMode::Default),
    ("MPOL_BIND", MemoryMode::Bind),
    ("MPOL_INTERLEAVE", MemoryMode::Interleave),
    ("MPOL_WEIGHTED_INTERLEAVE", MemoryMode::WeightedInterleave),
    ("MPOL_PREFERRED", MemoryMode::Preferred),
    ("MPOL_PREFERRED_MANY", MemoryMode::PreferredMany),
    ("MPOL_LOCAL", MemoryMode::Local),
];

const MEMORY_FLAGS: [(&str, MemoryFlags); 3] = [
    ("MPOL_F_NUMA_BALANCING", MemoryFlags::NUMA_BALANCING),
    ("MPOL_F_RELATIVE_NODES", MemoryFlags::RELATIVE_NODES),
    ("MPOL_F_STATIC_NODES", MemoryFlags::STATIC_NODES),
];

/// The names of all memory modes, and of all their flags.
pub(crate) fn memory_policy_names() -> (Vec<&'static str>, Vec<&'static str>) {
    (MODES.iter().map(|(name, _)| *name).collect(), MEMORY_FLAGS.iter().map(|(name, _)| *name).collect())
}

/// The value of a name in a table, or the error that lists the names.
fn look_up<T: Copy>(path: &str, name: &str, table: &[(&str, T)]) -> Result<T, PlanError> {
    let found = table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
        PlanError::invalid(path, name, format!("one of {}", names.join(", ")))
    })
}

/// Plans the scheduling policy; a value that its policy has no use for is refused.
pub(super) fn scheduler(wanted: &stockade_spec::Scheduler) -> Result<Scheduler, PlanError> {
    let path = |field: &str| format!("process.scheduler.{field}");
    let policy = look_up(&path("policy"), &wanted.policy, &POLICIES)?;
    let mut flags = SchedulerFlags::empty();
    for (index, name) in wanted.flags.iter().enumerate() {
        let path = format!("process.scheduler.flags[{index}]");
        if name.starts_with("SCHED_FLAG_UTIL_CLAMP_") {
            return Err(PlanError::unsupported(path, name, "config.md has no property for the values to clamp to"));
        }
        flags |= look_up(&path, name, &SCHEDULER_FLAGS)?;
    }
    let useless = |field, value: String| {
        let other = format!("process.scheduler.policy ({})", wanted.policy);
        Err(PlanError::conflict(path(field), value, other, "that policy has no use for it"))
    };
    let real_time = matches!(policy, Policy::Fifo | Policy::RoundRobin);
    let (nice, priority) = (wanted.nice, u32::try_from(wanted.priority).ok());
    if !(-20..=19).contains(&nice) {
        return Err(PlanError::invalid(path("nice"), nice, "-20 to 19"));
    }
    if real_time && !priority.is_some_and(|priority| (1..=99).contains(&priority)) {
        return Err(PlanError::invalid(path("priority"), wanted.priority, "1 to 99"));
    }
    if !real_time && wanted.priority != 0 {
        return useless("priority", wanted.priority.to_string());
    }
    if nice != 0 && !matches!(policy, Policy::Other | Policy::Batch) {
        return useless("nice", nice.to_string());
    }
    let (runtime, deadline, period) = (wanted.runtime, wanted.deadline, wanted.period);
    if policy == Policy::Deadline {
        check_deadline(wanted)?;
    } else if let Some((field, value)) =
        [("runtime", runtime), ("deadline", deadline), ("period", period)].into_iter().find(|(_, value)| *value != 0)
    {
        return useless(field, value.to_string());
    }
    Ok(Scheduler { policy, flags, nice, priority: priority.unwrap_or(0), runtime, deadline, period })
}

/// `sched(7)`: 1024 <= runtime <= deadline <= period, each below 2^63.
fn check_deadline(wanted: &stockade_spec::Scheduler) -> Result<(), PlanError> {
    let path = |field: &str| format!("process.scheduler.{field}");
    if !(1024..=wanted.deadline).contains(&wanted.runtime) {
        let allowed = "at least 1024 ns and at most process.scheduler.deadline";
        return Err(PlanError::invalid(path("runtime"), wanted.runtime, allowed));
    }
    if wanted.deadline >= 1 << 63 || wanted.period >= 1 << 63 {
        return Err(PlanError::invalid(path("deadline"), wanted.deadline, "below 2^63 ns, as the period"));
    }
    if wanted.period != 0 && wanted.period < wanted.deadline {
        let allowed = "0 or at least process.scheduler.deadline";
        return Err(PlanError::invalid(path("period"), wanted.period, allowed));
    }
    Ok(())
}

/// Plans the disk priority.
pub(super) fn io_priority(wanted: &IoPriority) -> Result<(IoClass, u8), PlanError> {
    let class = match wanted.class {
        IoPriorityClass::RealTime => IoClass::RealTime,
        IoPriorityClass::BestEffort => IoClass::BestEffort,
        IoPriorityClass::Idle => IoClass::Idle,
    };
    let level = u8::try_from(wanted.priority).ok().filter(|level| *level <= 7);
    let level =
        level.ok_or_else(|| PlanError::invalid("process.ioPriority.priority", wanted.priority, "0 (first) to 7"))?;
    Ok((class, level))
}

/// Plans the processors of `exec`, before and after the process joins the container's cgroup.
pub(super) fn affinity(wanted: &ExecCpuAffinity) -> Result<super::model::Affinity, PlanError> {
    let list = |field: &str, text: &Option<String>| match text.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => id_list::parse(&format!("process.execCPUAffinity.{field}"), text, HIGHEST_CPU).map(Some),
    };
    Ok((list("initial", &wanted.initial)?, list("final", &wanted.last)?))
}

/// Plans the memory policy: which modes take nodes is `set_mempolicy(2)`'s rule.
pub(super) fn memory_policy(wanted: &stockade_spec::MemoryPolicy) -> Result<MemoryPolicy, PlanError> {
    let mode = look_up("linux.memoryPolicy.mode", &wanted.mode, &MODES)?;
    let mut flags = MemoryFlags::empty();
    for (index, name) in wanted.flags.iter().enumerate() {
        flags |= look_up(&format!("linux.memoryPolicy.flags[{index}]"), name, &MEMORY_FLAGS)?;
    }
    let nodes = match wanted.nodes.trim() {
        "" => Vec::new(),
        text => id_list::parse("linux.memoryPolicy.nodes", text, HIGHEST_NODE)?,
    };
    let with_mode = format!("linux.memoryPolicy.mode ({})", wanted.mode);
    let nowhere = matches!(mode, MemoryMode::Default | MemoryMode::Local);
    if nowhere && !nodes.is_empty() {
        let why = "that mode takes no nodes";
        return Err(PlanError::conflict("linux.memoryPolicy.nodes", &wanted.nodes, with_mode, why));
    }
    if nodes.is_empty() && !nowhere && mode != MemoryMode::Preferred {
        let why = "that mode needs nodes";
        return Err(PlanError::conflict("linux.memoryPolicy.nodes", &wanted.nodes, with_mode, why));
    }
    let flags_error = |why| {
        let flags = wanted.flags.join(", ");
        Err(PlanError::conflict("linux.memoryPolicy.flags", flags, with_mode.clone(), why))
    };
    let relations = MemoryFlags::STATIC_NODES | MemoryFlags::RELATIVE_NODES;
    if flags.contains(relations) {
        return flags_error("nodes are either static or relative");
    }
    if nodes.is_empty() && flags.intersects(relations) {
        return flags_error("there are no nodes");
    }
    let balances = matches!(mode, MemoryMode::Bind | MemoryMode::PreferredMany);
    if flags.contains(MemoryFlags::NUMA_BALANCING) && !balances {
        return flags_error("balancing goes with MPOL_BIND and MPOL_PREFERRED_MANY");
    }
    Ok(MemoryPolicy { mode, flags, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(policy: &str) -> stockade_spec::Scheduler {
        stockade_spec::Scheduler { policy: policy.to_owned(), ..Default::default() }
    }

    #[test]
    fn a_policy_takes_its_own_values() {
        use stockade_spec::Scheduler as S;
        assert_eq!(scheduler(&S { nice: -20, ..schedule("SCHED_BATCH") }).unwrap().nice, -20);
        assert_eq!(scheduler(&S { priority: 99, ..schedule("SCHED_RR") }).unwrap().priority, 99);
        let deadline = S { runtime: 1024, deadline: 2048, period: 4096, ..schedule("SCHED_DEADLINE") };
        assert!(scheduler(&deadline).is_ok());
        for (wrong, field) in [
            (schedule("SCHED_NORMAL"), "policy"),
            (schedule("SCHED_FIFO"), "priority"),
            (S { priority: 1, ..schedule("SCHED_OTHER") }, "priority"),
            (S { priority: -1, ..schedule("SCHED_IDLE") }, "priority"),
            (S { nice: 20, ..schedule("SCHED_OTHER") }, "nice"),
            (S { nice: 1, ..schedule("SCHED_IDLE") }, "nice"),
            (S { period: 1, ..schedule("SCHED_OTHER") }, "period"),
            (S { runtime: 4096, ..deadline.clone() }, "runtime"),
            (S { period: 1, ..deadline }, "period"),
            (S { flags: vec!["SCHED_FLAG_UTIL_CLAMP_MIN".to_owned()], ..schedule("SCHED_OTHER") }, "flags[0]"),
            (S { flags: vec!["X".to_owned()], ..schedule("SCHED_OTHER") }, "flags[0]"),
        ] {
            assert_eq!(scheduler(&wrong).unwrap_err().path(), format!("process.scheduler.{field}"));
        }
    }

    #[test]
    fn memory_modes() {
        let policy = |mode: &str, nodes: &str, flags: &[&str]| {
            memory_policy(&stockade_spec::MemoryPolicy {
                mode: mode.to_owned(),
                nodes: nodes.to_owned(),
                flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            })
        };
        assert_eq!(policy("MPOL_BIND", "0-1", &["MPOL_F_STATIC_NODES"]).unwrap().nodes, [0, 1]);
        assert!(policy("MPOL_PREFERRED", "", &[]).is_ok());
        for (mode, nodes, flags, field) in [
            ("MPOL_X", "", &[][..], "mode"),
            ("MPOL_BIND", "", &[], "nodes"),
            ("MPOL_BIND", "1024", &[], "nodes"),
            ("MPOL_DEFAULT", "0", &[], "nodes"),
            ("MPOL_BIND", "0", &["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"], "flags"),
            ("MPOL_PREFERRED", "", &["MPOL_F_STATIC_NODES"], "flags"),
            ("MPOL_INTERLEAVE", "0", &["MPOL_F_NUMA_BALANCING"], "flags"),
            ("MPOL_BIND", "0", &["MPOL_F_X"], "flags[0]"),
        ] {
            assert_eq!(policy(mode, nodes, flags).unwrap_err().path(), format!("linux.memoryPolicy.{field}"));
        }
    }

    #[test]
    fn disk_priority_has_eight_levels() {
        let wanted = |priority| IoPriority { class: IoPriorityClass::BestEffort, priority };
        assert_eq!(io_priority(&wanted(7)).unwrap(), (IoClass::BestEffort, 7));
        assert!(io_priority(&wanted(8)).is_err() && io_priority(&wanted(-1)).is_err());
    }
}
