//! A layer's bytes on their way: at once into the blob, its digest, and to whoever unpacks them.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use stockade_storage::Digest;

use super::progress::{Progress, Step};
use super::source::{Source, SourceError};
use crate::content::{BlobWriter, Descriptor, IngestError};

/// Why not all of a blob arrived.
#[derive(Debug, thiserror::Error)]
pub enum ArriveError {
    /// The source did not give it.
    #[error(transparent)]
    Source(SourceError),
    /// The source ended before all of it came.
    #[error("{digest} ended {left} bytes early")]
    Early {
        /// The blob.
        digest: Digest,
        /// How many bytes did not come.
        left: u64,
    },
    /// It could not be stored, or is not what its digest says.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Another part of the image failed, which is the reason that counts.
    #[error("another layer failed")]
    Stopped,
}

/// Reads a blob from its beginning: first what is here of it, then the rest from the source, which is stored on the way. Its end
/// is only read if all of it was right.
pub(super) struct Arriving<'a> {
    pub(super) writer: BlobWriter<'a>,
    layer: &'a Descriptor,
    source: &'a dyn Source,
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
    incoming: Option<Box<dyn Read + 'a>>,
    /// How many bytes were here before.
    pub(super) resumed: u64,
    /// What was last told of it.
    told: u64,
    /// What went wrong: whoever reads sees only an error of reading.
    pub(super) failure: Option<ArriveError>,
}

/// How many bytes pass until that is told.
const NEWS: u64 = 128 << 10;

impl<'a> Arriving<'a> {
    pub(super) fn new(
        writer: BlobWriter<'a>,
        layer: &'a Descriptor,
        source: &'a dyn Source,
        progress: &'a dyn Progress,
        stop: &'a AtomicBool,
    ) -> Self {
        Self { writer, layer, source, progress, stop, incoming: None, resumed: 0, told: 0, failure: None }
    }

    /// Stores what nobody has read: all that is left.
    pub(super) fn drain(&mut self) -> Result<(), ArriveError> {
        let copied = io::copy(self, &mut io::sink());
        match (self.failure.take(), copied) {
            (Some(failure), _) => Err(failure),
            (None, Ok(_)) => Ok(()),
            (None, Err(source)) => Err(IngestError::Write { digest: self.layer.digest, source }.into()),
        }
    }

    /// How many bytes are still to come.
    pub(super) fn left(&self) -> u64 {
        self.writer.size() - self.writer.written()
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, ArriveError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ArriveError::Stopped);
        }
        let incoming = match &mut self.incoming {
            Some(incoming) => incoming,
            None => {
                let count = self.writer.read_left(buffer)?;
                if count > 0 {
                    self.resumed = self.writer.written();
                    self.tell();
                    return Ok(count);
                }
                if self.writer.written() == self.writer.size() {
                    self.incoming = Some(Box::new(io::empty()));
                    self.writer.check()?;
                    return Ok(0);
                }
                let opened = self.source.blob(self.layer, self.writer.written()).map_err(ArriveError::Source)?;
                self.incoming.insert(opened)
            }
        };
        let left = self.writer.size() - self.writer.written();
        if left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = loop {
            match incoming.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome.map_err(|error| ArriveError::Source(cause(error)))?,
            }
        };
        let digest = self.layer.digest;
        if count == 0 {
            return Err(ArriveError::Early { digest, left });
        }
        self.writer.write_all(&buffer[..count]).map_err(|source| IngestError::Write { digest, source })?;
        self.tell();
        if self.writer.written() == self.writer.size() {
            // The last bytes are given away only if all of them are right.
            self.writer.check()?;
        }
        Ok(count)
    }

    fn tell(&mut self) {
        let here = self.writer.written();
        if here >= self.told.saturating_add(NEWS) || here == self.writer.size() {
            self.told = here;
            self.progress.layer(self.layer, Step::Downloading(here));
        }
    }
}

impl Read for Arriving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.failure.is_some() {
            return Err(io::Error::other("the blob did not arrive"));
        }
        self.next(buffer).map_err(|failure| {
            self.failure = Some(failure);
            io::Error::other("the blob did not arrive")
        })
    }
}

/// What an error of reading is about: what is wrapped in it, where there is something.
fn cause(error: io::Error) -> SourceError {
    if error.get_ref().is_none() {
        return error.into();
    }
    let kind = error.kind();
    error.into_inner().unwrap_or_else(|| io::Error::from(kind).into())
}
