//! The mounts on `/proc` and `/sys`, kept by their descriptors.
//!
//! Whoever can write in the root file system, from another container that has it as a volume, can give the folder on which
//! procfs is mounted another name: the mount goes along. If masks were looked up from the root at that moment, nothing would
//! be there to mask, and the true procfs could be put back without them (CVE-2019-19921). What was mounted is found again by
//! its descriptor whatever its folder is called.

use std::cell::RefCell;
use std::path::{Component, Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Cause, Root};

/// What was mounted, in order.
#[derive(Debug, Default)]
pub(super) struct Anchors(RefCell<Vec<(PathBuf, OwnedFd)>>);

impl Anchors {
    /// Keeps the attached mount `tree` for what is below `destination`.
    pub(super) fn keep(&self, destination: &Path, tree: &OwnedFd) -> Result<(), Cause> {
        let tree = rustix::io::fcntl_dupfd_cloexec(tree, 3)?;
        self.0.borrow_mut().push((destination.to_owned(), tree));
        Ok(())
    }
}

impl Root {
    /// Calls `work` with the descriptor from which `path` is to be resolved, and the path from there.
    pub(super) fn at_anchor<R>(&self, path: &Path, work: impl FnOnce(BorrowedFd<'_>, &Path) -> R) -> R {
        let anchors = self.anchors.0.borrow();
        // A path that climbs may end elsewhere.
        let climbs = path.components().any(|component| component == Component::ParentDir);
        let mut found = anchors.iter().rev().filter_map(|(point, tree)| Some((tree, path.strip_prefix(point).ok()?)));
        match found.next().filter(|(_, below)| !climbs && !below.as_os_str().is_empty()) {
            Some((tree, below)) => work(tree.as_fd(), below),
            None => work(self.as_fd(), path),
        }
    }
}
