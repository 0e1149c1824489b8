//! What the fuzzers reach of this crate; compiled for them only.
//!
//! Each takes any bytes, must come back, and asserts what holds for all of them.
#![allow(clippy::panic)]

use std::os::fd::BorrowedFd;

use crate::Privilege;
use crate::tar::{Archive, Kind, Stream};
use crate::unpack::{Umask, fuzz_meaning, set_opaque, unpack as unpack_archive};

/// Entries of an archive: their data is in the archive, and names have no zero bytes.
pub fn entries(bytes: &[u8]) {
    let mut archive = Archive::new(Stream(bytes));
    let mut last = 0;
    while let Ok(Some(entry)) = archive.next_entry() {
        assert!(entry.position > last && entry.position <= bytes.len() as u64);
        if let Some(sparse) = &entry.sparse {
            let end = sparse.pieces.iter().fold(0, |end, piece| {
                assert!(piece.offset >= end);
                piece.offset + piece.length
            });
            assert!(end <= sparse.length && entry.size <= sparse.length);
        }
        assert!(!entry.path.contains(&0) && !entry.link.contains(&0));
        assert!(entry.kind == Kind::File || entry.size == 0);
        assert!(entry.mtime.1 < 1_000_000_000 && entry.uid != u32::MAX && entry.gid != u32::MAX);
        last = entry.position;
    }
}

/// Names of entries and whiteouts: what is accepted leads nowhere but down.
pub fn names(bytes: &[u8]) {
    fuzz_meaning(bytes);
}

/// Unpacks into the empty folder `root`; whether all of it could be.
#[must_use]
pub fn unpack(bytes: &[u8], root: BorrowedFd<'_>) -> bool {
    let unpacked = unpack_archive(&mut Archive::new(Stream(bytes)), root, Umask::Unknown, Privilege::Host);
    unpacked.is_ok_and(|told| {
        set_opaque(root, told.opaque.iter().map(std::path::PathBuf::as_path), Privilege::Host).is_ok()
    })
}
