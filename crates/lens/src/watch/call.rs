//! Which calls are of interest, and where they have a path: data.

use std::collections::BTreeSet;

use stockade_kernel::perf::Registers;
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::model::{Action, Filter};
use stockade_seccomp::syscall::Syscall;

use crate::denial::Walls;

/// Where a call has the path that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this argument, from the working folder.
    Path(usize),
    /// In the argument behind this one, from the folder that this one has open.
    At(usize),
    /// What this argument has open.
    Open(usize),
}

use Place::{At, Open, Path};

/// The calls with a path.
const PLACES: &[(&str, Place)] = &[
    ("access", Path(0)),
    ("chdir", Path(0)),
    ("chmod", Path(0)),
    ("chown", Path(0)),
    ("chroot", Path(0)),
    ("creat", Path(0)),
    ("execve", Path(0)),
    ("execveat", At(0)),
    ("faccessat", At(0)),
    ("faccessat2", At(0)),
    ("fchmod", Open(0)),
    ("fchmodat", At(0)),
    ("fchmodat2", At(0)),
    ("fchown", Open(0)),
    ("fchownat", At(0)),
    ("fsetxattr", Open(0)),
    ("ftruncate", Open(0)),
    ("lchown", Path(0)),
    ("link", Path(1)),
    ("linkat", At(2)),
    ("lsetxattr", Path(0)),
    ("mkdir", Path(0)),
    ("mkdirat", At(0)),
    ("mknod", Path(0)),
    ("mknodat", At(0)),
    ("mount", Path(1)),
    ("open", Path(0)),
    ("openat", At(0)),
    ("openat2", At(0)),
    ("readlink", Path(0)),
    ("readlinkat", At(0)),
    ("rename", Path(1)),
    ("renameat", At(2)),
    ("renameat2", At(2)),
    ("rmdir", Path(0)),
    ("setxattr", Path(0)),
    ("swapon", Path(0)),
    ("symlink", Path(1)),
    ("symlinkat", At(1)),
    ("truncate", Path(0)),
    ("umount2", Path(0)),
    ("unlink", Path(0)),
    ("unlinkat", At(0)),
    ("utimensat", At(0)),
    ("write", Open(0)),
];

/// Where `call` has its path.
pub(super) fn place(call: &str) -> Option<Place> {
    PLACES.iter().find(|(name, _)| *name == call).map(|(_, place)| *place)
}

const OPENING: &[&str] = &["open", "openat", "openat2", "creat"];
const EXECUTING: &[&str] = &["execve", "execveat"];
const FORKING: &[&str] = &["clone", "clone3", "fork", "vfork"];
const LOCKING: &[&str] = &["mlock", "mlock2", "mlockall"];
const WITH_IDS: &[&str] =
    &["chown", "fchown", "fchownat", "lchown", "setgid", "setregid", "setresgid", "setresuid", "setreuid", "setuid"];

/// What is told of what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that a wall can be the cause of.
    Walls,
    /// Without what is not there, and what shows nothing: most of what programs try in vain.
    Refusals,
}

/// The condition that a record of `sys_exit` must meet to be written: an error that a wall can be the cause of, or a success that may
/// show nothing.
pub(super) fn filter(walls: &Walls, scope: Scope) -> String {
    let is_one_of = |names: &[&str]| {
        let numbers = names.iter().filter_map(|name| Syscall::from_name(name)?.number(Arch::NATIVE));
        numbers.map(|number| format!("id == {number}")).collect::<Vec<_>>().join(" || ")
    };
    let mut errors: BTreeSet<i32> = [1, 13, 24, 27, 30, 38, 101].into();
    errors.extend(walls.filter.iter().flat_map(of_filter));
    let any: Vec<String> = errors.iter().map(|errno| format!("ret == -{errno}")).collect();
    let mut all = vec![any.join(" || ")];
    if scope == Scope::Refusals {
        all.push(format!("(ret == -11 && ({}))", is_one_of(FORKING)));
        return all.join(" || ");
    }
    let some = [(2, OPENING), (11, FORKING), (12, LOCKING), (22, WITH_IDS)];
    all.extend(some.iter().map(|(errno, names)| format!("(ret == -{errno} && ({}))", is_one_of(names))));
    if !walls.masked.is_empty() {
        all.push(format!("(ret >= 0 && ({}))", is_one_of(OPENING)));
    }
    if walls.no_new_privileges {
        all.push(format!("(ret == 0 && ({}))", is_one_of(EXECUTING)));
    }
    all.join(" || ")
}

/// Which call it was, by the interface that it was made by: the architecture's `AUDIT_ARCH_*`, and its name.
pub(crate) fn called(registers: &Registers, number: u32) -> (u32, Option<Syscall>) {
    let audit = if registers.is_native { Arch::NATIVE } else { Arch::X86 }.audit();
    (audit, Arch::from_audit(audit, number).and_then(|arch| Syscall::from_number(arch, number)))
}

/// The errors that a filter answers with.
fn of_filter(filter: &Filter) -> impl Iterator<Item = i32> + '_ {
    let actions = filter.rules().iter().map(|rule| rule.action).chain([filter.default_action()]);
    actions.filter_map(|action| match action {
        Action::Errno(errno) if errno != 0 => Some(i32::from(errno)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_one() {
        let listed = [OPENING, EXECUTING, FORKING, LOCKING, WITH_IDS].concat();
        for name in PLACES.iter().map(|(name, _)| *name).chain(listed) {
            assert!(Syscall::from_name(name).is_some(), "{name}");
        }
        assert!(PLACES.is_sorted_by_key(|(name, _)| *name));
    }
}
