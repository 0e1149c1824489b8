//! Where the kernel keeps a container's cgroup, in either world, read straight from the mounted hierarchies.

use std::path::{Path, PathBuf};

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// `cgroup` (v1) or `cgroup2`.
    pub kind: String,
    /// The v1 controllers (also `name=...`) that are bound to it; empty for cgroup2.
    pub controllers: Vec<String>,
}

/// All hierarchies mounted for this process.
///
/// # Panics
/// If `/proc/self/mountinfo` cannot be read.
#[must_use]
pub fn hierarchies() -> Vec<Hierarchy> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo can be read");
    text.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mount = PathBuf::from(left.split(' ').nth(4)?);
    let mut fields = right.split(' ');
    let kind = fields.next()?.to_owned();
    if kind != "cgroup" && kind != "cgroup2" {
        return None;
    }
    let options = fields.nth(1)?;
    let controllers = if kind == "cgroup" {
        options.split(',').filter(|o| !matches!(*o, "rw" | "ro" | "xattr")).map(str::to_owned).collect()
    } else {
        Vec::new()
    };
    Some(Hierarchy { mount, kind, controllers })
}

/// The folder of the cgroup `path` (as in `linux.cgroupsPath`) under the hierarchy that has `controller`: the v1 one
/// if it is mounted, else cgroup2.
///
/// # Panics
/// If there is neither.
#[must_use]
pub fn folder(controller: &str, path: &str) -> PathBuf {
    let all = hierarchies();
    let v1 = all.iter().find(|one| one.controllers.iter().any(|name| name == controller));
    let one = v1.or_else(|| all.iter().find(|one| one.kind == "cgroup2")).expect("a cgroup hierarchy is mounted");
    one.mount.join(path.trim_start_matches('/'))
}

/// Whether `controller` has a v1 hierarchy here.
#[must_use]
pub fn is_v1(controller: &str) -> bool {
    hierarchies().iter().any(|one| one.controllers.iter().any(|name| name == controller))
}

/// The trimmed content of a cgroup file; `pids`, `/box`, `pids.max` for instance.
///
/// # Panics
/// If it cannot be read; the message names the file.
#[must_use]
pub fn read(controller: &str, path: &str, file: &str) -> String {
    let whole = folder(controller, path).join(file);
    let text = std::fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{}: {error}", whole.display()));
    text.trim().to_owned()
}

/// Every folder called `name`, at most four levels deep, in every hierarchy.
#[must_use]
pub fn named(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        walk(&hierarchy.mount, name, 4, &mut found);
    }
    found
}

fn walk(folder: &Path, name: &str, depth: u32, found: &mut Vec<PathBuf>) {
    // A group may vanish while it is looked at.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let file_name = entry.file_name();
        let matches = file_name.to_str().is_some_and(|text| text == name || text.contains(&format!("{name}.")));
        if matches {
            found.push(entry.path());
        }
        if depth > 1 {
            walk(&entry.path(), name, depth - 1, found);
        }
    }
}
