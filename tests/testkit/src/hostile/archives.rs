//! Archives that break off, go on, expand, or are something else.

use super::Expected::{Harmless, NotUnpacked, Says};
use super::{Kind, Layout, kind};
use crate::layout::{LAYER, digest, gzip, gzip_tightly};
use crate::tarball::{Member, Tarball, record};

const BOMB: &str = "what is small and becomes large (2017-14992)";
const PAX: &str = "extension headers in memory (2021-21285)";
const BROKEN: &str = "archives that are damaged";
const HIDDEN: &str = "what readers see and scanners do not";

const ENDS: &[&str] = &["ends within", "end of file", "truncated", "incomplete", "corrupt"];
const NO_HEADER: &[&str] = &["no tar header", "ends within"];

/// A layer that is `archive`, compressed by gzip.
fn gzipped(image: &mut Layout, archive: &[u8]) {
    image.packed(&format!("{LAYER}+gzip"), &gzip(archive), archive);
}

/// A small honest archive. Each kind has one of its own: a layer that is known already is not read again.
fn honest(own: &str) -> Tarball {
    Tarball::of([Member::file("honest", "x"), Member::file(own, "")])
}

/// A zstd frame of one raw block of at most 128 KiB.
fn frame(content: &[u8]) -> Vec<u8> {
    // Single segment, content size of four bytes.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    let size = u32::try_from(content.len()).expect("small");
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&(size << 3 | 1).to_le_bytes()[..3]);
    bytes.extend_from_slice(content);
    bytes
}

/// A zstd frame of `blocks` blocks, each of which is 128 KiB of zeros.
fn zeros(blocks: usize) -> Vec<u8> {
    // A window of 128 KiB.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    for block in 0..blocks {
        let last = u32::from(block + 1 == blocks);
        bytes.extend_from_slice(&((128 << 10) << 3 | 1 << 1 | last).to_le_bytes()[..3]);
        bytes.push(0);
    }
    bytes
}

/// A layer of the frames `blob`, which becomes `archive`.
fn zstd(image: &mut Layout, blob: &[u8], archive: &[u8]) {
    image.packed(&format!("{LAYER}+zstd"), blob, archive);
}

pub(super) const KINDS: &[Kind] = &[
    kind("an archive that ends in a header", BROKEN, NotUnpacked(ENDS), |image| {
        gzipped(image, &honest("1").unended()[..300]);
    }),
    kind("an archive that ends in data", BROKEN, NotUnpacked(ENDS), |image| {
        let archive = Tarball::of([Member::file("f", [b'x'; 4096])]).unended();
        gzipped(image, &archive[..2000]);
    }),
    kind("an archive that ends after an extension", BROKEN, NotUnpacked(ENDS), |image| {
        gzipped(image, &Tarball::default().extension(b'x', &record(b"path", b"a")).end());
    }),
    kind("an archive without an end", BROKEN, Harmless, |image| gzipped(image, &honest("4").unended())),
    kind("an archive of nothing", BROKEN, Harmless, |image| gzipped(image, b"")),
    kind("rubbish after the end", HIDDEN, Harmless, |image| {
        gzipped(image, &Tarball::default().raw(&honest("6").end()).raw(b"rubbish").unended());
    }),
    kind("entries after the end", HIDDEN, Says("ls /late || echo none", "none"), |image| {
        let late = Tarball::of([Member::file("late", "x")]).end();
        gzipped(image, &Tarball::default().raw(&honest("7").end()).raw(&late).unended());
    }),
    kind("entries after half an end", HIDDEN, NotUnpacked(NO_HEADER), |image| {
        image.layer(honest("8").raw(&[0; 512]).member(Member::file("late", "x")));
    }),
    kind("a checksum that does not fit", BROKEN, NotUnpacked(NO_HEADER), |image| {
        image.layer(honest("9").member(Member::file("f", "x").unsealed()));
    }),
    kind("text for an archive", BROKEN, NotUnpacked(NO_HEADER), |image| gzipped(image, &[b'x'; 2048])),
    kind("global pax headers that rename and give away", HIDDEN, Says("stat -c %u /honest", "0"), |image| {
        let records = [record(b"path", b"../escaped"), record(b"uid", b"1000"), record(b"linkpath", b"/etc/shadow")];
        image.layer(Tarball::default().extension(b'g', &records.concat()).member(Member::file("honest", "x")));
    }),
    kind("an extension of 1 GiB", PAX, NotUnpacked(&["extension header"]), |image| {
        image.layer(Tarball::of([Member::new(b'x', "x").size(1 << 30)]));
    }),
    kind("a long name of 1 GiB", PAX, NotUnpacked(&["extension header"]), |image| {
        image.layer(Tarball::of([Member::new(b'L', "x").size(1 << 30)]));
    }),
    kind("extensions without an entry", PAX, NotUnpacked(&["extension headers", "second extension"]), |image| {
        let many = (0..1000).fold(Tarball::default(), |archive, _| archive.extension(b'g', &record(b"comment", b"x")));
        image.layer(many.member(Member::file("f", "x")));
    }),
    kind("two pax headers before one entry", PAX, NotUnpacked(&["second extension"]), |image| {
        let one = record(b"path", b"a");
        image.layer(Tarball::default().extension(b'x', &one).extension(b'x', &one).member(Member::file("f", "x")));
    }),
    kind(
        "as many attributes as fit in one header",
        PAX,
        NotUnpacked(&["extended attribute", "extension", "pax record"]),
        |image| {
            let records: Vec<u8> =
                (0..40_000).flat_map(|n| record(format!("SCHILY.xattr.user.{n}").as_bytes(), b"x")).collect();
            image.layer(Tarball::default().extension(b'x', &records[..1 << 20]).member(Member::file("f", "x")));
        },
    ),
    kind("pax records that lie about their length", PAX, NotUnpacked(&["pax record", "malformed"]), |image| {
        image.layer(Tarball::default().extension(b'x', b"9999 path=a\n").member(Member::file("f", "x")));
    }),
    kind("a sparse file of 1 PiB", BOMB, NotUnpacked(&["sparse", "more than", "large", "malformed"]), |image| {
        let map = Member::file("f", "0\n").pax("GNU.sparse.major", "1").pax("GNU.sparse.minor", "0");
        image.layer(Tarball::of([map.pax("GNU.sparse.name", "f").pax("GNU.sparse.realsize", "1125899906842624")]));
    }),
    kind("an old sparse file of 1 PiB", BOMB, NotUnpacked(&["sparse", "more than", "large", "malformed"]), |image| {
        let member = Member::new(b'S', "f").edited(|block| {
            block[257..265].copy_from_slice(b"ustar  \0");
            block[483..495].copy_from_slice(b"\x80\0\0\0\0\x04\0\0\0\0\0\0");
        });
        image.layer(Tarball::of([member]));
    }),
    kind("a sparse file whose map leads back", BOMB, NotUnpacked(&["sparse", "malformed"]), |image| {
        let map = format!("2\n4096\n512\n0\n512\n{}", "\0".repeat(512 - 17));
        let member = Member::file("f", format!("{map}{}", "x".repeat(1024))).pax("GNU.sparse.major", "1");
        let member = member.pax("GNU.sparse.minor", "0").pax("GNU.sparse.name", "../escaped");
        image.layer(Tarball::of([member.pax("GNU.sparse.realsize", "8192")]));
    }),
    kind("a file of 1 TiB", BOMB, NotUnpacked(&["more than", "ends within"]), |image| {
        image.layer(Tarball::of([Member::file("f", "").size(1 << 40)]));
    }),
    kind("a gzip bomb behind the end", BOMB, NotUnpacked(&["expands"]), |image| {
        // 9 MiB of zeros are 9 KiB; what is compressed twice the same way is not, so there are many members.
        let zeros = gzip_tightly(&vec![0; 9 << 20]);
        let blob = [gzip(&honest("22").end()), zeros.repeat(200)].concat();
        image.packed(&format!("{LAYER}+gzip"), &blob, b"gzip bomb");
    }),
    kind("a zstd bomb behind the end", BOMB, NotUnpacked(&["expands"]), |image| {
        zstd(image, &[frame(&honest("23").end()), zeros(9_000)].concat(), b"zstd bomb");
    }),
    kind("a zstd window of 2 GiB", BOMB, NotUnpacked(&["window"]), |image| {
        let mut blob = frame(&honest("24").end());
        // No single segment; exponent 21.
        blob.splice(4..9, [0x00, 21 << 3]);
        zstd(image, &blob, &honest("24").end());
    }),
    kind("a zstd frame of one segment of 3 GiB", BOMB, NotUnpacked(&["window", "large"]), |image| {
        let mut blob = frame(&honest("25").end());
        blob[5..9].copy_from_slice(&(3_u32 << 30).to_le_bytes());
        zstd(image, &blob, &honest("25").end());
    }),
    kind("zstd frames to be passed over, one of 4 GiB", BOMB, NotUnpacked(ENDS), |image| {
        let skipped = [&0x184d_2a50_u32.to_le_bytes()[..], &u32::MAX.to_le_bytes()].concat();
        zstd(image, &[frame(&honest("26").end()), skipped].concat(), &honest("26").end());
    }),
    kind("zstd frames to be passed over between two halves", HIDDEN, Says("cat /honest", "x"), |image| {
        let archive = honest("27").end();
        let skipped = [&0x184d_2a53_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), b"evil"].concat();
        let blob = [skipped.clone(), frame(&archive[..700]), skipped, frame(&archive[700..])].concat();
        zstd(image, &blob, &archive);
    }),
    kind("gzip of many members", HIDDEN, Says("cat /honest", "x"), |image| {
        let archive = honest("28").end();
        let blob = [gzip(&archive[..100]), gzip(b""), gzip(&archive[100..])].concat();
        image.packed(&format!("{LAYER}+gzip"), &blob, &archive);
    }),
    kind(
        "gzip with rubbish behind it",
        HIDDEN,
        NotUnpacked(&["gzip", "corrupt", "end of file", "decompress"]),
        |image| {
            let archive = honest("29").end();
            image.packed(&format!("{LAYER}+gzip"), &[gzip(&archive), b"rubbish".to_vec()].concat(), &archive);
        },
    ),
    kind("gzip that breaks off", BROKEN, NotUnpacked(ENDS), |image| {
        let blob = gzip(&honest("30").end());
        image.packed(&format!("{LAYER}+gzip"), &blob[..blob.len() - 9], &honest("30").end());
    }),
    kind("gzip with a wrong sum", BROKEN, NotUnpacked(&["corrupt", "checksum", "crc"]), |image| {
        let mut blob = gzip(&honest("31").end());
        let place = blob.len() - 8;
        blob[place] ^= 1;
        image.packed(&format!("{LAYER}+gzip"), &blob, &honest("31").end());
    }),
    kind("gzip that is announced as zstd", "media type confusion", NotUnpacked(&["zstd"]), |image| {
        zstd(image, &gzip(&honest("32").end()), &honest("32").end());
    }),
    kind("zstd that is announced as gzip", "media type confusion", NotUnpacked(&["gzip", "invalid"]), |image| {
        image.packed(&format!("{LAYER}+gzip"), &frame(&honest("33").end()), &honest("33").end());
    }),
    kind("gzip that is announced as plain", "media type confusion", NotUnpacked(NO_HEADER), |image| {
        let blob = gzip(&honest("34").end());
        image.packed(LAYER, &blob, &blob);
    }),
    kind("xz that is to be unpacked by a program", "2026-41567", NotUnpacked(&["gzip", "invalid"]), |image| {
        image.packed(&format!("{LAYER}+gzip"), b"\xfd7zXZ\0rubbish", &honest("35").end());
    }),
    kind("a layer with another archive than the configuration says", "forged", NotUnpacked(&["content of"]), |image| {
        image.packed(&format!("{LAYER}+gzip"), &gzip(&honest("36").end()), b"another");
    }),
    kind(
        "a layer that names its blob as its archive",
        "forged",
        NotUnpacked(&["content of", "no tar header"]),
        |image| {
            let blob = gzip(&honest("37").end());
            image.packed(&format!("{LAYER}+gzip"), &blob, &blob);
            assert_ne!(digest(&blob), digest(&honest("37").end()));
        },
    ),
];
