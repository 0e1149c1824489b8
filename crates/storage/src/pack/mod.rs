//! A tree as a tar archive, and an archive into a tree that is in use: what `export`, `commit` and `cp` are made of.
//!
//! [`pack`] walks by descriptors, follows no link, opens nothing but directories and regular files, and of those only what it has
//! looked at before, so that neither a FIFO nor a device that is swapped in is ever opened. The tree may be written to meanwhile:
//! what vanishes is left out, a file that shrinks is filled with zeros and one that grows is cut, so that the archive stays
//! whole. Names are in the order of their bytes: the same tree is the same archive.
//!
//! [`extract`] puts an archive into a directory where other things are already, as `cp` does.

mod attributes;
mod encode;
mod extract;
mod owners;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use rustix::fd::BorrowedFd;
use stockade_kernel::procfs::Procfs;

pub use encode::end;
pub use extract::{ExtractError, Extracted, Keep, Naming, Ownership, Place, extract};
pub use owners::{Owners, Range};
pub use walk::is_the_kernels;
pub(crate) use walk::{marked_opaque, names};

/// A tree to pack.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// Its root: a directory, or one file of any kind. `O_PATH` is enough.
    pub root: BorrowedFd<'a>,
    /// procfs of the caller's pid namespace, by which what was looked at is opened: `/proc` may be a stranger's by now.
    pub procfs: &'a Procfs,
    /// What the root is called in the archive, without slashes; the names of all else begin with it, unless it is `.`.
    pub name: &'a [u8],
    /// Whether a root directory has an entry of its own.
    pub root_entry: RootEntry,
    /// What the tree is.
    pub form: Form,
    /// How the ids on the disk are read.
    pub owners: &'a Owners,
    /// Paths below the root that are left out with all that is in them.
    pub left_out: &'a BTreeSet<PathBuf>,
}

/// Whether the root directory has an entry of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootEntry {
    /// It has, so that its owner, mode and time are in the archive.
    Written,
    /// It has not, as in `docker export`.
    LeftOut,
}

/// What a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What a container sees, or any tree of the host.
    Merged,
    /// The upper folder of an overlay, or a layer: whiteouts and opaque directories become `.wh.` entries (image-spec, layer.md).
    /// Reading the marks takes CAP_SYS_ADMIN.
    Layer,
}

/// Why a tree was not packed. The archive is not to be used.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something in the tree.
    #[error("cannot {step} `{path}`")]
    Read {
        /// Its path in the archive.
        path: String,
        /// What was attempted.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Where the archive goes.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// What no archive can hold.
    #[error("`{path}` cannot be in the archive: it {reason}")]
    Unfit {
        /// Its path in the archive.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// More files than any image has.
    #[error("the tree has more than {0} files and directories")]
    TooMany(u64),
}

/// Writes `tree` to `out` as a tar archive (ustar, with pax headers where they are needed), with its end. Sockets, and what is on
/// procfs, sysfs and their like below the root, are left out.
///
/// # Errors
/// See [`PackError`].
pub fn pack(tree: &Tree<'_>, out: &mut impl Write) -> Result<(), PackError> {
    walk::walk(tree, out)?;
    out.write_all(&encode::end()).and_then(|()| out.flush()).map_err(PackError::Write)
}

/// A name for messages.
fn shown(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}
