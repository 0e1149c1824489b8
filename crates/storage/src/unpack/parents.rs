//! The directories that entries go to, kept open: most entries go to where one of the last few went.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fd::OwnedFd;

/// How many are kept: about as many as a tree is deep.
const KEPT: usize = 16;

/// The bit of set-group-id in a mode.
const SET_GROUP_ID: u32 = 0o2000;

/// A directory that is open as a place (`O_PATH`).
pub(super) struct Parent {
    path: PathBuf,
    fd: OwnedFd,
    /// Whether what is made in it gets its group or its access control list.
    pub(super) passes_on: bool,
}

impl AsFd for Parent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Those that were used last, the last one at the end.
pub(super) struct Parents {
    kept: Vec<Rc<Parent>>,
    /// Whether any directory may have a default access control list, which new directories in it get too.
    lists: bool,
}

impl Parents {
    pub(super) fn new(lists: bool) -> Self {
        Self { kept: Vec::new(), lists }
    }

    /// The directory that `path` led to, if it is kept.
    pub(super) fn find(&mut self, path: &Path) -> Option<Rc<Parent>> {
        let index = self.kept.iter().rposition(|parent| parent.path == path)?;
        let found = self.kept.remove(index);
        self.kept.push(Rc::clone(&found));
        Some(found)
    }

    /// Keeps the directory that `path` leads to.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub(super) fn remember(&mut self, path: &Path, fd: OwnedFd) -> io::Result<Rc<Parent>> {
        let passes_on = self.lists || rustix::fs::fstat(&fd)?.st_mode & SET_GROUP_ID != 0;
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        let parent = Rc::new(Parent { path: path.to_owned(), fd, passes_on });
        self.kept.push(Rc::clone(&parent));
        Ok(parent)
    }

    /// Forgets all: a name may lead elsewhere from now on.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }

    /// The directory at `path` got new attributes, with a default access control list or without one.
    pub(super) fn changed(&mut self, path: &Path, lists: bool) {
        if lists && !self.lists {
            self.lists = true;
            self.forget();
        }
        // Others may be the same directory by another name.
        if self.kept.iter().any(|parent| parent.path == path || parent.passes_on) {
            self.forget();
        }
    }
}
