//! `update`: other limits, or another restart policy, for a container that exists.
//!
//! All or nothing: the limits of a running container are set by its runtime, which reads them back and takes all of them back if one
//! cannot be had; only then they are written down, for the next start. What cannot be written down is taken back too.

use stockade_monitor::ORDER;
use stockade_monitor::events::ContainerAction;
use stockade_monitor::order::Order;
use stockade_monitor::restart::RestartPolicy;
use stockade_policy::PolicyError;
use stockade_policy::resources::ResourceOptions;
use stockade_spec::{BlockIo, Cpu, Memory, Pids, Resources, Spec};

use crate::container::{CONFIG, ContainerError, Locked, RECORD};
use crate::files::FileError;
use crate::inspect::HostConfig;
use crate::machine::{self, MachineError};
use crate::record::Record;
use crate::runtime::RuntimeError;
use crate::{ContainerId, Engine, State};

/// The limits that are to be set, while the runtime is asked.
const WANTED: &str = "update.json";

/// The kernel's shares, period (microseconds) and weight of a group for which nobody asked for others.
const DEFAULT_SHARES: u64 = 1024;
const DEFAULT_PERIOD: u64 = 100_000;
const DEFAULT_WEIGHT: u16 = 500;

/// What is to be different; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// The limits.
    pub resources: ResourceOptions,
    /// `--restart`.
    pub restart: Option<RestartPolicy>,
}

/// Why nothing is different.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A limit that makes no sense.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The organisation's policy.
    #[error(transparent)]
    Organisation(#[from] crate::organisation::RefusalError),
    /// How many processors there are.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// `--memory` above the limit of memory and swap together.
    #[error(
        "memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time: give \
         --memory-swap, too"
    )]
    AboveSwap,
    /// Two ways to say how much of the processors it may use.
    #[error(
        "conflicting options: {first} cannot be updated because {second} has already been set; make the container anew, or use {second}"
    )]
    Conflict {
        /// What was given.
        first: &'static str,
        /// What holds.
        second: &'static str,
    },
    /// `--rm` and a restart policy.
    #[error("restart policy cannot be updated because --rm is set for container {}", .0.short())]
    RemovesItself(ContainerId),
    /// It is being started, or about to be.
    #[error("container {} is {state}: wait until it runs", id.short())]
    NotNow {
        /// The container.
        id: ContainerId,
        /// Its state.
        state: State,
    },
    /// The runtime did not set them; they are what they were.
    #[error("cannot update container {}", id.short())]
    Runtime {
        /// The container.
        id: ContainerId,
        /// Why.
        source: RuntimeError,
    },
    /// They were set, could not be written down, and could not be taken back.
    #[error("the new limits of container {} hold until it ends, and could not be written down: {first}", id.short())]
    Half {
        /// The container.
        id: ContainerId,
        /// Why they could not be written down.
        first: Box<ContainerError>,
        /// Why they could not be taken back.
        source: RuntimeError,
    },
}

/// Changes the container, running or not.
///
/// # Errors
/// See [`UpdateError`]; but for [`UpdateError::Half`] all is as it was.
pub fn update(engine: &Engine, id: &ContainerId, update: &Update) -> Result<(), UpdateError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    if update.restart.is_some_and(|policy| policy != RestartPolicy::No) && view.record.host_config.auto_remove {
        return Err(UpdateError::RemovesItself(id.clone()));
    }
    let wanted = wanted(&update.resources, &view.record.host_config)?;
    let changes = wanted != Resources::default();
    let missing = || ContainerError::File(FileError::at("read", folder.0.path.join(CONFIG))(rustix::io::Errno::NOENT));
    // Its monitor may start it again meanwhile.
    let _config = folder.0.lock_config()?;
    let old: Spec = folder.0.read(CONFIG)?.ok_or_else(missing)?;
    let before = old.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let runs = match view.life.state {
        State::Running | State::Paused => true,
        state @ (State::Starting | State::Restarting) if changes => {
            return Err(UpdateError::NotNow { id: id.clone(), state });
        }
        _ => false,
    };
    let mut new = old.clone();
    merge(new.linux.get_or_insert_default().resources.get_or_insert_default(), &wanted);
    if changes {
        engine.judge_at_rest(&new, &view.record)?;
    }
    if runs && changes {
        let failed = |source| UpdateError::Runtime { id: id.clone(), source };
        ask(engine, &folder, &wanted)?.map_err(failed)?;
    }
    let mut record = view.record;
    tell(&mut record.host_config, &wanted);
    if let Some(cpus) = update.resources.cpus {
        record.host_config.nano_cpus = cpus.nano();
        (record.host_config.cpu_period, record.host_config.cpu_quota) = (0, 0);
    }
    if let Some(restart) = update.restart {
        record.host_config.restart_policy = restart.into();
    }
    if let Err(first) = write(&folder, &new, &record, update.restart) {
        // The record is written last: it is what it was. The rest is what it was once these are.
        folder.0.write(CONFIG, &old)?;
        if runs
            && changes
            && let Err(source) = ask(engine, &folder, &undo(&wanted, &before))?
        {
            return Err(UpdateError::Half { id: id.clone(), first: Box::new(first), source });
        }
        return Err(first.into());
    }
    engine.happened_to(&record, &ContainerAction::Update);
    Ok(())
}

/// Has the runtime set the limits.
fn ask(engine: &Engine, folder: &Locked, limits: &Resources) -> Result<Result<(), RuntimeError>, ContainerError> {
    let limits = Resources { devices: Vec::new(), ..limits.clone() };
    folder.0.write(WANTED, &limits)?;
    let path = folder.0.path.join(WANTED);
    let id = &folder.0.id;
    let asked = engine.call_runtime(id, &["update", "--resources", &path.to_string_lossy(), id.as_str()]);
    std::fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
    Ok(asked)
}

/// Writes down what holds from the next start on.
fn write(folder: &Locked, spec: &Spec, record: &Record, restart: Option<RestartPolicy>) -> Result<(), ContainerError> {
    folder.0.write(CONFIG, spec)?;
    if let (Some(restart), Some(order)) = (restart, folder.0.read::<Order>(ORDER)?) {
        // The monitor reads it again when the container ends.
        folder.0.write(ORDER, &Order { restart, ..order })?;
    }
    folder.0.write(RECORD, record)
}

/// The limits in OCI's words. Those of memory are looked at together with what holds already.
fn wanted(given: &ResourceOptions, now: &HostConfig) -> Result<Resources, UpdateError> {
    let conflict = |first, second| Err(UpdateError::Conflict { first, second });
    match (now.nano_cpus != 0, now.cpu_period != 0 || now.cpu_quota != 0) {
        (true, _) if given.cpu_period.is_some() => return conflict("--cpu-period", "--cpus"),
        (true, _) if given.cpu_quota.is_some() => return conflict("--cpu-quota", "--cpus"),
        (_, true) if given.cpus.is_some() => return conflict("--cpus", "--cpu-period or --cpu-quota"),
        _ => {}
    }
    let mut options = given.clone();
    let set = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit != 0);
    if options.memory.is_none() && (options.memory_swap.is_some() || options.memory_reservation.is_some()) {
        options.memory = set(now.memory);
    }
    if let (Some(memory), None) = (given.memory, given.memory_swap) {
        match now.memory_swap {
            0 => {}
            swap if swap > 0 && memory > swap.unsigned_abs() => return Err(UpdateError::AboveSwap),
            swap => options.memory_swap = Some(swap),
        }
    }
    if *given != ResourceOptions::default() && machine::delegation()?.is_some_and(|controllers| controllers.is_none()) {
        return Err(PolicyError::NoGroup("a limit").into());
    }
    let mut wanted = options.resources(machine::processors()?, &machine::device)?;
    if let Some(memory) = wanted.memory.as_mut().filter(|_| given.memory.is_none() && given.memory_swap.is_none()) {
        // What was looked at for comparison is not asked for again.
        (memory.limit, memory.swap) = (None, None);
    }
    Ok(wanted)
}

/// What takes `new` back: what was, and no limit where none was.
fn undo(new: &Resources, before: &Resources) -> Resources {
    let memory = before.memory.clone().unwrap_or_default();
    let cpu = before.cpu.clone().unwrap_or_default();
    let pids = before.pids.as_ref().and_then(|pids| pids.limit);
    let weight = before.block_io.as_ref().and_then(|io| io.weight);
    Resources {
        memory: new.memory.as_ref().map(|new| Memory {
            limit: new.limit.map(|_| memory.limit.unwrap_or(-1)),
            reservation: new.reservation.map(|_| memory.reservation.unwrap_or(-1)),
            swap: new.swap.map(|_| memory.swap.unwrap_or(-1)),
            ..Memory::default()
        }),
        cpu: new.cpu.as_ref().map(|new| Cpu {
            shares: new.shares.map(|_| cpu.shares.unwrap_or(DEFAULT_SHARES)),
            quota: new.quota.map(|_| cpu.quota.unwrap_or(-1)),
            period: new.period.map(|_| cpu.period.unwrap_or(DEFAULT_PERIOD)),
            cpus: if new.cpus.is_empty() { String::new() } else { cpu.cpus },
            mems: if new.mems.is_empty() { String::new() } else { cpu.mems },
            ..Cpu::default()
        }),
        pids: new.pids.as_ref().map(|_| Pids { limit: Some(pids.unwrap_or(-1)) }),
        block_io: new
            .block_io
            .as_ref()
            .map(|_| BlockIo { weight: Some(weight.unwrap_or(DEFAULT_WEIGHT)), ..BlockIo::default() }),
        ..Resources::default()
    }
}

/// What is given replaces what was.
fn merge(all: &mut Resources, new: &Resources) {
    if let Some(Memory { limit, reservation, swap, .. }) = &new.memory {
        let memory = all.memory.get_or_insert_default();
        memory.limit = limit.or(memory.limit);
        memory.reservation = reservation.or(memory.reservation);
        memory.swap = swap.or(memory.swap);
    }
    if let Some(Cpu { shares, quota, period, cpus, mems, .. }) = &new.cpu {
        let cpu = all.cpu.get_or_insert_default();
        cpu.shares = shares.or(cpu.shares);
        cpu.quota = quota.or(cpu.quota);
        cpu.period = period.or(cpu.period);
        for (list, new) in [(&mut cpu.cpus, cpus), (&mut cpu.mems, mems)] {
            if !new.is_empty() {
                list.clone_from(new);
            }
        }
    }
    if let Some(pids) = &new.pids {
        all.pids = Some(pids.clone());
    }
    if let Some(weight) = new.block_io.as_ref().and_then(|io| io.weight) {
        all.block_io.get_or_insert_default().weight = Some(weight);
    }
}

/// The same in Docker's words.
fn tell(host: &mut HostConfig, new: &Resources) {
    let memory = new.memory.clone().unwrap_or_default();
    host.memory = memory.limit.unwrap_or(host.memory);
    host.memory_swap = memory.swap.unwrap_or(host.memory_swap);
    host.memory_reservation = memory.reservation.unwrap_or(host.memory_reservation);
    let cpu = new.cpu.clone().unwrap_or_default();
    host.cpu_shares = cpu.shares.unwrap_or(host.cpu_shares);
    host.cpu_quota = cpu.quota.unwrap_or(host.cpu_quota);
    host.cpu_period = cpu.period.unwrap_or(host.cpu_period);
    for (list, new) in [(&mut host.cpuset_cpus, cpu.cpus), (&mut host.cpuset_mems, cpu.mems)] {
        if !new.is_empty() {
            *list = new;
        }
    }
    host.pids_limit = new.pids.as_ref().and_then(|pids| pids.limit).unwrap_or(host.pids_limit);
    host.blkio_weight = new.block_io.as_ref().and_then(|io| io.weight).unwrap_or(host.blkio_weight);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_replaces_what_was_and_nothing_else() {
        let options = ResourceOptions { memory: Some(64 << 20), cpu_shares: Some(512), ..ResourceOptions::default() };
        let mut all = options.resources(4, &machine::device).unwrap();
        let given = ResourceOptions { cpus: Some("1.5".parse().unwrap()), pids_limit: Some(7), ..Default::default() };
        merge(&mut all, &given.resources(4, &machine::device).unwrap());
        let cpu = all.cpu.unwrap();
        assert_eq!((cpu.shares, cpu.quota, cpu.period), (Some(512), Some(150_000), Some(100_000)));
        assert_eq!(all.memory.unwrap().limit, Some(64 << 20));
        assert_eq!(all.pids.unwrap().limit, Some(7));
    }
}
