//! Writing limits to a group, comparing them with what was asked, and changing them later.

use std::path::PathBuf;

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use stockade_kernel::bpf;

use super::Group;
use crate::controller::Controllers;
use crate::device_program;
use crate::files::FileError;
use crate::layout::{Layout, Version};
use crate::model::{CpuPeriod, CpuQuota, DeviceRules, Limits, Max};
use crate::plan::{Degradation, PlanError, plan_at};
use crate::systemd::{Property, Systemd, SystemdError, majors, properties};
use crate::write::{Missing, Write, read_bound};

/// A limit that was planned and refused by the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// A file could not be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The device program was refused.
    #[error("cannot put the device program on the cgroup {}", path.display())]
    Program {
        /// The group.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// systemd refused it.
    #[error("systemd does not take the limits")]
    Systemd(#[from] SystemdError),
    /// The kernel took it and shows another one.
    #[error("the kernel shows another limit than was asked: {0}")]
    Differs(Difference),
}

/// Why limits could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// They can not be had.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The present ones could not be read; nothing was changed.
    #[error(transparent)]
    Read(#[from] FileError),
    /// One of them was refused; those that were changed before are as they were.
    #[error("cannot change the limits, and all are as before")]
    Refused(#[source] LimitsError),
    /// One of them was refused, and some that were changed before could not be changed back.
    #[error("cannot change the limits, nor change back {}", shown(left))]
    Half {
        /// The files that are not as before.
        left: Vec<PathBuf>,
        /// Why the change failed.
        #[source]
        source: LimitsError,
    },
    /// The numbers of devices, which systemd has to be told by name.
    #[error("cannot read /proc/devices; no limit was changed")]
    Majors(#[source] std::io::Error),
    /// More memory is in use than the new limit allows, and the caller wanted no process to be killed for it.
    #[error("{used} bytes of memory are in use, more than the new limit of {limit}")]
    MemoryInUse {
        /// The use in bytes.
        used: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

/// A unit of systemd's, to which limits are told.
#[derive(Debug)]
pub struct Told<'a> {
    /// The connection to it.
    pub systemd: &'a mut Systemd,
    /// The unit's name.
    pub unit: &'a str,
}

/// Files for a message.
fn shown(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A limit that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file.
    pub path: PathBuf,
    /// What was written.
    pub asked: String,
    /// What the file says.
    pub found: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: asked {:?}, found {:?}", self.path.display(), self.asked, self.found.trim())
    }
}

/// A member's index, the name of a file of it, and the file, open for writing.
type LastFile = Option<(usize, std::borrow::Cow<'static, str>, OwnedFd)>;

impl Group {
    /// Writes `writes`, each to the member with its index. One that the kernel refuses for the moment because of
    /// another value (memory above the old bound of memory and swap, a burst above the old quota) is tried again
    /// after the others, as long as that gets on.
    pub(super) fn write(&mut self, writes: Vec<(usize, Write)>) -> Result<(), LimitsError> {
        let mut waiting = writes;
        let mut last = None;
        loop {
            let before = waiting.len();
            let mut refused = Vec::new();
            let mut first = None;
            for (index, write) in waiting {
                match self.write_one(index, write.clone(), &mut last) {
                    Ok(Some(done)) => self.written.push((index, done)),
                    Ok(None) => {}
                    Err(error) if error.is(Errno::INVAL) || error.is(Errno::BUSY) => {
                        first.get_or_insert(error);
                        refused.push((index, write));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            match first {
                None => return Ok(()),
                Some(error) if refused.len() == before => return Err(error.into()),
                Some(_) => waiting = refused,
            }
        }
    }

    /// Writes one file or what stands in for it; `None` if that was a degradation.
    ///
    /// `last` is the file that was written last: the rules for devices go one by one to the same.
    fn write_one(&mut self, index: usize, write: Write, last: &mut LastFile) -> Result<Option<Write>, FileError> {
        let Some(member) = self.members.get(index) else { return Ok(None) };
        if write.value.is_empty() {
            return Ok(Some(write));
        }
        let opened = last.take().filter(|(at, name, _)| (*at, name.as_ref()) == (index, write.file.as_ref()));
        let file = opened.map_or_else(|| member.directory.open_for_writing(&write.file), |(_, _, file)| Ok(file));
        let written = file.and_then(|file| {
            member.directory.write_to(&file, &write.file, &write.value)?;
            *last = Some((index, write.file.clone(), file));
            Ok(())
        });
        match written {
            Ok(()) => Ok(Some(write)),
            Err(error) if error.is(Errno::NOENT) => match write.missing {
                Missing::Fail => {
                    let action = format!("set {:?}, as this kernel does not offer the setting, in", write.value);
                    Err(FileError { action, ..error })
                }
                Missing::Instead(other) => self.write_one(index, *other, last),
                Missing::Degrade(why) => {
                    let asked = format!("{} = {}", write.file, write.value).into();
                    self.degradations.push(Degradation { asked, why: why.into() });
                    Ok(None)
                }
            },
            Err(error) => Err(error),
        }
    }

    /// Compares every file written by this value with what was asked; an empty list means that all is in force.
    ///
    /// # Errors
    /// [`LimitsError`] if a file can not be read or the device program not be asked for.
    pub fn verify(&self) -> Result<Vec<Difference>, LimitsError> {
        let mut differences = Vec::new();
        for (index, write) in &self.written {
            let Some(member) = self.members.get(*index) else { continue };
            if write.expect == crate::write::Expect::Unchecked {
                continue;
            }
            let found = member.directory.read(&write.file)?;
            if !write.holds(&found) {
                let path = member.directory.path().join(write.file.as_ref());
                let asked = if write.value.is_empty() { format!("{:?}", write.expect) } else { write.value.clone() };
                differences.push(Difference { path, asked, found });
            }
        }
        if let (Some(program), Some(member)) = (self.program, self.unified()) {
            let path = member.directory.path();
            let attached = bpf::query_device_programs(member.directory.as_fd())
                .map_err(|source| LimitsError::Program { path: path.to_owned(), source })?;
            if !attached.contains(&program) {
                let asked = format!("device program {program}");
                differences.push(Difference { path: path.to_owned(), asked, found: format!("{attached:?}") });
            }
        }
        Ok(differences)
    }

    /// Changes the limits that `limits` asks for, leaves the others, and reads back what is in force. What was in force stays
    /// so until its new value is written; devices are at no instant allowed that neither the old nor the new rules allow on v2.
    ///
    /// # Errors
    /// [`UpdateError`]; all limits are as before, unless it is [`UpdateError::Half`].
    pub fn update(&mut self, limits: &Limits) -> Result<(), UpdateError> {
        self.update_told(limits, None)
    }

    /// As [`Group::update`]; the systemd whose unit the group belongs to is told the new limits too.
    ///
    /// # Errors
    /// As [`Group::update`].
    pub fn update_told(&mut self, limits: &Limits, unit: Option<Told<'_>>) -> Result<(), UpdateError> {
        let mut hierarchies = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let mut hierarchy = member.hierarchy.clone();
            if hierarchy.version == Version::V2 {
                let offered = member.directory.read("cgroup.controllers")?;
                hierarchy.controllers = Controllers::listed(offered.split_ascii_whitespace());
            }
            hierarchies.push(hierarchy);
        }
        let paths = self.members.iter().map(|member| member.place.path.clone()).collect();
        let limits = self.with_present_quota(limits)?;
        let layout = Layout::from_hierarchies(hierarchies);
        let plan = plan_at(&layout, paths, &limits)?;
        let told = unit.map(|unit| {
            Ok::<_, UpdateError>((
                unit,
                properties(&layout, &plan, limits.devices.as_ref(), &majors().map_err(UpdateError::Majors)?)?,
            ))
        });
        let told = told.transpose()?.filter(|(_, properties)| !properties.is_empty());
        if plan.check_memory_use {
            self.refuse_below_use(&limits)?;
        }
        let groups = plan.groups.into_iter().enumerate();
        let writes: Vec<_> =
            groups.flat_map(|(index, group)| group.writes.into_iter().map(move |write| (index, write))).collect();
        let earlier = self.remember(&writes)?;
        let written = self.written.clone();
        self.written.retain(|(index, old)| !writes.iter().any(|(at, new)| at == index && new.file == old.file));
        self.degradations = plan.degradations;
        let mut knows = None;
        let changed = self.change_told(writes, plan.device_program.as_ref(), told, &mut knows);
        let Err(source) = changed else { return Ok(()) };
        self.written = written;
        let mut left = self.give_back(earlier);
        left.extend(knows.map(|unit| PathBuf::from(format!("what systemd knows of {unit}"))));
        Err(if left.is_empty() { UpdateError::Refused(source) } else { UpdateError::Half { left, source } })
    }

    /// Changes the files, tells systemd, and changes them once more, since systemd writes what it was told in its own units. `knows` is the
    /// unit of which systemd was told.
    fn change_told(
        &mut self,
        writes: Vec<(usize, Write)>,
        rules: Option<&DeviceRules>,
        told: Option<(Told<'_>, Vec<Property>)>,
        knows: &mut Option<String>,
    ) -> Result<(), LimitsError> {
        let Some((unit, properties)) = told else { return self.change(writes, rules) };
        let before = self.written.clone();
        self.change(writes.clone(), None)?;
        unit.systemd.set(unit.unit, &properties)?;
        *knows = Some(unit.unit.to_owned());
        self.written = before;
        self.change(writes, rules)
    }

    /// Writes, and compares with what is in force. The device program comes last: it is one step.
    fn change(&mut self, writes: Vec<(usize, Write)>, rules: Option<&DeviceRules>) -> Result<(), LimitsError> {
        self.write(writes)?;
        if let Some(difference) = self.verify()?.into_iter().next() {
            return Err(LimitsError::Differs(difference));
        }
        if let Some(rules) = rules {
            self.program = Some(attach_program(self, rules, Earlier::Ours)?);
        }
        Ok(())
    }

    /// `limits` with the present quota or period where only the other is changed: on v2 both are one value.
    fn with_present_quota(&self, limits: &Limits) -> Result<Limits, FileError> {
        let mut limits = limits.clone();
        if (limits.cpu.period.is_some() || limits.cpu.quota.is_some())
            && let Some((Version::V2, directory)) = self.directory(Controllers::CPU)
        {
            let present = directory.read_if_there("cpu.max")?.unwrap_or_default();
            let (quota, period) = present.trim().split_once(' ').unwrap_or_default();
            let quota = || quota.parse().map_or(CpuQuota::Unlimited, CpuQuota::Micros);
            limits.cpu.quota = Some(limits.cpu.quota.unwrap_or_else(quota));
            let period = || period.parse().ok().and_then(|period| CpuPeriod::new(period).ok());
            limits.cpu.period = limits.cpu.period.or_else(period);
        }
        Ok(limits)
    }

    /// Refuses a memory limit below the present use.
    fn refuse_below_use(&self, limits: &Limits) -> Result<(), UpdateError> {
        let (Some(Max::At(limit)), Some((version, directory))) =
            (limits.memory.limit, self.directory(Controllers::MEMORY))
        else {
            return Ok(());
        };
        let file = if version == Version::V1 { "memory.usage_in_bytes" } else { "memory.current" };
        match read_bound(&directory.read(file)?) {
            Some(Max::At(used)) if used > limit => Err(UpdateError::MemoryInUse { used, limit }),
            _ => Ok(()),
        }
    }
}

/// Which of the programs that were on a group before are taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// All: nobody else uses the group.
    All,
    /// Those of this room, and not systemd's.
    Ours,
}

/// The name of this room's programs.
const PROGRAM: &std::ffi::CStr = c"stockade_dev";

/// Loads the program for `rules`, attaches it to the cgroup2 group, takes off those attached there before, and returns
/// its id. Programs on one group must all allow an access, so nothing is allowed for a moment that was not.
pub(super) fn attach_program(group: &Group, rules: &DeviceRules, earlier: Earlier) -> Result<u32, LimitsError> {
    let Some(member) = group.unified() else {
        let source = Errno::NOTSUP.into();
        return Err(LimitsError::Program { path: PathBuf::from("of cgroup v2"), source });
    };
    let directory = member.directory.as_fd();
    let attach = || {
        let old = bpf::query_device_programs(directory)?;
        let program = bpf::load_device_program(&device_program::compile(rules), PROGRAM)?;
        bpf::attach_device_program(directory, program.as_fd())?;
        for id in old {
            let old = bpf::program_by_id(id)?;
            let is_ours =
                || Ok::<_, std::io::Error>(bpf::program_info(old.as_fd())?.name.starts_with(PROGRAM.to_bytes()));
            if earlier == Earlier::All || is_ours()? {
                bpf::detach_device_program(directory, old.as_fd())?;
            }
        }
        Ok(bpf::program_info(program.as_fd())?.id)
    };
    attach().map_err(|source| LimitsError::Program { path: member.directory.path().to_owned(), source })
}
