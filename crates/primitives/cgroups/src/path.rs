//! The name that a caller gives a group: OCI's `cgroupsPath`, runc's `--cgroup`.

use std::io;
use std::path::{Path, PathBuf};

use stockade_kernel::procfs::{Procfs, Subject};

use crate::layout::Hierarchy;
use crate::membership::Membership;

/// A path of a group that is the same in every hierarchy, or below the caller's own group in each.
///
/// It has at least one component, and none is empty, `.`, `..` or longer than the kernel's 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPath {
    components: PathBuf,
    /// For a relative path: the groups that it is relative to.
    base: Option<Membership>,
}

impl GroupPath {
    /// Parses `text`: a path beginning with `/` is below the top of each hierarchy's mount; another is below the
    /// group of the calling process in each hierarchy, which is read from `/proc/self/cgroup` for it.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let base = match text.starts_with('/') {
            true => None,
            false => {
                let read = || Membership::of(&Procfs::host()?, Subject::Myself);
                Some(read().map_err(|source| PathError::OwnGroup { source })?)
            }
        };
        Self::new(text, base)
    }

    /// As [`GroupPath::parse`], with a relative `text` below the groups in `base`; touches nothing.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn new(text: &str, base: Option<Membership>) -> Result<Self, PathError> {
        let bad = |why| Err(PathError::Form { path: text.to_owned(), why });
        let relative = text.strip_prefix('/').unwrap_or(text);
        if text.len() > 2048 {
            return bad("longer than 2048 bytes");
        }
        for component in relative.split('/') {
            match component {
                "" => return bad("a component is empty"),
                "." | ".." => return bad("it contains . or .."),
                _ if component.len() > 255 => return bad("a component is longer than 255 bytes"),
                // The kernel refuses a newline, which would forge lines of /proc/PID/cgroup.
                _ if component.contains(['\0', '\n']) => return bad("it contains NUL or a newline"),
                _ => {}
            }
        }
        Ok(Self { components: PathBuf::from(relative), base: base.filter(|_| !text.starts_with('/')) })
    }

    /// The path relative to the mount of `hierarchy`; `None` if the group that it is relative to is not below it.
    #[must_use]
    pub fn below_mount(&self, hierarchy: &Hierarchy) -> Option<PathBuf> {
        match &self.base {
            None => Some(self.components.clone()),
            Some(base) => Some(base.below_mount(hierarchy)?.join(&self.components)),
        }
    }

    /// The path without what it is relative to.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.components
    }
}

/// A path that can not be a group's.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// It has the wrong form.
    #[error("{path:?} is no cgroup path: {why}")]
    Form {
        /// What was given.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The caller's own group is not known.
    #[error("cannot read the caller's own cgroups from /proc/self/cgroup")]
    OwnGroup {
        /// The kernel's answer.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_paths_are_refused() {
        for path in ["", "/", "//a", "a//b", "a/", "/a/../b", "..", "/.", "/a\nb", "/a\0", &"x".repeat(256)] {
            assert!(GroupPath::new(path, None).is_err(), "{path:?}");
        }
        assert!(GroupPath::new("/docker/3f", None).is_ok());
    }

    #[test]
    fn relative_paths_are_below_the_own_group() {
        let layout = crate::layout::Layout::parse(b"1 1 0:1 / /c rw - cgroup cgroup rw,cpu\n");
        let base = Membership::parse(b"4:cpu:/mine\n");
        let path = GroupPath::new("a/b", Some(base.clone())).unwrap();
        assert_eq!(path.below_mount(&layout.hierarchies()[0]).unwrap(), Path::new("mine/a/b"));
        let path = GroupPath::new("/a/b", Some(base)).unwrap();
        assert_eq!(path.below_mount(&layout.hierarchies()[0]).unwrap(), Path::new("a/b"));
    }
}
