//! The control groups of a process, read only: where they are in either world, and what they count.
//!
//! Numbers that a kernel or a world does not have are `None`. Version 1 has a hierarchy per controller, version 2 one for all; on
//! hybrid hosts a controller is in one of them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

/// The name of the group in which the runtime has the processes of a delegated one (`stockade_cgroups::CALLERS`).
const CALLERS: &str = "stockade-callers";

/// Which world a controller is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `cgroups(7)`, version 1.
    V1,
    /// Version 2.
    V2,
}

/// A group in the hierarchy of one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which world.
    pub version: Version,
    /// Its folder.
    pub path: PathBuf,
    /// The folder of the hierarchy's root.
    root: PathBuf,
}

/// What `/proc/PID/cgroup` and `/proc/self/mountinfo` say.
#[derive(Clone, Debug)]
pub struct Groups {
    memberships: String,
    mounts: String,
}

impl Groups {
    /// Those of the process `pid`.
    ///
    /// # Errors
    /// As reading of `/proc`, `NotFound` for a process that is not there.
    pub fn of(pid: i32) -> io::Result<Self> {
        Ok(Self { memberships: read(&format!("/proc/{pid}/cgroup"))?, mounts: read("/proc/self/mountinfo")? })
    }

    /// Those of them that `other` is not in: of what a container shares with its monitor nothing is the container's.
    #[must_use]
    pub fn apart_from(self, other: &Self) -> Self {
        self.apart(&other.memberships)
    }

    /// Those of them that this process is not in.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn apart_from_this_process(self) -> io::Result<Self> {
        Ok(self.apart(&read("/proc/self/cgroup")?))
    }

    fn apart(mut self, others: &str) -> Self {
        let apart = |line: &&str| !others.lines().any(|same| same == *line);
        self.memberships = self.memberships.lines().filter(apart).collect::<Vec<_>>().join("\n");
        self
    }

    /// The controllers of the cgroup2 group that was delegated to this process, which may make groups below it and be in them. `None` without one.
    #[must_use]
    pub fn delegated(&self) -> Option<Vec<String>> {
        let mut place = self.unified()?;
        // Where the runtime moves the processes of such a group.
        if place.path.file_name().is_some_and(|name| name == CALLERS) {
            place.path.pop();
        }
        let may = |path: &Path| rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
        let files = ["cgroup.procs", "cgroup.subtree_control"];
        let all = may(&place.path) && files.iter().all(|file| may(&place.path.join(file)));
        let controllers = all.then(|| place.text("cgroup.controllers"))??;
        Some(controllers.split_whitespace().map(str::to_owned).collect())
    }

    /// The group for `controller` (`memory`, `pids`, `cpuacct`, `blkio`; `cpu` and `io` have other names in version 2). `None` if the
    /// machine does not have it.
    #[must_use]
    pub fn place(&self, controller: &str) -> Option<Place> {
        self.first_world(controller).or_else(|| self.second_world(controller))
    }

    fn first_world(&self, controller: &str) -> Option<Place> {
        let group = self.memberships.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            controllers.split(',').any(|one| one == controller).then_some(path)
        })?;
        let has = |mount: &Mount<'_>| mount.kind == "cgroup" && mount.options.split(',').any(|one| one == controller);
        self.mounts.lines().filter_map(Mount::read).find(has)?.place(Version::V1, group)
    }

    /// Whether it is made to stand still. On hybrid hosts either world can do that, whatever controllers it has.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let state = |place: Option<Place>, name| place.and_then(|place| place.text(name));
        state(self.first_world("freezer"), "freezer.state").is_some_and(|state| state.trim() != "THAWED")
            || state(self.unified(), "cgroup.freeze").is_some_and(|state| state.trim() == "1")
    }

    /// The group by which all that is in it can be ended or made to stand still: the freezer's in the first world, or else that of the second where there is
    /// no other.
    #[must_use]
    pub fn of_all(&self) -> Option<Place> {
        let alone = self.memberships.lines().all(|line| line.starts_with("0::"));
        self.first_world("freezer").or_else(|| self.unified().filter(|_| alone))
    }

    /// Where it is in the second world.
    fn unified(&self) -> Option<Place> {
        let group = self.memberships.lines().find_map(|line| line.strip_prefix("0::"))?;
        let is_it = |mount: &Mount<'_>| mount.kind == "cgroup2";
        self.mounts.lines().filter_map(Mount::read).find(is_it)?.place(Version::V2, group)
    }

    fn second_world(&self, controller: &str) -> Option<Place> {
        let place = self.unified()?;
        let controllers = place.text("cgroup.controllers")?;
        let wanted = match controller {
            "cpuacct" => "cpu",
            "blkio" => "io",
            same => same,
        };
        controllers.split_whitespace().any(|one| one == wanted).then_some(place)
    }
}

/// A file of procfs, which has no size, and of which what is read in small pieces is made anew for each.
fn read(path: &str) -> io::Result<String> {
    let mut text = String::with_capacity(8192);
    std::fs::File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// A line of `mountinfo`, as far as it matters here.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, _, options) = (after.next()?, after.next()?, after.next()?);
        Some(Self { root, point, kind, options })
    }

    fn place(&self, version: Version, group: &str) -> Option<Place> {
        let below = Path::new(group).strip_prefix(self.root).ok()?;
        let root = PathBuf::from(self.point);
        Some(Place { version, path: root.join(below), root })
    }
}

impl Place {
    /// The group itself and those above it, but not the root, which has no limits.
    pub fn and_above(&self) -> impl Iterator<Item = Self> + '_ {
        let within = self.path.ancestors().take_while(|path| *path != self.root);
        within.map(|path| Self { path: path.to_owned(), ..self.clone() })
    }

    /// The group's name in its hierarchy, beginning with a slash.
    #[must_use]
    pub fn name(&self) -> String {
        format!("/{}", self.path.strip_prefix(&self.root).unwrap_or(&self.path).display())
    }

    /// What the file `name` says.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path.join(name)).ok()
    }

    /// The number in the file `name`; `None` for `max` too.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.trim().parse().ok()
    }

    /// The number beside `key` in the file `name`.
    #[must_use]
    pub fn keyed(&self, name: &str, key: &str) -> Option<u64> {
        let text = self.text(name)?;
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// The limit on memory in bytes; `None` if there is none.
    #[must_use]
    pub fn memory_limit(&self) -> Option<u64> {
        match self.version {
            // Version 1 says so by a number near the largest, in whole pages.
            Version::V1 => self.number("memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED),
            Version::V2 => self.number("memory.max"),
        }
    }

    /// The most memory that was used, in bytes.
    #[must_use]
    pub fn memory_peak(&self) -> Option<u64> {
        match self.version {
            Version::V1 => self.number("memory.max_usage_in_bytes"),
            Version::V2 => self.number("memory.peak"),
        }
    }

    /// How many processes of the group the kernel has ended for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        match self.version {
            Version::V1 => self.keyed("memory.oom_control", "oom_kill"),
            Version::V2 => self.keyed("memory.events", "oom_kill"),
        }
    }

    /// How often the group's own limit on memory was in the way: by this it is told from those above it.
    #[must_use]
    pub fn memory_refusals(&self) -> Option<u64> {
        match self.version {
            // Where memory and swap together have the limit, that is counted there.
            Version::V1 => {
                self.number("memory.failcnt").map(|own| own + self.number("memory.memsw.failcnt").unwrap_or(0))
            }
            Version::V2 => self.keyed("memory.events.local", "oom").or_else(|| self.keyed("memory.events", "oom")),
        }
    }
}

/// What version 1 has for no limit is the largest signed number in whole pages; nobody has half as much.
const UNLIMITED: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(memberships: &str, mounts: &str) -> Groups {
        Groups { memberships: memberships.into(), mounts: mounts.into() }
    }

    #[test]
    fn the_first_world_has_a_hierarchy_per_controller() {
        let groups = groups(
            "4:memory:/stockade/c\n2:cpu,cpuacct:/other\n0::/\n",
            "30 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             31 25 0:28 /other /sys/fs/cgroup/cpu rw,nosuid shared:3 - cgroup cgroup rw,cpu,cpuacct\n",
        );
        let memory = groups.place("memory").unwrap();
        assert_eq!(
            (memory.version, memory.path.as_path()),
            (Version::V1, Path::new("/sys/fs/cgroup/memory/stockade/c"))
        );
        assert_eq!(memory.name(), "/stockade/c");
        let names: Vec<String> = memory.and_above().map(|place| place.name()).collect();
        assert_eq!(names, ["/stockade/c", "/stockade"]);
        assert_eq!(groups.place("cpuacct").unwrap().path, Path::new("/sys/fs/cgroup/cpu/"));
        assert_eq!(groups.place("pids"), None);
    }

    #[test]
    fn the_second_world_has_one_for_all() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("c")).unwrap();
        for (name, text) in [
            ("cgroup.controllers", "cpu memory pids\n"),
            ("memory.max", "max\n"),
            ("memory.peak", "4096\n"),
            ("memory.events", "low 0\noom 2\noom_kill 3\n"),
        ] {
            std::fs::write(folder.path().join("c").join(name), text).unwrap();
        }
        let mount = format!("30 25 0:27 / {} rw - cgroup2 cgroup2 rw\n", folder.path().display());
        let groups = groups("0::/c\n", &mount);
        let memory = groups.place("memory").unwrap();
        assert_eq!(memory.version, Version::V2);
        assert_eq!((memory.memory_limit(), memory.memory_peak()), (None, Some(4096)));
        assert_eq!((memory.oom_kills(), memory.memory_refusals()), (Some(3), Some(2)));
        assert_eq!(groups.place("cpuacct").map(|place| place.version), Some(Version::V2));
        assert_eq!(groups.place("blkio"), None);
    }

    #[test]
    fn this_process_is_somewhere() {
        let groups = Groups::of(std::process::id().cast_signed()).unwrap();
        assert!(["memory", "pids", "cpuacct"].iter().any(|controller| groups.place(controller).is_some()));
    }
}
