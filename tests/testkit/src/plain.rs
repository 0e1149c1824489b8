//! A plain reading of `/proc/PID`, as `amicontained` makes one: what a container's process has, by code that shares nothing with the audit's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::call::Call;

/// Prints all that is read, a line each behind the name of its file.
const SCRIPT: &str = r#"
show() { while IFS= read -r line; do printf '%s=%s\n' "$1" "$line"; done; }
show status < "/proc/$1/status"
show uid_map < "/proc/$1/uid_map"
show gid_map < "/proc/$1/gid_map"
show label 2> /dev/null < "/proc/$1/attr/current"
for kind in cgroup ipc mnt net pid time user uts; do
    for who in "$1" self; do
        printf 'ns.%s=%s\n' "$kind" "$(readlink "/proc/$who/ns/$kind")"
    done
done
"#;

/// Capabilities by number (`linux/capability.h`).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// `check: part` with what is in force, in the audit's words.
pub type Reading = BTreeMap<String, String>;

/// Reads process `pid` where `shell`, which starts a shell, is.
///
/// # Panics
/// If it cannot be read.
#[must_use]
#[track_caller]
pub fn read(shell: Call, pid: i32) -> Reading {
    let done = shell.args(["-c", SCRIPT, "sh", &pid.to_string()]).run().ok();
    let lines: Vec<(&str, &str)> = done.stdout.lines().filter_map(|line| line.split_once('=')).collect();
    let all = |file: &str| lines.iter().filter(|(name, _)| *name == file).map(|(_, line)| *line).collect::<Vec<_>>();
    let status: BTreeMap<&str, &str> = all("status").into_iter().filter_map(|line| line.split_once(":\t")).collect();
    let mut reading = Reading::new();
    let mut say = |part: &str, what: String| drop(reading.insert(part.to_owned(), what));
    let mut own_users = false;
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let both = all(&format!("ns.{kind}"));
        let is_own = both[0] != both[1];
        own_users |= kind == "user" && is_own;
        say(&format!("namespaces: {kind}"), if is_own { "own" } else { "the host's" }.to_owned());
    }
    for (part, field) in [
        ("bounding", "CapBnd"),
        ("permitted", "CapPrm"),
        ("effective", "CapEff"),
        ("inheritable", "CapInh"),
        ("ambient", "CapAmb"),
    ] {
        say(&format!("capabilities: {part}"), capabilities(status[field]));
    }
    say("no-new-privileges: no_new_privs", if status["NoNewPrivs"] == "1" { "set" } else { "not set" }.to_owned());
    say("seccomp: mode", filters(status["Seccomp"], status.get("Seccomp_filters").copied()));
    if own_users {
        say("user-maps: users", map(&all("uid_map")));
        say("user-maps: groups", map(&all("gid_map")));
    } else {
        say("user-maps: users", "the host's ids".to_owned());
    }
    let label = all("label").first().map_or("the kernel has none", |label| label.trim_end_matches('\0'));
    say("label: apparmor", label.to_owned());
    reading
}

fn capabilities(mask: &str) -> String {
    let mask = u64::from_str_radix(mask, 16).expect("a mask is hexadecimal");
    let name =
        |number: usize| CAPABILITIES.get(number).map_or_else(|| format!("CAP_{number}"), |name| format!("CAP_{name}"));
    let all: Vec<String> = (0..64).filter(|number| mask >> number & 1 == 1).map(name).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(",") }
}

fn filters(mode: &str, count: Option<&str>) -> String {
    match (mode, count) {
        ("0", _) => "no filter".to_owned(),
        ("2", Some("1")) => "1 filter".to_owned(),
        ("2", Some(count)) => format!("{count} filters"),
        ("2", None) => "filtered".to_owned(),
        other => panic!("{other:?} is no filter of a container's"),
    }
}

fn map(lines: &[&str]) -> String {
    let mut ranges: Vec<Vec<u32>> = lines
        .iter()
        .map(|line| line.split_whitespace().map(|number| number.parse().expect("an id is a number")).collect())
        .collect();
    ranges.sort_unstable();
    let text = |range: &Vec<u32>| range.iter().map(u32::to_string).collect::<Vec<_>>().join(":");
    ranges.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// The same of a report of `audit --format json`.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn of_report(report: &Value) -> Reading {
    let checks: BTreeSet<&str> =
        ["capabilities", "label", "namespaces", "no-new-privileges", "seccomp", "user-maps"].into();
    let mut reading = Reading::new();
    for check in report["checks"].as_array().expect("a report has checks") {
        let id = check["id"].as_str().expect("a check has a name");
        for finding in
            check["findings"].as_array().expect("a check has findings").iter().filter(|_| checks.contains(id))
        {
            let part = finding["part"].as_str().expect("a finding has a part");
            // What no file of `/proc/PID/status` and its like tells.
            if !["setgroups", "landlock", "selinux", "pid_for_children"].contains(&part) {
                let what = finding["inForce"].as_str().unwrap_or("nothing is known");
                reading.insert(format!("{id}: {part}"), what.to_owned());
            }
        }
    }
    reading
}
