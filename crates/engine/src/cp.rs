//! `cp`: files from a container and into one.
//!
//! The side of the container is a child whose root is the container's ([`crate::inside`]); the side of the host is the caller. What
//! goes between them is a tar archive, read by the reader that takes strangers' layers.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use stockade_images::make::decompressed;
use stockade_kernel::chain::chain;
use stockade_kernel::procfs::Procfs;
use stockade_monitor::events::ContainerAction;
use stockade_storage::pack::{
    self, ExtractError, Extracted, Form, Keep, Naming, Owners, Ownership, PackError, Place, RootEntry, Tree,
};
use stockade_storage::tar::{Archive, Stream};

use crate::container::ContainerError;
use crate::cp_place::{self, Copied, Given, PlaceError};
use crate::inside::{self, Here, Inside, InsideError, Rights, Seen};
use crate::{ContainerId, Engine};

/// What is copied, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The path in the container; a relative one is taken from `/`.
    pub inside: OsString,
    /// Whose the copies are.
    pub ids: Ids,
    /// What becomes of a link that is named as the source.
    pub link: Link,
}

/// Whose the copies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// On the host the caller's, in the container root's. On the host the copies give nobody rights: no set-user-id bits, no
    /// capabilities, no devices.
    Receivers,
    /// The same numbers as before (`--archive`).
    Kept,
}

/// What becomes of a link that is named as the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is copied as a link.
    Copied,
    /// What it leads to is copied (`--follow-link`).
    Followed,
}

impl Link {
    fn flags(self) -> OFlags {
        match self {
            Self::Copied => OFlags::NOFOLLOW,
            Self::Followed => OFlags::empty(),
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many bytes the archive between the sides had.
    pub bytes: u64,
    /// How many devices were left out.
    pub devices_left_out: u64,
}

/// Why something was not copied, or not all of it. What was copied stays.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The side of the container.
    #[error(transparent)]
    Inside(#[from] InsideError),
    /// A path of the host.
    #[error("{0}")]
    Place(String),
    /// Reading the host's files.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Writing the host's files.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// A device, which the host does not get.
    #[error("it is a device, which is copied to the host only with its owner, by --archive")]
    Device,
    /// A stream.
    #[error("cannot {action}")]
    Stream {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl From<PlaceError> for CopyError {
    fn from(error: PlaceError) -> Self {
        Self::Place(chain(&error))
    }
}

/// For `map_err`.
fn doing<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> CopyError {
    move |source| CopyError::Stream { action, source: source.into() }
}

/// The first component of all names between the sides.
const TOP: &[u8] = b"copied";
/// How much of an archive is written at once.
const CHUNK: usize = 64 << 10;
/// What the container's side says of the source before the archive.
const DIRECTORY: u8 = b'd';
const FILE: u8 = b'f';

/// Copies from the container to the path `to` of the host.
///
/// # Errors
/// See [`CopyError`].
pub fn copy_from(engine: &Engine, id: &ContainerId, copy: &Copy, to: &Path) -> Result<Outcome, CopyError> {
    let given = Given::read(&copy.inside, Path::new("/"));
    sending(engine, id, copy, &given, TOP, |child, mut reader| {
        let Some(first) = first_byte(&mut reader)? else { return Err(without_archive(child)) };
        let name = given.name.clone().filter(|_name| !given.contents);
        let copied = Copied { name, is_directory: first == DIRECTORY };
        let root = root_of_the_host()?;
        let target = cp_place::target(root.as_fd(), &on_the_host(to.as_os_str())?, &copied)?;
        let same = Owners::default();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (ownership, keep) = match copy.ids {
            Ids::Receivers => (Ownership::Fixed(uid, gid), Keep::Harmless),
            Ids::Kept => (Ownership::Archive(&same), Keep::Everything),
        };
        let place = Place { directory: target.directory.as_fd(), naming: target.naming(), ownership, keep };
        let mut archive = Archive::new(Stream(Counted { from: reader, count: 0 }));
        let extracted = pack::extract(&mut archive, &place);
        let Stream(Counted { count, .. }) = archive.into_source();
        // What went wrong there comes first: what was read here is short because of it.
        child.finish::<()>()?;
        let extracted = extracted?;
        if extracted.devices_left_out > 0 && !copied.is_directory {
            return Err(CopyError::Device);
        }
        Ok(Outcome { bytes: count, devices_left_out: extracted.devices_left_out })
    })
}

/// Writes what is copied from the container to `out`, as a tar archive with the container's ids.
///
/// # Errors
/// See [`CopyError`]; then what was written is no whole archive.
pub fn stream_from(engine: &Engine, id: &ContainerId, copy: &Copy, out: &mut impl Write) -> Result<Outcome, CopyError> {
    let given = Given::read(&copy.inside, Path::new("/"));
    let name = given.name.clone().filter(|_name| !given.contents);
    let name = name.as_deref().map_or(&b"."[..], OsStr::as_bytes).to_vec();
    sending(engine, id, copy, &given, &name, |child, mut reader| {
        if first_byte(&mut reader)?.is_none() {
            return Err(without_archive(child));
        }
        let copied = io::copy(&mut reader, out).and_then(|count| out.flush().map(|()| count));
        let bytes = copied.map_err(doing("write the archive"))?;
        child.finish::<()>()?;
        Ok(Outcome { bytes, devices_left_out: 0 })
    })
}

/// What the container's side says of the source; `None` if it has failed.
fn first_byte(reader: &mut File) -> Result<Option<u8>, CopyError> {
    let mut first = [0];
    let count = reader.read(&mut first).map_err(doing("read from the container"))?;
    Ok((count == 1).then_some(first[0]))
}

/// Why the container's side has sent nothing.
fn without_archive(child: Inside) -> CopyError {
    let silent = || doing("read from the container")(io::Error::from(io::ErrorKind::UnexpectedEof));
    child.finish::<()>().map_or_else(Into::into, |()| silent())
}

/// Has a child in the container send what is copied, with names that begin with `name`, and `receive` take it.
fn sending<T>(
    engine: &Engine,
    id: &ContainerId,
    copy: &Copy,
    given: &Given,
    name: &[u8],
    receive: impl FnOnce(Inside, File) -> Result<T, CopyError>,
) -> Result<T, CopyError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(doing("make a pipe"))?;
    let send = |here: &Here<'_>| -> Result<(), String> {
        let (source, copied) = cp_place::source(here.root, given, copy.link.flags()).map_err(|error| chain(&error))?;
        let stream = writer.try_clone().map_err(|error| error.to_string())?;
        let mut stream = BufWriter::with_capacity(CHUNK, File::from(stream));
        let first = if copied.is_directory { DIRECTORY } else { FILE };
        stream.write_all(&[first]).map_err(|error| error.to_string())?;
        let whole = Whole { source: &source, procfs: here.procfs, name, owners: here.owners };
        whole.pack(&mut stream).map_err(|error| chain(&error))
    };
    let child = inside::begin(engine, &folder, &view, Seen::WithMounts, Rights::Read, send)?;
    drop(writer);
    let received = receive(child, File::from(reader))?;
    engine.happened_to(&view.record, &ContainerAction::Copy);
    Ok(received)
}

/// Copies `from`, a path of the host, into the container.
///
/// # Errors
/// See [`CopyError`].
pub fn copy_into(engine: &Engine, id: &ContainerId, copy: &Copy, from: &Path) -> Result<Outcome, CopyError> {
    let root = root_of_the_host()?;
    let given = on_the_host(from.as_os_str())?;
    let (source, copied) = cp_place::source(root.as_fd(), &given, copy.link.flags())?;
    let procfs = Procfs::host().map_err(doing("open /proc"))?;
    let inside = Given::read(&copy.inside, Path::new("/"));
    let receive = |here: &Here<'_>, stream: File| {
        let target = cp_place::target(here.root, &inside, &copied).map_err(|error| chain(&error))?;
        extract_inside(here, copy.ids, target.directory.as_fd(), target.naming(), stream)
    };
    receiving(engine, id, receive, |stream| {
        let owners = Owners::default();
        Whole { source: &source, procfs: &procfs, name: TOP, owners: &owners }.pack(stream)
    })
}

/// Puts a tar archive, plain or compressed by gzip or zstd, into a directory of the container.
///
/// # Errors
/// See [`CopyError`].
pub fn stream_into(engine: &Engine, id: &ContainerId, copy: &Copy, from: &mut impl Read) -> Result<Outcome, CopyError> {
    let inside = Given::read(&copy.inside, Path::new("/"));
    let receive = |here: &Here<'_>, stream: File| {
        let directory = cp_place::directory(here.root, &inside).map_err(|error| chain(&error))?;
        // By this process, with what is compiled into it (CVE-2026-41567).
        let archive = decompressed(stream).map_err(|error| format!("cannot read the archive: {error}"))?;
        extract_inside(here, copy.ids, directory.as_fd(), Naming::Kept, archive)
    };
    receiving(engine, id, receive, |stream| {
        io::copy(from, stream).and_then(|_count| stream.flush()).map_err(PackError::Write)
    })
}

/// Has a child in the container `receive` what `send` writes.
fn receiving(
    engine: &Engine,
    id: &ContainerId,
    receive: impl FnOnce(&Here<'_>, File) -> Result<u64, String>,
    send: impl FnOnce(&mut Counting) -> Result<(), PackError>,
) -> Result<Outcome, CopyError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(doing("make a pipe"))?;
    let mut ends = (reader, Some(writer));
    let child = {
        let (reader, writer) = &mut ends;
        let work = |here: &Here<'_>| {
            // Its own copy would keep the stream from ever ending.
            drop(writer.take());
            let stream = reader.try_clone().map_err(|error| error.to_string())?;
            receive(here, File::from(stream))
        };
        inside::begin(engine, &folder, &view, Seen::WithMounts, Rights::Write, work)?
    };
    let (reader, writer) = ends;
    drop(reader);
    let Some(writer) = writer else { return Err(doing("make a pipe")(rustix::io::Errno::BADF)) };
    let mut stream = Counting { to: BufWriter::with_capacity(CHUNK, File::from(writer)), count: 0 };
    let sent = send(&mut stream);
    let bytes = stream.count;
    // Without what is in the buffer still, if sending failed: the other side is to see that it is cut.
    drop(stream.to.into_parts());
    let devices_left_out = match (sent, child.finish::<u64>()) {
        (Ok(()), received) => received?,
        // The other side has stopped reading: it says why, or has all that it takes.
        (Err(PackError::Write(error)), received) if error.kind() == io::ErrorKind::BrokenPipe => received?,
        (Err(error), _) => return Err(error.into()),
    };
    engine.happened_to(&view.record, &ContainerAction::Copy);
    Ok(Outcome { bytes, devices_left_out })
}

/// In the child: takes an archive.
fn extract_inside(
    here: &Here<'_>,
    ids: Ids,
    directory: rustix::fd::BorrowedFd<'_>,
    naming: Naming<'_>,
    stream: impl Read,
) -> Result<u64, String> {
    let ownership = match ids {
        Ids::Kept => Ownership::Archive(here.owners),
        Ids::Receivers => {
            let root = here.owners.outside(0, 0).ok_or("the container's user namespace has no root")?;
            Ownership::Fixed(root.0, root.1)
        }
    };
    let place = Place { directory, naming, ownership, keep: Keep::Everything };
    let extracted: Extracted =
        pack::extract(&mut Archive::new(Stream(stream)), &place).map_err(|error| chain(&error))?;
    Ok(extracted.devices_left_out)
}

/// A source with all that is in it.
struct Whole<'a> {
    source: &'a OwnedFd,
    procfs: &'a Procfs,
    name: &'a [u8],
    owners: &'a Owners,
}

impl Whole<'_> {
    fn pack(&self, out: &mut impl Write) -> Result<(), PackError> {
        let left_out = BTreeSet::new();
        let tree = Tree {
            root: self.source.as_fd(),
            procfs: self.procfs,
            name: self.name,
            root_entry: RootEntry::Written,
            form: Form::Merged,
            owners: self.owners,
            left_out: &left_out,
        };
        pack::pack(&tree, out)
    }
}

fn root_of_the_host() -> Result<OwnedFd, CopyError> {
    rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(doing("open /"))
}

/// A path of the caller's.
fn on_the_host(text: &OsStr) -> Result<Given, CopyError> {
    let here = std::env::current_dir().map_err(doing("tell the working directory"))?;
    Ok(Given::read(text, &here))
}

/// A reader that counts.
struct Counted<R> {
    from: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// A writer that counts.
struct Counting {
    to: BufWriter<File>,
    count: u64,
}

impl Write for Counting {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.to.write(buffer)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
