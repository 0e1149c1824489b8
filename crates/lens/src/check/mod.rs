//! The 31 checks: a number, a name, and the function that looks.

mod calls;
mod capabilities;
mod descriptors;
mod devices;
mod drift;
mod filter;
mod host;
mod identity;
mod label;
mod limits;
mod masks;
mod mounts;
mod namespaces;
mod network;
mod process;
mod root;
mod secrets;
mod settings;

pub(crate) use calls::{Open, Ways};
pub(crate) use filter::arguments as filter_arguments;

use crate::finding::{Check, Sheet};
use crate::scene::Scene;

/// One check.
pub(crate) struct Entry {
    pub(crate) number: u8,
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// Looks at the scene, given what the checks before it said.
    pub(crate) look: fn(&Scene<'_>, &[Check], &mut Sheet),
}

const fn entry(number: u8, id: &'static str, title: &'static str, look: fn(&Scene<'_>, &[Check], &mut Sheet)) -> Entry {
    Entry { number, id, title, look }
}

/// All of them, in the order of their numbers.
pub(crate) const CHECKS: &[Entry] = &[
    entry(1, "namespaces", "what it has for itself", |scene, _, sheet| namespaces::kinds(scene, sheet)),
    entry(2, "user-maps", "whose ids its users are", |scene, _, sheet| namespaces::maps(scene, sheet)),
    entry(3, "capabilities", "the rights of root that it has", |scene, _, sheet| capabilities::sets(scene, sheet)),
    entry(4, "no-new-privileges", "whether programs can raise its rights", |scene, _, sheet| {
        capabilities::new_privileges(scene, sheet);
    }),
    entry(5, "seccomp", "whether its system calls are filtered", |scene, _, sheet| filter::mode(scene, sheet)),
    entry(6, "filter", "whether the filter is the one asked for", |scene, _, sheet| filter::program(scene, sheet)),
    entry(7, "calls", "what the filter answers to calls of known ways out", |scene, _, sheet| {
        calls::look(scene, sheet)
    }),
    entry(8, "label", "mandatory access control", |scene, _, sheet| label::look(scene, sheet)),
    entry(9, "identity", "user and groups", |scene, _, sheet| identity::look(scene, sheet)),
    entry(10, "root", "its root folder", |scene, _, sheet| root::look(scene, sheet)),
    entry(11, "mounts", "what is mounted, and how", |scene, _, sheet| mounts::look(scene, sheet)),
    entry(12, "masked-paths", "files of the kernel's that are hidden or not writable", |scene, _, sheet| {
        masks::look(scene, sheet);
    }),
    entry(13, "kernel-files", "whether /proc and /sys are the kernel's and its own", |scene, _, sheet| {
        masks::kernel_files(scene, sheet);
    }),
    entry(14, "device-filter", "which devices can be opened", |scene, _, sheet| devices::filter(scene, sheet)),
    entry(15, "device-nodes", "what stands in /dev", |scene, _, sheet| devices::nodes(scene, sheet)),
    entry(16, "descriptors", "what of the host is open in it", |scene, _, sheet| descriptors::look(scene, sheet)),
    entry(17, "inside", "whether its working directory and program are inside", |scene, _, sheet| {
        process::inside(scene, sheet);
    }),
    entry(18, "environment", "variables of the engine's", |scene, _, sheet| process::environment(scene, sheet)),
    entry(19, "limits", "limits of its control groups and their ancestors", |scene, _, sheet| {
        limits::asked(scene, sheet);
    }),
    entry(20, "bounds", "whether memory, processes and processor time are bounded", |scene, _, sheet| {
        limits::bounds(scene, sheet);
    }),
    entry(21, "oom-score", "who is killed first when memory is short", |scene, _, sheet| {
        process::oom_score(scene, sheet)
    }),
    entry(22, "resource-limits", "limits of its process", |scene, _, sheet| process::resource_limits(scene, sheet)),
    entry(23, "sysctls", "settings of its namespaces", |scene, _, sheet| settings::look(scene, sheet)),
    entry(24, "network", "interfaces and published ports", |scene, _, sheet| network::look(scene, sheet)),
    entry(25, "host-paths", "folders and sockets of the host in it", |scene, _, sheet| {
        mounts::host_paths(scene, sheet)
    }),
    entry(26, "abstract-sockets", "sockets without permissions that it reaches", |scene, _, sheet| {
        network::abstract_sockets(scene, sheet);
    }),
    entry(27, "keyring", "keys of others", |scene, _, sheet| secrets::keyring(scene, sheet)),
    entry(28, "crashes", "dumps, and who steers them", |scene, _, sheet| secrets::crashes(scene, sheet)),
    entry(29, "runtime", "whether the runtime's program can be reached", |scene, _, sheet| {
        process::runtime(scene, sheet);
    }),
    entry(30, "host", "protections of the host's kernel", |scene, _, sheet| host::look(scene, sheet)),
    entry(31, "drift", "what became weaker, and processes with fewer walls", drift::look),
];

/// Number, name and title of each check, for rules of reports and manuals.
pub fn all() -> impl Iterator<Item = (u8, &'static str, &'static str)> {
    CHECKS.iter().map(|entry| (entry.number, entry.id, entry.title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_31_in_order_with_names_of_their_own() {
        let numbers: Vec<u8> = CHECKS.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (1..=31).collect::<Vec<_>>());
        assert_eq!(all().map(|(_, id, _)| id).collect::<BTreeSet<_>>().len(), 31);
    }
}
