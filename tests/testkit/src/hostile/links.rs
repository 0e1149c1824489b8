//! Links out of the layer, and entries through them.

use super::Expected::{Harmless, NotUnpacked, Says};
use super::{Kind, kind};
use crate::tarball::{Member, Tarball};

const THROUGH: &str = "write through a link (2026-17106, 2021-32760, 2018-15664)";
const HARD: &str = "hard link out of the layer (2026-17106)";
const NOT_THERE: &[&str] = &["not in the layer", "no such file"];

pub(super) const KINDS: &[Kind] = &[
    kind("a file through an absolute link", THROUGH, NotUnpacked(&["directory", "link"]), |image| {
        let target = image.outside("");
        image.layer(Tarball::of([Member::symlink("out", target), Member::file("out/escaped", "x")]));
    }),
    kind("a file through a climbing link", THROUGH, NotUnpacked(&["directory", "link"]), |image| {
        let target = image.climb("");
        image.layer(Tarball::of([Member::symlink("out", target), Member::file("out/escaped", "x")]));
    }),
    kind("a file through a chain of links", THROUGH, NotUnpacked(&["directory", "link"]), |image| {
        let target = image.outside("");
        let chain = [Member::symlink("a", "b"), Member::symlink("b", "./c"), Member::symlink("c", target)];
        image.layer(Tarball::of(chain).member(Member::file("a/escaped", "x")));
    }),
    kind("a file through links that each climb one folder", THROUGH, Harmless, |image| {
        let links = (1..30).map(|n| Member::symlink(format!("l{n}"), format!("l{}/..", n - 1)));
        let rest = format!("l29{}", image.outside("escaped"));
        image.layer(
            Tarball::of([Member::symlink("l0", ".")])
                .raw(&Tarball::of(links).unended())
                .member(Member::file(rest, "x")),
        );
    }),
    kind("a file through a loop of links", THROUGH, NotUnpacked(&["symbolic links", "directory"]), |image| {
        let links = [Member::symlink("a", "b"), Member::symlink("b", "a")];
        image.layer(Tarball::of(links).member(Member::file("a/escaped", "x")));
    }),
    kind("a file through /proc/self/root", THROUGH, NotUnpacked(&["directory", "link"]), |image| {
        let rest = format!("out{}", image.outside("escaped"));
        image.layer(Tarball::of([Member::symlink("out", "/proc/self/root"), Member::file(rest, "x")]));
    }),
    kind("a file through /proc/self/cwd and fd", THROUGH, NotUnpacked(&["directory", "link"]), |image| {
        let links = [Member::symlink("c", "/proc/self/cwd"), Member::symlink("f", "/proc/self/fd/3")];
        image.layer(Tarball::of(links).member(Member::file("f/escaped", "x")));
    }),
    kind("a folder that becomes a link before its file", THROUGH, NotUnpacked(&["directory", "link"]), |image| {
        let target = image.outside("");
        let first = [Member::directory("d"), Member::file("d/honest", "x"), Member::symlink("d", target)];
        image.layer(Tarball::of(first).member(Member::file("d/escaped", "x")));
    }),
    kind("a folder with times that becomes a link", "2021-32760", Harmless, |image| {
        let target = image.outside("folder");
        image.layer(Tarball::of([Member::directory("d").mtime(1).mode(0o777), Member::symlink("d", target)]));
    }),
    kind("a folder above that becomes a link at the end", "2021-32760", Harmless, |image| {
        let target = image.outside("");
        let first = [Member::directory("d"), Member::directory("d/folder").mtime(1).mode(0o777)];
        image.layer(Tarball::of(first).member(Member::symlink("d", target)));
    }),
    kind("a link that becomes a folder with a mode", "2021-32760", Harmless, |image| {
        let target = image.outside("folder");
        let folder = Member::directory("d").mode(0o7777).owner(1000, 1000);
        image.layer(Tarball::of([Member::symlink("d", target), folder]));
    }),
    kind("a link that becomes a file", THROUGH, Harmless, |image| {
        let target = image.outside("secret");
        let file = Member::file("f", "overwritten").mode(0o4777).owner(1000, 1000);
        image.layer(Tarball::of([Member::symlink("f", target), file]));
    }),
    kind("links with modes, owners, times and attributes", "2021-41089", Harmless, |image| {
        let target = image.outside("secret");
        let link = Member::symlink("f", target).mode(0o4777).owner(1000, 1000).mtime(1);
        image.layer(Tarball::of([link.xattr("user.x", b"x").xattr("security.capability", &[0; 20])]));
    }),
    kind("a hard link to an absolute path", HARD, NotUnpacked(NOT_THERE), |image| {
        let target = image.outside("secret");
        image.layer(Tarball::of([Member::link("f", target)]));
    }),
    kind("a hard link with dot-dot", HARD, NotUnpacked(&["`..`"]), |image| {
        let target = image.climb("secret");
        image.layer(Tarball::of([Member::link("f", target)]));
    }),
    kind("a hard link through a link", HARD, NotUnpacked(NOT_THERE), |image| {
        let target = image.outside("");
        image.layer(Tarball::of([Member::symlink("out", target), Member::link("f", "out/secret")]));
    }),
    kind("a hard link to a link, then written and given away", HARD, Harmless, |image| {
        let target = image.outside("secret");
        let links = [Member::symlink("s", target), Member::link("f", "s")];
        let file = Member::file("f", "overwritten").mode(0o777).owner(1000, 1000);
        image.layer(Tarball::of(links).member(file).member(Member::directory("s").mode(0o777)));
    }),
    kind("a hard link to nothing", HARD, NotUnpacked(NOT_THERE), |image| {
        image.layer(Tarball::of([Member::link("f", "missing")]));
    }),
    kind("a hard link to itself", HARD, NotUnpacked(&["hard link", "no such file"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x"), Member::link("f", "f")]));
    }),
    kind("a hard link to a folder", HARD, NotUnpacked(&["directory"]), |image| {
        image.layer(Tarball::of([Member::directory("d"), Member::link("d/d", "d")]));
    }),
    kind("a hard link to the root", HARD, NotUnpacked(&["root", "directory"]), |image| {
        image.layer(Tarball::of([Member::link("f", "/")]));
    }),
    kind("a hard link to a file of the layer below", HARD, NotUnpacked(NOT_THERE), |image| {
        image.layer(Tarball::of([Member::link("f", "bin/busybox")]));
    }),
    kind("a hard link to a whiteout", HARD, NotUnpacked(&["whiteout", "not in the layer"]), |image| {
        image.layer(Tarball::of([Member::file("etc/.wh.group", ""), Member::link("etc/x", "etc/group")]));
    }),
    kind("a link with a target of 5000 bytes", "unbounded names", NotUnpacked(&["name too long", "longer"]), |image| {
        image.layer(Tarball::of([Member::symlink("l", "a".repeat(5000))]));
    }),
    kind("a link to nothing at all", "type confusion", NotUnpacked(&["no such file", "empty"]), |image| {
        image.layer(Tarball::of([Member::symlink("l", "")]));
    }),
    kind("a link in the layer below", "layers are merged by path", Says("readlink /out || ls /out", "x"), |image| {
        let target = image.outside("");
        image.layer(Tarball::of([Member::symlink("out", target)]));
        image.layer(Tarball::of([Member::file("out/x", "x")]));
    }),
    kind("a whiteout through a link", THROUGH, NotUnpacked(&["directory", "link"]), |image| {
        let target = image.outside("");
        image.layer(Tarball::of([Member::symlink("out", target), Member::file("out/.wh.secret", "")]));
    }),
    kind("an opaque folder through a link", THROUGH, NotUnpacked(&["directory", "link"]), |image| {
        let target = image.outside("folder");
        image.layer(Tarball::of([Member::symlink("out", target), Member::file("out/.wh..wh..opq", "")]));
    }),
    kind("a device through a link", THROUGH, NotUnpacked(&["directory", "link"]), |image| {
        let target = image.outside("");
        image.layer(Tarball::of([Member::symlink("out", target), Member::device(b'3', "out/escaped", 1, 1)]));
    }),
];
