//! What a container leaves behind that it should not: cgroups, mounts, processes, state.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long the kernel may take to be done with processes that were killed.
const GRACE: Duration = Duration::from_secs(3);

/// Where to look for one container.
pub struct Search<'a> {
    /// Its id, which is also the last part of its cgroup's path and unlike any other name.
    pub id: &'a str,
    /// The folder that holds its bundle.
    pub folder: &'a Path,
    /// The runtime's state folder (`--root`).
    pub state: &'a Path,
}

/// What was found, one line each; empty is good.
pub type Found = Vec<String>;

impl Search<'_> {
    /// Looks until nothing is left, for three seconds at most.
    #[must_use]
    pub fn settle(&self) -> Found {
        let deadline = Instant::now() + crate::call::patient(GRACE);
        loop {
            let found = self.look();
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Looks once.
    #[must_use]
    pub fn look(&self) -> Found {
        let mut found = Found::new();
        found.extend(
            self.processes().iter().map(|pid| format!("process {pid}: {}", crate::processes::command_line(*pid))),
        );
        found.extend(crate::cgroup::named(self.id).iter().map(|path| format!("cgroup {}", path.display())));
        found.extend(self.mounts().iter().map(|path| format!("mount {}", path.display())));
        found.extend(self.states().iter().map(|path| format!("state {}", path.display())));
        found
    }

    /// Removes by force what can be removed, so that one failure is not followed by others.
    pub fn clean(&self) {
        for pid in self.processes() {
            if let Some(pid) = Pid::from_raw(pid) {
                report(rustix::process::kill_process(pid, Signal::KILL), "kill");
            }
        }
        std::thread::sleep(Duration::from_millis(50));
        for group in crate::cgroup::named(self.id).iter().rev() {
            thaw(group);
            report(std::fs::remove_dir(group), "rmdir");
        }
        for mount in self.mounts().iter().rev() {
            report(rustix::mount::unmount(mount.as_path(), rustix::mount::UnmountFlags::DETACH), "umount");
        }
    }

    /// The processes that belong to the container or work for it, by cgroup, command line or root directory.
    fn processes(&self) -> Vec<i32> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let myself = std::process::id().cast_signed();
        pids.filter(|pid| *pid != myself && self.owns(*pid)).collect()
    }

    fn owns(&self, pid: i32) -> bool {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let mentions = |content: &[u8]| String::from_utf8_lossy(content).contains(self.id);
        let root = std::fs::read_link(format!("/proc/{pid}/root")).unwrap_or_default();
        // A zombie belongs to nobody any more but the parent that forgets it, and that one is looked for by name.
        mentions(&read("cmdline")) || (!is_zombie(pid) && mentions(&read("cgroup"))) || root.starts_with(self.folder)
    }

    /// Mount points below the bundle's folder, in the order of their making.
    fn mounts(&self) -> Vec<PathBuf> {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        points.filter(|point| point.starts_with(self.folder) || point.starts_with(self.state)).collect()
    }

    /// Anything in the state folder that carries the id.
    fn states(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(self.state, self.id, &mut found);
        found
    }
}

fn collect(folder: &Path, id: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().contains(id) {
            found.push(entry.path());
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), id, found);
        }
    }
}

fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// A frozen group cannot be emptied.
fn thaw(group: &Path) {
    for (file, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if group.join(file).exists() {
            report(std::fs::write(group.join(file), value), "thaw");
        }
    }
}

/// Cleaning goes on past errors and says them.
fn report<E: std::fmt::Display>(result: Result<(), E>, what: &str) {
    if let Err(error) = result {
        eprintln!("while cleaning up after a test: {what}: {error}");
    }
}
