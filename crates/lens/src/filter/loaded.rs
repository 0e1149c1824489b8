//! What the filters that are loaded in a process answer, beside what a profile would.

use stockade_capabilities::CapSet;
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_policy::Seccomp;
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::interpret::Shown;
use stockade_seccomp::model::Action;
use stockade_seccomp::observe::{answer, filters};
use stockade_seccomp::syscall::Syscall;

use super::{FilterError, Looked, action};
use crate::check::filter_arguments;
use crate::picture::{Difference, Weaker};

/// In what system calls the process `pid` is answered otherwise than by the profile `choice` for the capabilities that it can have: by
/// every interface that the profile has, without arguments that matter and with those on both sides of each of its conditions.
///
/// The process stands still for the instant in which its filters are read.
///
/// # Errors
/// [`FilterError`].
pub fn against_loaded(pid: i32, choice: &Seccomp) -> Result<Vec<Difference>, FilterError> {
    let failed = |source| FilterError::Process { pid, source };
    let procfs = Procfs::host().map_err(failed)?;
    let bounding = procfs.status(Subject::Pid(pid)).map_err(failed)?.bounding;
    let loaded = filters(&procfs, pid).map_err(failed)?;
    let profile = Looked::at(choice, CapSet::from_bits(bounding))?;
    let tries = filter_arguments(&profile.filter);
    let mut found: Vec<Difference> = Vec::new();
    for arch in profile.architectures() {
        for call in Syscall::all() {
            let Some(number) = call.number(arch) else { continue };
            let of_call = tries.iter().filter(|(name, _)| *name == call.name()).map(|(_, arguments)| *arguments);
            for arguments in std::iter::once([0; 6]).chain(of_call) {
                let shown = Shown { number, audit: arch.audit(), arguments: Some(arguments) };
                let said = [profile.compiled.answer(&shown), answer(&loaded, &shown)];
                let part = part(arch, call, &arguments);
                if said[0] != said[1] && found.last().is_none_or(|last| last.part != part) {
                    found.push(difference(part, said));
                }
            }
        }
    }
    Ok(found)
}

/// The call, with those of its arguments that are not 0 and its interface if that is not this machine's.
fn part(arch: Arch, call: Syscall, arguments: &[u64; 6]) -> String {
    let given = arguments.iter().enumerate().filter(|(_, value)| **value != 0);
    let given: Vec<String> = given.map(|(place, value)| format!("arg{place}={value:#x}")).collect();
    let given = if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) };
    let interface = if arch == Arch::NATIVE { String::new() } else { format!(" ({arch})") };
    format!("{}{given}{interface}", call.name())
}

fn difference(part: String, [profile, loaded]: [Option<Action>; 2]) -> Difference {
    let permits = |said: Option<Action>| said.is_none_or(Action::permits);
    let text = |said: Option<Action>| said.map_or_else(|| "it depends".to_owned(), action);
    let weaker = match (permits(profile), permits(loaded)) {
        (true, false) => Weaker::First,
        (false, true) => Weaker::Second,
        _ => Weaker::Neither,
    };
    Difference { check: "filter".to_owned(), part, first: text(profile), second: text(loaded), weaker }
}
