//! `host`: this machine's programs as an image, and nothing else of it.
//!
//! The programs are the machine's own `/usr` (and `/bin`, `/lib`, ... where they are folders of their own), bound read-only,
//! without set-user-id bits and devices. Everything around them is a layer that is made here: the folders that programs
//! expect, a small `/etc` of public facts, and no file that says who this machine or its users are. The layer is made as a tar
//! archive in memory and goes the way of every other layer, so it is made once for as long as what it is made of is the same.
//! What stands in the machine's `/usr/local` is part of `/usr` and thus of the image.

mod etc;
mod layer;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use stockade_storage::{Compression, Digest, EnsureError, Layers};

use crate::{Image, ImageConfig, ReadOnlyBind, Reference};
use layer::{Node, Tree};

/// Why this machine cannot be an image.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no `/usr`, or it is a link.
    #[error("{0} is not a folder")]
    NoFolder(PathBuf),
    /// A link at the top that leads to something that is not part of the image.
    #[error("{path} leads to {target}, which is not part of the image")]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A file that is larger than such a file ever is.
    #[error("{path} has more than {most} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        most: u64,
    },
    /// A file or folder could not be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The layer could not be written as an archive.
    #[error("write the archive of the layer")]
    Pack(#[source] io::Error),
    /// The layer could not be unpacked.
    #[error(transparent)]
    Layer(#[from] EnsureError),
}

/// The names at the top under which programs and libraries are reached (hier(7)).
const PROGRAMS: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"];

/// The empty folders and their modes.
const FOLDERS: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
];

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes the image of the machine whose root directory is `/`.
///
/// # Errors
/// See [`HostError`]; nothing is left behind.
pub(crate) fn load(layers: &Layers) -> Result<Image, HostError> {
    let root = Path::new("/");
    let (tree, binds) = gather(root)?;
    let archive = tree.pack().map_err(HostError::Pack)?;
    let diff_id = Digest::of(&archive);
    let layer = match layers.find(&diff_id) {
        Some(layer) => layer,
        None => layers.ensure(&diff_id, Compression::None, archive.as_slice())?,
    };
    let shell = ["usr/bin/bash", "bin/bash"].iter().any(|path| root.join(path).exists());
    let config = ImageConfig {
        env: vec![format!("PATH={PATH}")],
        cmd: vec![if shell { "bash" } else { "sh" }.to_owned()],
        working_dir: "/".to_owned(),
        ..ImageConfig::default()
    };
    Ok(Image { reference: Reference::Host, id: None, config, lowers: vec![layer], binds })
}

/// The layer around the programs, and the folders of programs.
fn gather(root: &Path) -> Result<(Tree, Vec<ReadOnlyBind>), HostError> {
    let mut tree = Tree::default();
    for (path, mode) in FOLDERS {
        tree.add(path, Node::Folder(*mode));
    }
    let mut binds = vec![bind(root, "usr")];
    let usr = root.join("usr");
    if !usr.symlink_metadata().is_ok_and(|data| data.is_dir()) {
        return Err(HostError::NoFolder(usr));
    }
    for name in PROGRAMS {
        let path = root.join(name);
        let Ok(data) = path.symlink_metadata() else { continue };
        if data.is_dir() {
            tree.add(name, Node::Folder(0o755));
            binds.push(bind(root, name));
        } else if data.is_symlink() {
            let target = std::fs::read_link(&path).map_err(|source| HostError::Read { path: path.clone(), source })?;
            if !leads_to_programs(&target) {
                return Err(HostError::Link { path, target });
            }
            tree.add(name, Node::Link(target));
        }
    }
    etc::add(root, &mut tree)?;
    Ok((tree, binds))
}

fn bind(root: &Path, name: &str) -> ReadOnlyBind {
    ReadOnlyBind { source: root.join(name), target: Path::new("/").join(name) }
}

/// Whether a path, absolute or from the root, starts in a folder of programs.
fn leads_to_programs(target: &Path) -> bool {
    use std::path::Component;
    let target = target.strip_prefix("/").unwrap_or(target);
    let mut components = target.components();
    let Some(Component::Normal(first)) = components.next() else { return false };
    let known = first == "usr" || PROGRAMS.iter().any(|name| first == *name);
    known && components.all(|component| matches!(component, Component::Normal(_)))
}
