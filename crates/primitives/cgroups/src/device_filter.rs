//! Which device nodes a process may use, read back from the kernel: the list of a v1 group, or the programs of a v2 group and its
//! ancestors, of whoever made them.

use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;

use rustix::io::Errno;
use stockade_kernel::bpf::{self, Instruction};
use stockade_kernel::procfs::{Procfs, Subject};

use crate::controller::Controllers;
use crate::files::{Directory, FileError};
use crate::layout::{Hierarchy, Layout, Version};
use crate::membership::Membership;
use crate::model::{Access, DeviceKind, DeviceRule, DeviceRules};
use crate::observe::ObserveError;

/// What decides about device nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceFilter {
    /// Nothing.
    Nothing,
    /// A v1 group's list of what is allowed. `a *:* rwm` in it may have exceptions, which the kernel does not tell.
    List(DeviceRules),
    /// The programs of a v2 group and its ancestors, all of which must allow.
    Programs(Vec<Vec<Instruction>>),
}

impl DeviceFilter {
    /// Whether `access` to the device `kind` (not [`DeviceKind::All`]) `major`:`minor` is allowed; `None` if a program has an
    /// instruction that is unknown here. Where a v1 list allows everything, exceptions do not count, because they are not told.
    #[must_use]
    pub fn allows(&self, kind: DeviceKind, major: u32, minor: u32, access: Access) -> Option<bool> {
        let number = match kind {
            DeviceKind::Block => 1,
            _ => 2,
        };
        match self {
            Self::Nothing => Some(true),
            Self::List(rules) => Some(rules.allows(kind, major, minor, access)),
            Self::Programs(programs) => {
                let words = [u32::from(access.bits()) << 16 | number, major, minor];
                let verdicts = programs.iter().map(|program| run(program, words).map(|verdict| verdict & 1 == 1));
                verdicts.collect::<Option<Vec<bool>>>().map(|all| all.into_iter().all(|one| one))
            }
        }
    }
}

/// What decides about device nodes for `pid`, where `top` opens a hierarchy.
pub(crate) fn of(
    layout: &Layout,
    procfs: &Procfs,
    pid: i32,
    top: impl Fn(&Hierarchy) -> Result<Rc<Directory>, FileError>,
) -> Result<DeviceFilter, ObserveError> {
    let groups = Membership::of(procfs, Subject::Pid(pid)).map_err(|source| ObserveError::Process { pid, source })?;
    if let Some(hierarchy) = layout.home(Controllers::DEVICES)
        && hierarchy.version == Version::V1
    {
        let Some(path) = groups.below_mount(hierarchy) else { return Err(hidden(pid)) };
        let text = top(hierarchy)?.open(path)?.read("devices.list")?;
        return list(&text).map(DeviceFilter::List).ok_or_else(|| hidden(pid));
    }
    let unified = layout.hierarchies().iter().find(|hierarchy| hierarchy.version == Version::V2);
    let Some(hierarchy) = unified else { return Ok(DeviceFilter::Nothing) };
    let Some(path) = groups.below_mount(hierarchy) else { return Err(hidden(pid)) };
    let top = top(hierarchy)?;
    let mut programs = Vec::new();
    for at in path.ancestors() {
        programs.extend(attached(&top, at)?);
    }
    Ok(if programs.is_empty() { DeviceFilter::Nothing } else { DeviceFilter::Programs(programs) })
}

/// A group that this process' mounts do not show, or that says something unknown.
fn hidden(pid: i32) -> ObserveError {
    ObserveError::Process { pid, source: Errno::BADMSG.into() }
}

/// The programs of one group.
fn attached(top: &Directory, at: &Path) -> Result<Vec<Vec<Instruction>>, FileError> {
    let directory = top.open(at)?;
    let failed = |source| FileError::new("read the device programs of", directory.path(), source);
    let ids = bpf::query_device_programs(directory.as_fd()).map_err(failed)?;
    let read = |id| bpf::program_instructions(bpf::program_by_id(id)?.as_fd());
    ids.into_iter().map(|id| read(id).map_err(failed)).collect()
}

/// Reads `devices.list`.
fn list(text: &str) -> Option<DeviceRules> {
    let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
    let rule = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let kind = DeviceKind::parse(words.next()?).ok()?;
        let (major, minor) = words.next()?.split_once(':')?;
        let access = Access::parse(words.next()?).ok()?;
        Some(DeviceRule { allow: true, kind, major: number(major)?, minor: number(minor)?, access })
    };
    DeviceRules::new(text.lines().map(rule).collect::<Option<_>>()?).ok()
}

/// The most instructions that one run may take: a verified program is shorter, and ends.
const MOST: usize = 1_000_000;

/// Runs a program as the kernel would, on the three `words` of its context; `None` at an instruction that no device program has: loops
/// to helpers, maps and memory are not followed.
pub(crate) fn run(program: &[Instruction], words: [u32; 3]) -> Option<u64> {
    /// The class in an instruction's code.
    const CLASS: u8 = 7;
    let mut registers = [0u64; 16];
    let mut at = 0usize;
    for _ in 0..MOST {
        let instruction = *program.get(at)?;
        let (to, from) = (usize::from(instruction.registers & 15), usize::from(instruction.registers >> 4));
        let constant = i64::from(instruction.immediate).cast_unsigned();
        let operand = if instruction.code & 8 == 0 { constant } else { registers[from] };
        at += 1;
        match instruction.code & CLASS {
            // A word of the context, to which register 1 points.
            1 if instruction.code == 0x61 => {
                let word = usize::try_from(instruction.offset).ok().filter(|offset| offset.is_multiple_of(4))? / 4;
                registers[to] = u64::from(*words.get(word)?);
            }
            4 => registers[to] = u64::from(calculate(instruction.code, registers[to] as u32, operand as u32)?),
            7 => registers[to] = calculate_wide(instruction.code, registers[to], operand)?,
            5 if instruction.code == 0x95 => return Some(registers[0]),
            class @ (5 | 6) => {
                let narrow = |value: u64| if class == 6 { value & u64::from(u32::MAX) } else { value };
                if jumps(instruction.code, narrow(registers[to]), narrow(operand))? {
                    at = at.checked_add_signed(isize::from(instruction.offset))?;
                }
            }
            _ => return None,
        }
    }
    None
}

/// 32-bit arithmetic.
fn calculate(code: u8, left: u32, right: u32) -> Option<u32> {
    Some(match code & 0xf0 {
        0x00 => left.wrapping_add(right),
        0x10 => left.wrapping_sub(right),
        0x40 => left | right,
        0x50 => left & right,
        0x60 => left.wrapping_shl(right),
        0x70 => left.wrapping_shr(right),
        0xa0 => left ^ right,
        0xb0 => right,
        _ => return None,
    })
}

/// 64-bit arithmetic.
fn calculate_wide(code: u8, left: u64, right: u64) -> Option<u64> {
    Some(match code & 0xf0 {
        0x00 => left.wrapping_add(right),
        0x10 => left.wrapping_sub(right),
        0x40 => left | right,
        0x50 => left & right,
        0x60 => left.wrapping_shl(right as u32),
        0x70 => left.wrapping_shr(right as u32),
        0xa0 => left ^ right,
        0xb0 => right,
        _ => return None,
    })
}

/// Whether a jump is taken.
fn jumps(code: u8, left: u64, right: u64) -> Option<bool> {
    Some(match code & 0xf0 {
        0x00 => true,
        0x10 => left == right,
        0x20 => left > right,
        0x30 => left >= right,
        0x40 => left & right != 0,
        0x50 => left != right,
        0xa0 => left < right,
        0xb0 => left <= right,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let rules = list("c 1:3 rwm\nb *:* m\nc 136:* rw\n").unwrap();
        let filter = DeviceFilter::List(rules);
        let ask = |kind, major, minor, access| filter.allows(kind, major, minor, access).unwrap();
        assert!(ask(DeviceKind::Character, 1, 3, Access::all()) && ask(DeviceKind::Character, 136, 9, Access::READ));
        assert!(ask(DeviceKind::Block, 8, 0, Access::MKNOD) && !ask(DeviceKind::Block, 8, 0, Access::READ));
        let all = DeviceFilter::List(list("a *:* rwm\n").unwrap());
        assert_eq!(all.allows(DeviceKind::Block, 8, 0, Access::all()), Some(true));
        assert_eq!(list("x 1:3 rwm"), None);
        assert_eq!(list("c 1 rwm"), None);
    }

    #[test]
    fn all_programs_must_allow_and_unknown_instructions_are_no_answer() {
        let constant = |value| {
            let set = Instruction { code: 0xb7, registers: 0, offset: 0, immediate: value };
            vec![set, Instruction { code: 0x95, ..Instruction::default() }]
        };
        let call = vec![Instruction { code: 0x85, ..Instruction::default() }];
        let ask = |programs: &[&Vec<Instruction>]| {
            let filter = DeviceFilter::Programs(programs.iter().map(|program| (*program).clone()).collect());
            filter.allows(DeviceKind::Character, 1, 3, Access::READ)
        };
        assert_eq!(ask(&[&constant(1)]), Some(true));
        assert_eq!(ask(&[&constant(1), &constant(0)]), Some(false));
        assert_eq!(ask(&[&constant(1), &call]), None);
        assert_eq!(run(&[], [0; 3]), None);
    }
}
