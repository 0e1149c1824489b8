//! What the loaded filter answers to system calls that ways out of containers have used: by this machine's interface, by the others
//! that its kernel takes (x32, i386), and with argument registers whose upper halves the kernel does not look at.
//!
//! The loaded program itself is asked, by the interpreter of the seccomp room, so that nothing has to be called.

use std::rc::Rc;

use stockade_capabilities::CapSet;
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::interpret::Shown;
use stockade_seccomp::model::Action;
use stockade_seccomp::observe::answer;
use stockade_seccomp::syscall::Syscall;

use crate::exposure::{self, Exposure};
use crate::finding::{Finding, Sheet, Wall};
use crate::ground::Filtered;
use crate::scene::Scene;

/// CLONE_NEWUSER.
const NEW_USERS: u64 = 0x1000_0000;

/// A call with the first two arguments that make it a way out.
type Way = (&'static str, [u64; 2]);

/// Calls that ways out have used or that open much of the kernel: mounts, namespaces, code for the kernel, handles, keys, clocks, and
/// interfaces with a long record of holes.
const WAYS: &[Way] = &[
    ("mount", [0, 0]),
    ("umount2", [0, 0]),
    ("pivot_root", [0, 0]),
    ("fsopen", [0, 0]),
    ("fsconfig", [0, 0]),
    ("fsmount", [0, 0]),
    ("move_mount", [0, 0]),
    ("open_tree", [0, 0]),
    ("mount_setattr", [0, 0]),
    ("setns", [0, 0]),
    ("unshare", [NEW_USERS, 0]),
    ("clone", [NEW_USERS, 0]),
    ("clone3", [0, 0]),
    ("open_by_handle_at", [0, 0]),
    ("bpf", [0, 0]),
    ("perf_event_open", [0, 0]),
    ("init_module", [0, 0]),
    ("finit_module", [0, 0]),
    ("delete_module", [0, 0]),
    ("kexec_load", [0, 0]),
    ("kexec_file_load", [0, 0]),
    ("keyctl", [0, 0]),
    ("add_key", [0, 0]),
    ("request_key", [0, 0]),
    ("userfaultfd", [0, 0]),
    ("io_uring_setup", [0, 0]),
    ("io_uring_enter", [0, 0]),
    ("io_uring_register", [0, 0]),
    ("acct", [0, 0]),
    ("swapon", [0, 0]),
    ("swapoff", [0, 0]),
    ("reboot", [0, 0]),
    ("settimeofday", [0, 0]),
    ("clock_settime", [0, 0]),
    ("iopl", [0, 0]),
    ("ioperm", [0, 0]),
    ("quotactl", [0, 0]),
    ("syslog", [0, 0]),
    ("vhangup", [0, 0]),
    // AF_ALG and AF_VSOCK.
    ("socket", [38, 0]),
    ("socket", [40, 0]),
    // ADDR_NO_RANDOMIZE and READ_IMPLIES_EXEC.
    ("personality", [0x0040_0000, 0]),
    ("personality", [0x0044_0000, 0]),
];

/// The calls that are tried in each manner, by name.
pub(crate) type Ways = Vec<(Manner, Vec<(String, Shown)>)>;

/// The names of those that something lets through, manner by manner.
pub(crate) type Open = Vec<Vec<String>>;

/// All that are tried.
fn ways() -> Ways {
    let of = |manner: Manner| {
        let tries = WAYS.iter().filter_map(|way| shown(&manner, way)).collect();
        (manner, tries)
    };
    manners().into_iter().map(of).collect()
}

/// Those that are let through; what depends on more than is shown counts as that.
fn open(ways: &Ways, answer: impl Fn(&Shown) -> Option<Action>) -> Open {
    let permits = |(name, shown): &(String, Shown)| answer(shown).is_none_or(Action::permits).then(|| name.clone());
    ways.iter().map(|(_, tries)| tries.iter().filter_map(permits).collect()).collect()
}

/// One way in which calls are tried.
#[derive(Debug)]
pub(crate) struct Manner {
    part: &'static str,
    arch: Arch,
    /// What is set in the upper half of each argument.
    upper: u64,
    exposure: &'static Exposure,
}

/// Check 7.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    let filters = match &scene.filters {
        Ok(filters) if filters.is_empty() => return sheet.unchecked("native", None, "there is no filter (check 5)"),
        Ok(filters) => filters,
        Err(why) => return sheet.unchecked("native", None, why),
    };
    let reference = match reference(scene) {
        Ok(reference) => reference,
        Err(why) => return sheet.unchecked("native", None, why),
    };
    let program = match &reference.filtered.compiled {
        Ok(program) => program,
        Err(why) => return sheet.unchecked("native", None, why),
    };
    let ways = scene.ground.ways.get_or_init(ways);
    let wanted = reference.filtered.open.get_or_init(|| open(ways, |shown| program.answer(shown)));
    let found = match filters.as_slice() {
        [one] if one.is(program) => wanted,
        filters => &open(ways, |shown| answer(filters, shown)),
    };
    for ((manner, tries), (wanted, found)) in ways.iter().zip(wanted.iter().zip(found)) {
        let freer: Vec<String> = found.iter().filter(|name| !wanted.contains(name)).cloned().collect();
        let of = |list: &[String]| format!("denies {} of {}", tries.len() - list.len(), tries.len());
        let asked = scene.asked.map(|_| of(wanted));
        let stands = freer.is_empty();
        let wall = Wall { wanted: scene.asked.map(|_| reference.asked), asked, found: of(found), stands };
        let finding = sheet.judge(manner.part, wall).exposing((!found.is_empty()).then_some(manner.exposure));
        remark(finding, &freer, found);
    }
}

/// Names the calls.
fn remark(finding: &mut Finding, freer: &[String], found: &[String]) {
    match (freer, found) {
        ([], []) => {}
        ([], found) => {
            finding.because(format!("lets through as asked: {}", found.join(", ")));
        }
        (freer, _) => {
            finding.because(format!("lets through: {}", freer.join(", ")));
        }
    }
}

/// What the answers are held against.
struct Reference {
    filtered: Rc<Filtered>,
    /// Whether it is what was asked for, and not the default profile.
    asked: bool,
}

/// The filter that was asked for, or else the default profile for the capabilities that the process can have.
fn reference(scene: &Scene<'_>) -> Result<Reference, String> {
    let asked = super::filter::wanted(scene)?;
    if let Some(filtered) = asked {
        return Ok(Reference { filtered, asked: true });
    }
    let names: Vec<String> =
        CapSet::from_bits(scene.status.bounding).iter().map(|capability| capability.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(Reference { filtered: scene.ground.default_filter(&names)?, asked: false })
}

/// The interfaces of this machine, and the trick with upper halves.
fn manners() -> Vec<Manner> {
    let native = |part, upper, exposure| Manner { part, arch: Arch::NATIVE, upper, exposure };
    let mut all =
        vec![native("native", 0, exposure::OPEN_CALL), native("upper bits", 0x5_0000_0000, exposure::UPPER_BITS)];
    let others: &[(&str, Arch)] = match Arch::NATIVE {
        Arch::X86_64 => &[("x32", Arch::X32), ("i386", Arch::X86)],
        Arch::Aarch64 => &[("arm", Arch::Arm)],
        _ => &[],
    };
    all.extend(others.iter().map(|&(part, arch)| Manner { part, arch, upper: 0, exposure: exposure::OTHER_ABI }));
    all
}

/// The call as a filter sees it; `None` where there is no such call, and for calls without arguments that would be the same as the plain
/// ones.
fn shown(manner: &Manner, (name, [first, second]): &Way) -> Option<(String, Shown)> {
    let number = Syscall::from_name(name)?.number(manner.arch)?;
    let plain = *first == 0 && *second == 0;
    if manner.upper != 0 && plain {
        return None;
    }
    let arguments = [first | manner.upper, *second, 0, 0, 0, 0];
    let text = if plain { (*name).to_owned() } else { format!("{name}({first:#x})") };
    Some((text, Shown { number, audit: manner.arch.audit(), arguments: Some(arguments) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_seccomp::{Compiled, Profile, Target};

    #[test]
    fn every_way_is_a_call_of_this_machine() {
        for way in WAYS {
            let native = Manner { part: "", arch: Arch::X86_64, upper: 0, exposure: exposure::OPEN_CALL };
            assert!(shown(&native, way).is_some(), "{way:?}");
        }
    }

    #[test]
    fn the_default_profile_denies_every_way_in_every_manner() {
        let filter = Profile::builtin().unwrap().resolve(&Target::here(&["CAP_CHOWN"])).unwrap();
        let program = Compiled::new(&filter).unwrap();
        for manner in manners() {
            for way in WAYS {
                let Some((name, shown)) = shown(&manner, way) else { continue };
                let answer = program.answer(&shown).unwrap();
                assert!(!answer.permits(), "{} {name}: {answer:?}", manner.part);
            }
        }
    }
}
