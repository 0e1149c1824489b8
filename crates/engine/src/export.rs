//! `export`: the container's file system as a tar archive.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};

use rustix::pipe::{PipeFlags, pipe_with};
use stockade_kernel::chain::chain;
use stockade_monitor::events::ContainerAction;
use stockade_storage::pack::{self, Form, RootEntry, Tree};

use crate::container::ContainerError;
use crate::inside::{self, InsideError, Rights, Seen};
use crate::{ContainerId, Engine};

/// Why there is no archive, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Its file system.
    #[error("cannot export the container's file system")]
    Inside(#[from] InsideError),
    /// Where the archive goes.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

/// Writes what is in the root file system of the container, running or not, to `out`: the image's files and the container's own,
/// without what is mounted, owned as the container sees it. It is neither started nor removed meanwhile.
///
/// # Errors
/// See [`ExportError`]; then what was written is no whole archive.
pub fn export(engine: &Engine, id: &ContainerId, out: &mut impl Write) -> Result<(), ExportError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| InsideError::Process(errno.into()))?;
    let work = |here: &inside::Here<'_>| {
        let left_out = BTreeSet::new();
        let tree = Tree {
            root: here.root,
            procfs: here.procfs,
            name: b".",
            root_entry: RootEntry::LeftOut,
            form: Form::Merged,
            owners: here.owners,
            left_out: &left_out,
        };
        let stream = writer.try_clone().map_err(|error| error.to_string())?;
        pack::pack(&tree, &mut BufWriter::with_capacity(64 << 10, File::from(stream))).map_err(|error| chain(&error))
    };
    let child = inside::begin(engine, &folder, &view, Seen::RootAlone, Rights::Read, work)?;
    drop(writer);
    let copied = io::copy(&mut File::from(reader), out).and_then(|_count| out.flush());
    match copied {
        // Closing the stream has ended the child.
        Err(error) => Err(ExportError::Write(error)),
        Ok(()) => {
            child.finish::<()>()?;
            engine.happened_to(&view.record, &ContainerAction::Export);
            Ok(())
        }
    }
}
