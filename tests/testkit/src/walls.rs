//! What holds a container, read by the host from `/proc` of its first process, in a form that is the same for every
//! container that was made with the same flags.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Every wall by its name.
pub type Walls = BTreeMap<String, String>;

/// The fields of `status` that are walls.
const STATUS: [&str; 6] = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp"];

/// What is hidden from containers.
const MASKED: [&str; 9] = [
    "proc/acpi",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/timer_list",
    "sys/firmware",
    "sys/devices/virtual/powercap",
];

/// The walls around process `pid`, which is the first of container `id`.
///
/// # Panics
/// If it does not run.
#[must_use]
pub fn around(pid: i32, id: &str) -> Walls {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let read = |name: &str| {
        let text = std::fs::read_to_string(proc.join(name));
        text.unwrap_or_else(|error| panic!("/proc/{pid}/{name}: {error}")).replace(id, "ID")
    };
    let mut walls = Walls::new();
    let ids = read("uid_map");
    let mut say = |name: &str, value: String| walls.insert(name.to_owned(), as_inside(&value, &ids));
    let status = read("status");
    let status = status.lines().filter(|line| STATUS.iter().any(|key| line.starts_with(key)));
    say("status", status.collect::<Vec<_>>().join("\n"));
    for name in ["setgroups", "oom_score_adj", "limits", "cgroup"] {
        say(name, read(name));
    }
    for name in ["uid_map", "gid_map"] {
        say(name, map(&read(name)));
    }
    say("label", std::fs::read_to_string(proc.join("attr/current")).unwrap_or_default());
    say("namespaces", namespaces(&proc));
    say("mounts", mounts(&read("mountinfo")));
    say("root", format!("{}", identity(&proc.join("root")) == identity(Path::new("/"))));
    say("descriptors", names(&proc.join("fd")).join(" "));
    say("program", std::fs::read_link(proc.join("exe")).map_or(String::new(), |path| path.display().to_string()));
    say("devices", nodes(&proc.join("root/dev")).join("\n"));
    say("masks", MASKED.map(|name| node(&proc.join("root").join(name))).join("\n"));
    say("device rules", device_rules(&read("cgroup").replace("ID", id)));
    walls
}

/// The text with the ids that the container has in place of those that stand for them on the host, which are its own.
fn as_inside(text: &str, map: &str) -> String {
    let numbers: Vec<u64> = map.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [0, first @ (1..), count] = numbers[..] else { return text.to_owned() };
    let number = |word: &str| match word.parse::<u64>() {
        Ok(id) if (first..first + count).contains(&id) => (id - first).to_string(),
        _ => word.to_owned(),
    };
    let mut found = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let digits = &rest[start..];
        let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
        found.push_str(&rest[..start]);
        found.push_str(&number(&digits[..end]));
        rest = &digits[end..];
    }
    found + rest
}

/// Which ids there are, how many, and whether they are the host's. Whose they are on the host is each container's own.
fn map(text: &str) -> String {
    let line = |line: &str| {
        let numbers: Vec<&str> = line.split_whitespace().collect();
        let same = numbers.first() == numbers.get(1);
        format!("{} {} the host's: {same}", numbers.first().unwrap_or(&""), numbers.last().unwrap_or(&""))
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Those that are the host's.
fn namespaces(proc: &Path) -> String {
    let kinds = ["mnt", "pid", "pid_for_children", "net", "ipc", "uts", "user", "cgroup", "time"];
    let link = |folder: &Path, kind: &str| std::fs::read_link(folder.join("ns").join(kind)).ok();
    let shared = kinds.iter().filter(|kind| link(proc, kind) == link(Path::new("/proc/self"), kind));
    format!("shared with the host: {}", shared.copied().collect::<Vec<_>>().join(" "))
}

/// Points, options and types. Ids, devices and the host's names of roots differ from container to container.
fn mounts(text: &str) -> String {
    let line = |line: &str| {
        let (left, right) = line.split_once(" - ").unwrap_or((line, ""));
        let left: Vec<_> = left.split(' ').skip(4).filter(|field| !field.contains(':')).collect();
        format!("{} {}", left.join(" "), right.split(' ').next().unwrap_or_default())
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|data| (data.dev(), data.ino()))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What is in a folder, each as [`node`].
fn nodes(folder: &Path) -> Vec<String> {
    names(folder).iter().map(|name| node(&folder.join(name))).collect()
}

/// A node by what it is and to what it leads.
fn node(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Ok(data) = path.symlink_metadata() else { return format!("{name}: nothing") };
    let kind = data.file_type();
    if kind.is_symlink() {
        return format!("{name}: link to {:?}", std::fs::read_link(path).ok());
    }
    let number = if kind.is_char_device() || kind.is_block_device() { data.rdev() } else { 0 };
    // The bits above the permissions are the host's where the node is the host's null device.
    format!("{name}: {:o} {}:{} {number:x}", data.mode() & 0o170_777, data.uid(), data.gid())
}

/// The devices that the container's cgroup lets through, where the kernel says so.
fn device_rules(groups: &str) -> String {
    let path = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == "devices").then(|| path.to_owned())
    });
    let Some(path) = path.filter(|_| crate::cgroup::is_v1("devices")) else { return String::new() };
    crate::cgroup::read("devices", &path, "devices.list")
}
