//! Honest archives, broken ones, and ones that are made to exhaust memory.

use std::io::Cursor;

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;
use crate::tests::Pack;

/// All entries of an archive with their data.
fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut archive = Archive::new(Stream(Cursor::new(bytes)));
    let mut entries = Vec::new();
    while let Some(entry) = archive.next_entry()? {
        let mut data = Vec::new();
        let mut buffer = [0; 100];
        loop {
            match archive.read_data(&mut buffer)? {
                0 => break,
                count => data.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(data.len() as u64, entry.size);
        entries.push((entry, data));
    }
    Ok(entries)
}

#[test]
fn what_other_programs_write_is_read() {
    let long = "d/".repeat(120) + "file";
    let target = "t".repeat(300);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o104_755);
    header.set_uid(0o10_000_000);
    header.set_gid(5);
    header.set_mtime(7);
    builder.append_data(&mut header, &long, &b"abc"[..]).unwrap();
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    header.set_uid(1);
    header.set_gid(1);
    header.set_mtime(0);
    builder.append_link(&mut header, "link", &target).unwrap();
    let entries = read(&builder.into_inner().unwrap()).unwrap();
    let (file, data) = &entries[0];
    assert_eq!((file.path.as_slice(), data.as_slice()), (long.as_bytes(), &b"abc"[..]));
    assert_eq!((file.mode, file.uid, file.gid, file.mtime), (0o4755, 0o10_000_000, 5, (7, 0)));
    assert_eq!((entries[1].0.kind, entries[1].0.link.as_slice()), (Kind::Symlink, target.as_bytes()));
}

#[test]
fn pax_records_stand_above_the_header() {
    let path = "é/".repeat(90) + "x";
    let pack = Pack::default()
        .entry(EntryType::XGlobalHeader, "g", b"15 comment=abc\n", |_| {})
        .pax(&[
            ("path", path.as_bytes()),
            ("size", b"5"),
            ("uid", b"4000000000"),
            ("mtime", b"-1.25"),
            ("SCHILY.xattr.user.a", b"\0\n"),
            ("unknown", b"x"),
        ])
        .entry(EntryType::Regular, "short", b"hello", |header| header.set_size(0))
        .file("next", "");
    let entries = read(&pack.finish()).unwrap();
    let (entry, data) = &entries[0];
    assert_eq!((entry.path.as_slice(), data.as_slice()), (path.as_bytes(), &b"hello"[..]));
    assert_eq!((entry.uid, entry.mtime), (4_000_000_000, (-2, 750_000_000)));
    assert_eq!(entry.xattrs, [(b"user.a".to_vec(), b"\0\n".to_vec())]);
    assert_eq!(entries[1].0.path, b"next", "what a pax header says is for one entry");
    assert!(entries[1].0.xattrs.is_empty());
}

#[test]
fn blank_numbers_are_zero_and_others_are_read() {
    let blank = |header: &mut Header| {
        let fields = header.as_old_mut();
        (fields.uid, fields.gid, fields.mtime, fields.size) = ([0; 8], [b' '; 8], [0; 12], [0; 12]);
    };
    let entries = read(&Pack::default().entry(EntryType::Regular, "a", b"", blank).finish()).unwrap();
    let entry = &entries[0].0;
    assert_eq!((entry.uid, entry.gid, entry.mtime, entry.size), (0, 0, (0, 0), 0));
    let wrong = |header: &mut Header| header.as_old_mut().uid = *b"12x4567\0";
    let archive = Pack::default().entry(EntryType::Regular, "a", b"", wrong).finish();
    assert!(matches!(read(&archive), Err(TarError::Field { field, .. }) if field == "uid"));
}

#[test]
fn what_is_out_of_form_is_refused() {
    let whole = Pack::default().file("a", "data").finish();
    assert!(read(b"").unwrap().is_empty(), "an empty source is an empty archive");
    assert!(read(&[0; 1024]).unwrap().is_empty());
    assert_eq!(read(&whole[..1024]).unwrap().len(), 1, "the end may be missing");
    assert!(matches!(read(&whole[..700]), Err(TarError::Truncated(_))));
    assert!(matches!(read(&whole[..514]), Err(TarError::Truncated(_))));
    assert!(matches!(read(&whole[..100]), Err(TarError::Truncated(100))));
    assert!(matches!(read(&[1; 512]), Err(TarError::NoHeader(0))));
    let mut damaged = whole.clone();
    damaged[0] = b'b';
    assert!(matches!(read(&damaged), Err(TarError::NoHeader(0))), "the checksum is wrong");
    let hole = [&[0; 512][..], &whole].concat();
    assert!(matches!(read(&hole), Err(TarError::NoHeader(0))), "data after one block of zeros");
    let multi_volume = Pack::default().entry(EntryType::new(b'M'), "a", b"", |_| {});
    assert!(matches!(read(&multi_volume.finish()), Err(TarError::Unsupported { .. })));
    for (name, pack) in [
        ("sparse without GNU's header", Pack::default().entry(EntryType::GNUSparse, "a", b"", |_| {})),
        ("pax sparse", Pack::default().pax(&[("GNU.sparse.major", b"1")]).file("a", "")),
        ("unknown sparse", Pack::default().pax(&[("GNU.sparse.major", b"2"), ("GNU.sparse.size", b"1")]).file("a", "")),
        ("sparse folder", Pack::default().pax(&[("GNU.sparse.size", b"1"), ("GNU.sparse.map", b"")]).folder("a")),
        ("overlap", Pack::default().pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,2,1,1")]).file("a", "abc")),
        ("beyond", Pack::default().pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"7,3")]).file("a", "abc")),
        ("odd", Pack::default().pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,3,5")]).file("a", "abc")),
        ("less data", Pack::default().pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,4")]).file("a", "abc")),
        (
            "sum",
            Pack::default()
                .pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,18446744073709551615,1,4")])
                .file("a", "abc"),
        ),
        (
            "no end of places",
            Pack::default()
                .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")])
                .file("a", "9999999999999999999\n"),
        ),
        ("uid", Pack::default().pax(&[("uid", b"4294967295")]).file("a", "")),
        ("wide uid", Pack::default().pax(&[("uid", b"4294967296")]).file("a", "")),
        ("signed size", Pack::default().pax(&[("size", b"-1")]).file("a", "")),
        ("zero byte", Pack::default().pax(&[("path", b"a\0b")]).file("a", "")),
        ("attribute", Pack::default().pax(&[("SCHILY.xattr.", b"")]).file("a", "")),
        ("two pax headers", Pack::default().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("c", "")),
        (
            "two long names",
            Pack::default()
                .entry(EntryType::GNULongName, "l", b"one\0", |_| {})
                .entry(EntryType::GNULongName, "l", b"two\0", |_| {})
                .file("c", ""),
        ),
        (
            "both kinds of long name",
            Pack::default().entry(EntryType::GNULongName, "l", b"one\0", |_| {}).pax(&[("path", b"two")]).file("c", ""),
        ),
    ] {
        assert!(matches!(read(&pack.finish()), Err(TarError::Field { .. })), "{name}");
    }
}

/// tar-split and Go's reader once took memory for whatever size a header announced.
#[test]
fn cve_2017_14992_and_2021_21285_memory_is_bounded() {
    for kind in [EntryType::XHeader, EntryType::XGlobalHeader, EntryType::GNULongName, EntryType::GNULongLink] {
        let pack = Pack::default().entry(kind, "x", b"", |header| header.set_size(1 << 40));
        assert!(matches!(read(&pack.finish()), Err(TarError::LargeExtension(_))), "{kind:?}");
    }
    let many = (0..100).fold(Pack::default(), |pack, _| pack.entry(EntryType::XGlobalHeader, "g", b"", |_| {}));
    assert!(matches!(read(&many.finish()), Err(TarError::ManyExtensions(_))));
    // A size that no file has, alone and such that the position would wrap.
    for size in [(1 << 60), u64::MAX] {
        let text = size.to_string();
        let pack = Pack::default().pax(&[("size", text.as_bytes())]).file("a", "");
        assert!(matches!(read(&pack.finish()), Err(TarError::Truncated(_))), "{size}");
    }
}

#[test]
fn a_file_is_passed_over_by_seeking_and_not_past_its_end() {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    let bytes = Pack::default().file("a", &"x".repeat(2000)).file("b", "y").finish();
    file.write_all(&bytes).unwrap();
    file.rewind().unwrap();
    let mut archive = Archive::new(file.try_clone().unwrap());
    assert_eq!(archive.next_entry().unwrap().unwrap().position, 512);
    assert_eq!(archive.next_entry().unwrap().unwrap().path, b"b");
    file.set_len(1000).unwrap();
    file.rewind().unwrap();
    let mut archive = Archive::new(file);
    archive.next_entry().unwrap();
    assert!(matches!(archive.next_entry(), Err(TarError::Truncated(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_bytes_make_it_panic(place in 0..4096_usize, with in prop::collection::vec(any::<u8>(), 1..40)) {
        let mut bytes = Pack::default()
            .pax(&[("path", b"long"), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"b")])
            .file("a", "data")
            .entry(EntryType::GNULongName, "l", b"name\0", |_| {})
            .symlink("b", "a")
            .device("c", 1, 3)
            .finish();
        let place = place % bytes.len();
        let end = (place + with.len()).min(bytes.len());
        bytes[place..end].copy_from_slice(&with[..end - place]);
        // With its checksum made right again, so that more than the checksum is tried.
        let block = place / 512 * 512;
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&bytes[block..block + 512]);
        header.set_cksum();
        let mut righted = bytes.clone();
        righted[block..block + 512].copy_from_slice(header.as_bytes());
        for bytes in [bytes, righted] {
            if let Ok(entries) = read(&bytes) {
                prop_assert!(entries.len() <= 8);
            }
        }
    }
}
