//! Blobs that were left, in every way that a file can be left.

use std::io::Cursor;
use std::path::PathBuf;

use super::*;
use crate::content::tests::place;

fn content() -> Vec<u8> {
    (0..400_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn partial(data: &tempfile::TempDir, digest: &Digest) -> PathBuf {
    data.path().join("images/ingest").join(digest.hex())
}

#[test]
fn a_blob_goes_on_from_where_it_was_left() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let content = content();
    let (digest, size) = (Digest::of(&content), content.len() as u64);
    for end in [0, 1, 700_001, content.len()] {
        let mut writer = images.writer(&digest, size).unwrap().unwrap();
        let from = usize::try_from(writer.written()).unwrap();
        writer.write_all(&content[from..end]).unwrap();
        assert!(images.blob(&digest).unwrap().is_none(), "it has its name only when it is whole");
        if end == content.len() {
            writer.finish().unwrap();
        } else if end == 1 {
            let short = writer.finish().unwrap_err();
            assert!(matches!(short, IngestError::Short { found: 1, .. }), "{short}");
        }
    }
    assert!(images.writer(&digest, size).unwrap().is_none());
    assert!(!partial(&data, &digest).exists());
    let mut stored = Vec::new();
    images.blob(&digest).unwrap().unwrap().read_to_end(&mut stored).unwrap();
    assert!(stored == content);
}

#[test]
fn what_was_left_is_not_trusted() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let content = content();
    let (digest, size) = (Digest::of(&content), content.len() as u64);
    // Longer than the blob: it is none of it.
    std::fs::write(partial(&data, &digest), vec![0; content.len() + 1]).unwrap();
    assert_eq!(images.writer(&digest, size).unwrap().unwrap().written(), 0);
    // Zeros, as a crash of the machine leaves them: seen at the end, dropped, and new the next time.
    std::fs::write(partial(&data, &digest), vec![0; 1000]).unwrap();
    let mut writer = images.writer(&digest, size).unwrap().unwrap();
    assert_eq!(writer.written(), 1000);
    writer.write_all(&content[1000..]).unwrap();
    assert!(matches!(writer.finish(), Err(IngestError::Digest { .. })));
    assert!(!partial(&data, &digest).exists() && images.blob(&digest).unwrap().is_none());
    images.writer(&digest, size).unwrap().unwrap().fill(&mut Cursor::new(&content)).unwrap();
}

#[test]
fn more_than_was_said_is_not_written() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let digest = Digest::of(b"four");
    let error = images.writer(&digest, 4).unwrap().unwrap().fill(&mut Cursor::new(b"fourfive")).unwrap_err();
    assert!(matches!(error, IngestError::Write { .. }), "{error}");
    assert!(images.blob(&digest).unwrap().is_none());
}

#[test]
fn a_blob_of_the_wrong_size_is_replaced() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let digest = images.put("x", b"content").unwrap().digest;
    std::fs::write(data.path().join("images/blobs/sha256").join(digest.hex()), b"cont").unwrap();
    images.put("x", b"content").unwrap();
    assert_eq!(images.blob(&digest).unwrap().unwrap().size(), 7);
}

#[test]
fn two_share_the_work() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let content = content();
    let (digest, size) = (Digest::of(&content), content.len() as u64);
    let mut first = images.writer(&digest, size).unwrap().unwrap();
    first.write_all(&content[..500_000]).unwrap();
    let written = std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let images = Images::open(data.path()).unwrap();
            let mut writer = images.writer(&digest, size).unwrap().unwrap();
            let from = writer.written();
            writer.write_all(&content[usize::try_from(from).unwrap()..]).unwrap();
            writer.finish().unwrap();
            from
        });
        // The first one dies when it likes; the second goes on.
        drop(first);
        second.join().unwrap()
    });
    assert_eq!(written, 500_000);
    // Several that come at once: one does it, the others find it done.
    let other = Digest::of(b"other");
    let writers = std::thread::scope(|scope| {
        let one = || {
            let images = Images::open(data.path()).unwrap();
            let writer = images.writer(&other, 5).unwrap();
            let did = writer.is_some();
            if let Some(writer) = writer {
                writer.fill(&mut Cursor::new(b"other")).unwrap();
            }
            did
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).filter(|did| *did).count()
    });
    assert_eq!(writers, 1);
}
