//! Files of the image that the engine or the runtime mounts on, writes to or opens.

use super::Expected::{Harmless, Refused, Says};
use super::{Kind, kind};
use crate::tarball::{Member, Tarball};

const LINKS: &str = "mount points that are links (2019-19921, 2023-27561, 2026-41579)";
const NODES: &str = "devices that are links (2025-31133, 2025-52565, 2026-88264, 2026-88265)";
const ETC: &str = "files that the engine writes (2025-24965, 2024-9341)";
const TERMINAL: &[&str] = &["-t"];

pub(super) const KINDS: &[Kind] = &[
    kind("/proc as a link", LINKS, Refused(&["/proc", "proc"]), |image| {
        let target = image.outside("folder");
        image.layer(Tarball::of([Member::symlink("proc", target)]));
    }),
    kind("/proc as a link inside", LINKS, Refused(&["/proc", "proc"]), |image| {
        image.layer(Tarball::of([Member::directory("fake"), Member::symlink("proc", "/fake")]));
    }),
    kind("/sys as a link", LINKS, Refused(&["/sys", "sys"]), |image| {
        let target = image.climb("folder");
        image.layer(Tarball::of([Member::symlink("sys", target)]));
    }),
    kind("/dev as a link", LINKS, Refused(&["/dev"]), |image| {
        let target = image.outside("folder");
        image.layer(Tarball::of([Member::symlink("dev", target)]));
    }),
    kind("/proc as a file", LINKS, Refused(&["proc"]), |image| image.layer(Tarball::of([Member::file("proc", "x")]))),
    kind("/dev as a FIFO", LINKS, Refused(&["dev"]), |image| image.layer(Tarball::of([Member::fifo("dev")]))),
    kind("a procfs of files", "2019-16884", Says("cat /proc/self/attr/exec | grep -c fake", "0"), |image| {
        let fake = [Member::file("proc/self/attr/exec", "fake"), Member::file("proc/sys/kernel/core_pattern", "fake")];
        image.layer(Tarball::of(fake));
    }),
    kind("masked paths as links", "2025-31133", Harmless, |image| {
        let target = image.outside("secret");
        let links = ["proc/kcore", "proc/keys", "proc/timer_list", "sys/firmware", "proc/acpi", "proc/scsi"];
        image.layer(Tarball::of(links.map(|name| Member::symlink(name, target.clone()))));
    }),
    kind("/dev/null as a link", NODES, Harmless, |image| {
        image.layer(Tarball::of([Member::symlink("dev/null", "/proc/sys/kernel/core_pattern")]));
    }),
    kind("/dev/null as a link to a file of the host", NODES, Harmless, |image| {
        let target = image.outside("secret");
        image.layer(Tarball::of([Member::symlink("dev/null", target), Member::symlink("dev/zero", "/etc/passwd")]));
    })
    .with(&["-u", "1000"]),
    kind("/dev/console as a link", NODES, Harmless, |image| {
        let target = image.outside("console");
        image.layer(Tarball::of([Member::symlink("dev/console", target)]));
    })
    .with(TERMINAL),
    kind("/dev/pts as a link", NODES, Harmless, |image| {
        let target = image.outside("folder");
        image.layer(Tarball::of([Member::symlink("dev/pts", target)]));
    })
    .with(TERMINAL),
    kind("/dev/ptmx and the streams as links", NODES, Harmless, |image| {
        let target = image.outside("console");
        let links = ["dev/ptmx", "dev/stdin", "dev/stdout", "dev/stderr", "dev/fd", "dev/core", "dev/tty"];
        image.layer(Tarball::of(links.map(|name| Member::symlink(name, target.clone()))));
    })
    .with(TERMINAL),
    kind("/dev/shm and /dev/mqueue as links", NODES, Harmless, |image| {
        let target = image.outside("folder");
        image.layer(Tarball::of(["dev/shm", "dev/mqueue"].map(|name| Member::symlink(name, target.clone()))));
    }),
    kind("/etc as a link", ETC, Refused(&["/etc", "etc", "no such file"]), |image| {
        let target = image.outside("folder");
        image.layer(Tarball::of([Member::symlink("etc", target)]));
    }),
    kind("/etc/hosts, hostname and resolv.conf as links", ETC, Refused(&["/etc", "no such file", "loop"]), |image| {
        let target = image.outside("secret");
        let names = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];
        image.layer(Tarball::of(names.map(|name| Member::symlink(name, target.clone()))));
    }),
    kind("/etc/hosts as a link to what is not there", ETC, Refused(&["/etc", "no such file", "loop"]), |image| {
        let target = image.outside("created");
        image.layer(Tarball::of(["etc/hosts", "etc/resolv.conf"].map(|name| Member::symlink(name, target.clone()))));
    }),
    kind("/etc/hostname as a FIFO and hosts as a device", ETC, Harmless, |image| {
        let nodes = [Member::fifo("etc/hostname"), Member::device(b'3', "etc/hosts", 1, 5)];
        image.layer(Tarball::of(nodes));
    }),
    kind("/etc/resolv.conf as a folder", ETC, Refused(&["resolv.conf", "directory"]), |image| {
        image.layer(Tarball::of([Member::directory("etc/resolv.conf")]));
    }),
    kind("the engines' marks as links", ETC, Harmless, |image| {
        let target = image.outside("marked");
        let names = [".dockerenv", "run/.containerenv", ".krun_config.json", "etc/mtab"];
        image.layer(Tarball::of(names.map(|name| Member::symlink(name, target.clone()))));
    }),
    kind("mount points of the user as links", LINKS, Refused(&["mount", "no such file", "v"]), |image| {
        let target = image.outside("folder");
        image.layer(Tarball::of([Member::symlink("v", target)]));
    })
    .with(&["--tmpfs", "/v/deep:size=1m"]),
    kind("a root that nobody may enter", "the root's own entry", Says("stat -c '%a %u' /", "0 1000"), |image| {
        image.layer(Tarball::of([Member::directory("./").mode(0).owner(1000, 1000)]));
    }),
    kind("a root with all bits", "the root's own entry", Says("stat -c '%a %u' /", "7777 0"), |image| {
        image.layer(Tarball::of([Member::directory("./").mode(0o7777)]));
    }),
    kind("programs that the engine could call", "2026-84042, 2022-1227, 2026-41567", Harmless, |image| {
        let script = format!("#!/bin/busybox sh\ntouch {}\n", image.outside("called"));
        let names = [
            "xz",
            "unpigz",
            "gzip",
            "zstd",
            "mount",
            "ps",
            "newuidmap",
            "newgidmap",
            "stake",
            "stockade-dns",
            "stockade-monitor",
            "stockade-unpack",
        ];
        let folders = ["bin", "sbin", "usr/sbin", "usr/local/bin", "usr/libexec/stockade"];
        let each = folders.iter().flat_map(|folder| names.map(|name| format!("{folder}/{name}")));
        let members: Vec<Member> = each.map(|name| Member::file(name, &script).mode(0o755)).collect();
        image.layer(Tarball::of(members));
        image.config["config"]["Env"] = serde_json::json!(["PATH=/usr/local/bin:/sbin:/bin"]);
    }),
];
