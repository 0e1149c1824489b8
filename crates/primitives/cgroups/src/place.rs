//! Where a group is, in a form that a state file can keep.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::controller::Controllers;
use crate::layout::{Hierarchy, Version};

/// A group in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The hierarchy's [`label`](Hierarchy::label).
    pub hierarchy: String,
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// The group, relative to the mount.
    pub path: PathBuf,
}

impl Place {
    /// The group `path` below the mount of `hierarchy`.
    pub(crate) fn new(hierarchy: &Hierarchy, path: &Path) -> Self {
        Self { hierarchy: hierarchy.label(), mount: hierarchy.mount.clone(), path: path.to_owned() }
    }

    /// The group's directory on the host.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.mount.join(&self.path)
    }

    /// The hierarchy, as far as the place tells: of cgroup2 without its controllers.
    pub(crate) fn hierarchy(&self) -> Hierarchy {
        let version = if self.hierarchy == "unified" { Version::V2 } else { Version::V1 };
        Hierarchy {
            version,
            controllers: Controllers::listed(self.hierarchy.split(',')),
            name: self.hierarchy.strip_prefix("name=").map(str::to_owned),
            mount: self.mount.clone(),
            root: PathBuf::from("/"),
        }
    }
}
