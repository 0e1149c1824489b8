//! Entries of the wrong kind, twice, or that stand for the removal of what is not theirs.

use super::Expected::{Harmless, NotUnpacked, Refused, Says};
use super::{Kind, kind};
use crate::tarball::{Member, Tarball};

const DEVICES: &str = "device nodes of an image";
const WHITEOUTS: &str = "whiteouts that lead elsewhere";
const TWICE: &str = "readers keep the first or the last (2026-17106)";

/// An entry of each kind called `name`.
fn each(name: &str) -> [Member; 6] {
    [
        Member::file(name, "x"),
        Member::directory(name),
        Member::symlink(name, "/etc/passwd"),
        Member::link(name, "anchor"),
        Member::fifo(name),
        Member::device(b'3', name, 1, 3),
    ]
}

pub(super) const KINDS: &[Kind] = &[
    kind("the whiteout of overlayfs as a device", DEVICES, NotUnpacked(&["0:0"]), |image| {
        image.layer(Tarball::of([Member::device(b'3', "etc/passwd", 0, 0)]));
    }),
    kind("disks", DEVICES, Says("head -c 1 /disk >/dev/null 2>&1 || echo denied", "denied"), |image| {
        let disks = [Member::device(b'4', "disk", 254, 0).mode(0o666), Member::device(b'4', "sda", 8, 0).mode(0o666)];
        image.layer(Tarball::of(disks));
    }),
    kind("the host's memory", DEVICES, Says("head -c 1 /mem >/dev/null 2>&1 || echo denied", "denied"), |image| {
        image.layer(Tarball::of([Member::device(b'3', "mem", 1, 1).mode(0o666), Member::device(b'3', "kmsg", 1, 11)]));
    }),
    kind("a device with numbers that do not fit", DEVICES, NotUnpacked(&["malformed", "device"]), |image| {
        image.layer(Tarball::of([Member::device(b'3', "d", u32::MAX, u32::MAX).edited(|block| {
            block[329..337].copy_from_slice(b"77777777");
            block[337..345].copy_from_slice(b"zzzzzzz\0");
        })]));
    }),
    kind("a FIFO as /etc/passwd", "2024-9676", Refused(&["not a regular file"]), |image| {
        image.layer(Tarball::of([Member::fifo("etc/passwd").mode(0o666)]));
    })
    .with(&["-u", "user"]),
    kind("a device without end as /etc/passwd", "2022-31030, 2024-9676", Refused(&["not a regular file"]), |image| {
        image.layer(Tarball::of([Member::device(b'3', "etc/passwd", 1, 5).mode(0o666)]));
    })
    .with(&["-u", "user"]),
    kind("programs that change their user", "2021-41091", Says("stat -c %a /su", "6755"), |image| {
        image.layer(Tarball::of([Member::file("su", "#!/bin/sh\n").mode(0o6755)]));
    }),
    kind("every pair of kinds under one name", TWICE, Harmless, |image| {
        let mut archive = Tarball::of([Member::file("anchor", "x")]);
        for first in 0..6 {
            for second in 0..6 {
                let name = format!("pair-{first}-{second}");
                let [one, other] = [first, second].map(|index: usize| each(&name)[index].clone());
                archive = archive.member(one).member(other);
            }
        }
        image.layer(archive);
    }),
    kind("a full folder that becomes a file, and a folder again", TWICE, Says("ls /d", "new"), |image| {
        let tree = [Member::directory("d"), Member::file("d/a/b/c", "x"), Member::file("d", "x")];
        image.layer(
            Tarball::of(tree)
                .member(Member::file("etc/x", ""))
                .member(Member::directory("d"))
                .member(Member::file("d/new", "x")),
        );
    }),
    kind("a file below a file", "type confusion", NotUnpacked(&["directory"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x"), Member::file("f/g", "x")]));
    }),
    kind("a whiteout of nothing", WHITEOUTS, NotUnpacked(&["whiteout of nothing"]), |image| {
        image.layer(Tarball::of([Member::file("etc/.wh.", "")]));
    }),
    kind("a whiteout of the folder itself", WHITEOUTS, NotUnpacked(&["whiteout of nothing"]), |image| {
        image.layer(Tarball::of([Member::file("etc/.wh..", "")]));
    }),
    kind("a whiteout of the folder above", WHITEOUTS, NotUnpacked(&["whiteout of nothing"]), |image| {
        image.layer(Tarball::of([Member::file("etc/.wh...", "")]));
    }),
    kind("a whiteout as a folder", WHITEOUTS, NotUnpacked(&["whiteout as a directory"]), |image| {
        image.layer(Tarball::of([Member::directory("etc/.wh.group"), Member::file("etc/.wh.group/x", "")]));
    }),
    kind("a whiteout with something in it", WHITEOUTS, NotUnpacked(&["whiteout as a directory"]), |image| {
        image.layer(Tarball::of([Member::file("etc/.wh.d/x", "x")]));
    }),
    kind("whiteouts that are links", WHITEOUTS, Says("ls /etc | grep -c group", "0"), |image| {
        let target = image.outside("secret");
        image.layer(Tarball::of([Member::symlink("etc/.wh.group", target), Member::fifo("etc/.wh.missing")]));
    }),
    kind("the book-keeping of AUFS", WHITEOUTS, Says("ls -a /etc | grep -c wh", "0"), |image| {
        let first = [Member::file("etc/.wh..wh.x", "x"), Member::directory(".wh..wh.plnk")];
        image.layer(Tarball::of(first).member(Member::link(".wh..wh.plnk/1.2", "/etc/passwd")));
    }),
    kind("an opaque mark with content", WHITEOUTS, Says("ls /etc | grep -c -E 'passwd|group'", "0"), |image| {
        image.layer(Tarball::of([Member::file("etc/.wh..wh..opq", "content")]));
    }),
    kind("an opaque mark on a file", WHITEOUTS, NotUnpacked(&["directory"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x"), Member::file("f/.wh..wh..opq", "")]));
    }),
    kind("a layer that removes everything", WHITEOUTS, Refused(&["not found", "no such file"]), |image| {
        image.layer(Tarball::of([Member::file(".wh..wh..opq", "")]));
    }),
    kind("a layer that removes the mount points", WHITEOUTS, Harmless, |image| {
        image.layer(Tarball::of(["proc", "sys", "dev", "etc"].map(|name| Member::file(format!(".wh.{name}"), ""))));
    }),
    kind("an entry of a kind that nobody knows", "type confusion", NotUnpacked(&["unsupported"]), |image| {
        image.layer(Tarball::of([Member::new(b'Z', "z")]));
    }),
    kind("an entry that continues a volume", "type confusion", NotUnpacked(&["unsupported"]), |image| {
        image.layer(Tarball::of([Member::new(b'M', "z")]));
    }),
    kind("a folder with data", "readers disagree", NotUnpacked(&["no tar header", "malformed"]), |image| {
        let smuggled = Tarball::of([Member::file("smuggled", "x")]).unended();
        image.layer(Tarball::of([Member::directory("d").size(512)]).raw(&[b'x'; 512]).raw(&smuggled));
    }),
    kind("a link with data", "readers disagree", NotUnpacked(&["no tar header", "malformed"]), |image| {
        image.layer(Tarball::of([Member::symlink("l", "x").size(512)]).raw(&[b'x'; 512]));
    }),
    kind("an archive in the data of a file", "readers disagree", Says("ls /smuggled || echo none", "none"), |image| {
        let smuggled = Tarball::of([Member::file("smuggled", "x")]).unended();
        image.layer(Tarball::of([Member::file("f", smuggled)]));
    }),
    kind("a size in pax that hides an entry", "readers disagree", Says("ls /smuggled || echo none", "none"), |image| {
        let smuggled = Tarball::of([Member::file("smuggled", "x")]).unended();
        let size = smuggled.len().to_string();
        image.layer(Tarball::of([Member::file("f", smuggled).size(0).pax("size", size)]));
    }),
];
