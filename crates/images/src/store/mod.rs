//! The named files that an image consists of: in a folder, or in a tar archive that is read in place.

mod archive;

use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;
use stockade_storage::tar::TarError;

use archive::Index;

/// Why a file of an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or archive itself.
    #[error("open {path}")]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The archive is no regular file, so that it cannot be read in place.
    #[error("{0} is not a regular file")]
    NoArchive(PathBuf),
    /// The archive is compressed as a whole, so that it cannot be read in place.
    #[error("archive {path} is compressed: decompress it first, with `{program}`")]
    Compressed {
        /// The archive.
        path: PathBuf,
        /// The program that does it.
        program: &'static str,
    },
    /// The archive is no tar archive, or a broken one.
    #[error("read the entries of archive {path}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        source: TarError,
    },
    /// Two entries of the archive have one name, which readers understand differently.
    #[error("the archive has two entries `{0}`")]
    Twice(String),
    /// The archive has more entries than any image needs.
    #[error("the archive has more than {} entries", archive::MOST_ENTRIES)]
    TooManyEntries,
    /// The archive could not be read, decompressed or copied to where it can be read in place.
    #[error("copy the archive to the data folder")]
    Spool(#[source] io::Error),
    /// The archive is larger than any is.
    #[error("the archive has more than {0} bytes")]
    ArchiveTooLarge(u64),
    /// A file that the image should have.
    #[error("the image has no file `{0}`")]
    Missing(String),
    /// Something else in its place.
    #[error("`{0}` of the image is not a regular file")]
    NotAFile(String),
    /// It could not be opened or read.
    #[error("read `{name}` of the image")]
    Read {
        /// The file.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Where an image's files are.
#[derive(Debug)]
pub(crate) enum Store {
    /// A folder, which is resolved as a root of its own.
    Folder(OwnedFd),
    /// An archive and the places of its files.
    Archive(Index),
}

impl Store {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn folder(path: &Path) -> Result<Self, StoreError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        opened.map(Self::Folder).map_err(|error| StoreError::Open { path: path.to_owned(), source: error.into() })
    }

    /// Opens the archive at `path` and reads where its files are.
    ///
    /// # Errors
    /// If it is no uncompressed tar archive, or a file is in it twice.
    pub(crate) fn archive(path: &Path) -> Result<Self, StoreError> {
        Index::read(path).map(Self::Archive)
    }

    /// The same for an archive that is open already, a regular file.
    ///
    /// # Errors
    /// As [`Store::archive`].
    pub(crate) fn opened(file: std::fs::File) -> Result<Self, StoreError> {
        Index::of(file, Path::new("that was given")).map(Self::Archive)
    }

    /// The file `name`, `None` if there is none.
    ///
    /// # Errors
    /// If it is not a regular file, or cannot be opened.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Part>, StoreError> {
        match self {
            Self::Archive(index) => index.find(name),
            Self::Folder(folder) => in_folder(folder, name),
        }
    }

    /// The file `name`.
    ///
    /// # Errors
    /// As [`Store::find`], and if there is none.
    pub(crate) fn open(&self, name: &str) -> Result<Part, StoreError> {
        self.find(name)?.ok_or_else(|| StoreError::Missing(name.to_owned()))
    }
}

/// A regular file in the folder. It is looked at before it is opened, because opening a device is not without effect.
fn in_folder(folder: &OwnedFd, name: &str) -> Result<Option<Part>, StoreError> {
    let failed = |source| StoreError::Read { name: name.to_owned(), source };
    let found = match resolve::open_in_root(folder, name, OFlags::PATH, Mode::empty()) {
        Ok(found) => found,
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let is_regular = |file: &OwnedFd| -> Result<u64, StoreError> {
        let stat = rustix::fs::fstat(file).map_err(|error| failed(error.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(stat.st_size.cast_unsigned()),
            _ => Err(StoreError::NotAFile(name.to_owned())),
        }
    };
    is_regular(&found)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = resolve::open_in_root(folder, name, flags, Mode::empty()).map_err(failed)?;
    let size = is_regular(&file)?;
    Ok(Some(Part { file: Arc::new(file.into()), position: 0, end: size }))
}

/// A file of an image, or what of it was not read yet. Copies read on their own.
#[derive(Clone, Debug)]
pub struct Part {
    file: Arc<std::fs::File>,
    position: u64,
    end: u64,
}

impl Part {
    /// The whole of a file.
    ///
    /// # Errors
    /// If its size cannot be told.
    pub(crate) fn whole(file: Arc<std::fs::File>) -> io::Result<Self> {
        let end = file.metadata()?.len();
        Ok(Self { file, position: 0, end })
    }

    /// How many bytes are left.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.end - self.position
    }

    /// Passes over so many of the bytes that are left, or all of them.
    pub(crate) fn skip(&mut self, count: u64) {
        self.position += count.min(self.size());
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.size()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        match self.file.read_at(&mut buffer[..most], self.position)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.position += count as u64;
                Ok(count)
            }
        }
    }
}
