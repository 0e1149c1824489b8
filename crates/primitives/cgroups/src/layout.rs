//! Where this machine has its control groups: which hierarchies are mounted, where, with which controllers.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use stockade_kernel::procfs::{Procfs, Subject, read_all};

use crate::controller::Controllers;
use crate::membership::Membership;
use crate::path::GroupPath;

/// Which of the two interfaces a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `cgroup`.
    V1,
    /// `cgroup2`.
    V2,
}

/// Which of the three arrangements a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// v1 hierarchies only.
    Legacy,
    /// v1 hierarchies with controllers, and cgroup2 besides.
    Hybrid,
    /// cgroup2 only.
    Unified,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Legacy => "cgroup v1",
            Self::Hybrid => "cgroup v1 with cgroup v2 beside it",
            Self::Unified => "cgroup v2",
        })
    }
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its interface.
    pub version: Version,
    /// The controllers whose limits are written here. On v2, those that the mount's topmost group offers.
    pub controllers: Controllers,
    /// The name of a named v1 hierarchy, for instance `systemd`.
    pub name: Option<String>,
    /// Where it is mounted, in the mount namespace of the reader.
    pub mount: PathBuf,
    /// The group that is the mount's topmost, as a path in the hierarchy; `/` unless the mount shows a part only.
    pub root: PathBuf,
}

impl Hierarchy {
    /// What identifies the hierarchy in a saved state: `unified`, `name=systemd`, `cpu,cpuacct`.
    #[must_use]
    pub fn label(&self) -> String {
        match (self.version, &self.name) {
            (Version::V2, _) => "unified".to_owned(),
            (Version::V1, Some(name)) => format!("name={name}"),
            (Version::V1, None) => self.controllers.names(false).collect::<Vec<_>>().join(","),
        }
    }
}

/// The hierarchies of this machine that a container is put in: every v1 hierarchy with a known controller,
/// `name=systemd`, and cgroup2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    hierarchies: Vec<Hierarchy>,
}

impl Layout {
    /// Reads `/proc/self/mountinfo`, and `cgroup.controllers` of the cgroup2 mount if there is one. Nothing is kept
    /// for the next call.
    ///
    /// # Errors
    /// [`LayoutError`]: a file could not be read, or no hierarchy is mounted.
    pub fn detect() -> Result<Self, LayoutError> {
        let read = || Procfs::host()?.read(Subject::Myself, "mountinfo");
        let mountinfo = read().map_err(|source| LayoutError::Mounts { source })?;
        let mut layout = Self::parse(&mountinfo);
        let v1: Controllers = layout.hierarchies.iter().map(|hierarchy| hierarchy.controllers).collect();
        if let Some(unified) = layout.hierarchies.iter_mut().find(|hierarchy| hierarchy.version == Version::V2) {
            let path = unified.mount.join("cgroup.controllers");
            let content = read_file(&path).map_err(|source| LayoutError::Controllers { path, source })?;
            let content = String::from_utf8_lossy(&content);
            unified.controllers = Controllers::listed(content.split_ascii_whitespace()) - v1;
        }
        if layout.hierarchies.is_empty() { Err(LayoutError::Nothing) } else { Ok(layout) }
    }

    /// The hierarchies in the text of a `mountinfo` file (`proc_pid_mountinfo(5)`), lines of another form skipped;
    /// of cgroup2 without its controllers, which are not in that text.
    ///
    /// Of several mounts of one hierarchy the one below `/sys/fs/cgroup` is taken, or else the first.
    #[must_use]
    pub fn parse(mountinfo: &[u8]) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for line in mountinfo.split(|&byte| byte == b'\n') {
            let Some(found) = parse_line(line) else { continue };
            let known = hierarchies.iter_mut().find(|known| {
                (known.version, known.controllers, &known.name) == (found.version, found.controllers, &found.name)
            });
            match known {
                None => hierarchies.push(found),
                Some(known) if !is_usual(&known.mount) && is_usual(&found.mount) => *known = found,
                Some(_) => {}
            }
        }
        Self { hierarchies }
    }

    /// Which arrangement this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let has = |version| self.hierarchies.iter().any(|hierarchy| hierarchy.version == version);
        let controlled = |hierarchy: &Hierarchy| hierarchy.version == Version::V1 && !hierarchy.controllers.is_empty();
        match (self.hierarchies.iter().any(controlled), has(Version::V2)) {
            (false, true) => Kind::Unified,
            (_, true) => Kind::Hybrid,
            (_, false) => Kind::Legacy,
        }
    }

    /// The hierarchies.
    #[must_use]
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// The hierarchy in which `controller` (one) is.
    #[must_use]
    pub fn home(&self, controller: Controllers) -> Option<&Hierarchy> {
        self.home_index(controller).and_then(|index| self.hierarchies.get(index))
    }

    /// The index of [`Layout::home`].
    pub(crate) fn home_index(&self, controller: Controllers) -> Option<usize> {
        self.hierarchies.iter().position(|hierarchy| hierarchy.controllers.contains(controller))
    }

    /// The cgroup2 hierarchy.
    #[must_use]
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2)
    }

    /// Only those hierarchies in which the calling process, which is not the host's root, may make the group `path` and be put in it: the
    /// nearest group that is there must let it, and on v2 also the one that has both its own group and that one below it
    /// (`cgroups(7)`, "Delegation containment rules").
    ///
    /// # Errors
    /// As reading of `/proc/self/cgroup`.
    pub fn usable_by_caller(mut self, path: &GroupPath) -> io::Result<Self> {
        let own = Membership::of(&Procfs::host()?, Subject::Myself)?;
        self.hierarchies.retain(|hierarchy| may_make(hierarchy, path, &own));
        Ok(self)
    }

    /// A layout as given, for plans about other machines and for tests.
    #[must_use]
    pub fn from_hierarchies(hierarchies: Vec<Hierarchy>) -> Self {
        Self { hierarchies }
    }
}

/// Whether the kernel lets the caller make the group in this hierarchy and join it.
fn may_make(hierarchy: &Hierarchy, path: &GroupPath, own: &Membership) -> bool {
    let may = |path: &Path, access| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
    let Some(group) = path.below_mount(hierarchy) else { return false };
    let mut above = group.ancestors().skip(1).map(|path| hierarchy.mount.join(path));
    if !above.find(|path| path.exists()).is_some_and(|path| may(&path, Access::WRITE_OK | Access::EXEC_OK)) {
        return false;
    }
    let joins = |own: &Path| {
        let same = own.components().zip(group.components()).take_while(|(own, group)| own == group);
        let common: PathBuf = same.map(|(component, _)| component).collect();
        may(&hierarchy.mount.join(common).join("cgroup.procs"), Access::WRITE_OK)
    };
    hierarchy.version == Version::V1 || own.below_mount(hierarchy).is_some_and(joins)
}

/// Whether the mount is where programs look for it.
fn is_usual(mount: &Path) -> bool {
    mount.starts_with("/sys/fs/cgroup")
}

/// A line of mountinfo that is a hierarchy of interest.
fn parse_line(line: &[u8]) -> Option<Hierarchy> {
    let mut fields = line.split(|&byte| byte == b' ');
    let (root, mount) = (fields.by_ref().nth(3)?, fields.next()?);
    let mut after = fields.skip_while(|field| *field != b"-").skip(1);
    let version = match after.next()? {
        b"cgroup" => Version::V1,
        b"cgroup2" => Version::V2,
        _ => return None,
    };
    let options = std::str::from_utf8(after.nth(1)?).ok()?;
    let (mut controllers, mut name) = (Controllers::empty(), None);
    if version == Version::V1 {
        controllers = Controllers::listed(options.split(','));
        name = options.split(',').find_map(|option| option.strip_prefix("name=")).map(str::to_owned);
        if controllers.is_empty() && name.as_deref() != Some("systemd") {
            return None;
        }
    }
    Some(Hierarchy { version, controllers, name, mount: unescaped(mount), root: unescaped(root) })
}

/// A path of mountinfo with `\040` and the like made the bytes that they stand for.
fn unescaped(field: &[u8]) -> PathBuf {
    if !field.contains(&b'\\') {
        return PathBuf::from(OsStr::from_bytes(field));
    }
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escape = digits.filter(|_| first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escape.unwrap_or(first));
        rest = if escape.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The whole of a kernel file.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    read_all(rustix::fd::AsFd::as_fd(&file))
}

/// Why the layout is not known.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The mount table could not be read.
    #[error("cannot read the mount table /proc/self/mountinfo")]
    Mounts {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The controllers of cgroup v2 could not be read.
    #[error("cannot read the controllers of cgroup v2 from {}", path.display())]
    Controllers {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No hierarchy is mounted.
    #[error("no cgroup hierarchy is mounted: mount cgroup2 on /sys/fs/cgroup")]
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HYBRID: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /mnt/cpu rw shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct\n\
        33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        34 31 0:30 /a\\040b /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n\
        42 31 0:39 / /sys/fs/cgroup/other rw,relatime - cgroup cgroup rw,name=other\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn a_hybrid_table_is_understood() {
        let layout = Layout::parse(HYBRID);
        assert_eq!(layout.kind(), Kind::Hybrid);
        let labels: Vec<_> = layout.hierarchies().iter().map(Hierarchy::label).collect();
        assert_eq!(labels, ["cpu,cpuacct", "pids", "name=systemd", "unified"]);
        assert_eq!(layout.home(Controllers::CPU).unwrap().mount, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(layout.home(Controllers::PIDS).unwrap().root, Path::new("/a b"));
        assert_eq!(layout.home(Controllers::NET_CLS), None);
    }

    #[test]
    fn this_machine_has_a_layout() {
        let layout = Layout::detect().unwrap();
        assert!(!layout.hierarchies().is_empty());
        // As much of it as may be used, which root may all.
        let path = GroupPath::new("/stockade-layout-test", None).unwrap();
        let usable = layout.clone().usable_by_caller(&path).unwrap();
        assert!(!rustix::process::geteuid().is_root() || usable == layout);
        let elsewhere = Hierarchy { mount: "/proc/sys".into(), ..layout.hierarchies()[0].clone() };
        let none = Layout::from_hierarchies(vec![elsewhere]).usable_by_caller(&path).unwrap();
        assert!(none.hierarchies().is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Layout::parse(&text).hierarchies().len() <= text.len());
        }

        #[test]
        fn any_damage_is_survived(at in 0..HYBRID.len(), byte in any::<u8>(), cut in 0..HYBRID.len()) {
            let mut text = HYBRID.to_vec();
            text[at] = byte;
            text.truncate(cut);
            prop_assert!(Layout::parse(&text).hierarchies().len() <= text.len());
        }
    }
}
