//! `diff`: what a container changed in its image's files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use stockade_kernel::chain::chain;
use stockade_storage::changes::{self, Kind, Stack};
use stockade_storage::pack::Owners;
use stockade_storage::{ContainerRoot, Privilege};

use crate::container::{CONFIG, ContainerError, Locked, View};
use crate::files::{self, FileError};
use crate::inside::{self, InsideError, Rights, Seen};
use crate::{ContainerId, Engine};

/// Why the changes cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A layer.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files.
    #[error("cannot tell what the container changed")]
    Inside(#[from] InsideError),
    /// This process.
    #[error("cannot learn this process's privilege")]
    Privilege(#[source] io::Error),
    /// What the child told is no list of changes.
    #[error("cannot read what the process in the container's file system found")]
    Answer,
}

/// The most that a child tells of changes, in bytes.
const LONGEST: u64 = 512 << 20;

/// What the container added, changed and deleted, in the order of the paths. What the runtime made to mount something on is no
/// change.
///
/// # Errors
/// See [`DiffError`].
pub fn diff(engine: &Engine, id: &ContainerId) -> Result<Vec<(PathBuf, Kind)>, DiffError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    let Some(opened) = Opened::open(&folder, &view)? else { return Ok(Vec::new()) };
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| InsideError::Process(errno.into()))?;
    let work = |_here: &inside::Here<'_>| {
        let found = changes::changes(&opened.stack()).map_err(|error| chain(&error))?;
        let stream = writer.try_clone().map_err(|error| error.to_string())?;
        tell(found.into_iter(), &mut BufWriter::new(File::from(stream))).map_err(|error| error.to_string())
    };
    let child = inside::begin(engine, &folder, &view, Seen::Upper, Rights::ReadMarks, work)?;
    drop(writer);
    let mut told = Vec::new();
    File::from(reader).take(LONGEST).read_to_end(&mut told).map_err(InsideError::Process)?;
    child.finish::<()>()?;
    hear(&told).ok_or(DiffError::Answer)
}

/// Writes each change as Docker's letter and the path, up to a zero byte.
fn tell(changes: impl Iterator<Item = (PathBuf, Kind)>, out: &mut impl Write) -> io::Result<()> {
    for (path, kind) in changes {
        write!(out, "{}", kind.letter())?;
        out.write_all(path.as_os_str().as_bytes())?;
        out.write_all(&[0])?;
    }
    out.flush()
}

/// What [`tell`] wrote; `None` if it is anything else.
fn hear(told: &[u8]) -> Option<Vec<(PathBuf, Kind)>> {
    let Some(all) = told.strip_suffix(&[0]) else { return told.is_empty().then(Vec::new) };
    let change = |line: &[u8]| {
        let (letter, path) = line.split_first()?;
        let kinds = [Kind::Changed, Kind::Added, Kind::Deleted];
        let kind = kinds.into_iter().find(|kind| kind.letter() == char::from(*letter))?;
        path.starts_with(b"/").then(|| (PathBuf::from(OsStr::from_bytes(path)), kind))
    };
    all.split(|byte| *byte == 0).map(change).collect()
}

/// A container's folders, opened.
pub(crate) struct Opened {
    upper: OwnedFd,
    lowers: Vec<OwnedFd>,
    owners: Owners,
    privilege: Privilege,
    mount_points: BTreeSet<PathBuf>,
}

impl Opened {
    /// Opens them; `None` if the container was never started and so has no upper folder.
    pub(crate) fn open(folder: &Locked, view: &View) -> Result<Option<Self>, DiffError> {
        let path = ContainerRoot::at(&folder.0.path).upper;
        let upper = match files::open_folder(&path) {
            Ok(upper) => upper,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(FileError::at("open", path)(errno).into()),
        };
        let open = |path: &PathBuf| files::open_folder(path).map_err(FileError::at("open", path));
        let lowers = view.record.image.lowers.iter().map(open).collect::<Result<_, _>>()?;
        let mount_points = mount_points(folder, view)?;
        let privilege = Privilege::here().map_err(DiffError::Privilege)?;
        Ok(Some(Self { upper, lowers, owners: inside::owners(view), privilege, mount_points }))
    }

    /// For [`changes`].
    pub(crate) fn stack(&self) -> Stack<'_> {
        let Self { upper, lowers, owners, privilege, mount_points } = self;
        Stack { upper: upper.as_fd(), lowers, owners, privilege: *privilege, mount_points }
    }
}

/// Where something is mounted that the user did not ask for, relative to the root.
fn mount_points(folder: &Locked, view: &View) -> Result<BTreeSet<PathBuf>, DiffError> {
    let spec: Option<stockade_spec::Spec> = folder.0.read(CONFIG)?;
    let asked_for: BTreeSet<&str> = view.record.mounts.iter().map(|mount| mount.destination.as_str()).collect();
    let mounts = spec.into_iter().flat_map(|spec| spec.mounts).map(|mount| mount.destination);
    let own = mounts.filter(|path| !asked_for.contains(path.to_string_lossy().as_ref()));
    Ok(own.filter_map(|path| path.strip_prefix("/").ok().map(PathBuf::from)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_heard_as_they_were_told() {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let changes =
            vec![(path(b"/a"), Kind::Added), (path(b"/b\n\xff"), Kind::Changed), (path(b"/c/d"), Kind::Deleted)];
        let mut told = Vec::new();
        tell(changes.clone().into_iter(), &mut told).unwrap();
        assert_eq!(hear(&told), Some(changes));
        assert_eq!(hear(b""), Some(Vec::new()));
        for wrong in [&b"A/a"[..], b"\0", b"X/a\0", b"A\0", b"Aa\0", b"A/a\0\0"] {
            assert_eq!(hear(wrong), None, "{}", wrong.escape_ascii());
        }
    }
}
