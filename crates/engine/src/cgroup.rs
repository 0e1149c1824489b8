//! Which control group a container is asked to have, and by whom it is made: by its runtime, or by systemd.

use std::str::FromStr;

use crate::ContainerId;

/// Where groups are without `--cgroup-parent`.
const PARENT: &str = "/stockade";
/// The slice of scopes without `--cgroup-parent`, as Docker's.
const SLICE: &str = "system.slice";

/// Who makes the groups of containers that are made from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupDriver {
    /// The runtime, by their files.
    #[default]
    Cgroupfs,
    /// systemd, as scopes.
    Systemd,
}

impl CgroupDriver {
    /// Docker's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
        }
    }

    /// Who made, or is to make, the group that is called `path` in a container's configuration: a path has a slash, a scope's name has none.
    pub(crate) fn of(path: &str) -> Self {
        if path.contains('/') { Self::Cgroupfs } else { Self::Systemd }
    }
}

impl FromStr for CgroupDriver {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let all = [Self::Cgroupfs, Self::Systemd];
        let found = all.into_iter().find(|driver| driver.name() == word);
        found.ok_or_else(|| "it is cgroupfs or systemd".to_owned())
    }
}

/// A `--cgroup-parent` that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParentError {
    /// It is no path.
    #[error("invalid --cgroup-parent {0:?}: it must be a path of control groups without '.' and '..'")]
    Path(String),
    /// It is no slice.
    #[error(
        "invalid --cgroup-parent {0:?}: with --cgroup-driver systemd it must be a slice, such as \"machine.slice\""
    )]
    Slice(String),
}

/// `linux.cgroupsPath` of a container of an ordinary user: below the group that the engine is in, if that was delegated to the user.
pub(crate) fn users_path(id: &ContainerId) -> String {
    format!("{}/{id}", PARENT.trim_start_matches('/'))
}

/// `linux.cgroupsPath` of the container.
pub(crate) fn path(driver: CgroupDriver, parent: Option<&str>, id: &ContainerId) -> Result<String, ParentError> {
    if driver == CgroupDriver::Systemd {
        let slice = parent.unwrap_or(SLICE);
        let stem = slice.strip_suffix(".slice").unwrap_or_default();
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.\\@".contains(&byte);
        return match !stem.is_empty() && stem.bytes().all(may_stand) {
            true => Ok(format!("{slice}:stockade:{id}")),
            false => Err(ParentError::Slice(slice.to_owned())),
        };
    }
    let parent = parent.unwrap_or(PARENT);
    let trimmed = parent.trim_matches('/');
    let is_part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\0', '\n']);
    if trimmed.is_empty() && parent != "/" || !trimmed.is_empty() && !trimmed.split('/').all(is_part) {
        return Err(ParentError::Path(parent.to_owned()));
    }
    Ok(if trimmed.is_empty() { format!("/{id}") } else { format!("/{trimmed}/{id}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_a_parent() {
        let id = ContainerId::random().unwrap();
        let path = |parent| path(CgroupDriver::Cgroupfs, parent, &id);
        for (parent, expected) in
            [(None, "/stockade/"), (Some("/"), "/"), (Some("a/b"), "/a/b/"), (Some("/a/b/"), "/a/b/")]
        {
            let path = path(parent).unwrap();
            assert_eq!(path, format!("{expected}{id}"), "{parent:?}");
            assert_eq!(CgroupDriver::of(&path), CgroupDriver::Cgroupfs);
        }
        for wrong in ["", "/a/../b", "..", "a//b", "a/.", "a\nb"] {
            assert!(path(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn scopes_have_a_slice() {
        let id = ContainerId::random().unwrap();
        let path = |parent| path(CgroupDriver::Systemd, parent, &id);
        for (parent, slice) in [(None, "system.slice"), (Some("a-b.slice"), "a-b.slice"), (Some("-.slice"), "-.slice")]
        {
            let path = path(parent).unwrap();
            assert_eq!(path, format!("{slice}:stockade:{id}"));
            assert_eq!(CgroupDriver::of(&path), CgroupDriver::Systemd);
        }
        for wrong in ["", "/a", "a", ".slice", "a.slice:b", "a/b.slice", "a b.slice"] {
            assert!(path(Some(wrong)).is_err(), "{wrong}");
        }
        assert!("Systemd".parse::<CgroupDriver>().is_err());
    }
}
