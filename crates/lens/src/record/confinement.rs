//! The flags of `run` that give a container what it was seen to need, and nothing more.

use std::collections::BTreeSet;
use std::path::Path;

use stockade_capabilities::Capability;

use super::facts::{Flag, Record, Request};
use super::places::{Place, places};

/// A mebibyte.
const MIB: u64 = 1 << 20;
/// The least memory that Docker takes as a limit.
const LEAST_MEMORY: u64 = 6 * MIB;
/// Families of sockets that lead out of the container: `AF_INET`, `AF_INET6`, `AF_PACKET`, `AF_XDP`.
const OUTSIDE: [u64; 4] = [2, 10, 17, 44];
/// `AF_PACKET`, and `SOCK_RAW` without its flags.
const PACKET: u64 = 17;
const RAW: u64 = 3;

/// Flags that the result has of its own, or that were there for more than it needs.
const REPLACED: &[&str] = &["cap-add", "cap-drop", "memory", "memory-swap", "pids-limit", "read-only", "security-opt"];
/// Flags about a network that is not needed.
const OF_NETWORK: &[&str] = &[
    "add-host",
    "dns",
    "dns-option",
    "dns-search",
    "expose",
    "ip",
    "ip6",
    "link",
    "link-local-ip",
    "mac-address",
    "network",
    "network-alias",
    "publish",
    "publish-all",
];

/// The least confinement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// What is asked for instead of what was.
    pub request: Request,
    /// Whether its programs may gain privileges by what they execute.
    pub may_gain: bool,
    /// What somebody should know who relies on it, a line each.
    pub notes: Vec<String>,
}

impl Confinement {
    /// What `record` shows to be enough, with the filter in the file `seccomp`.
    #[must_use]
    pub fn of(record: &Record, seccomp: &Path) -> Self {
        let mut notes = Vec::new();
        let raising: Vec<&str> =
            record.seen.programs.iter().filter(|(_, raises)| **raises).map(|(path, _)| path.as_str()).collect();
        let may_gain = !raising.is_empty() && !record.walls.no_new_privileges;
        let networkless = record.walls.own_network && !needs_network(record);
        let mut flags: Vec<Flag> =
            record.asked.flags.iter().filter(|flag| stays(record, flag, networkless)).cloned().collect();
        flags.push(Flag::new("security-opt", format!("seccomp={}", seccomp.display())));
        if may_gain {
            notes.push(format!(
                "{} gives others' rights to who executes it, so that no-new-privileges is not set",
                raising.join(", ")
            ));
        } else {
            flags.push(Flag::new("security-opt", "no-new-privileges"));
        }
        flags.extend(capabilities(record, &mut notes));
        flags.extend(writable(record, &mut notes));
        if networkless {
            flags.push(Flag::new("network", "none"));
        }
        flags.extend(limits(record, &mut notes));
        if !record.seen.unknown.is_empty() {
            notes.push(format!(
                "it made calls that have no name here, which are not allowed: {:?}",
                record.seen.unknown
            ));
        }
        let request = Request { flags, ..record.asked.clone() };
        Self { request, may_gain, notes }
    }

    /// The command line, without the program's name, as words.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let Request { global, flags, image, command } = &self.request;
        let mut words: Vec<String> = global.iter().map(Flag::word).collect();
        words.push("run".to_owned());
        words.extend(flags.iter().map(Flag::word));
        words.push(image.clone());
        words.extend(command.iter().cloned());
        words
    }
}

/// Whether a flag that was given is still wanted.
fn stays(record: &Record, flag: &Flag, networkless: bool) -> bool {
    let value = flag.value.as_deref().unwrap_or_default();
    match flag.name.as_str() {
        // What is said of labels, of AppArmor and of masks holds as it did.
        "security-opt" => !["seccomp", "no-new-privileges"].iter().any(|ours| value.starts_with(ours)),
        "device" => record.seen.devices.contains(device_path(value)),
        name if OF_NETWORK.contains(&name) => !networkless,
        name => !REPLACED.contains(&name),
    }
}

/// The paths that devices of `--device` have in the container.
#[must_use]
pub fn devices(flags: &[Flag]) -> Vec<String> {
    let given = flags.iter().filter(|flag| flag.name == "device").filter_map(|flag| flag.value.as_deref());
    given.map(|value| device_path(value).to_owned()).collect()
}

fn device_path(value: &str) -> &str {
    let mut parts = value.split(':');
    let host = parts.next().unwrap_or_default();
    parts.next().filter(|path| path.starts_with('/')).unwrap_or(host)
}

/// `--cap-drop` and `--cap-add`.
fn capabilities(record: &Record, notes: &mut Vec<String>) -> Vec<Flag> {
    let short = |name: &str| name.strip_prefix("CAP_").unwrap_or(name).to_owned();
    let mut flags = vec![Flag::new("cap-drop", "ALL")];
    let kept: Vec<String> = match &record.seen.capabilities {
        Some(needed) => needed.keys().map(|name| short(name)).collect(),
        None => {
            notes.push(
                "this kernel does not tell which capabilities are used (Linux 6.14 does): those that it had stay"
                    .to_owned(),
            );
            record.walls.capabilities.iter().map(|name| short(name)).collect()
        }
    };
    flags.extend(kept.into_iter().map(|name| Flag::new("cap-add", name)));
    flags
}

/// `--read-only` with what is writable nevertheless.
fn writable(record: &Record, notes: &mut Vec<String>) -> Vec<Flag> {
    let places = places(&record.changed);
    if places.contains(&Place::Root) {
        notes.push(
            "it writes into / itself, where nothing can be mounted, so that its root is not read-only".to_owned(),
        );
        return Vec::new();
    }
    let mut flags = vec![Flag::alone("read-only")];
    flags.extend(places.iter().map(|place| match place {
        Place::Memory(path) => {
            // Programs are executed there only if they were.
            let executed = record.seen.programs.keys().any(|program| Path::new(program).starts_with(path));
            let exec = if executed { ",exec" } else { "" };
            Flag::new("tmpfs", format!("{}:mode=1777{exec}", path.display()))
        }
        Place::Volume(path) => Flag::new("volume", path.display().to_string()),
        Place::Root => Flag::alone("read-only"),
    }));
    if places.iter().any(|place| matches!(place, Place::Volume(_))) {
        notes.push(
            "each --volume begins with what the image has there; give it a name (NAME:PATH) to keep what is written"
                .to_owned(),
        );
    }
    flags
}

/// Whether anything of the network but the container's own loopback was used.
pub(super) fn needs_network(record: &Record) -> bool {
    let sockets = || record.seen.calls.get("socket").map(|call| &call.values).into_iter().flatten();
    let family = |values: &Vec<u64>| values.first().copied().unwrap_or_default();
    let is_raw = |values: &Vec<u64>| {
        OUTSIDE.contains(&family(values))
            && (family(values) == PACKET || values.get(1).is_some_and(|kind| kind & 0xf == RAW))
    };
    if !sockets().any(|values| OUTSIDE.contains(&family(values))) {
        return false;
    }
    let network = &record.seen.network;
    network.connects
        || network.datagrams != Some(false)
        || network.listens.iter().any(|listener| !listener.loopback)
        || sockets().any(is_raw)
}

/// `--memory` and `--pids-limit`, with headroom: half as much again and 16 MiB at least, and twice as many and eight at least.
fn limits(record: &Record, notes: &mut Vec<String>) -> Vec<Flag> {
    let mut flags = Vec::new();
    let within = |wanted: u64, limit: Option<i64>| limit.map_or(wanted, |limit| wanted.min(limit.unsigned_abs()));
    let peaks = record.seen.peaks;
    match peaks.memory {
        Some(peak) => {
            let wanted = (peak + (peak / 2).max(16 * MIB)).next_multiple_of(MIB).max(LEAST_MEMORY);
            flags.push(Flag::new("memory", within(wanted, record.walls.memory).to_string()));
        }
        None => notes.push("its memory was not counted, so that there is no limit".to_owned()),
    }
    match peaks.processes {
        Some(peak) => {
            let wanted = peak + peak.max(8);
            flags.push(Flag::new("pids-limit", within(wanted, record.walls.processes).to_string()));
        }
        None => notes.push("its processes were not counted, so that there is no limit".to_owned()),
    }
    flags
}

/// The capabilities that the result has.
#[must_use]
pub(super) fn kept(record: &Record) -> BTreeSet<Capability> {
    let names: BTreeSet<&String> = match &record.seen.capabilities {
        Some(needed) => needed.keys().collect(),
        None => record.walls.capabilities.iter().collect(),
    };
    names.into_iter().filter_map(|name| name.parse().ok()).collect()
}
