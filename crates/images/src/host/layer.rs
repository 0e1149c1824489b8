//! A few files and folders as a tar archive that is the same for the same content.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

/// What a path of the layer is; all of it belongs to root.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A folder with this mode.
    Folder(u32),
    /// A file with this content, which everyone may read.
    File(Vec<u8>),
    /// A symbolic link with this target.
    Link(PathBuf),
}

/// The layer by path; folders come before what is in them.
#[derive(Debug, Default)]
pub(super) struct Tree(pub(super) BTreeMap<PathBuf, Node>);

impl Tree {
    /// Adds `node` at `path`, relative to the root.
    pub(super) fn add(&mut self, path: impl AsRef<Path>, node: Node) {
        self.0.insert(path.as_ref().to_owned(), node);
    }

    /// The archive. Its times are those of 1970, so that its digest tells its content only.
    ///
    /// # Errors
    /// For a path or target that tar cannot hold.
    pub(super) fn pack(&self) -> io::Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        let mut root = header(EntryType::Directory, 0o755, 0);
        builder.append_data(&mut root, "./", io::empty())?;
        for (path, node) in &self.0 {
            match node {
                Node::Folder(mode) => {
                    builder.append_data(&mut header(EntryType::Directory, *mode, 0), path, io::empty())?;
                }
                Node::File(content) => {
                    let size = content.len() as u64;
                    builder.append_data(&mut header(EntryType::Regular, 0o644, size), path, content.as_slice())?;
                }
                Node::Link(target) => {
                    builder.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target)?;
                }
            }
        }
        builder.into_inner()
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
