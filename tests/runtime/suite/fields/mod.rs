//! Every property of the runtime specification 1.3 that concerns Linux (`config.md`, `config-linux.md`): it has its effect on
//! the real kernel, or it is refused by its name, or the user is told that it has none.
//!
//! [`PROPERTIES`] is the specification's list; a property without a case in one of the tables or a test of its own fails
//! [`every_property_is_tried`].

mod linux;
mod mounts;
mod process;
mod resources;
mod resources_v2;
mod scheduling;

use serde_json::Value;
use stockade_testkit::Bundle;

/// One property with a value, and what becomes of it.
struct Case {
    /// The property's path in the specification.
    property: &'static str,
    /// Gives it the value.
    set: fn(&mut Value),
    outcome: Outcome,
}

/// What becomes of a property.
enum Outcome {
    /// This script of the container prints that.
    Prints(&'static str, &'static str),
    /// The container is not made, and the error has this in it.
    Refused(&'static str),
    /// The container runs, and a warning has this in it.
    Warned(&'static str),
}

use Outcome::{Prints, Refused, Warned};

const fn case(property: &'static str, set: fn(&mut Value), outcome: Outcome) -> Case {
    Case { property, set, outcome }
}

/// Runs the cases and reports all that fail, not the first only.
fn try_all(cases: &[Case]) {
    let failures: Vec<String> = cases.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Why the case fails, if it does.
fn failure(case: &Case) -> Option<String> {
    let script = if let Prints(script, _) = case.outcome { script } else { "true" };
    let bundle = Bundle::busybox().sh(script).edit(case.set);
    let done = bundle.run();
    let right = match case.outcome {
        Prints(_, output) => done.code() == 0 && done.out() == output,
        Refused(word) => done.code() != 0 && done.stderr.contains(word) && !done.stderr.contains("panicked"),
        Warned(word) => done.code() == 0 && done.stderr.contains("warning") && done.stderr.contains(word),
    };
    let left = bundle.leftovers();
    match (right, left.is_empty()) {
        (true, true) => None,
        (false, _) => Some(format!("{}: {done:?}", case.property)),
        (true, false) => Some(format!("{}: left behind: {left:?}", case.property)),
    }
}

/// The properties of `config.md` and `config-linux.md`, version 1.3.0, as far as they concern Linux.
const PROPERTIES: &[&str] = &[
    "ociVersion",
    "root.path",
    "root.readonly",
    "mounts.destination",
    "mounts.source",
    "mounts.type",
    "mounts.options",
    "mounts.uidMappings",
    "mounts.gidMappings",
    "process.cwd",
    "process.env",
    "process.args",
    "process.commandLine",
    "process.rlimits",
    "process.capabilities.effective",
    "process.capabilities.bounding",
    "process.capabilities.inheritable",
    "process.capabilities.permitted",
    "process.capabilities.ambient",
    "process.noNewPrivileges",
    "process.oomScoreAdj",
    "process.scheduler.policy",
    "process.scheduler.nice",
    "process.scheduler.priority",
    "process.scheduler.flags",
    "process.scheduler.runtime",
    "process.scheduler.deadline",
    "process.scheduler.period",
    "process.selinuxLabel",
    "process.apparmorProfile",
    "process.ioPriority.class",
    "process.ioPriority.priority",
    "process.execCPUAffinity.initial",
    "process.user.uid",
    "process.user.gid",
    "process.user.umask",
    "process.user.additionalGids",
    "process.user.username",
    "hostname",
    "domainname",
    "annotations",
    "vm",
    "windows",
    "solaris",
    "zos",
    "freebsd",
    "linux.namespaces.type",
    "linux.namespaces.path",
    "linux.uidMappings",
    "linux.gidMappings",
    "linux.timeOffsets",
    "linux.devices",
    "linux.netDevices",
    "linux.cgroupsPath",
    "linux.resources.devices",
    "linux.resources.memory.limit",
    "linux.resources.memory.reservation",
    "linux.resources.memory.swap",
    "linux.resources.memory.kernel",
    "linux.resources.memory.kernelTCP",
    "linux.resources.memory.swappiness",
    "linux.resources.memory.disableOOMKiller",
    "linux.resources.memory.useHierarchy",
    "linux.resources.cpu.shares",
    "linux.resources.cpu.quota",
    "linux.resources.cpu.burst",
    "linux.resources.cpu.period",
    "linux.resources.cpu.realtimeRuntime",
    "linux.resources.cpu.realtimePeriod",
    "linux.resources.cpu.cpus",
    "linux.resources.cpu.mems",
    "linux.resources.cpu.idle",
    "linux.resources.blockIO.weight",
    "linux.resources.blockIO.leafWeight",
    "linux.resources.blockIO.weightDevice",
    "linux.resources.blockIO.throttleReadBpsDevice",
    "linux.resources.blockIO.throttleWriteBpsDevice",
    "linux.resources.blockIO.throttleReadIOPSDevice",
    "linux.resources.blockIO.throttleWriteIOPSDevice",
    "linux.resources.hugepageLimits",
    "linux.resources.network.classID",
    "linux.resources.network.priorities",
    "linux.resources.pids.limit",
    "linux.resources.rdma",
    "linux.resources.unified",
    "linux.intelRdt",
    "linux.memoryPolicy.mode",
    "linux.memoryPolicy.nodes",
    "linux.memoryPolicy.flags",
    "linux.sysctl",
    "linux.seccomp",
    "linux.rootfsPropagation",
    "linux.maskedPaths",
    "linux.readonlyPaths",
    "linux.mountLabel",
    "linux.personality.domain",
    "linux.personality.flags",
];

/// `process.terminal` and `consoleSize` are in `terminal`, the hooks in `hooks`, `checkBeforeUpdate` in `limits`.
#[test]
fn every_property_is_tried() {
    let tables = [
        process::GENERAL,
        process::PROCESS,
        scheduling::SCHEDULING_CASES,
        linux::LINUX,
        mounts::MOUNTS,
        resources::RESOURCES,
        resources::RESOURCES_V1,
        resources_v2::RESOURCES_V2,
    ];
    let mut tried: Vec<&str> = tables.iter().flat_map(|table| table.iter().map(|case| case.property)).collect();
    tried.extend(resources::RESOURCES_OF_ANY_MACHINE.iter().map(|(property, ..)| *property));
    let missing: Vec<_> = PROPERTIES.iter().filter(|property| !tried.contains(property)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
