//! Owners, times and extended attributes that steer, wrap, or do not fit.

use super::Expected::{Harmless, NotUnpacked, Says};
use super::{Kind, kind};
use crate::tarball::{Member, Tarball};

const OVERLAY: &str = "attributes that steer overlayfs (2023-0386)";
const FOREIGN: &str = "attributes that are the administrator's";
const NUMBERS: &str = "numbers that wrap (2024-40635)";
const MUST_NOT: &[&str] = &["must not set"];
const MALFORMED: &[&str] = &["malformed", "invalid argument"];

pub(super) const KINDS: &[Kind] = &[
    kind("trusted.overlay.opaque", OVERLAY, NotUnpacked(MUST_NOT), |image| {
        image.layer(Tarball::of([Member::directory("etc").xattr("trusted.overlay.opaque", b"y")]));
    }),
    kind("trusted.overlay.redirect out of the layer", OVERLAY, NotUnpacked(MUST_NOT), |image| {
        let target = image.outside("");
        image.layer(Tarball::of([Member::directory("d").xattr("trusted.overlay.redirect", target.as_bytes())]));
    }),
    kind("trusted.overlay.metacopy", OVERLAY, NotUnpacked(MUST_NOT), |image| {
        image.layer(Tarball::of([Member::file("f", "").xattr("trusted.overlay.metacopy", b"")]));
    }),
    kind("user.overlay.opaque", OVERLAY, NotUnpacked(MUST_NOT), |image| {
        image.layer(Tarball::of([Member::directory("etc").xattr("user.overlay.opaque", b"y")]));
    }),
    kind("user.overlay.whiteout of the layer itself", OVERLAY, NotUnpacked(MUST_NOT), |image| {
        image.layer(Tarball::of([Member::file("f", "").xattr("user.overlay.whiteout", b"")]));
    }),
    kind("labels of other machines", FOREIGN, Harmless, |image| {
        let file = Member::file("f", "x").xattr("security.selinux", b"system_u:object_r:shadow_t:s0\0");
        image.layer(Tarball::of([file.xattr("security.ima", b"\x01").xattr("security.apparmor", b"unconfined")]));
    }),
    kind("an attribute of nobody", FOREIGN, NotUnpacked(MUST_NOT), |image| {
        image.layer(Tarball::of([Member::file("f", "x").xattr("trusted.x", b"y")]));
    }),
    kind("file capabilities of another version", FOREIGN, NotUnpacked(&["extended attribute"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x").xattr("security.capability", &[0xff; 7])]));
    }),
    kind(
        "all file capabilities",
        "2022-24769",
        Says("grep CapInh /proc/self/status", "CapInh:\t0000000000000000"),
        |image| {
            let mut all = vec![1, 0, 0, 2];
            all.extend([0xff; 16]);
            image.layer(Tarball::of([Member::file("f", "x").xattr("security.capability", &all)]));
        },
    ),
    kind("an attribute larger than the kernel takes", "unbounded", NotUnpacked(&["extended attribute"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x").xattr("user.x", &[b'x'; 70_000])]));
    }),
    kind("attributes with no name", "unbounded", NotUnpacked(&["malformed"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x").xattr("", b"y")]));
    }),
    kind("access lists that are none", FOREIGN, NotUnpacked(&["extended attribute"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x").xattr("system.posix_acl_access", b"rubbish")]));
    }),
    kind("an owner of 2^31, which a container has no id for", NUMBERS, Says("stat -c %u /f", "65534"), |image| {
        image.layer(Tarball::of([Member::file("f", "x").owner(1 << 31, 1 << 31)]));
    }),
    kind("an owner of 2^32 - 1, which means none", NUMBERS, NotUnpacked(MALFORMED), |image| {
        image.layer(Tarball::of([Member::file("f", "x").owner(u64::from(u32::MAX), 0)]));
    }),
    kind("a group of 2^32 - 1 in pax", NUMBERS, NotUnpacked(MALFORMED), |image| {
        image.layer(Tarball::of([Member::file("f", "x").pax("gid", "4294967295")]));
    }),
    kind("an owner of 2^32, which wraps to root", NUMBERS, NotUnpacked(MALFORMED), |image| {
        image.layer(Tarball::of([Member::file("f", "x").owner(1 << 32, 0)]));
    }),
    kind("an owner of -1", NUMBERS, NotUnpacked(MALFORMED), |image| {
        image.layer(Tarball::of([Member::file("f", "x").owner(u64::MAX, 0)]));
    }),
    kind("an owner with a sign in pax", NUMBERS, NotUnpacked(MALFORMED), |image| {
        image.layer(Tarball::of([Member::file("f", "x").pax("uid", "+0")]));
    }),
    kind("a time before time", NUMBERS, Harmless, |image| {
        image.layer(Tarball::of([Member::file("f", "x").pax("mtime", "-2147483649.999999999")]));
    }),
    kind("a time after the end", NUMBERS, Harmless, |image| {
        image.layer(Tarball::of([Member::file("f", "x").mtime(1 << 62), Member::directory("d").mtime(1 << 62)]));
    }),
    kind("a time that is text", NUMBERS, NotUnpacked(MALFORMED), |image| {
        image.layer(Tarball::of([Member::file("f", "x").pax("mtime", "0x7fffffff")]));
    }),
    kind("a negative size", NUMBERS, NotUnpacked(&["malformed", "ends within", "large"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x").size(u64::MAX)]));
    }),
    kind("a size of 2^62", NUMBERS, NotUnpacked(&["malformed", "ends within", "more than"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x").size(1 << 62)]));
    }),
    kind("a size of 2^64 - 1 in pax", NUMBERS, NotUnpacked(&["malformed", "ends within", "more than"]), |image| {
        image.layer(Tarball::of([Member::file("f", "x").pax("size", u64::MAX.to_string())]));
    }),
    kind("numbers that are no octal", NUMBERS, NotUnpacked(MALFORMED), |image| {
        image.layer(Tarball::of([Member::file("f", "x").edited(|block| block[100..107].copy_from_slice(b"rwxr-xr"))]));
    }),
];
