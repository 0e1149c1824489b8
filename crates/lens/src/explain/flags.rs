//! What flags of `run` take down or put up, as data.

use stockade_capabilities::{CapSet, Capability};

use super::{Explanation, Way};
use crate::exposure::{self, Exposure};

/// A flag, the beginning of a value (`*` is any), what it does, and what it exposes.
type Entry = (&'static str, &'static str, &'static str, &'static [&'static Exposure]);

/// A flag that no wall depends on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no flag of run that a wall depends on; write it as on the command line, such as --network=host")]
pub struct UnknownFlag(pub String);

/// Flags that take something down.
const DOWN: &[Entry] = &[
    (
        "--privileged",
        "*",
        "takes down nearly every wall but namespaces",
        &[
            exposure::HOST_USERS,
            exposure::NO_SECCOMP,
            exposure::NO_LSM,
            exposure::NO_DEVICE_FILTER,
            exposure::UNMASKED,
            exposure::WRITABLE_KERNEL_FILES,
            exposure::CORE_PATTERN,
            exposure::DISK_DEVICE,
            exposure::MEMORY_DEVICE,
        ],
    ),
    (
        "--network",
        "host",
        "shares the host's network",
        &[exposure::HOST_NETWORK, exposure::ABSTRACT_SOCKETS, exposure::HOST_USERS],
    ),
    (
        "--net",
        "host",
        "shares the host's network",
        &[exposure::HOST_NETWORK, exposure::ABSTRACT_SOCKETS, exposure::HOST_USERS],
    ),
    ("--pid", "host", "shares the host's processes", &[exposure::HOST_PID, exposure::HOST_USERS]),
    ("--ipc", "host", "shares the host's shared memory and queues", &[exposure::HOST_IPC, exposure::HOST_USERS]),
    ("--uts", "host", "shares the host's name", &[exposure::HOST_UTS]),
    ("--userns", "host", "makes its users the host's", &[exposure::HOST_USERS]),
    ("--cgroupns", "host", "shows the host's control groups", &[exposure::HOST_CGROUP]),
    ("--security-opt", "seccomp=unconfined", "filters no system call", &[exposure::NO_SECCOMP]),
    ("--security-opt", "apparmor=unconfined", "takes the AppArmor profile off", &[exposure::NO_LSM]),
    (
        "--security-opt",
        "systempaths=unconfined",
        "shows files of the kernel's, and lets them be written",
        &[exposure::UNMASKED, exposure::WRITABLE_KERNEL_FILES],
    ),
    (
        "--security-opt",
        "writable-cgroups",
        "lets it make and change its control groups",
        &[exposure::WRITABLE_KERNEL_FILES, exposure::HOST_USERS],
    ),
    ("--device", "*", "lets it open a device of the host", &[exposure::DEVICE]),
    ("--device-cgroup-rule", "*", "lets it open devices whose nodes it makes", &[exposure::DEVICE]),
    ("--volume", "/:*", "mounts the host's root folder", &[exposure::WHOLE_HOST]),
    ("-v", "/:*", "mounts the host's root folder", &[exposure::WHOLE_HOST]),
    ("--volume", "/var/run/docker.sock*", "hands it the socket of an engine", &[exposure::ENGINE_SOCKET]),
    ("-v", "/var/run/docker.sock*", "hands it the socket of an engine", &[exposure::ENGINE_SOCKET]),
    ("--volume", "/run*", "hands it the sockets of the host's services", &[exposure::ENGINE_SOCKET]),
    ("-v", "/run*", "hands it the sockets of the host's services", &[exposure::ENGINE_SOCKET]),
    (
        "--volume",
        "/*",
        "mounts a folder of the host; one that steers the host is a way out",
        &[exposure::WRITABLE_HOST_FOLDER],
    ),
    (
        "-v",
        "/*",
        "mounts a folder of the host; one that steers the host is a way out",
        &[exposure::WRITABLE_HOST_FOLDER],
    ),
    ("--publish", "*", "lets others reach a port of it", &[exposure::PUBLISHED_PORT]),
    ("-p", "*", "lets others reach a port of it", &[exposure::PUBLISHED_PORT]),
    ("--oom-score-adj", "-*", "has the kernel kill other programs first", &[exposure::OOM_PROTECTED]),
];

/// Flags that put something up, and what they take away.
const UP: &[Entry] = &[
    ("--security-opt", "no-new-privileges*", "keeps programs from raising its rights", &[exposure::NEW_PRIVILEGES]),
    ("--read-only", "*", "makes its own file system read-only", &[exposure::WRITABLE_ROOT]),
    ("--memory", "*", "bounds its memory", &[exposure::UNLIMITED_MEMORY]),
    ("-m", "*", "bounds its memory", &[exposure::UNLIMITED_MEMORY]),
    ("--pids-limit", "*", "bounds its processes", &[exposure::UNLIMITED_PIDS]),
    ("--cpus", "*", "bounds its processor time", &[exposure::UNLIMITED_CPU]),
    ("--userns", "auto*", "gives it user ids of its own", &[exposure::HOST_USERS]),
    ("--user", "*", "has it run as another user than root", &[exposure::ROOT_USER]),
];

/// What a flag, as it is written on the command line, does to the walls.
///
/// # Errors
/// [`super::ExplainError`] for a flag that no wall depends on, and for a capability that there is not.
pub fn flag(text: &str) -> Result<Explanation, super::ExplainError> {
    let (name, value) = text.split_once(['=', ' ']).unwrap_or((text, ""));
    match name {
        "--cap-add" if value.eq_ignore_ascii_case("ALL") => {
            let all = CapSet::from_bits(u64::MAX).iter().filter(|one| Capability::named().any(|named| named == *one));
            let risks = all.map(exposure::of_capability).collect();
            let because = vec!["in a user namespace of its own they hold for what belongs to that only".to_owned()];
            return Ok(taken(text, "gives it all rights of root", because, risks));
        }
        "--cap-add" => return super::capability(value),
        "--cap-drop" => {
            let capability: Capability = value.parse()?;
            let because = vec![capability.meaning().unwrap_or_default().to_owned()];
            let verdict = format!("{text} takes {capability} away");
            return Ok(Explanation { verdict, because, ways: Vec::new() });
        }
        _ => {}
    }
    let matches = |(flag, pattern, ..): &&Entry| {
        *flag == name
            && match pattern.strip_suffix('*') {
                Some(beginning) => value.starts_with(beginning),
                None => value == *pattern,
            }
    };
    if let Some((_, _, meaning, exposures)) = DOWN.iter().find(matches) {
        return Ok(taken(text, meaning, Vec::new(), exposures.to_vec()));
    }
    if let Some((_, _, meaning, exposures)) = UP.iter().find(matches) {
        let because =
            exposures.iter().map(|one| format!("it takes {} points away: {}: {}", one.points, one.id, one.reason));
        return Ok(Explanation { verdict: format!("{text} {meaning}"), because: because.collect(), ways: Vec::new() });
    }
    Err(UnknownFlag(text.to_owned()).into())
}

/// A flag that takes something down.
fn taken(text: &str, meaning: &str, because: Vec<String>, risks: Vec<&'static Exposure>) -> Explanation {
    let ways = vec![Way { flag: text.to_owned(), risks }];
    Explanation { verdict: format!("{text} {meaning}"), because, ways }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_explained() {
        for (flags, way) in [(DOWN, true), (UP, false)] {
            for (name, pattern, ..) in flags {
                let value = pattern.trim_end_matches('*');
                let text = if value.is_empty() { (*name).to_owned() } else { format!("{name}={value}") };
                let explained = flag(&text).unwrap();
                assert_eq!(explained.ways.is_empty(), !way, "{explained}");
            }
        }
        let risks =
            |text: &str| flag(text).unwrap().ways.remove(0).risks.iter().map(|risk| risk.id).collect::<Vec<_>>();
        assert_eq!(risks("-v=/:/host"), ["whole-host"]);
        assert_eq!(risks("-v /srv:/srv"), ["writable-host-folder"]);
        assert_eq!(risks("--cap-add SYS_ADMIN"), ["cap-sys-admin"]);
        assert!(flag("--cap-drop=NET_RAW").unwrap().ways.is_empty());
        for unknown in ["--name=x", "--network=none", "--security-opt=x", ""] {
            assert!(flag(unknown).is_err(), "{unknown}");
        }
    }
}
