//! Names of entries that lead elsewhere, or that no path can be.

use super::Expected::{Harmless, NotUnpacked, Says};
use super::{Kind, kind};
use crate::tarball::{Member, Tarball};

const TRAVERSAL: &str = "path traversal (2026-17106, 2019-14271, zip slip)";
const LIMITS: &str = "unbounded names (2017-14992)";
const DOTDOT: &[&str] = &["`..`"];

pub(super) const KINDS: &[Kind] = &[
    kind("an absolute name", TRAVERSAL, Harmless, |image| {
        let name = image.outside("escaped");
        image.layer(Tarball::of([Member::file(name, "x")]));
    }),
    kind("an absolute name with many slashes", TRAVERSAL, Harmless, |image| {
        let name = format!("///{}", image.outside("escaped"));
        image.layer(Tarball::of([Member::file(name, "x")]));
    }),
    kind("dot-dot at the start", TRAVERSAL, NotUnpacked(DOTDOT), |image| {
        let name = image.climb("escaped");
        image.layer(Tarball::of([Member::file(name, "x")]));
    }),
    kind("dot-dot after an honest folder", TRAVERSAL, NotUnpacked(DOTDOT), |image| {
        let name = format!("usr/{}", image.climb("escaped"));
        image.layer(Tarball::of([Member::directory("usr"), Member::file(name, "x")]));
    }),
    kind("dot-dot at the end", TRAVERSAL, NotUnpacked(DOTDOT), |image| {
        image.layer(Tarball::of([Member::directory("usr/..").mode(0o777)]));
    }),
    kind("dot-dot alone, as a folder with a mode", TRAVERSAL, NotUnpacked(DOTDOT), |image| {
        image.layer(Tarball::of([Member::directory("..").mode(0o777).owner(1000, 1000)]));
    }),
    kind("dot-dot in the prefix field", TRAVERSAL, NotUnpacked(DOTDOT), |image| {
        let member = Member::file("escaped", "x").edited(|block| block[345..354].copy_from_slice(b"../../../"));
        image.layer(Tarball::of([member]));
    }),
    kind("dot-dot in a GNU long name", TRAVERSAL, NotUnpacked(DOTDOT), |image| {
        let name = format!("{}\0", image.climb("escaped"));
        image.layer(Tarball::default().extension(b'L', name.as_bytes()).member(Member::file("honest", "x")));
    }),
    kind("dot-dot in a pax path", TRAVERSAL, NotUnpacked(DOTDOT), |image| {
        let name = image.climb("escaped");
        image.layer(Tarball::of([Member::file("honest", "x").pax("path", name)]));
    }),
    kind("a pax path beside a GNU long name", TRAVERSAL, NotUnpacked(&["second"]), |image| {
        let member = Member::file("c", "x").pax("path", "b");
        image.layer(Tarball::default().extension(b'L', b"a\0").member(member));
    }),
    kind("two GNU long names", TRAVERSAL, NotUnpacked(&["second"]), |image| {
        let archive = Tarball::default().extension(b'L', b"a\0").extension(b'L', b"../b\0");
        image.layer(archive.member(Member::file("c", "x")));
    }),
    kind("backslashes and fullwidth dots", TRAVERSAL, Harmless, |image| {
        image.layer(Tarball::of([Member::file("..\\..\\escaped", "x"), Member::file("\u{ff0e}\u{ff0e}/escaped", "x")]));
    }),
    kind("a zero byte in a pax path", "readers cut at it", NotUnpacked(&["zero byte", "malformed"]), |image| {
        image.layer(Tarball::of([Member::file("a", "x").pax("path", "etc/passwd\0/../x")]));
    }),
    kind("newlines and escapes in a name", "terminal injection", Says("ls / | grep -c owned", "1"), |image| {
        image.layer(Tarball::of([Member::file("\u{1b}]0;owned\u{7}\n\r\u{1b}[2J", "x")]));
    }),
    kind("newlines and escapes in a name that is refused", "terminal injection", NotUnpacked(DOTDOT), |image| {
        image.layer(Tarball::of([Member::file("\u{1b}]0;owned\u{7}\nstockade: fine\r\u{1b}[2J\u{9b}31m/../x", "x")]));
    }),
    kind("a name that is no text", "readers decode", Harmless, |image| {
        image.layer(Tarball::of([Member::file(b"\xff\xfe\x80/\xc0\xae\xc0\xae/x", "x")]));
    }),
    kind("a name of 5000 bytes", LIMITS, NotUnpacked(&["longer than a path"]), |image| {
        image.layer(Tarball::of([Member::file("a/".repeat(2500), "x")]));
    }),
    kind("a component of 256 bytes", LIMITS, NotUnpacked(&["255 bytes"]), |image| {
        image.layer(Tarball::of([Member::file("a".repeat(256), "x")]));
    }),
    kind("a path of 1000 folders", LIMITS, NotUnpacked(&["too many directories"]), |image| {
        image.layer(Tarball::of([Member::file("d/".repeat(1000) + "x", "x")]));
    }),
    kind("a tree as deep as is allowed", LIMITS, Harmless, |image| {
        image.layer(Tarball::of([Member::file("d/".repeat(255) + "x", "x")]));
    }),
    kind("an empty name", LIMITS, NotUnpacked(&["is empty"]), |image| {
        image.layer(Tarball::of([Member::file("", "x")]));
    }),
    kind("the root as a file", "type confusion", NotUnpacked(&["root"]), |image| {
        image.layer(Tarball::of([Member::file("./.", "x")]));
    }),
    kind("the root as a link", "type confusion", NotUnpacked(&["root"]), |image| {
        let target = image.outside("");
        image.layer(Tarball::of([Member::symlink("./", target)]));
    }),
];
