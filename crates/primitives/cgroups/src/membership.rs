//! The groups of a process, as `/proc/PID/cgroup` tells them (`cgroups(7)`).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use stockade_kernel::procfs::{Procfs, Subject};

use crate::controller::Controllers;
use crate::layout::{Hierarchy, Version};
use crate::place::Place;

/// The groups of one process, one in each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    entries: Vec<Entry>,
}

/// One line: the hierarchy, told by its controllers or name, and the group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    controllers: Controllers,
    name: Option<String>,
    unified: bool,
    path: PathBuf,
}

impl Membership {
    /// The groups of `subject`. Paths are relative to the cgroup namespace of the reader.
    ///
    /// # Errors
    /// As [`Procfs::read`]; `ENOENT` or `ESRCH` if there is no such process.
    pub fn of(procfs: &Procfs, subject: Subject) -> io::Result<Self> {
        Ok(Self::parse(&procfs.read(subject, "cgroup")?))
    }

    /// The groups in the file's text; lines of another form are skipped.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        Self { entries: text.split(|&byte| byte == b'\n').filter_map(parse_line).collect() }
    }

    /// The group in `hierarchy`, as a path in the hierarchy.
    #[must_use]
    pub fn path(&self, hierarchy: &Hierarchy) -> Option<&Path> {
        let same = |entry: &&Entry| match hierarchy.version {
            Version::V2 => entry.unified,
            Version::V1 if hierarchy.controllers.is_empty() => !entry.unified && entry.name == hierarchy.name,
            Version::V1 => !entry.unified && entry.controllers.contains(hierarchy.controllers),
        };
        self.entries.iter().find(same).map(|entry| entry.path.as_path())
    }

    /// With the group above in the place of each group that is called `name`.
    #[must_use]
    pub fn above(mut self, name: &str) -> Self {
        for entry in &mut self.entries {
            if entry.path.file_name().is_some_and(|last| last == name) {
                entry.path.pop();
            }
        }
        self
    }

    /// Whether the process is in the group at `place`.
    #[must_use]
    pub fn is_in(&self, place: &Place) -> bool {
        let hierarchy = place.hierarchy();
        self.path(&hierarchy).is_some_and(|path| path.ends_with(&place.path))
    }

    /// The group in the hierarchy of `place`, if it is that place or one below it.
    #[must_use]
    pub fn place_below(&self, place: &Place) -> Option<Place> {
        let path = self.below_mount(&place.hierarchy())?;
        path.starts_with(&place.path).then(|| Place { path: path.to_owned(), ..place.clone() })
    }

    /// The group in `hierarchy`, relative to its mount; `None` also if the mount does not show it.
    #[must_use]
    pub fn below_mount(&self, hierarchy: &Hierarchy) -> Option<&Path> {
        let path = self.path(hierarchy)?.strip_prefix(&hierarchy.root).ok()?;
        let plain = path.components().all(|component| matches!(component, std::path::Component::Normal(_)));
        plain.then_some(path)
    }
}

/// `ID:CONTROLLERS:PATH`.
fn parse_line(line: &[u8]) -> Option<Entry> {
    let mut fields = line.splitn(3, |&byte| byte == b':');
    let (id, names, path) = (fields.next()?, fields.next()?, fields.next()?);
    let names = std::str::from_utf8(names).ok()?;
    if !path.starts_with(b"/") {
        return None;
    }
    // A group that was removed under the process; the name is kept without the kernel's remark.
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    Some(Entry {
        controllers: Controllers::listed(names.split(',')),
        name: names.strip_prefix("name=").map(str::to_owned),
        unified: id == b"0" && names.is_empty(),
        path: PathBuf::from(OsStr::from_bytes(path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use proptest::prelude::*;

    #[test]
    fn lines_are_told_apart() {
        let mounts = b"1 1 0:1 / /c rw - cgroup cgroup rw,cpu,cpuacct\n2 1 0:2 / /s rw - cgroup c rw,name=systemd\n\
            3 1 0:3 /top /u rw - cgroup2 c rw";
        let groups = Membership::parse(b"4:cpu,cpuacct:/a:b\n3:name=systemd:/s\n2:pids:/x\n0::/top/u (deleted)\nbad\n");
        let layout = Layout::parse(mounts);
        let paths: Vec<_> = layout.hierarchies().iter().map(|hierarchy| groups.path(hierarchy).unwrap()).collect();
        assert_eq!(paths, [Path::new("/a:b"), Path::new("/s"), Path::new("/top/u")]);
        assert_eq!(groups.below_mount(&layout.hierarchies()[2]), Some(Path::new("u")));
        let below = |text: &[u8]| {
            let place = Place { hierarchy: "unified".to_owned(), mount: "/u".into(), path: "c/d".into() };
            Membership::parse(text).place_below(&place).map(|place| place.path)
        };
        assert_eq!(below(b"0::/c/d/init"), Some(PathBuf::from("c/d/init")));
        assert_eq!((below(b"0::/c/d"), below(b"0::/c/dx")), (Some(PathBuf::from("c/d")), None));
        assert_eq!((below(b"0::/c"), below(b"0::/c/d/../x")), (None, None));
        assert_eq!(Membership::parse(b"0::/else").below_mount(&layout.hierarchies()[2]), None);
        assert_eq!(Membership::parse(b"0::/top/../..").below_mount(&layout.hierarchies()[2]), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Membership::parse(&text).entries.len() <= text.len());
        }
    }
}
