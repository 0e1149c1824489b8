//! Images that are made by a rule and not of programs: many layers, many files, large files, all that a layer can hold.
//!
//! Each stands on the busybox image, so that it can be run, and is the same whenever it is made.

use std::path::Path;

use crate::layout::{LAYER, Layout, digest, gzip};
use crate::proxy::Dice;
use crate::tarball::{Member, Tarball};

/// `count` layers, of which each has a file of its own, changes one of all, and removes one of the layer below.
///
/// # Panics
/// If it cannot be made in the new folder `folder`.
#[must_use]
pub fn layers(folder: &Path, count: usize) -> String {
    let mut layout = Layout::on_busybox(folder, folder);
    for number in 0..count {
        let own = Member::file(format!("layers/own-{number}"), format!("{number}\n"));
        let shared = Member::file("layers/shared", format!("{number}\n")).mtime(1_700_000_000 + number as u64);
        let short = Member::file(format!("layers/short-{number}"), "");
        let mut tarball = Tarball::of([Member::directory("layers"), own, shared, short]);
        if let Some(below) = number.checked_sub(1) {
            tarball = tarball.member(Member::file(format!("layers/.wh.short-{below}"), ""));
        }
        layout.layer(tarball);
    }
    layout.finish()
}

/// `count` small files of some hundred bytes of text, a hundred in a folder.
///
/// # Panics
/// As [`layers`].
#[must_use]
pub fn files(folder: &Path, count: usize) -> String {
    let mut layout = Layout::on_busybox(folder, folder);
    let mut dice = Dice::new(50_000);
    let mut tarball = Tarball::of([Member::directory("files")]);
    for number in 0..count {
        if number % 100 == 0 {
            tarball = tarball.member(Member::directory(format!("files/{:04}", number / 100)));
        }
        let text = format!("{:x}\n", dice.below(1 << 40)).repeat(1 + usize::try_from(dice.below(60)).unwrap_or(0));
        let member = Member::file(format!("files/{:04}/{number:06}", number / 100), text);
        tarball = tarball.member(member.mtime(1_600_000_000 + dice.below(100_000_000)));
    }
    layout.layer(tarball);
    layout.finish()
}

/// One file of `size` bytes, of which half does not compress and half is zeros.
///
/// # Panics
/// As [`layers`].
#[must_use]
pub fn large(folder: &Path, size: usize) -> String {
    let mut layout = Layout::on_busybox(folder, folder);
    let chunk = Dice::new(1).bytes(1 << 20);
    let mut content = Vec::with_capacity(size);
    while content.len() < size {
        content.extend_from_slice(&chunk[..chunk.len().min(size - content.len())]);
        content.resize((content.len() + chunk.len()).min(size), 0);
    }
    layout.layer(Tarball::of([Member::file("large", content)]));
    layout.finish()
}

/// `count` layers with `size` bytes each that do not compress, different for every `seed`.
///
/// # Panics
/// As [`layers`].
#[must_use]
pub fn noise(folder: &Path, seed: u64, count: usize, size: usize) -> String {
    let mut layout = Layout::on_busybox(folder, folder);
    let mut dice = Dice::new(seed);
    for number in 0..count {
        layout.layer(Tarball::of([Member::file(format!("noise-{seed}-{number}"), dice.bytes(size))]));
    }
    layout.finish()
}

/// Every kind of file and everything that a file can have, in three layers: plain, gzip, and one that changes the first two.
///
/// # Panics
/// As [`layers`].
#[must_use]
pub fn kinds(folder: &Path) -> String {
    let mut layout = Layout::on_busybox(folder, folder);
    let plain = first().end();
    layout.packed(LAYER, &plain, &plain);
    let second = attributes().end();
    layout.packed(&format!("{LAYER}+gzip"), &gzip(&second), &second);
    layout.layer(third());
    assert_ne!(digest(&plain), digest(&second));
    layout.finish()
}

/// The folder that all is in; every layer says what it is, as those of builders do.
fn top() -> Member {
    Member::directory("kinds").mode(0o751).owner(3, 4).pax("mtime", "1500000000.987654321")
}

/// Kinds of files and long names.
fn first() -> Tarball {
    let long = format!("kinds/{}/{}", "long".repeat(50), "name".repeat(50));
    Tarball::of([
        top(),
        Member::directory(format!("kinds/{}", "long".repeat(50))),
        Member::file("kinds/empty", ""),
        Member::file("kinds/file", "content").mode(0o640).owner(1000, 2000).pax("mtime", "1234567890.123456789"),
        Member::link("kinds/hard-1", "kinds/file").mode(0o640).owner(1000, 2000).pax("mtime", "1234567890.123456789"),
        Member::link("kinds/hard-2", "kinds/hard-1").mode(0o640).owner(1000, 2000).pax("mtime", "1234567890.123456789"),
        Member::symlink("kinds/link", "file").owner(5, 6).pax("mtime", "1000000000.5"),
        Member::symlink("kinds/dangling", "/no/such/../file"),
        Member::link("kinds/hard-to-link", "kinds/link"),
        Member::fifo("kinds/fifo").mode(0o622).owner(7, 8),
        Member::device(b'3', "kinds/null", 1, 3).mode(0o666),
        Member::device(b'4', "kinds/disk", 259, 70_000).mode(0o660).owner(0, 6),
        Member::directory("kinds/sticky").mode(0o1777),
        Member::directory("kinds/setgid").mode(0o2775).owner(0, 50),
        Member::file("kinds/setuid", "#!").mode(0o6755),
        Member::file("kinds/none", "").mode(0),
        Member::file(&long, "long").mode(0o600),
        Member::symlink("kinds/long-link", &long),
        Member::file("kinds/old", "old").mtime(1),
        Member::file("kinds/before", "1960").pax("mtime", "-315619200.25"),
        Member::file("kinds/high", "ids").owner(2_147_483_647, 2_147_483_000),
        Member::file(b"kinds/\xff\xfe no text \n", "x"),
        Member::file("kinds/dropped", "x"),
        Member::directory("kinds/hidden"),
        Member::file("kinds/hidden/a", "x"),
    ])
}

/// Extended attributes and large contents.
fn attributes() -> Tarball {
    // Version 2, effective: CAP_NET_RAW permitted.
    let mut capability = vec![1, 0, 0, 2, 0, 0x20, 0, 0];
    capability.resize(20, 0);
    let zeros = vec![0; 3 << 20];
    Tarball::of([
        top(),
        Member::file("kinds/ping", "x").mode(0o755).xattr("security.capability", &capability),
        Member::file("kinds/attributes", "x").xattr("user.text", b"value").xattr("user.bytes", b"\x00\xff=\n"),
        Member::directory("kinds/attributed").xattr("user.folder", b"yes"),
        Member::file("kinds/zeros", zeros),
        Member::file("kinds/noise", Dice::new(7).bytes(1 << 20)),
    ])
}

/// What removes and replaces.
fn third() -> Tarball {
    Tarball::of([
        top(),
        Member::file("kinds/.wh.dropped", ""),
        Member::directory("kinds/hidden").mode(0o711),
        Member::file("kinds/hidden/.wh..wh..opq", ""),
        Member::file("kinds/hidden/b", "y"),
        Member::directory("kinds/old"),
        Member::file("kinds/old/new", "new"),
        Member::file("kinds/empty", "no more"),
    ])
}
