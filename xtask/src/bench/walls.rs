//! Whether a contender really builds the walls whose price is measured.

use stockade_testkit::posture;

use super::contender::{Contender, Place};

/// The namespaces that the bundle asks for, by their links in procfs.
const NAMESPACES: [&str; 6] = ["mnt", "net", "uts", "pid", "ipc", "cgroup"];

/// Tells from inside, line by line: what `status` says, the namespaces, the host name, the size of a masked file, whether a
/// read-only file can be written, whether the limit on memory is there.
const SCRIPT: &str = r#"
while read -r key value; do case $key in CapEff:|CapPrm:|CapBnd:|Seccomp:) echo "$key$value";; esac; done < /proc/self/status
for kind in mnt net uts pid ipc cgroup; do echo "$kind:$(readlink /proc/self/ns/$kind)"; done
echo "host:$(hostname)"
echo "masked:$(wc -c < /proc/timer_list)"
if (echo 60 > /proc/sys/vm/swappiness) 2>/dev/null; then echo writable:yes; else echo writable:no; fi
echo "memory:$(cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null)"
echo "tasks:$(cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null)"
"#;

/// What runs the script.
const WORDS: [&str; 3] = ["/bin/sh", "-c", SCRIPT];

/// Runs the script by `run`.
///
/// # Errors
/// The contender's own, or the first wall that is missing.
pub(super) fn of_container(contender: &Contender, place: &Place) -> Result<(), String> {
    let told = contender.ask("run", &WORDS, place)?;
    judge(&told, &host()?).map_err(|wall| format!("{}: a container of it: {wall}", contender.name))
}

/// Runs the script by `exec`: a runtime may build a container's walls and not those of what is added to it.
///
/// # Errors
/// As [`of_container`].
pub(super) fn of_added(contender: &Contender, place: &Place) -> Result<(), String> {
    let told = contender.beside_running(place, |contender| contender.ask("exec", &WORDS, place))?;
    judge(&told, &host()?).map_err(|wall| format!("{}: a process added by it: {wall}", contender.name))
}

/// The host's namespaces.
fn host() -> Result<Vec<(&'static str, String)>, String> {
    let link = |kind: &&'static str| {
        let link =
            std::fs::read_link(format!("/proc/self/ns/{kind}")).map_err(|error| format!("ns/{kind}: {error}"))?;
        Ok((*kind, link.display().to_string()))
    };
    NAMESPACES.iter().map(link).collect()
}

/// The first wall that is missing.
fn judge(told: &str, host: &[(&str, String)]) -> Result<(), String> {
    let value = |key: &str| told.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or_default();
    for (kind, theirs) in host {
        let own = value(kind);
        if own.is_empty() || own == theirs {
            return Err(format!("its {kind} namespace is the host's ({own:?})"));
        }
    }
    let capabilities = format!("{:016x}", mask());
    let expected = [
        ("CapEff", capabilities.as_str()),
        ("CapPrm", &capabilities),
        ("CapBnd", &capabilities),
        ("Seccomp", "2"),
        ("host", "box"),
        ("masked", "0"),
        ("writable", "no"),
        ("memory", "268435456"),
        ("tasks", "512"),
    ];
    for (key, expected) in expected {
        // Without a controller in this arrangement nobody has the limit.
        let nobody = matches!(key, "memory" | "tasks") && value(key).is_empty();
        if value(key) != expected && !nobody {
            return Err(format!("{key} is {:?} and not {expected:?}", value(key)));
        }
    }
    Ok(())
}

/// The bundle's capabilities as bits.
fn mask() -> u64 {
    let numbers = [0, 1, 3, 4, 27, 13, 6, 7, 31, 8, 10, 18, 5, 29];
    debug_assert_eq!(numbers.len(), posture::CAPABILITIES.len());
    numbers.iter().fold(0, |bits, number| bits | 1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_wall_is_named() {
        let host: Vec<_> = NAMESPACES.iter().map(|kind| (*kind, format!("{kind}:[1]"))).collect();
        let namespaces: String = NAMESPACES.iter().map(|kind| format!("{kind}:{kind}:[2]\n")).collect();
        let caps = "00000000a80425fb";
        let rest = format!(
            "CapEff:{caps}\nCapPrm:{caps}\nCapBnd:{caps}\nSeccomp:2\nhost:box\nmasked:0\nwritable:no\nmemory:268435456\ntasks:512\n"
        );
        let good = namespaces + &rest;
        judge(&good, &host).unwrap();
        for line in good.lines() {
            let key = line.split(':').next().unwrap();
            let without = good.replace(line, &format!("{key}:1"));
            let missing = judge(&without.replace(&format!("{key}:1"), &format!("{key}:{key}:[1]")), &host);
            assert!(missing.is_err(), "{line}");
        }
    }
}
