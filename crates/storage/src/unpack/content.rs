//! The data of a file, with its holes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{UnpackError, failed};
use crate::tar::{Archive, Entry, Piece, Source};

/// Writes the data of `entry` to the new file `file`; what is not in the archive of a sparse file is a hole.
///
/// # Errors
/// If the archive or the file fails.
pub(super) fn write<S: Source>(
    archive: &mut Archive<S>,
    file: &File,
    entry: &Entry,
    buffer: &mut [u8],
) -> Result<(), UnpackError> {
    let whole = [Piece { offset: 0, length: entry.size }];
    let pieces = entry.sparse.as_ref().map_or(&whole[..], |sparse| &sparse.pieces);
    for piece in pieces {
        let mut done = 0;
        while done < piece.length {
            let most = usize::try_from(piece.length - done).unwrap_or(usize::MAX).min(buffer.len());
            let count = archive.read_data(&mut buffer[..most])?;
            file.write_all_at(&buffer[..count], piece.offset + done).map_err(failed(entry, "write the file"))?;
            done += count as u64;
        }
    }
    match &entry.sparse {
        Some(sparse) => file.set_len(sparse.length).map_err(failed(entry, "set its length")),
        None => Ok(()),
    }
}
